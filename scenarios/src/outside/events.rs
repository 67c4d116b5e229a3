//! Server-sent events, as they come in pieces.

/// Joins pieces of a `text/event-stream` and gives out the data of its events.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Option<Vec<u8>>,
}

impl Events {
    /// Takes a piece; gives the data of each event that it completes, but for those without any.
    pub(super) fn take(&mut self, piece: &[u8]) -> Vec<Vec<u8>> {
        let mut complete = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                complete.extend(self.end_line());
            }
        }
        complete
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return self.data.take().filter(|data| !data.is_empty());
        }
        let value = line.strip_prefix(b"data:")?;
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            None => self.data = Some(value.to_vec()),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Events;

    #[test]
    fn streams() {
        let rows: [(&[&str], &[&str]); 6] = [
            (&["data: {}\n\n"], &["{}"]),
            (&["da", "ta:{}\r", "\n\r\n"], &["{}"]),
            (&[": keep-alive\n\n", "id: 1\ndata:\n\n"], &[]),
            (&["event: message\nid: 7\ndata: a\n", "\ndata: b\n\n"], &["a", "b"]),
            (&["data: a\ndata: b\n\n"], &["a\nb"]),
            (&["data: unfinished\n"], &[]),
        ];
        for (pieces, expected) in rows {
            let mut events = Events::default();
            let found: Vec<_> = pieces.iter().flat_map(|piece| events.take(piece.as_bytes())).collect();
            assert_eq!(
                found,
                expected.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>(),
                "{pieces:?}"
            );
        }
    }
}

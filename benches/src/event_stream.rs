//! Server-sent events: just enough to find the messages in a body.

use std::borrow::Cow;

/// The data of each event of a `text/event-stream` body; events without data are left out.
#[derive(Debug)]
pub struct Events<'a> {
    rest: &'a [u8],
}

impl<'a> Events<'a> {
    /// The events of this body.
    #[must_use]
    pub fn of(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    fn next_line(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|&byte| byte == b'\n')?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut data: Option<Cow<'a, [u8]>> = None;
        while let Some(line) = self.next_line() {
            if line.is_empty() {
                match data.take() {
                    Some(data) if !data.is_empty() => return Some(data),
                    _ => continue,
                }
            }
            if let Some(value) = line.strip_prefix(b"data:") {
                let value = value.strip_prefix(b" ").unwrap_or(value);
                data = Some(match data {
                    None => Cow::Borrowed(value),
                    Some(before) => Cow::Owned([&*before, value].join(&b'\n')),
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Events;

    #[test]
    fn bodies() {
        let rows: [(&str, &[&str]); 6] = [
            ("", &[]),
            ("data: {}\n\n", &["{}"]),
            ("data:{}\r\nid: 3\r\n\r\n", &["{}"]),
            ("data: \nid: 0\nretry: 3000\n\n: ping\n\nevent: message\ndata: a\n\ndata: b\n\n", &["a", "b"]),
            ("data: a\ndata: b\n\n", &["a\nb"]),
            ("data: never finished\n", &[]),
        ];
        for (body, expected) in rows {
            let found: Vec<String> =
                Events::of(body.as_bytes()).map(|data| String::from_utf8_lossy(&data).into_owned()).collect();
            assert_eq!(found, expected, "{body:?}");
        }
    }
}

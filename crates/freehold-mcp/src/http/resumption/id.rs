use freehold::{SessionId, runtime::Runtime};
use std::{fmt, num::NonZeroU64, str::FromStr};

/// Names a stream of events among all streams: random, so that nobody guesses one, and none of one session is one of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(NonZeroU64);

impl StreamId {
    pub(super) fn random(runtime: &dyn Runtime) -> Self {
        let mut bytes = [0; 8];
        runtime.fill_random(&mut bytes);
        Self(NonZeroU64::new(u64::from_ne_bytes(bytes)).unwrap_or(NonZeroU64::MIN))
    }

    #[cfg(test)]
    pub(super) fn of(number: u64) -> Self {
        Self(NonZeroU64::new(number).expect("not zero"))
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A stream of events, by the session that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    /// The session.
    pub session: SessionId,
    /// The stream.
    pub stream: StreamId,
}

/// The `id` of an event: its stream, and how many came before it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventId {
    pub(super) stream: StreamId,
    pub(super) sequence: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.stream, self.sequence)
    }
}

/// Not an event id of this server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoEventId;

impl FromStr for EventId {
    type Err = NoEventId;

    fn from_str(text: &str) -> Result<Self, NoEventId> {
        let hex = |text: &str| {
            let canonical = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            canonical.then(|| u64::from_str_radix(text, 16).ok()).flatten().ok_or(NoEventId)
        };
        let (stream, sequence) = text.split_once('-').ok_or(NoEventId)?;
        let stream = if stream.len() == 16 { NonZeroU64::new(hex(stream)?) } else { None };
        Ok(Self { stream: StreamId(stream.ok_or(NoEventId)?), sequence: hex(sequence)? })
    }
}

#[cfg(test)]
mod tests {
    use super::{EventId, NoEventId, StreamId};

    #[test]
    fn what_is_written_can_be_read() {
        let id = EventId { stream: StreamId::of(0xabc), sequence: 0x1f };
        assert_eq!(id.to_string(), "0000000000000abc-1f");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn nothing_else_can() {
        for text in [
            "",
            "-",
            "1",
            "0000000000000abc",
            "0000000000000abc-",
            "0000000000000abc-+1",
            "0000000000000ABC-1",
            "0000000000000000-1",
            "abc-1",
            "0000000000000abc-1ffffffffffffffff",
            "0000000000000abc-1-1",
            "00000000000ä0abc-1",
        ] {
            assert_eq!(text.parse::<EventId>(), Err(NoEventId), "{text}");
        }
    }
}

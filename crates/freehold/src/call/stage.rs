//! Where a call is.

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[non_exhaustive]
#[repr(u8)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Not yet admitted.
    Arrival = 0,
    /// Waits for a slot.
    Queue = 1,
    /// Its handler runs.
    Handler = 2,
    /// Its handler waits for the client's answer to a question.
    Question = 3,
    /// Its handler was in the way of others, or they in its; it will be run again after a pause.
    Pause = 4,
    /// Waits for its turn in a serial session.
    Turn = 5,
}

impl Stage {
    /// Its name in answers and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Arrival => "arrival",
            Self::Queue => "queue",
            Self::Handler => "handler",
            Self::Question => "question",
            Self::Pause => "pause",
            Self::Turn => "turn",
        }
    }

    pub(super) fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Arrival,
            1 => Self::Queue,
            4 => Self::Pause,
            5 => Self::Turn,
            _ => Self::Handler,
        }
    }
}

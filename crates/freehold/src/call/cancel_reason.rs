//! Why calls are cancelled.

use std::num::NonZeroU8;

/// Why a call was cancelled. As JSON, the variant's name in `camelCase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[non_exhaustive]
#[repr(u8)]
#[serde(rename_all = "camelCase")]
pub enum CancelReason {
    /// The client said so.
    Client = 1,
    /// The client's connection (or the stream of this call) ended.
    Disconnected = 2,
    /// The deadline passed.
    DeadlineExceeded = 3,
    /// The session was closed.
    SessionClosed = 4,
    /// The engine is stopping.
    Shutdown = 5,
    /// The call that made this one no longer waits for it.
    CallerGone = 6,
}

impl CancelReason {
    /// As a signal carries it.
    pub(super) fn code(self) -> NonZeroU8 {
        NonZeroU8::new(self as u8).unwrap_or(NonZeroU8::MIN)
    }

    pub(super) fn from_code(code: NonZeroU8) -> Self {
        match code.get() {
            2 => Self::Disconnected,
            3 => Self::DeadlineExceeded,
            4 => Self::SessionClosed,
            5 => Self::Shutdown,
            6 => Self::CallerGone,
            _ => Self::Client,
        }
    }

    /// The word used in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "cancelled by the client",
            Self::Disconnected => "the client disconnected",
            Self::DeadlineExceeded => "deadline exceeded",
            Self::SessionClosed => "the session was closed",
            Self::Shutdown => "the server is shutting down",
            Self::CallerGone => "its caller no longer waits for it",
        }
    }
}

use serde::{Deserialize, Serialize};

/// How grave a log message is. Closed: RFC 5424 has these eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum LogLevel {
    /// For debugging.
    Debug = 1,
    /// Worth knowing.
    Info,
    /// Normal but significant.
    Notice,
    /// Something is not as it should be.
    Warning,
    /// An operation failed.
    Error,
    /// A component failed.
    Critical,
    /// Act at once.
    Alert,
    /// Unusable.
    Emergency,
}

impl LogLevel {
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        use LogLevel::{Alert, Critical, Debug, Emergency, Error, Info, Notice, Warning};
        [Debug, Info, Notice, Warning, Error, Critical, Alert, Emergency]
            .into_iter()
            .find(|level| *level as u8 == code)
    }
}

use freehold_sync::{Deadlock, LockError, Timeout};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt, fmt::Write};

/// An error code: the five of JSON-RPC 2.0, and those this engine adds outside the range that JSON-RPC and the
/// protocols on top of it reserve (-32768 to -32000); the code of a cancel is that of the Language Server Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorCode(pub i32);

impl ErrorCode {
    /// The bytes are not JSON.
    pub const PARSE_ERROR: Self = Self(-32700);
    /// JSON, but not a message; also a duplicate id, or a message where it is not allowed.
    pub const INVALID_REQUEST: Self = Self(-32600);
    /// Nobody handles this method.
    pub const METHOD_NOT_FOUND: Self = Self(-32601);
    /// The method's parameters do not fit.
    pub const INVALID_PARAMS: Self = Self(-32602);
    /// The handler panicked, or its answer could not be written.
    pub const INTERNAL_ERROR: Self = Self(-32603);

    /// The session does not exist (any more). Open a new one.
    pub const SESSION_NOT_FOUND: Self = Self(-31001);
    /// Too many calls (or sessions) at this moment. Try again after `data.retryAfterMs`.
    pub const OVERLOADED: Self = Self(-31002);
    /// The deadline passed; `data.stage` tells where the call was.
    pub const DEADLINE_EXCEEDED: Self = Self(-31003);
    /// The server is draining and takes no new calls.
    pub const STOPPING: Self = Self(-31004);
    /// The call was cancelled before it had an answer; `data.reason` tells by whom.
    pub const CANCELLED: Self = Self(-32800);
    /// The answer was larger than the limit.
    pub const ANSWER_TOO_LARGE: Self = Self(-31005);
    /// The session's state changed too often while the call tried to change it.
    pub const CONFLICT: Self = Self(-31006);
    /// The client did not answer a question that the call depends on.
    pub const QUESTION_FAILED: Self = Self(-31007);
    /// The call was part of a deadlock of the application's locks and was chosen to end it; the others went on. Nothing is
    /// wrong with the request: try again.
    pub const DEADLOCK: Self = Self(-31008);
    /// A lock of the application's could not be had in time.
    pub const LOCK_TIMEOUT: Self = Self(-31009);
    /// Handlers called handlers too deep.
    pub const CALLS_TOO_DEEP: Self = Self(-31020);
    /// A session that the handler called cannot be reached. Nothing happened there; try again.
    pub const UNREACHABLE: Self = Self(-31021);
    /// A call that the handler made got no answer: it may have happened or not.
    pub const OUTCOME_UNKNOWN: Self = Self(-31022);
}

/// The error of an answer.
///
/// # Examples
///
/// ```
/// use freehold::{ErrorCode, ErrorObject};
///
/// let error = ErrorObject::new(ErrorCode::INVALID_PARAMS, "amount must be positive")
///     .with_data(&serde_json::json!({ "field": "amount" }));
/// assert_eq!(error.code, ErrorCode::INVALID_PARAMS);
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorObject {
    /// What kind of failure.
    pub code: ErrorCode,
    /// One sentence that tells the user what to do.
    pub message: Cow<'static, str>,
    /// Details for programs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data: Option<Box<RawValue>>,
}

impl ErrorObject {
    /// An error without data.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The same error with `data`; data that cannot be written as JSON is left out.
    #[must_use]
    pub fn with_data(mut self, data: &impl Serialize) -> Self {
        self.data = serde_json::value::to_raw_value(data).ok();
        self
    }

    /// [`ErrorCode::METHOD_NOT_FOUND`] for `method`.
    #[must_use]
    pub fn method_not_found(method: &str) -> Self {
        Self::new(ErrorCode::METHOD_NOT_FOUND, format!("no method named {method:?} here"))
    }

    /// [`ErrorCode::INVALID_PARAMS`], saying what does not fit.
    #[must_use]
    pub fn invalid_params(reason: impl fmt::Display) -> Self {
        Self::new(ErrorCode::INVALID_PARAMS, format!("invalid parameters: {reason}"))
    }

    /// [`ErrorCode::INTERNAL_ERROR`] without internal detail.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(ErrorCode::INTERNAL_ERROR, "internal error; the server's log has the details")
    }
}

/// So that `ctx.lock(..).await?` may stand in a handler.
///
/// A deadlock and a timeout tell who was in the way, by method; what is a defect of the server tells the log alone.
impl From<LockError> for ErrorObject {
    fn from(error: LockError) -> Self {
        match &error {
            LockError::Deadlock(report) => {
                let data = serde_json::json!({ "report": report.id });
                Self::new(ErrorCode::DEADLOCK, deadlock_message(report)).with_data(&data)
            }
            LockError::Timeout(timeout) => {
                let data = serde_json::json!({ "waitedMs": timeout.waited.as_millis() as u64 });
                Self::new(ErrorCode::LOCK_TIMEOUT, timeout_message(timeout)).with_data(&data)
            }
            _ => {
                tracing::error!(%error, "a handler could not get a lock");
                Self::internal()
            }
        }
    }
}

/// Members of a ring, or of a chain, that are named to a client; the server's report and log have all.
const NAMED: usize = 4;

/// Names the handlers, and no lock: its class may be a place in the server's source.
fn deadlock_message(report: &Deadlock) -> String {
    let mut message = format!("ended to break deadlock {}: ", report.id);
    for (index, edge) in report.edges.iter().take(NAMED).enumerate() {
        let and = if index == 0 { "" } else { ", " };
        let _ = write!(message, "{and}{:?} waited for {:?}", edge.waiter.name, edge.holder.name);
    }
    if report.edges.len() > NAMED {
        let _ = write!(message, ", and {} more", report.edges.len() - NAMED);
    }
    message + "; the others went on, try again"
}

fn timeout_message(timeout: &Timeout) -> String {
    let mut message = format!("a lock could not be had within {:?}", timeout.waited);
    if let Some(holder) = &timeout.holder {
        let _ = write!(message, ": {:?} has it", holder.name);
    }
    for next in timeout.chain.iter().take(NAMED) {
        let _ = write!(message, ", which waits for {:?}", next.name);
    }
    message + "; try again later"
}

impl fmt::Display for ErrorObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code.0)
    }
}

impl std::error::Error for ErrorObject {}

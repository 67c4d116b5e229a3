use freehold_sync::{Actor, Deadlock, LockError, Timeout};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use std::{borrow::Cow, fmt, fmt::Write, sync::Arc, time::Duration};

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
    /// The circuit breaker of the method, or of what it was asked for, is open: too many calls of it failed of late. Try
    /// again after `data.retryAfterMs`.
    pub const CIRCUIT_OPEN: Self = Self(-31010);
    /// This client sends too many requests of a kind. Try again after `data.retryAfterMs`; others are not concerned.
    pub const RATE_LIMITED: Self = Self(-31011);
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
    /// What only this process knows of it.
    #[serde(skip)]
    origin: Option<Arc<Origin>>,
}

#[derive(Clone, Debug, Default)]
struct Origin {
    cause: Option<Cause>,
    /// What the peer is told instead.
    told_as: Option<Box<RawValue>>,
}

#[derive(Clone, Debug)]
enum Cause {
    Lock(LockError),
    CircuitOpen,
    Request,
}

/// A call that an activity of a report stands for.
pub(crate) struct Member {
    pub(crate) label: String,
    /// The beginning of its session's id: an id as a whole opens the session.
    pub(crate) session: String,
    pub(crate) age: Duration,
    /// Its handler waits for its client.
    pub(crate) asks: bool,
}

impl ErrorObject {
    /// An error without data.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None, origin: None }
    }

    fn caused_by(mut self, cause: Cause) -> Self {
        self.origin = Some(Arc::new(Origin { cause: Some(cause), told_as: None }));
        self
    }

    /// Why a lock could not be had, if the error came from that, by [`From<LockError>`](#impl-From<LockError>-for-ErrorObject).
    /// The engine decides by it whether a call is run again; so an error type of your own that a lock's error becomes
    /// should become an error object by that way.
    #[must_use]
    pub fn lock_error(&self) -> Option<&LockError> {
        match self.origin.as_ref()?.cause.as_ref()? {
            Cause::Lock(error) => Some(error),
            Cause::CircuitOpen | Cause::Request => None,
        }
    }

    pub(crate) fn is_circuit_open(&self) -> bool {
        let cause = self.origin.as_ref().and_then(|origin| origin.cause.as_ref());
        matches!(cause, Some(Cause::CircuitOpen))
    }

    /// Says that the request is what is wrong, where the code alone does not: a circuit breaker does not take it for a
    /// failure of what was called, as it does not with [`ErrorCode::INVALID_PARAMS`].
    #[must_use]
    pub fn of_request(self) -> Self {
        self.caused_by(Cause::Request)
    }

    pub(crate) fn is_of_request(&self) -> bool {
        let of_request = [ErrorCode::INVALID_PARAMS, ErrorCode::INVALID_REQUEST, ErrorCode::METHOD_NOT_FOUND];
        let cause = self.origin.as_ref().and_then(|origin| origin.cause.as_ref());
        matches!(cause, Some(Cause::Request)) || of_request.contains(&self.code)
    }

    /// The peer is told `result` instead of this error: for protocols that tell failures of what they dispatch to as
    /// results. The engine treats the call as failed as this error says: runs it again, lets its fallback answer, tells its
    /// circuit breaker.
    #[must_use]
    pub fn told_as(mut self, result: Box<RawValue>) -> Self {
        Arc::make_mut(self.origin.get_or_insert_default()).told_as = Some(result);
        self
    }

    /// What the peer is told.
    pub(crate) fn into_told(self) -> Result<Box<RawValue>, Self> {
        match self.origin.as_ref().and_then(|origin| origin.told_as.clone()) {
            Some(result) => Ok(result),
            None => Err(self),
        }
    }

    /// [`ErrorCode::CIRCUIT_OPEN`] for what is called so.
    pub(crate) fn circuit_open(what: &str, retry_after_ms: u64) -> Self {
        let message = format!("too many calls of {what:?} failed of late; try again in {retry_after_ms} ms");
        let data = json!({ "retryAfterMs": retry_after_ms });
        Self::new(ErrorCode::CIRCUIT_OPEN, message).with_data(&data).caused_by(Cause::CircuitOpen)
    }

    /// The same error with sessions and ages of the calls that were in the way, where `find` knows them. A message that
    /// the application has changed stays.
    pub(crate) fn explained(mut self, find: impl Fn(&Actor) -> Option<Member>) -> Self {
        let Some(error) = self.lock_error() else { return self };
        let Some((plain, _)) = told(error, &|_| None) else { return self };
        if plain != self.message {
            return self;
        }
        if let Some((message, data)) = told(error, &find) {
            self.message = message.into();
            self = self.with_data(&data);
        }
        self
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
        let code = if error.is_deadlock() { ErrorCode::DEADLOCK } else { ErrorCode::LOCK_TIMEOUT };
        match told(&error, &|_| None) {
            Some((message, data)) => Self::new(code, message).with_data(&data).caused_by(Cause::Lock(error)),
            None => {
                tracing::error!(%error, "a handler could not get a lock");
                Self::internal().caused_by(Cause::Lock(error))
            }
        }
    }
}

/// Members of a ring, or of a chain, that are named to a client; the server's report and log have all.
const NAMED: usize = 4;

/// Finds the call that an activity stands for.
type Find<'a> = dyn Fn(&Actor) -> Option<Member> + 'a;

/// What a client is told of a lock's error that may be told: the message, and data for programs.
fn told(error: &LockError, find: &Find<'_>) -> Option<(String, Value)> {
    match error {
        LockError::Deadlock(report) => Some((deadlock_message(report, find), deadlock_data(report, find))),
        LockError::Timeout(timeout) => Some((timeout_message(timeout, find), timeout_data(timeout, find))),
        _ => None,
    }
}

/// Names the handlers, and no lock: its class may be a place in the server's source.
fn deadlock_message(report: &Deadlock, find: &Find<'_>) -> String {
    let mut message = format!("ended to break deadlock {}: ", report.id);
    for (index, edge) in report.edges.iter().take(NAMED).enumerate() {
        let and = if index == 0 { "" } else { ", " };
        let _ = write!(message, "{and}{} waited for {:?}", named(&edge.waiter, find), edge.holder.name);
    }
    if report.edges.len() > NAMED {
        let _ = write!(message, ", and {} more", report.edges.len() - NAMED);
    }
    message + "; the others went on, try again"
}

fn timeout_message(timeout: &Timeout, find: &Find<'_>) -> String {
    let mut message = format!("a lock could not be had within {:?}", timeout.waited);
    if let Some(holder) = &timeout.holder {
        let _ = write!(message, ": {} has it", named(holder, find));
    }
    for next in timeout.chain.iter().take(NAMED) {
        let _ = write!(message, ", which waits for {}", named(next, find));
    }
    message + "; try again later"
}

fn named(actor: &Actor, find: &Find<'_>) -> String {
    let Some(Member { label, session, age, asks }) = find(actor) else { return format!("{:?}", actor.name) };
    let asks = if asks { ", waits for its client" } else { "" };
    format!("{label:?} (in session {session}, for {age:.1?}{asks})")
}

fn deadlock_data(report: &Deadlock, find: &Find<'_>) -> Value {
    let members: Vec<_> =
        report.edges.iter().take(NAMED).filter_map(|edge| member_data(&edge.waiter, find)).collect();
    let mut data = json!({ "report": report.id });
    if !members.is_empty() {
        data["members"] = members.into();
    }
    data
}

fn timeout_data(timeout: &Timeout, find: &Find<'_>) -> Value {
    let mut data = json!({ "waitedMs": timeout.waited.as_millis() as u64 });
    if let Some(holder) = timeout.holder.as_ref().and_then(|holder| member_data(holder, find)) {
        data["holder"] = holder;
    }
    data
}

fn member_data(actor: &Actor, find: &Find<'_>) -> Option<Value> {
    let Member { label, session, age, asks } = find(actor)?;
    Some(json!({ "call": label, "session": session, "ageMs": age.as_millis() as u64, "asksItsClient": asks }))
}

impl fmt::Display for ErrorObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code.0)
    }
}

impl std::error::Error for ErrorObject {}

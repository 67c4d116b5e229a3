//! Calls that handlers make: into another session, or their own.

use super::{
    Call, CallHeader, CallId, CallKey, CallTask, CancelReason, Hop, Origin, Refused, Route,
    chain::{Debts, Reported, TooMany, path_text},
    effect::Effect,
    span,
};
use crate::{
    context::Context,
    event::{Event, OutcomeKind},
    gate::NoPlace,
    handler::{HandlerResult, MethodKind},
    message::{ErrorCode, ErrorObject, Raw},
    runtime::BoxFuture,
    session::{Session, SessionId, SessionNotFound},
    state::{State, nesting},
};
use freehold_sync::{Deadlock, JoinHandle, LockError};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

/// What is done with a call that a handler makes while it holds locks. Each is counted, and told as
/// [`Event::CalledWhileHolding`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallsWhileHolding {
    /// It is made.
    Allow,
    /// It is made, and a warning is logged: whoever wants these locks waits for the callee, too.
    #[default]
    Warn,
    /// It is refused with [`CallError::HoldsLocks`].
    Refuse,
}

/// Where a call goes: a session by its id, here or elsewhere, or by its handle.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallTarget<S: State> {
    /// By its id.
    Id(SessionId),
    /// By its handle; also one that nobody can find.
    Session(Session<S>),
}

impl<S: State> CallTarget<S> {
    /// The id of the session that is called.
    #[must_use]
    pub fn id(&self) -> SessionId {
        match self {
            Self::Id(id) => *id,
            Self::Session(session) => session.id(),
        }
    }
}

impl<S: State> From<SessionId> for CallTarget<S> {
    fn from(id: SessionId) -> Self {
        Self::Id(id)
    }
}

impl<S: State> From<&Session<S>> for CallTarget<S> {
    fn from(session: &Session<S>) -> Self {
        Self::Session(session.clone())
    }
}

/// A call that a handler made gave no result.
///
/// By `?` it becomes an [`ErrorObject`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// There is no such session (any more).
    #[error(transparent)]
    NoSession(#[from] SessionNotFound),
    /// [`Limits::nesting`](crate::Limits::nesting) calls are above it already.
    #[error("calls are nested more than {limit} deep: {path}; answer without a further call")]
    TooDeep {
        /// The limit.
        limit: usize,
        /// The last ones of the chain.
        path: String,
    },
    /// The handler holds locks, and the engine refuses calls then ([`CallsWhileHolding::Refuse`]).
    #[error("a handler that holds {held} lock(s) may not call; give them back first")]
    HoldsLocks {
        /// How many.
        held: usize,
    },
    /// Too many calls wait for a turn in that session, or are open in this call.
    #[error("too many calls at once; try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// After how long to try again.
        retry_after: Duration,
    },
    /// The callee answered with an error: that of its method, its deadline, a panic.
    #[error("{0}")]
    Failed(ErrorObject),
    /// The callee or its caller was cancelled.
    #[error("the call was cancelled: {}", .0.as_str())]
    Cancelled(CancelReason),
    /// The wait for the answer was chosen to break a deadlock; the callee was cancelled.
    #[error("the wait for the answer was ended to break a deadlock: {}", .0.headline())]
    Deadlock(Arc<Deadlock>),
    /// The server is draining, and the session is not open.
    #[error("the server is shutting down and takes no new calls")]
    Stopping,
    /// Whoever has the session cannot be reached. Nothing happened: try again.
    #[error("the session cannot be reached at this moment; nothing happened, try again")]
    Unavailable,
    /// The call was sent and no answer came: it may have happened or not.
    #[error("the call got no answer; it may or may not have happened, look before you repeat it")]
    Unknown,
    /// The parameters are larger than the way to that session takes.
    #[error("the call's parameters are too large for the way to that session; nothing happened")]
    TooLarge,
    /// The parameters have no JSON form, or the answer does not fit its type.
    #[error("the call's parameters or its answer do not fit: {0}")]
    Invalid(String),
}

impl From<CallError> for ErrorObject {
    fn from(error: CallError) -> Self {
        let code = match &error {
            CallError::Failed(_) => return error.into_failure(),
            CallError::Deadlock(report) => return LockError::Deadlock(report.clone()).into(),
            CallError::NoSession(_) => ErrorCode::SESSION_NOT_FOUND,
            CallError::TooDeep { .. } => ErrorCode::CALLS_TOO_DEEP,
            CallError::HoldsLocks { .. } | CallError::Invalid(_) => {
                // A defect of the server's, not of the request.
                tracing::error!(%error, "a handler's call could not be made");
                return Self::internal();
            }
            CallError::Overloaded { retry_after } => {
                let data = serde_json::json!({ "retryAfterMs": retry_after.as_millis() as u64 });
                return Self::new(ErrorCode::OVERLOADED, error.to_string()).with_data(&data);
            }
            CallError::Cancelled(_) => ErrorCode::CANCELLED,
            CallError::Stopping => ErrorCode::STOPPING,
            CallError::Unavailable => ErrorCode::UNREACHABLE,
            CallError::Unknown => ErrorCode::OUTCOME_UNKNOWN,
            CallError::TooLarge => ErrorCode::INVALID_REQUEST,
        };
        Self::new(code, error.to_string())
    }
}

impl CallError {
    #[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
    pub(crate) fn invalid(error: serde_json::Error) -> Self {
        Self::Invalid(error.to_string())
    }

    pub(crate) fn too_deep(limit: usize, path: &[Hop], method: &str) -> Self {
        Self::TooDeep { limit, path: path_text(path, method) }
    }

    fn into_failure(self) -> ErrorObject {
        match self {
            Self::Failed(error) => error,
            other => ErrorObject::new(ErrorCode::INTERNAL_ERROR, other.to_string()),
        }
    }

    fn of_wait(error: LockError, caller: Option<CancelReason>) -> Self {
        match error {
            LockError::Deadlock(report) => Self::Deadlock(report),
            // Whoever owed the answer is gone without one: its engine stopped, or the caller was cancelled.
            _ => Self::Cancelled(caller.unwrap_or(CancelReason::Shutdown)),
        }
    }
}

impl<S: State> Context<S> {
    /// Calls a method in another session, or in this one, and waits for its result.
    ///
    /// The callee runs as a call of that session, in a task and an activity of its own; it needs no slot (it runs on that of
    /// its chain), but in a serial session it waits for its turn, unless its chain has the turn already. Its deadline is
    /// never later than this call's; if this call is cancelled, so is the callee. Its notifications and questions go to the
    /// client of *its* session. Waiting for it is an edge of the graph: a ring over locks, turns and calls is found when it
    /// closes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the callee, which has its grace like any call.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold::{CallError, Context, Engine, ErrorObject, SessionId};
    ///
    /// async fn balance(ctx: &Context<u64>, (): ()) -> Result<u64, ErrorObject> {
    ///     Ok(*ctx.state())
    /// }
    ///
    /// async fn balance_of(ctx: &Context<u64>, [other]: [String; 1]) -> Result<u64, ErrorObject> {
    ///     let other: SessionId = other.parse().map_err(ErrorObject::invalid_params)?;
    ///     Ok(ctx.call(other, "balance", &()).await?)
    /// }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::builder(7_u64).method("balance", balance).method("balance_of", balance_of).build()?;
    /// let (asks, asked) = (engine.open()?, engine.open()?);
    /// let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"balance_of","params":["{}"]}}"#, asked.id());
    /// let answer = engine.process_bytes(&asks, request.as_bytes()).await.unwrap();
    /// assert!(answer.ends_with(br#""result":7}"#));
    /// # Ok(()) }
    /// ```
    pub fn call<R: DeserializeOwned>(
        &self,
        target: impl Into<CallTarget<S>>,
        method: &str,
        params: &impl Serialize,
    ) -> Calling<'_, R> {
        self.calling(target.into(), method, None, params)
    }

    /// [`call`](Self::call), for a protocol that dispatches further: says at once what the call is about (the tool), so that
    /// reports name it also while it waits for its turn. See [`set_subject`](Self::set_subject).
    ///
    /// # Cancel safety
    ///
    /// As there.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn call_about<R: DeserializeOwned>(
        &self,
        target: impl Into<CallTarget<S>>,
        method: &str,
        subject: impl Into<Arc<str>>,
        params: &impl Serialize,
    ) -> Calling<'_, R> {
        self.calling(target.into(), method, Some(subject.into()), params)
    }

    fn calling<R>(
        &self,
        target: CallTarget<S>,
        method: &str,
        subject: Option<Arc<str>>,
        params: &impl Serialize,
    ) -> Calling<'_, R> {
        let method = method.to_owned();
        let params = serde_json::value::to_raw_value(params).map_err(CallError::invalid);
        let answer = Box::pin(async move { self.answer_of(target, &method, subject, Some(params?)).await });
        Calling { answer, result: PhantomData }
    }

    /// [`call`](Self::call) with parameters and a result that are JSON already.
    ///
    /// # Cancel safety
    ///
    /// As there.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn call_raw(
        &self,
        target: CallTarget<S>,
        method: &str,
        params: Option<Box<RawValue>>,
    ) -> Result<Box<RawValue>, CallError> {
        self.answer_of(target, method, None, params).await
    }

    async fn answer_of(
        &self,
        target: CallTarget<S>,
        method: &str,
        subject: Option<Arc<str>>,
        params: Option<Box<RawValue>>,
    ) -> Reported {
        self.may_call(method)?;
        let wanted = Wanted { method, subject, params };
        match target {
            CallTarget::Session(session) => self.call_here(&session, wanted).await,
            CallTarget::Id(id) => match self.engine().session(id) {
                Ok(session) => self.call_here(&session, wanted).await,
                Err(SessionNotFound(_)) => self.call_elsewhere(id, wanted).await,
            },
        }
    }

    /// Calls in a session of this engine.
    pub(crate) async fn call_here(&self, session: &Session<S>, wanted: Wanted<'_>) -> Reported {
        let caller = self.served();
        let engine = caller.engine();
        let origin = Origin::here(self.header_for_callee(), caller, self.own_locks());
        let made = enter(session, wanted, origin, |call, end| {
            let listed = caller.below().insert(call, end, engine.limits.calls_per_call);
            listed.map_err(|TooMany| CallError::Overloaded { retry_after: engine.limits.retry_after })
        })?;
        match made {
            Made::Done(result) => result,
            Made::Waits { callee, answer } => {
                // A cancel that came before the callee was listed has not seen it.
                if caller.is_settled() {
                    callee.0.cancel(caller.cancel_reason().unwrap_or(CancelReason::CallerGone), None);
                }
                let waited = answer.join(self.locks()).without_any_deadline().patient().await;
                drop(callee);
                waited.unwrap_or_else(|error| Err(CallError::of_wait(error, self.cancel_reason())))
            }
        }
    }

    /// What a callee of this call inherits.
    pub(crate) fn header_for_callee(&self) -> CallHeader {
        let caller = self.served();
        let engine = caller.engine();
        CallHeader {
            call: CallId::new(engine.number, engine.next_serial()),
            path: caller.path().iter().cloned().chain([caller.hop()]).collect(),
            deadline: caller.clock.expires(engine.runtime.now()),
            priority: caller.priority(),
            transactions: nesting::open_now(),
        }
    }

    /// Whether this call may call at all, at this moment.
    fn may_call(&self, method: &str) -> Result<(), CallError> {
        let caller = self.served();
        if let Some(reason) = caller.cancel_reason() {
            return Err(CallError::Cancelled(reason));
        }
        if caller.is_settled() {
            return Err(CallError::Cancelled(CancelReason::CallerGone));
        }
        let engine = caller.engine();
        let limit = engine.limits.nesting;
        if caller.path().len() >= limit {
            let mut path = caller.path().to_vec();
            path.push(caller.hop());
            return Err(CallError::too_deep(limit, &path, method));
        }
        let held = self.locks().holds().saturating_sub(usize::from(caller.has_turn()));
        if held > 0 {
            let (session, caller) = (caller.session.inner.id, &*caller.label());
            let warn = engine.calls_while_holding != CallsWhileHolding::Allow;
            engine.events.emit(&Event::CalledWhileHolding { session, caller, method, held, warn });
            if engine.calls_while_holding == CallsWhileHolding::Refuse {
                return Err(CallError::HoldsLocks { held });
            }
        }
        Ok(())
    }
}

/// Waits for the result of a call; see [`Context::call`].
#[must_use = "nothing is called unless it is awaited"]
pub struct Calling<'a, R> {
    answer: BoxFuture<'a, Reported>,
    result: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned> Future for Calling<'_, R> {
    type Output = Result<R, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.answer
            .as_mut()
            .poll(cx)
            .map(|answer| serde_json::from_str(answer?.get()).map_err(CallError::invalid))
    }
}

impl<R> fmt::Debug for Calling<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calling").finish_non_exhaustive()
    }
}

/// What is to be called.
pub(crate) struct Wanted<'a> {
    pub(crate) method: &'a str,
    pub(crate) subject: Option<Arc<str>>,
    pub(crate) params: Option<Box<RawValue>>,
}

pub(crate) enum Made<S: State> {
    Done(Reported),
    Waits { callee: Callee<S>, answer: JoinHandle<Reported> },
}

/// Makes a call of what another call wants; it goes on by itself. `list` puts it, and the wait for its end, where a cancel
/// finds it.
pub(crate) fn enter<S: State>(
    session: &Session<S>,
    wanted: Wanted<'_>,
    origin: Origin<S>,
    list: impl FnOnce(&Arc<Call<S>>, JoinHandle<()>) -> Result<(), CallError>,
) -> Result<Made<S>, CallError> {
    let engine = session.engine();
    session.touch();
    let found = engine.inner.methods.find(wanted.method);
    let at_once = |outcome| {
        span::at_once(session.id(), || found.map(|index| engine.inner.methods.name(index)), outcome);
    };
    if session.closed().is_some() {
        at_once(OutcomeKind::Stopping);
        return Err(SessionNotFound(session.id()).into());
    }
    let Some(index) = found else {
        at_once(OutcomeKind::Failed);
        return Err(CallError::Failed(ErrorObject::method_not_found(wanted.method)));
    };
    if let MethodKind::Control(_) = engine.inner.methods.kind(index) {
        let params = wanted.params.map(Raw::Owned);
        let said = engine.control(session, index, params.as_ref());
        let result = said.map(|(outcome, result)| {
            at_once(outcome);
            result
        });
        return Ok(Made::Done(reported(result)));
    }
    let key = CallKey::Unnamed(engine.inner.next_serial());
    let call = Call::nested(session, key, index, Route::Caller, origin);
    if let Some(subject) = wanted.subject {
        call.set_subject(subject);
    }
    admit(&call, wanted.params, list).map_err(|refused| match refused {
        NotMade::Refused(outcome, error) => {
            call.span.settled(outcome, None, || ());
            error
        }
        NotMade::Cancelled => {
            call.span.finished();
            call.cancelled_error()
        }
    })
}

/// Why a call that a handler wants runs no handler.
enum NotMade {
    Refused(OutcomeKind, CallError),
    /// It was cancelled before it could run, and who did that has told its outcome.
    Cancelled,
}

fn admit<S: State>(
    call: &Arc<Call<S>>,
    params: Option<Box<RawValue>>,
    list: impl FnOnce(&Arc<Call<S>>, JoinHandle<()>) -> Result<(), CallError>,
) -> Result<Made<S>, NotMade> {
    let engine = call.engine();
    let place = call.place().map_err(|NoPlace| {
        let error = CallError::Overloaded { retry_after: engine.limits.retry_after };
        NotMade::Refused(OutcomeKind::Overloaded, error)
    })?;
    call.pass_breaker()
        .map_err(|error| NotMade::Refused(OutcomeKind::CircuitOpen, CallError::Failed(error)))?;
    let (owed, answer) = freehold_sync::reply();
    let (owed_end, end) = freehold_sync::reply();
    // Counted, so that a drain sees it, but never refused for it.
    engine.total.enter_nested();
    if let Err(refused) = call.session.inner.calls.insert(call) {
        debug_assert_eq!(refused, Refused::Closed, "its key is its own");
        call.give_up();
        call.left();
        let error = SessionNotFound(call.session.id()).into();
        return Err(NotMade::Refused(OutcomeKind::Stopping, error));
    }
    // Only now: a cancel that finds it in the list settles it, and takes it out of the table.
    if let Err(error) = list(call, end) {
        let withdrawn = call.withdraw();
        call.left();
        return Err(if withdrawn {
            NotMade::Refused(OutcomeKind::Overloaded, error)
        } else {
            NotMade::Cancelled
        });
    }
    let debts = Debts { answer: owed, end: owed_end };
    CallTask::called(call.clone(), params, place, debts).spawn();
    Ok(Made::Waits { callee: Callee(call.clone()), answer })
}

/// How a call ended, for its caller; nothing is what a client that cancelled is told.
pub(crate) fn reported(result: Option<HandlerResult>) -> Reported {
    match result {
        Some(result) => result.map_err(CallError::Failed),
        None => Err(CallError::Cancelled(CancelReason::CallerGone)),
    }
}

/// A callee whose caller waits for it, or stopped waiting.
pub(crate) struct Callee<S: State>(Arc<Call<S>>);

impl<S: State> Drop for Callee<S> {
    fn drop(&mut self) {
        // Nothing happens if it has its outcome.
        let cancelled = self.0.cancel(CancelReason::CallerGone, None);
        let Some(caller) = self.0.origin().and_then(|origin| origin.caller.as_ref()) else { return };
        if cancelled {
            // It may still do anything in its grace.
            caller.mark_effect(Effect::Called);
        }
        caller.mark_effects(self.0.effects());
    }
}

#[cfg(test)]
mod tests {
    use super::{CallError, Wanted, enter};
    use crate::{
        call::{CallHeader, CallId, CancelReason, Origin},
        context::Context,
        engine::Engine,
        message::ErrorObject,
        runtime::after,
        session::CloseReason,
    };
    use freehold_sync::ScopedMutex;
    use std::{sync::Arc, time::Duration};
    use tracing::{
        Id, Subscriber,
        field::{Field, Visit},
        span::Record,
    };
    use tracing_subscriber::{
        Layer,
        layer::{Context as LayerContext, SubscriberExt as _},
    };

    /// The outcomes that spans were told.
    #[derive(Clone, Default)]
    struct Outcomes(Arc<ScopedMutex<Vec<String>>>);

    impl Visit for Outcomes {
        fn record_str(&mut self, field: &Field, value: &str) {
            if field.name() == "outcome" {
                self.0.with(|told| told.push(value.to_owned()));
            }
        }

        fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
    }

    impl<S: Subscriber> Layer<S> for Outcomes {
        fn on_record(&self, _: &Id, values: &Record<'_>, _: LayerContext<'_, S>) {
            values.record(&mut self.clone());
        }
    }

    async fn nothing(_: &Context<()>, (): ()) -> Result<(), ErrorObject> {
        Ok(())
    }

    #[tokio::test]
    async fn a_call_that_its_session_ends_while_its_callers_list_is_full_has_one_outcome() {
        let outcomes = Outcomes::default();
        let _listening =
            tracing::subscriber::set_default(tracing_subscriber::registry().with(outcomes.clone()));
        let engine = Engine::builder(()).method("nothing", nothing).build().unwrap();
        for (closes, outcome) in [(false, "overloaded"), (true, "cancelled")] {
            let session = engine.open().unwrap();
            let header = CallHeader {
                call: CallId::new(0, 0),
                path: Arc::default(),
                deadline: after(engine.inner.runtime.now(), Duration::from_secs(60)),
                priority: 0,
                transactions: Arc::default(),
            };
            let wanted = Wanted { method: "nothing", subject: None, params: None };
            let made = enter(&session, wanted, Origin::elsewhere(header), |_, _| {
                if closes {
                    session.close(CloseReason::Server);
                }
                Err(CallError::Overloaded { retry_after: Duration::ZERO })
            });
            let error = made.err().expect("it is not made");
            let cancelled = matches!(error, CallError::Cancelled(CancelReason::SessionClosed));
            assert_eq!(cancelled, closes, "{error:?}");
            assert_eq!(outcomes.0.with(std::mem::take), [outcome]);
            assert_eq!(engine.call_count(), 0);
        }
    }
}

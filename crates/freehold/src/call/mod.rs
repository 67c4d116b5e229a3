//! One call: from its admission to its one outcome.
//!
//! # Invariants
//!
//! 1. `settled` goes from false to true once; who makes it so delivers the outcome, and nobody else does. A handler
//!    that returns and a cancel, a deadline or a close that comes at the same instant race for it.
//! 2. A call is in its session's table from before its handler can run until it is settled, so a cancel that arrives
//!    after the request finds it, and a second request with its id is refused.
//! 3. The slot of a call is held until its handler's future is gone, settled or not: a cancelled handler that goes on
//!    still counts as running.

pub(crate) mod attempt;
mod breakers;
mod chain;
mod deadline;
pub(crate) mod effect;
mod fan_out;
mod handle;
mod live;
pub(crate) mod nested;
mod server_call;
pub(crate) mod span;
mod table;
mod task;
mod turn;

pub(crate) use chain::{Below, Origin};
pub use chain::{CallHeader, CallId, Hop};
pub use handle::{CallHandle, Step};
pub(crate) use live::LiveCalls;
pub use nested::{CallError, CallTarget, Calling, CallsWhileHolding};
pub use server_call::ServerCall;
pub(crate) use server_call::{Arrival, Attachment};
#[cfg(all(test, loom))]
pub(crate) use table::Undelivered;
pub(crate) use table::{CallKey, CallTable, Refused, table_refusal};
pub(crate) use task::CallTask;

use attempt::Attempts;
use breakers::Guarded;
pub(crate) use deadline::{DeadlineClock, Reading};
use span::CallSpan;

use crate::{
    contain::Contained,
    engine::EngineState,
    event::{Event, OutcomeKind},
    fault::{self, Fault},
    gate::{NoPlace, Place, Whose},
    handler::HandlerResult,
    message::{ErrorCode, ErrorObject, Member, RequestId, Response},
    outbox::{Frame, Outbox, Pushed},
    question::Reply,
    recovery::DegradeReason,
    session::{Session, report_push},
    shim::{AtomicBool, AtomicU8, AtomicUsize, OnceLock, Ordering},
    state::State,
    watchdog::CallWatch,
};
use bytes::Bytes;
use freehold_sync::{ActivityName, Actor, Deadlock, HasSignal, LockError, Signal};
use serde_json::value::RawValue;
use std::{any::Any, borrow::Cow, num::NonZeroU8, sync::Arc, time::Instant};

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
    fn code(self) -> NonZeroU8 {
        NonZeroU8::new(self as u8).unwrap_or(NonZeroU8::MIN)
    }

    fn from_code(code: NonZeroU8) -> Self {
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

    fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Arrival,
            1 => Self::Queue,
            4 => Self::Pause,
            5 => Self::Turn,
            _ => Self::Handler,
        }
    }
}

/// Where a call's messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Route {
    /// Answer, notifications and questions all go to the call's own stream (an HTTP response).
    Call,
    /// The answer goes to the caller, the rest to the session's stream.
    Caller,
    /// All go to the session's stream (standard output).
    Session,
}

/// What a transport knows of a request beyond its message; see [`Engine::dispatch_with`](crate::Engine::dispatch_with).
pub type Extension = Arc<dyn Any + Send + Sync>;

/// How a call ended, before it is told to anybody.
pub(crate) enum Outcome {
    Returned(HandlerResult),
    /// Its fallback answered for its handler.
    Degraded(Box<RawValue>, DegradeReason),
    Panicked,
    /// It held what others waited for, and nothing could have woken it any more.
    Orphaned(Arc<Deadlock>),
    Cancelled(CancelReason),
}

pub(crate) struct Call<S: State> {
    pub(crate) session: Session<S>,
    pub(crate) key: CallKey,
    /// Index in the engine's table of methods.
    pub(crate) method: usize,
    pub(crate) route: Route,
    pub(crate) started: Instant,
    /// What whoever began it keeps with it.
    pub(crate) attachment: Contained<Option<Attachment>>,
    pub(crate) clock: DeadlineClock,
    pub(crate) cancelled: Signal,
    cancel_note: OnceLock<Box<str>>,
    /// What the call is about, where the method alone does not say it.
    subject: OnceLock<Arc<str>>,
    stage: AtomicU8,
    attempts: Attempts,
    guarded: Guarded<S>,
    settled: AtomicBool,
    /// Its handler waits for a drain, which therefore must not wait for it.
    pub(crate) drains: AtomicUsize,
    /// Where it comes from, if another call made it.
    origin: Option<Box<Origin<S>>>,
    /// Its id, once somebody needs one.
    call_id: OnceLock<CallId>,
    below: OnceLock<Box<Below<S>>>,
    /// Whether it has the turn of a serial session, or one inside of it.
    turn: AtomicBool,
    /// Whether its handler may start; of a call in line for a turn only once it is in line.
    door: AtomicBool,
    /// Its handler asks that the connection with its stream be let go.
    stream_closes: AtomicBool,
    pub(crate) extension: Contained<Option<Extension>>,
    /// With its end comes the answer.
    pub(crate) outbox: Outbox<Response<'static>>,
    pub(crate) watch: CallWatch,
    pub(crate) span: CallSpan,
}

impl<S: State> HasSignal for Call<S> {
    fn signal(&self) -> &Signal {
        &self.cancelled
    }
}

impl<S: State> Call<S> {
    /// One that arrived from outside.
    pub(crate) fn new(session: &Session<S>, key: CallKey, method: usize, arrival: Arrival) -> Arc<Self> {
        Arc::new(Self::unshared(session, key, method, arrival, None))
    }

    /// One that another call makes.
    pub(crate) fn nested(
        session: &Session<S>,
        key: CallKey,
        method: usize,
        route: Route,
        origin: Origin<S>,
    ) -> Arc<Self> {
        let arrival = Arrival::new(route, session.engine.runtime.now());
        Arc::new(Self::unshared(session, key, method, arrival, Some(Box::new(origin))))
    }

    fn unshared(
        session: &Session<S>,
        key: CallKey,
        method: usize,
        arrival: Arrival,
        origin: Option<Box<Origin<S>>>,
    ) -> Self {
        let engine = &session.engine;
        let Arrival { route, now: started, extension, timeout: own_timeout, attachment } = arrival;
        let latest = origin.as_ref().map(|origin| origin.header.deadline);
        let clock = match own_timeout {
            Some(timeout) => DeadlineClock::start_capped(started, timeout, timeout, latest, &engine.limits),
            None => {
                let timeout = engine.methods.options(method).timeout.unwrap_or(engine.limits.deadline);
                DeadlineClock::start(started, timeout, latest, &engine.limits)
            }
        };
        Self {
            session: session.clone(),
            key,
            method,
            route,
            started,
            attachment,
            clock,
            cancelled: Signal::new(),
            cancel_note: OnceLock::new(),
            subject: OnceLock::new(),
            stage: AtomicU8::new(Stage::Arrival as u8),
            attempts: Attempts::default(),
            guarded: Guarded::default(),
            settled: AtomicBool::new(false),
            drains: AtomicUsize::new(0),
            origin,
            call_id: OnceLock::new(),
            below: OnceLock::new(),
            turn: AtomicBool::new(false),
            door: AtomicBool::new(false),
            stream_closes: AtomicBool::new(false),
            extension,
            outbox: Outbox::default(),
            watch: engine.watchdog.call_arrived(engine),
            span: CallSpan::begin(session.inner.id, engine.methods.name(method)),
        }
    }

    /// What its transport gave it, or the nearest of its callers.
    pub(crate) fn extension<T: Any>(self: &Arc<Self>) -> Option<&T> {
        self.with_callers().find_map(|call| call.extension.as_ref()?.downcast_ref())
    }

    /// Asks its reader, if the call has a stream of its own, to let its connection go.
    pub(crate) fn close_stream(&self) {
        if self.route == Route::Call && !self.is_settled() {
            // Before the wake: a reader that is woken sees it, and one that looked before is woken.
            self.stream_closes.store(true, Ordering::Release);
            self.outbox.wake_reader();
        }
    }

    /// Whether its connection should be let go; asked once for each time it was said.
    pub(crate) fn take_stream_closes(&self) -> bool {
        self.stream_closes.load(Ordering::Relaxed) && self.stream_closes.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn engine(&self) -> &Arc<EngineState<S>> {
        &self.session.engine
    }

    pub(crate) fn id(&self) -> Option<&RequestId> {
        self.key.id()
    }

    pub(crate) fn method_name(&self) -> &str {
        self.engine().methods.name(self.method)
    }

    pub(crate) fn subject(&self) -> Option<&Arc<str>> {
        self.subject.get()
    }

    pub(crate) fn set_subject(&self, subject: Arc<str>) {
        // The first one stays.
        let _ = self.subject.set(subject);
    }

    /// The name of its activity: its subject if it has one, else its method; by the tag, [`explain`](Self::explain) finds
    /// the call again.
    pub(crate) fn activity_name(self: &Arc<Self>) -> ActivityName {
        ActivityName::from(self.shared_label()).about(self)
    }

    /// Its subject if it has one, else its method.
    fn shared_label(&self) -> Arc<str> {
        self.subject().cloned().unwrap_or_else(|| self.engine().methods.shared_name(self.method))
    }

    /// Whether a report speaks of the activity of this call.
    pub(crate) fn is_actor(&self, actor: &Actor) -> bool {
        actor.tag == self.tag()
    }

    /// What reports know it by.
    pub(crate) fn tag(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The error with sessions and ages of those who were in the call's way, if a lock could not be had.
    pub(crate) fn explain(&self, error: ErrorObject) -> ErrorObject {
        error.explained(|actor| {
            if self.is_actor(actor) {
                return Some(self.as_member());
            }
            let found = self.engine().live.find(actor.tag)?;
            // Another one may have its place by now.
            (found.birth() == actor.number).then(|| found.as_member())
        })
    }

    fn as_member(&self) -> Member {
        let age = self.engine().runtime.now().saturating_duration_since(self.started);
        let session = self.session.inner.id.abbreviated();
        Member { label: self.label(), session, age, asks: self.clock.is_asking() }
    }

    /// The method and its subject, for people.
    pub(crate) fn label(&self) -> String {
        match self.subject() {
            Some(subject) => format!("{} {subject}", self.method_name()),
            None => self.method_name().to_owned(),
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        let stage = Stage::from_code(self.stage.load(Ordering::Relaxed));
        if stage == Stage::Handler && self.clock.is_asking() { Stage::Question } else { stage }
    }

    pub(crate) fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    pub(crate) fn below(&self) -> &Below<S> {
        self.below.get_or_init(Box::default)
    }

    /// What it has below itself, if it ever had anything.
    pub(crate) fn known_below(&self) -> Option<&Below<S>> {
        self.below.get().map(AsRef::as_ref)
    }

    pub(crate) fn origin(&self) -> Option<&Origin<S>> {
        self.origin.as_deref()
    }

    /// This call, its caller, the caller's, and so on, as far as they are in this engine.
    pub(crate) fn with_callers(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::successors(Some(self), |call| call.origin()?.caller.as_ref())
    }

    /// Those above it, the outermost first.
    pub(crate) fn path(&self) -> &[Hop] {
        self.origin().map_or(&[], |origin| &origin.header.path)
    }

    pub(crate) fn priority(&self) -> u8 {
        let own = self.engine().methods.options(self.method).priority;
        self.origin().map_or(own, |origin| own.max(origin.header.priority))
    }

    /// How a call that it makes knows it.
    pub(crate) fn hop(&self) -> Hop {
        Hop { call: self.call_id(), session: self.session.inner.id, label: self.shared_label() }
    }

    pub(crate) fn call_id(&self) -> CallId {
        let engine = self.engine();
        let given = || match self.origin() {
            Some(origin) => origin.header.call,
            None => CallId::new(engine.number, engine.next_serial()),
        };
        *self.call_id.get_or_init(given)
    }

    /// Whether its handler has been started, or was about to be.
    pub(crate) fn is_started(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == Stage::Handler as u8
    }

    /// Its handler may start: it has taken its place in the line, or there is none.
    pub(crate) fn open_door(&self) {
        // Relaxed: only the poller of the call's task looks, and it is handed over with the task.
        self.door.store(true, Ordering::Relaxed);
    }

    pub(crate) fn door_is_open(&self) -> bool {
        self.door.load(Ordering::Relaxed)
    }

    /// Its handler is gone.
    pub(crate) fn left(self: &Arc<Self>) {
        self.engine().drain.call_leaves(self);
        let Some(origin) = self.origin() else { return self.engine().call_left() };
        if let Some(caller) = &origin.caller {
            caller.below().remove(self);
        }
        origin.ended();
        self.engine().nested_call_left();
    }

    /// Where it waits for its turn, if there are turns to wait for and it is not of those that run beside them.
    pub(crate) fn place(self: &Arc<Self>) -> Result<Option<Place<S>>, NoPlace> {
        let engine = self.engine();
        if engine.methods.options(self.method).beside {
            return Ok(None);
        }
        self.whose_turn().enter(&engine.limits)
    }

    /// Whose turns it has to wait for: those inside of its nearest caller in the same session, if it has one there; else the
    /// session's, if it is serial.
    fn whose_turn(self: &Arc<Self>) -> Whose<S> {
        let in_session = |call: &&Arc<Self>| Arc::ptr_eq(&call.session.inner, &self.session.inner);
        let caller = self.with_callers().skip(1).find(in_session).cloned();
        match caller.or_else(|| self.caller_by_way_of_others()) {
            Some(caller) if caller.has_turn() => Whose::Call(caller),
            _ => Whose::Session(self.session.inner.clone()),
        }
    }

    /// Its nearest caller in the same session, if the chain went through other engines in between.
    fn caller_by_way_of_others(&self) -> Option<Arc<Self>> {
        let id = self.session.inner.id;
        let hop = self.path().iter().rev().find(|hop| hop.session == id)?;
        self.session.inner.calls.all().into_iter().find(|call| call.call_id() == hop.call)
    }

    pub(crate) fn has_turn(&self) -> bool {
        // Acquire pairs with `set_turn`: a callee that finds it may queue inside of it.
        self.turn.load(Ordering::Acquire)
    }

    pub(crate) fn set_turn(&self, has: bool) {
        self.turn.store(has, Ordering::Release);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    pub(crate) fn cancel_reason(&self) -> Option<CancelReason> {
        self.cancelled.get().map(CancelReason::from_code)
    }

    pub(crate) fn cancel_note(&self) -> Option<&str> {
        self.cancel_note.get().map(AsRef::as_ref)
    }

    /// Decides the outcome as cancelled, at once, and tells the handler. Whether this call did.
    pub(crate) fn cancel(&self, reason: CancelReason, note: Option<&str>) -> bool {
        let unnoticed = fault::active(Fault::CancelByMessageOnly) && reason == CancelReason::Disconnected;
        if self.is_settled() || unnoticed {
            return false;
        }
        if let Some(note) = note {
            let _ = self.cancel_note.set(note.into());
        }
        let settled = self.settle(Outcome::Cancelled(reason));
        if settled {
            self.cancelled.set(reason.code());
            if let Some(below) = self.below.get() {
                below.cancel(reason);
            }
        }
        settled
    }

    /// Who settled it while nobody owed the answer has told nobody.
    pub(crate) fn report_if_settled(&self, origin: &Origin<S>) {
        if self.is_settled() {
            let reason = self.cancel_reason().unwrap_or(CancelReason::CallerGone);
            origin.report(Err(CallError::Cancelled(reason)));
        }
    }

    /// Resolves the open questions, and lets no more open.
    pub(crate) fn end_questions(&self) {
        for question in self.clock.end() {
            self.session.inner.questions.resolve(question, Reply::CallEnded);
        }
    }

    /// Decides the outcome and delivers it, unless it is decided. Whether this call did.
    pub(crate) fn settle(&self, outcome: Outcome) -> bool {
        // AcqRel: what the winner did before is seen by who finds it settled.
        if self.settled.swap(true, Ordering::AcqRel) {
            return false;
        }
        let cancelled = match &outcome {
            Outcome::Cancelled(reason) if *reason != CancelReason::DeadlineExceeded => Some(*reason),
            _ => None,
        };
        let now = self.engine().runtime.now();
        self.tell_breakers(&outcome, now);
        let (kind, result) = self.describe(outcome);
        self.session.inner.calls.remove(self);
        self.session.touch_at(now);
        let subject = self.subject().map(AsRef::as_ref);
        let ended = Event::CallEnded {
            session: self.session.inner.id,
            id: self.id(),
            method: self.method_name(),
            subject,
            outcome: kind,
            stage: self.stage(),
            took: now.saturating_duration_since(self.started),
        };
        self.span.settled(kind, subject, || self.engine().events.emit(&ended));
        match (&self.origin, cancelled) {
            (Some(origin), Some(reason)) => origin.report(Err(CallError::Cancelled(reason))),
            (Some(origin), None) => origin.report(nested::reported(result)),
            (None, _) => self.deliver(result),
        }
        self.session.inner.calls.delivered();
        true
    }

    /// It was entered, and will not run after all. Nobody is told, unless its session was closed in between.
    pub(crate) fn withdraw(&self) {
        if self.settled.swap(true, Ordering::AcqRel) {
            return;
        }
        self.give_up();
        self.session.inner.calls.remove(self);
        self.session.inner.calls.delivered();
    }

    /// The outcome's kind and what the peer is told; nothing where the protocol says so.
    fn describe(&self, outcome: Outcome) -> (OutcomeKind, Option<HandlerResult>) {
        let engine = self.engine();
        match outcome {
            Outcome::Returned(Err(error)) => self.describe_error(error),
            Outcome::Returned(Ok(raw)) | Outcome::Degraded(raw, _)
                if raw.get().len() > engine.limits.answer_bytes =>
            {
                let (size, limit) = (raw.get().len(), engine.limits.answer_bytes);
                let message =
                    format!("the answer has {size} bytes; the limit is {limit}: ask for less at a time");
                let error = ErrorObject::new(ErrorCode::ANSWER_TOO_LARGE, message);
                (OutcomeKind::Failed, Some(Err(error)))
            }
            Outcome::Returned(Ok(raw)) => (OutcomeKind::Answered, Some(Ok(raw))),
            Outcome::Degraded(raw, _) => (OutcomeKind::Degraded, Some(Ok(raw))),
            Outcome::Panicked => (OutcomeKind::Panicked, Some(Err(ErrorObject::internal()))),
            Outcome::Orphaned(report) => {
                (OutcomeKind::Deadlocked, Some(Err(self.explain(LockError::Deadlock(report).into()))))
            }
            Outcome::Cancelled(CancelReason::DeadlineExceeded) => {
                (OutcomeKind::DeadlineExceeded, Some(Err(self.deadline_error())))
            }
            Outcome::Cancelled(CancelReason::Client) if !engine.answer_cancelled => {
                (OutcomeKind::Cancelled, None)
            }
            Outcome::Cancelled(reason) => {
                let error = ErrorObject::new(ErrorCode::CANCELLED, reason.as_str())
                    .with_data(&serde_json::json!({ "reason": reason, "stage": self.stage() }));
                (OutcomeKind::Cancelled, Some(Err(error)))
            }
        }
    }

    fn describe_error(&self, error: ErrorObject) -> (OutcomeKind, Option<HandlerResult>) {
        let kind = if error.is_circuit_open() { OutcomeKind::CircuitOpen } else { OutcomeKind::Failed };
        match error.into_told() {
            // What a protocol tells as a result is one.
            Ok(raw) if kind == OutcomeKind::Failed => self.describe(Outcome::Returned(Ok(raw))),
            Ok(raw) => (kind, Some(Ok(raw))),
            Err(error) => (kind, Some(Err(self.explain(error)))),
        }
    }

    fn deadline_error(&self) -> ErrorObject {
        let waited = self.engine().runtime.now().saturating_duration_since(self.started);
        let stage = self.stage();
        let place = match stage {
            Stage::Arrival => "its handler had not begun, since no thread was free for it",
            Stage::Queue => "it still waited for a free slot",
            Stage::Turn => "it still waited for its turn in the session",
            Stage::Handler => "its handler was still running",
            Stage::Question => "it still waited for the client's answer to a question",
            Stage::Pause => "its handler was about to be run again",
        };
        let message = format!("{:?} ended at its deadline after {waited:.1?}: {place}", self.label());
        let data = serde_json::json!({ "stage": stage, "waitedMs": waited.as_millis() as u64 });
        ErrorObject::new(ErrorCode::DEADLINE_EXCEEDED, message).with_data(&data)
    }

    fn deliver(&self, result: Option<HandlerResult>) {
        let response =
            result.map(|result| Response { id: self.id().cloned(), result: result.map(Cow::Owned) });
        match self.route {
            Route::Call | Route::Caller => self.outbox.close_with(response),
            Route::Session => {
                // Nobody has asked for the answer of a notification.
                if let Some(response) = response.filter(|response| response.id.is_some()) {
                    self.session.push(Frame::Answer(Bytes::from(response.encode())));
                }
            }
        }
    }

    /// Queues a notification or question where this call's messages go.
    pub(crate) fn push(&self, frame: Frame) -> Pushed {
        match self.route {
            Route::Call => {
                let pushed = self.outbox.push(frame, &self.engine().limits);
                report_push(&self.session, pushed);
                pushed
            }
            Route::Caller | Route::Session => self.session.push(frame),
        }
    }
}

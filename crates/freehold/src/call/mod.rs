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
mod cancel_reason;
mod chain;
mod deadline;
pub(crate) mod effect;
mod fan_out;
mod handle;
mod line;
mod live;
mod names;
pub(crate) mod nested;
mod outcome;
mod server_call;
pub(crate) mod span;
mod stage;
mod table;
mod task;
mod turn;

pub use cancel_reason::CancelReason;
pub(crate) use chain::{Below, Origin};
pub use chain::{CallHeader, CallId, Hop};
pub use handle::{CallHandle, Step};
pub(crate) use live::LiveCalls;
pub use nested::{CallError, CallTarget, Calling, CallsWhileHolding};
pub(crate) use outcome::Outcome;
pub use server_call::ServerCall;
pub(crate) use server_call::{Arrival, Attachment};
pub use stage::Stage;
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
    fault::{self, Fault},
    message::{RequestId, Response},
    outbox::{Frame, Outbox, Pushed},
    question::Reply,
    session::{Session, report_push},
    shim::{AtomicBool, AtomicU8, AtomicUsize, OnceLock, Ordering},
    state::State,
    watchdog::CallWatch,
};
use freehold_sync::{HasSignal, Signal};
use std::{any::Any, sync::Arc, time::Instant};

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

    /// Resolves the open questions, and lets no more open.
    pub(crate) fn end_questions(&self) {
        for question in self.clock.end() {
            self.session.inner.questions.resolve(question, Reply::CallEnded);
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

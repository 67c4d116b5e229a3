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

mod deadline;
mod handle;
mod live;
mod table;
mod task;

pub use handle::{CallHandle, Step};
pub(crate) use live::LiveCalls;
pub(crate) use table::{CallKey, CallTable, Refused, table_refusal};
pub(crate) use task::CallTask;

pub(crate) use deadline::{DeadlineClock, Reading};

use crate::{
    engine::EngineState,
    event::{Event, OutcomeKind},
    fault::{self, Fault},
    handler::HandlerResult,
    message::{ErrorCode, ErrorObject, RequestId, Response},
    outbox::{Frame, Outbox, Pushed},
    question::Reply,
    session::{Session, report_push},
    state::State,
};
use bytes::Bytes;
use freehold_sync::{Deadlock, HasSignal, LockError, ScopedMutex, Signal};
use std::{
    borrow::Cow,
    num::NonZeroU8,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Instant,
};

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
        }
    }
}

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
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
}

impl Stage {
    fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Arrival,
            1 => Self::Queue,
            _ => Self::Handler,
        }
    }
}

/// Where a call's messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Answer, notifications and questions all go to the call's own stream (an HTTP response).
    Call,
    /// The answer goes to the caller, the rest to the session's stream.
    Caller,
    /// All go to the session's stream (standard output).
    Session,
}

/// How a call ended, before it is told to anybody.
pub(crate) enum Outcome {
    Returned(HandlerResult),
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
    pub(crate) clock: DeadlineClock,
    pub(crate) cancelled: Signal,
    cancel_note: OnceLock<Box<str>>,
    /// What the call is about, where the method alone does not say it.
    subject: OnceLock<Arc<str>>,
    stage: AtomicU8,
    settled: AtomicBool,
    /// Its handler waits for a drain, which therefore must not wait for it.
    pub(crate) drains: AtomicBool,
    pub(crate) outbox: Outbox,
    answer: ScopedMutex<Option<Response<'static>>>,
}

impl<S: State> HasSignal for Call<S> {
    fn signal(&self) -> &Signal {
        &self.cancelled
    }
}

impl<S: State> Call<S> {
    pub(crate) fn new(session: &Session<S>, key: CallKey, method: usize, route: Route) -> Arc<Self> {
        let engine = &session.engine;
        let started = engine.runtime.now();
        let timeout = engine.methods.options(method).timeout.unwrap_or(engine.limits.deadline);
        Arc::new(Self {
            session: session.clone(),
            key,
            method,
            route,
            started,
            clock: DeadlineClock::start(started, timeout, &engine.limits),
            cancelled: Signal::new(),
            cancel_note: OnceLock::new(),
            subject: OnceLock::new(),
            stage: AtomicU8::new(Stage::Arrival as u8),
            settled: AtomicBool::new(false),
            drains: AtomicBool::new(false),
            outbox: Outbox::default(),
            answer: ScopedMutex::default(),
        })
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

    /// Its subject if it has one, else its method.
    pub(crate) fn shared_label(&self) -> Arc<str> {
        self.subject().cloned().unwrap_or_else(|| self.engine().methods.shared_name(self.method))
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
        }
        settled
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
        let (kind, result) = self.describe(outcome);
        self.session.inner.calls.remove(&self.key, self);
        self.session.touch();
        self.engine().events.emit(&Event::CallEnded {
            session: self.session.inner.id,
            id: self.id(),
            method: self.method_name(),
            subject: self.subject().map(AsRef::as_ref),
            outcome: kind,
            stage: self.stage(),
            took: self.engine().runtime.now().saturating_duration_since(self.started),
        });
        self.deliver(result);
        self.session.inner.calls.delivered();
        true
    }

    /// The outcome's kind and what the peer is told; nothing where the protocol says so.
    fn describe(&self, outcome: Outcome) -> (OutcomeKind, Option<HandlerResult>) {
        let engine = self.engine();
        match outcome {
            Outcome::Returned(Ok(raw)) if raw.get().len() > engine.limits.answer_bytes => {
                let (size, limit) = (raw.get().len(), engine.limits.answer_bytes);
                let message =
                    format!("the answer has {size} bytes; the limit is {limit}: ask for less at a time");
                let error = ErrorObject::new(ErrorCode::ANSWER_TOO_LARGE, message);
                (OutcomeKind::Failed, Some(Err(error)))
            }
            Outcome::Returned(Ok(raw)) => (OutcomeKind::Answered, Some(Ok(raw))),
            Outcome::Returned(Err(error)) => (OutcomeKind::Failed, Some(Err(error))),
            Outcome::Panicked => (OutcomeKind::Panicked, Some(Err(ErrorObject::internal()))),
            Outcome::Orphaned(report) => {
                (OutcomeKind::Deadlocked, Some(Err(LockError::Deadlock(report).into())))
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

    fn deadline_error(&self) -> ErrorObject {
        let waited = self.engine().runtime.now().saturating_duration_since(self.started);
        let stage = self.stage();
        let place = match stage {
            Stage::Arrival | Stage::Queue => "it still waited for a free slot",
            Stage::Handler => "its handler was still running",
            Stage::Question => "it still waited for the client's answer to a question",
        };
        let message = format!("{:?} ended at its deadline after {waited:.1?}: {place}", self.label());
        let data = serde_json::json!({ "stage": stage, "waitedMs": waited.as_millis() as u64 });
        ErrorObject::new(ErrorCode::DEADLINE_EXCEEDED, message).with_data(&data)
    }

    fn deliver(&self, result: Option<HandlerResult>) {
        let response = match (result, self.id()) {
            (Some(result), Some(id)) => {
                Some(Response { id: Some(id.clone()), result: result.map(Cow::Owned) })
            }
            _ => None,
        };
        match self.route {
            Route::Call | Route::Caller => {
                self.answer.with(|slot| *slot = response);
                self.outbox.close();
            }
            Route::Session => {
                if let Some(response) = response {
                    self.session.push(Frame::Answer(Bytes::from(response.encode())));
                }
            }
        }
    }

    /// The answer, once settled; taken once.
    pub(crate) fn take_answer(&self) -> Option<Response<'static>> {
        self.answer.with(Option::take)
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

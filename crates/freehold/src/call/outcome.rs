//! The one outcome of a call: decided once, described, and delivered. Invariant 1 of the [module](super) is kept here.

use super::{Call, CallError, CancelReason, Origin, Route, Stage, nested};
use crate::{
    event::{Event, OutcomeKind},
    handler::HandlerResult,
    message::{ErrorCode, ErrorObject, Response},
    outbox::Frame,
    recovery::DegradeReason,
    shim::Ordering,
    state::State,
};
use bytes::Bytes;
use freehold_sync::{Deadlock, LockError};
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};

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

impl<S: State> Call<S> {
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

    /// It was entered, and will not run after all. Whether this is how it ended, so that its outcome is yet to be told; else who
    /// cancelled it in between has told it.
    pub(crate) fn withdraw(&self) -> bool {
        if self.settled.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.give_up();
        self.session.inner.calls.remove(self);
        self.session.inner.calls.delivered();
        true
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

    /// Who settled it while nobody owed the answer has told nobody.
    pub(crate) fn report_if_settled(&self, origin: &Origin<S>) {
        if self.is_settled() {
            origin.report(Err(self.cancelled_error()));
        }
    }

    /// The error for the caller of one that was cancelled. Who does so may not have noted its reason yet.
    pub(crate) fn cancelled_error(&self) -> CallError {
        CallError::Cancelled(self.cancel_reason().unwrap_or(CancelReason::CallerGone))
    }
}

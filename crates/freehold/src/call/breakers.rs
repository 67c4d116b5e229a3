//! The breakers that a call passes: its method's when it is admitted, its subject's when that is known; and what they learn
//! of its end.

use super::{Call, CancelReason, Outcome, Stage, attempt::shortfall};
use crate::{
    engine::EngineState,
    event::Event,
    message::ErrorObject,
    recovery::{Admission, Change, CircuitBreaker, DegradeReason, Permit, Subject, Treatment, Verdict},
    shim::{AtomicU64, OnceLock, Ordering},
    state::State,
};
use std::{sync::Arc, time::Instant};

/// The permits of a call.
pub(crate) struct Guarded<S: State> {
    /// That of the method's breaker.
    permit: PermitCell,
    /// The method's breaker refused it, and its fallback answers.
    refused: OnceLock<Box<ErrorObject>>,
    entered: OnceLock<Entered<S>>,
}

struct Entered<S: State> {
    subject: Arc<Subject<S>>,
    permit: PermitCell,
}

/// A permit, or none; taken once. Relaxed: who takes it got the call from who put it there.
struct PermitCell(AtomicU64);

impl PermitCell {
    const NONE: u64 = u64::MAX;

    fn empty() -> Self {
        Self(AtomicU64::new(Self::NONE))
    }

    fn put(&self, permit: Permit) {
        self.0.store(permit.into(), Ordering::Relaxed);
    }

    fn take(&self) -> Option<Permit> {
        if self.0.load(Ordering::Relaxed) == Self::NONE {
            return None;
        }
        let taken = self.0.swap(Self::NONE, Ordering::Relaxed);
        (taken != Self::NONE).then_some(Permit::from(taken))
    }
}

impl<S: State> Default for Guarded<S> {
    fn default() -> Self {
        Self { permit: PermitCell::empty(), refused: OnceLock::new(), entered: OnceLock::new() }
    }
}

impl<S: State> Call<S> {
    /// How its subject's failures are treated, once it has one.
    pub(super) fn subject_treatment(&self) -> Option<&Treatment<S>> {
        self.guarded.entered.get()?.subject.treatment()
    }

    /// Asks the method's breaker. A call that is refused and has a fallback passes, for that to answer.
    pub(crate) fn pass_breaker(&self) -> Result<(), ErrorObject> {
        let treatment = self.engine().methods.treatment(self.method);
        let Some(breaker) = &treatment.breaker else { return Ok(()) };
        match self.pass(breaker, self.method_name(), None) {
            Ok(permit) => self.guarded.permit.put(permit),
            Err(error) if treatment.fallback.is_some() => {
                let _ = self.guarded.refused.set(Box::new(error));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The call is about `subject`, whose breaker is asked; again at each attempt, where the first answer stands.
    pub(crate) fn enter(&self, subject: &Arc<Subject<S>>) -> Result<(), ErrorObject> {
        let engine = self.engine();
        let treatment = engine.subjects.treatment(subject, &engine.defaults);
        let entered = Entered { subject: subject.clone(), permit: PermitCell::empty() };
        if self.guarded.entered.set(entered).is_err() {
            return Ok(());
        }
        let (Some(breaker), Some(entered)) = (&treatment.breaker, self.guarded.entered.get()) else {
            return Ok(());
        };
        entered.permit.put(self.pass(breaker, self.method_name(), Some(subject.name()))?);
        // Cancelled meanwhile. The cancel that is missed here loses its permit, and the next probes have theirs all the same.
        if self.is_settled() {
            self.give_up();
        }
        Ok(())
    }

    fn pass(
        &self,
        breaker: &CircuitBreaker,
        method: &str,
        subject: Option<&str>,
    ) -> Result<Permit, ErrorObject> {
        let engine = self.engine();
        let (admission, change) = breaker.admit(|| engine.now_ms());
        tell_change(engine, method, subject, change);
        match admission {
            Admission::Passed(permit) => Ok(permit),
            Admission::Refused(after_ms) => {
                Err(ErrorObject::circuit_open(subject.unwrap_or(method), after_ms))
            }
        }
    }

    /// Gives the breakers their permits back, with what the outcome says about the method and the subject.
    pub(crate) fn tell_breakers(&self, outcome: &Outcome, now: Instant) {
        if let Some(permit) = self.guarded.permit.take() {
            let breaker = self.engine().methods.treatment(self.method).breaker.as_ref();
            self.tell_breaker(breaker, permit, None, outcome, now);
        }
        if let Some(entered) = self.guarded.entered.get()
            && let Some(permit) = entered.permit.take()
        {
            let breaker = entered.subject.treatment().and_then(|treatment| treatment.breaker.as_ref());
            self.tell_breaker(breaker, permit, Some(entered.subject.name()), outcome, now);
        }
    }

    fn tell_breaker(
        &self,
        breaker: Option<&CircuitBreaker>,
        permit: Permit,
        subject: Option<&str>,
        outcome: &Outcome,
        now: Instant,
    ) {
        let Some(breaker) = breaker else { return };
        let engine = self.engine();
        let verdict = verdict_of(outcome, self.stage(), breaker.options().handler_errors);
        let change = breaker.record(permit, engine.ms_of(now), verdict);
        tell_change(engine, self.method_name(), subject, change);
    }

    /// The call will not be: its permit goes back.
    pub(crate) fn give_up(&self) {
        self.tell_breakers(&Outcome::Cancelled(CancelReason::Client), self.started);
    }

    /// The error of the breaker that refused the call, whose fallback is to answer.
    pub(crate) fn refused(&self) -> Option<ErrorObject> {
        self.guarded.refused.get().map(|error| (**error).clone())
    }
}

fn verdict_of(outcome: &Outcome, stage: Stage, handler_errors: bool) -> Verdict {
    match outcome {
        Outcome::Returned(Ok(_)) => Verdict::Succeeded,
        Outcome::Returned(Err(error)) if error.is_circuit_open() => Verdict::Neither,
        Outcome::Returned(Err(error)) => {
            let of_locks = shortfall(outcome).is_some();
            let failed = of_locks || (handler_errors && !error.is_of_request());
            if failed { Verdict::Failed } else { Verdict::Succeeded }
        }
        Outcome::Panicked | Outcome::Orphaned(_) => Verdict::Failed,
        Outcome::Degraded(_, DegradeReason::CircuitOpen) => Verdict::Neither,
        Outcome::Degraded(..) => Verdict::Failed,
        // It waited for a slot that others had.
        Outcome::Cancelled(CancelReason::DeadlineExceeded)
            if stage <= Stage::Queue || stage == Stage::Turn =>
        {
            Verdict::Neither
        }
        Outcome::Cancelled(CancelReason::DeadlineExceeded) => Verdict::Failed,
        Outcome::Cancelled(_) => Verdict::Neither,
    }
}

fn tell_change<S: State>(
    engine: &EngineState<S>,
    method: &str,
    subject: Option<&str>,
    change: Option<Change>,
) {
    if let Some(Change { from, to }) = change {
        engine.events.emit(&Event::BreakerChanged { method, subject, from, to });
    }
}

//! The attempts of a call: what one did, whether there is another, what answers when there is none; and what the breakers
//! learn of the end.

use super::{
    Call, Outcome, Stage,
    effect::{Effect, Effects},
};
use crate::{
    contain::{Panicked, contain},
    engine::EngineState,
    event::Event,
    handler::HandlerResult,
    message::{ErrorCode, ErrorObject},
    recovery::{Admission, Change, CircuitBreaker, DegradeReason, Permit, Subject, Treatment, Verdict},
    runtime::{BoxFuture, after},
    state::State,
};
use freehold_sync::{Activity, LockError, activity_owning};
use serde_json::value::RawValue;
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};

/// What a call knows of its attempts.
pub(crate) struct Attempts<S: State> {
    /// Those of the attempt that runs.
    effects: AtomicU8,
    begun: AtomicU32,
    /// The birth stamp of the first attempt's activity, which the others get; zero before.
    birth: AtomicU64,
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

impl<S: State> Default for Attempts<S> {
    fn default() -> Self {
        Self {
            effects: AtomicU8::new(0),
            begun: AtomicU32::new(0),
            birth: AtomicU64::new(0),
            permit: PermitCell::empty(),
            refused: OnceLock::new(),
            entered: OnceLock::new(),
        }
    }
}

/// What comes after an attempt.
pub(crate) enum Next {
    /// The call has its outcome.
    Settle(Outcome),
    /// Another attempt, not before this instant.
    Again(Instant),
    /// This answers instead.
    Degrade(Degraded, BoxFuture<'static, HandlerResult>),
}

/// A fallback under way: why, and the outcome if it fails too.
pub(crate) struct Degraded {
    reason: DegradeReason,
    otherwise: Outcome,
}

/// Why an attempt had no success, if it is one of the reasons for another one or a fallback.
fn shortfall(outcome: &Outcome) -> Option<DegradeReason> {
    let Outcome::Returned(Err(error)) = outcome else { return None };
    if error.is_circuit_open() {
        return Some(DegradeReason::CircuitOpen);
    }
    match error.lock_error()? {
        LockError::Deadlock(_) => Some(DegradeReason::Deadlock),
        LockError::Timeout(timeout) if timeout.lock.is_some() => Some(DegradeReason::LockTimeout),
        _ => None,
    }
}

/// Whether there is nothing to be done about an attempt that ended so.
pub(crate) fn stands(outcome: &Outcome) -> bool {
    shortfall(outcome).is_none()
}

/// Whether the attempt that ended so may be run again, budget and time permitting: it was in a deadlock or a lock could not
/// be had in time, its method (or subject) says that nothing happens twice, and it had no effect.
pub(crate) fn may_run_again<S: State>(call: &Call<S>, outcome: &Outcome) -> bool {
    let in_the_way = matches!(shortfall(outcome), Some(DegradeReason::Deadlock | DegradeReason::LockTimeout));
    in_the_way && call.treatment().repeatable && call.effects().is_empty() && !call.is_settled()
}

impl<S: State> Call<S> {
    /// How its failures are treated: as its subject says, once that is known, else its method.
    pub(crate) fn treatment(&self) -> &Treatment<S> {
        let entered = self.attempts.entered.get().and_then(|entered| entered.subject.treatment());
        entered.unwrap_or_else(|| self.engine().methods.treatment(self.method))
    }

    /// The attempt that runs had this effect.
    pub(crate) fn mark_effect(&self, effect: Effect) {
        self.mark_effects(Effects::of(effect as u8));
    }

    pub(crate) fn mark_effects(&self, effects: Effects) {
        if !effects.is_empty() {
            // Relaxed: read by who polls the handler, after it ended.
            self.attempts.effects.fetch_or(effects.bits(), Ordering::Relaxed);
        }
    }

    /// What the attempt that runs did.
    pub(crate) fn effects(&self) -> Effects {
        Effects::of(self.attempts.effects.load(Ordering::Relaxed))
    }

    /// The birth stamp of its activities; zero before the first attempt.
    pub(crate) fn birth(&self) -> u64 {
        self.attempts.birth.load(Ordering::Relaxed)
    }

    /// What was done so far belongs to an attempt that is over.
    pub(crate) fn forget_effects(&self) {
        self.attempts.effects.store(0, Ordering::Relaxed);
    }

    /// An attempt begins with this activity, which becomes as old as the first one's.
    pub(crate) fn begin_attempt<F>(&self, body: Activity<F>) -> Activity<F> {
        let attempts = &self.attempts;
        if attempts.begun.fetch_add(1, Ordering::Relaxed) == 0 {
            attempts.birth.store(body.birth(), Ordering::Relaxed);
            return body;
        }
        body.born(self.birth())
    }

    /// Asks the method's breaker. A call that is refused and has a fallback passes, for that to answer.
    pub(crate) fn pass_breaker(&self) -> Result<(), ErrorObject> {
        let treatment = self.engine().methods.treatment(self.method);
        let Some(breaker) = &treatment.breaker else { return Ok(()) };
        match self.pass(breaker, self.method_name(), None) {
            Ok(permit) => self.attempts.permit.put(permit),
            Err(error) if treatment.fallback.is_some() => {
                let _ = self.attempts.refused.set(Box::new(error));
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
        if self.attempts.entered.set(entered).is_err() {
            return Ok(());
        }
        let (Some(breaker), Some(entered)) = (&treatment.breaker, self.attempts.entered.get()) else {
            return Ok(());
        };
        entered.permit.put(self.pass(breaker, self.method_name(), Some(subject.name()))?);
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
        if let Some(permit) = self.attempts.permit.take() {
            let breaker = self.engine().methods.treatment(self.method).breaker.as_ref();
            self.tell_breaker(breaker, permit, None, outcome, now);
        }
        if let Some(entered) = self.attempts.entered.get()
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
        self.tell_breakers(&Outcome::Cancelled(super::CancelReason::Client), self.started);
    }

    /// The error of the breaker that refused the call, whose fallback is to answer.
    pub(crate) fn refused(&self) -> Option<ErrorObject> {
        self.attempts.refused.get().map(|error| (**error).clone())
    }

    /// What comes after the attempt, or after the fallback of `degraded`, that ended so.
    pub(crate) fn after_attempt(
        &self,
        outcome: Outcome,
        degraded: Option<Degraded>,
        params: Option<&RawValue>,
    ) -> Next {
        if let Some(degraded) = degraded {
            return Next::Settle(self.after_fallback(outcome, degraded));
        }
        let Some(reason) = shortfall(&outcome).filter(|_| !self.is_settled()) else {
            return Next::Settle(outcome);
        };
        if may_run_again(self, &outcome)
            && let Some(until) = self.next_attempt(reason)
        {
            return Next::Again(until);
        }
        self.degrade(reason, outcome, params)
    }

    /// When the next attempt begins, if policy, deadline and budget leave one.
    fn next_attempt(&self, reason: DegradeReason) -> Option<Instant> {
        let engine = self.engine();
        let attempt = self.attempts.begun.load(Ordering::Relaxed);
        let mut random = [0; 8];
        engine.runtime.fill_random(&mut random);
        let pause = self.treatment().retry.pause(attempt, u64::from_ne_bytes(random))?;
        let now = engine.runtime.now();
        let until = after(now, pause);
        if until >= self.clock.expires(now) {
            return None;
        }
        let ended = engine.events.counters().calls_ended();
        let session = self.session.inner.id;
        let (method, subject) = (self.method_name(), self.subject().map(AsRef::as_ref));
        if !engine.retry_budget.take(&engine.limits, ended, engine.ms_of(now)) {
            engine.events.emit(&Event::RetryRefused { session, method, subject, reason });
            return None;
        }
        engine.events.emit(&Event::CallRetried {
            session,
            id: self.id(),
            method,
            subject,
            attempt: attempt + 1,
            pause,
            reason,
        });
        Some(until)
    }

    /// Lets the fallback answer, if there is one and nothing was committed that its answer would deny.
    pub(crate) fn degrade(
        &self,
        reason: DegradeReason,
        otherwise: Outcome,
        params: Option<&RawValue>,
    ) -> Next {
        let effects = self.effects();
        let treatment = self.treatment();
        let Some(fallback) = &treatment.fallback else { return Next::Settle(otherwise) };
        if effects.has(Effect::Committed) || effects.has(Effect::Called) {
            return Next::Settle(otherwise);
        }
        match contain(|| fallback(self.session.clone(), params.map(ToOwned::to_owned), reason)) {
            Ok(answer) => Next::Degrade(Degraded { reason, otherwise }, answer),
            Err(Panicked) => Next::Settle(otherwise),
        }
    }

    fn after_fallback(&self, outcome: Outcome, degraded: Degraded) -> Outcome {
        let Degraded { reason, otherwise } = degraded;
        let Outcome::Returned(Ok(answer)) = outcome else { return otherwise };
        let engine = self.engine();
        let marked = contain(|| (engine.mark_degraded)(answer, reason));
        marked.map_or(otherwise, |answer| Outcome::Degraded(answer, reason))
    }
}

/// The fallback as a body: an activity as every handler, with a context that nobody has.
pub(crate) fn fallback_body(
    answer: BoxFuture<'static, HandlerResult>,
) -> Activity<BoxFuture<'static, HandlerResult>> {
    activity_owning(|_locks| answer)
}

fn verdict_of(outcome: &Outcome, stage: Stage, handler_errors: bool) -> Verdict {
    match outcome {
        Outcome::Returned(Ok(_)) => Verdict::Succeeded,
        Outcome::Returned(Err(error)) if error.is_circuit_open() => Verdict::Neither,
        Outcome::Returned(Err(error)) => {
            let of_locks = shortfall(outcome).is_some();
            let of_client =
                [ErrorCode::INVALID_PARAMS, ErrorCode::INVALID_REQUEST, ErrorCode::METHOD_NOT_FOUND];
            let failed = of_locks || (handler_errors && !of_client.contains(&error.code));
            if failed { Verdict::Failed } else { Verdict::Succeeded }
        }
        Outcome::Panicked | Outcome::Orphaned(_) => Verdict::Failed,
        Outcome::Degraded(_, DegradeReason::CircuitOpen) => Verdict::Neither,
        Outcome::Degraded(..) => Verdict::Failed,
        // It waited for a slot that others had.
        Outcome::Cancelled(super::CancelReason::DeadlineExceeded) if stage <= Stage::Queue => {
            Verdict::Neither
        }
        Outcome::Cancelled(super::CancelReason::DeadlineExceeded) => Verdict::Failed,
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

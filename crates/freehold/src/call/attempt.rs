//! The attempts of a call: what one did, whether there is another, and what answers when there is none.

use super::{
    Call, Outcome,
    effect::{Effect, Effects},
};
use crate::{
    contain::{Panicked, contain},
    event::Event,
    handler::HandlerResult,
    recovery::{DegradeReason, Treatment},
    runtime::{BoxFuture, after},
    shim::{AtomicU8, Ordering},
    state::State,
};
use freehold_sync::{Activity, Edge, LockError, Mode, activity_owning};
use serde_json::value::RawValue;
use std::{
    sync::atomic::{AtomicU32, AtomicU64},
    time::Instant,
};

/// What a call knows of its attempts.
#[derive(Default)]
pub(crate) struct Attempts {
    /// Of the attempt that runs; it is never another one's, since none follows one that had any.
    effects: AtomicU8,
    begun: AtomicU32,
    /// The birth stamp of the first attempt's activity, which the others get; zero before.
    birth: AtomicU64,
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
pub(super) fn shortfall(outcome: &Outcome) -> Option<DegradeReason> {
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

/// Whether to run this call again frees what the others of the ring waited for. A victim that only waited, for a lock that a
/// call above it holds, does not: its error goes up, and that one is run again. A timeout is everybody's own.
fn frees_the_ring<S: State>(call: &Call<S>, outcome: &Outcome) -> bool {
    let Outcome::Returned(Err(error)) = outcome else { return false };
    let Some(LockError::Deadlock(report)) = error.lock_error() else { return true };
    let holds = |edge: &Edge| edge.mode != Mode::End && call.is_actor(&edge.holder);
    call.path().is_empty() || report.edges.iter().any(holds)
}

/// Whether the attempt that ended so may be run again, budget and time permitting: it was in a deadlock or a lock could not
/// be had in time, its method (or subject) says that nothing happens twice, and it had no effect.
pub(crate) fn may_run_again<S: State>(call: &Call<S>, outcome: &Outcome) -> bool {
    let in_the_way = matches!(shortfall(outcome), Some(DegradeReason::Deadlock | DegradeReason::LockTimeout));
    in_the_way
        && call.treatment().repeatable
        && call.effects().is_empty()
        && !call.is_settled()
        && frees_the_ring(call, outcome)
}

impl<S: State> Call<S> {
    /// Whether an attempt came before the one that runs.
    pub(crate) fn is_again(&self) -> bool {
        self.attempts.begun.load(Ordering::Relaxed) > 1
    }

    /// How its failures are treated: as its subject says, once that is known, else its method.
    pub(crate) fn treatment(&self) -> &Treatment<S> {
        self.subject_treatment().unwrap_or_else(|| self.engine().methods.treatment(self.method))
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

    /// An attempt begins with this activity, which becomes as old as the first one's.
    pub(crate) fn begin_attempt<F>(&self, body: Activity<F>) -> Activity<F> {
        let attempts = &self.attempts;
        let body = body.priority(self.priority());
        if attempts.begun.fetch_add(1, Ordering::Relaxed) == 0 {
            attempts.birth.store(body.birth(), Ordering::Relaxed);
            return body;
        }
        body.born(self.birth())
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

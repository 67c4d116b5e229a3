//! What the engine is doing at this moment.

use crate::{
    call::Stage,
    engine::Engine,
    message::RequestId,
    recovery::{BreakerState, CircuitBreaker},
    session::{Session, SessionId},
    state::State,
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// One call with a task of its own: it waits for a slot, runs, or was cancelled and has not ended yet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallSnapshot {
    /// Its session.
    pub session: SessionId,
    /// Its request's id; none for a notification.
    pub id: Option<RequestId>,
    /// Its method.
    pub method: String,
    /// What it is about, if its method does not say: the tool of a `tools/call`.
    pub subject: Option<Arc<str>>,
    /// Where it is.
    pub stage: Stage,
    /// Since its arrival.
    pub age: Duration,
    /// Until its deadline, if it makes no progress.
    pub remaining: Duration,
    /// Whether its outcome is decided: its handler is in its grace.
    pub settled: bool,
    /// What [`Actor::tag`](freehold_sync::Actor::tag) of its activity is: by it, what [`freehold_sync::observe`] and reports say
    /// of somebody is found to be of this call. Another call may have it later.
    pub tag: usize,
}

/// The circuit breaker of one method or subject.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerSnapshot {
    /// The method, or the subject.
    pub name: Arc<str>,
    /// Whether it is a subject's.
    pub of_subject: bool,
    /// Its state.
    pub state: BreakerState,
    /// Calls of its window that ended.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
}

impl BreakerSnapshot {
    fn of(name: &Arc<str>, of_subject: bool, breaker: &CircuitBreaker, now_ms: u64) -> Self {
        let (calls, failures) = breaker.window(now_ms);
        Self { name: name.clone(), of_subject, state: breaker.state(), calls, failures }
    }
}

/// The gauges of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionGauges {
    /// Calls that hold a slot, also one that was handed to them and that they have not noticed yet.
    pub running: usize,
    /// Calls that wait for one; at most [`Limits::queued_per_session`](crate::Limits::queued_per_session).
    pub queued: usize,
    /// Calls without an outcome.
    pub in_flight: usize,
    /// Open questions.
    pub questions: usize,
    /// Messages that wait in the session's own stream.
    pub outgoing: usize,
}

/// How far the readers of a session's streams are behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamLag {
    /// Readers of the session's own stream; the newest one gets its messages.
    pub listeners: usize,
    /// Messages that wait in it at this moment.
    pub waiting: usize,
    /// The most messages that ever waited in it, or in the stream of one of the session's calls.
    pub most_waiting: usize,
    /// Notifications that these streams dropped, because their readers were too slow.
    pub dropped: u64,
}

impl<S: State> Session<S> {
    /// How long ago its last sign of life was; nothing while something keeps it alive: a call, an open question, a reader
    /// of its stream. At [`Limits::session_ttl`](crate::Limits::session_ttl) it is closed, at the next sweep.
    #[must_use]
    pub fn idle_for(&self) -> Option<Duration> {
        self.idle_since().map(|since| self.engine.runtime.now().saturating_duration_since(since))
    }

    /// How far its readers are behind: what waits for them, and what they have missed. Never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = freehold::Engine::builder(()).build()?;
    /// let session = engine.open()?;
    /// session.notify("news", &1)?;
    /// let slow = engine.sessions().into_iter().filter(|session| session.lag().waiting > 0).count();
    /// assert_eq!(slow, 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn lag(&self) -> StreamLag {
        StreamLag {
            listeners: self.inner.readers.load(Ordering::Relaxed),
            waiting: self.inner.outbox.len(),
            most_waiting: self.inner.most_waiting.load(Ordering::Relaxed),
            dropped: self.inner.dropped.load(Ordering::Relaxed),
        }
    }

    /// The gauges of this moment.
    #[must_use]
    pub fn gauges(&self) -> SessionGauges {
        let (running, queued) = self.inner.slots.counts();
        SessionGauges {
            running,
            queued,
            in_flight: self.inner.calls.all().len(),
            questions: self.inner.questions.len(),
            outgoing: self.inner.outbox.len(),
        }
    }
}

impl<S: State> Engine<S> {
    /// The calls that have a task of their own, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<CallSnapshot> {
        let now = self.inner.runtime.now();
        let snapshots = self.inner.live.all().into_iter().map(|call| CallSnapshot {
            session: call.session.inner.id,
            id: call.id().cloned(),
            method: call.method_name().to_owned(),
            subject: call.subject().cloned(),
            stage: call.stage(),
            age: now.saturating_duration_since(call.started),
            remaining: call.clock.expires(now).saturating_duration_since(now),
            settled: call.is_settled(),
            tag: call.tag(),
        });
        let mut snapshots: Vec<_> = snapshots.collect();
        snapshots.sort_by_key(|call| std::cmp::Reverse(call.age));
        snapshots
    }

    /// The circuit breakers: those of methods, and those of subjects that were called.
    #[must_use]
    pub fn breakers(&self) -> Vec<BreakerSnapshot> {
        let (engine, now_ms) = (&self.inner, self.inner.now_ms());
        let of_methods = engine.methods.all().iter().filter_map(|method| {
            let breaker = method.treatment.breaker.as_ref()?;
            Some(BreakerSnapshot::of(&method.name, false, breaker, now_ms))
        });
        let of_subjects = engine.subjects.all().into_iter().filter_map(|subject| {
            let breaker = subject.treatment()?.breaker.as_ref()?;
            Some(BreakerSnapshot::of(subject.name(), true, breaker, now_ms))
        });
        of_methods.chain(of_subjects).collect()
    }

    /// Re-runs that the engine's budget has left at this moment.
    #[must_use]
    pub fn retries_left(&self) -> u64 {
        let (engine, ended) = (&self.inner, self.counters().calls_ended());
        engine.retry_budget.left(&engine.limits, ended, engine.now_ms())
    }

    /// Calls admitted and not gone, running or waiting.
    #[must_use]
    pub fn call_count(&self) -> usize {
        self.inner.total.count()
    }

    /// Of the places for calls ([`Limits::calls_total`](crate::Limits::calls_total)) those that are taken. A call that a handler
    /// makes takes none.
    #[must_use]
    pub fn places_taken(&self) -> usize {
        self.inner.total.taken(&self.inner.limits)
    }
}

//! What the watchdog found.

use super::Watchdog;
use crate::{
    call::{Call, Stage},
    engine::{Engine, EngineState},
    message::RequestId,
    session::SessionId,
    state::State,
};
use freehold_sync::{Holding, Observed, Poll, Waiting, observe};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// Something that stands at this moment and that an operator should know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The call's session.
    pub session: SessionId,
    /// Its request's id; none for a notification.
    pub id: Option<RequestId>,
    /// Its method.
    pub method: Arc<str>,
    /// What it is about, if its method does not say: the tool of a `tools/call`.
    pub subject: Option<Arc<str>>,
    /// What is wrong with it.
    pub kind: FindingKind,
}

/// What is wrong with a call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FindingKind {
    /// It is past its soft limit. Stands until it has its outcome.
    #[non_exhaustive]
    Slow {
        /// Where it is.
        stage: Stage,
        /// Since its arrival.
        age: Duration,
        /// The limit it has passed.
        limit: Duration,
        /// Since its handler was polled last, to the interval between two looks; none if it never was: it waits for a slot,
        /// or for a thread.
        last_polled: Option<Duration>,
        /// What it holds.
        holds: Vec<Holding>,
        /// What it waits for. Only locks, permits and results of `freehold_sync` are seen.
        waits: Vec<Waiting>,
    },
    /// Its handler blocks its thread. Stands until the poll ends, also when the call has had its outcome.
    #[non_exhaustive]
    ThreadBlocked {
        /// The thread's name; on Linux with its number, as the system's tools show it.
        thread: Arc<str>,
        /// For how long already, to the interval between two looks.
        lasts: Duration,
    },
}

/// A call by its names, which outlast it.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) session: SessionId,
    pub(super) id: Option<RequestId>,
    pub(super) method: Arc<str>,
    pub(super) subject: Option<Arc<str>>,
}

impl Who {
    pub(super) fn of<S: State>(call: &Call<S>) -> Self {
        Self {
            session: call.session.inner.id,
            id: call.id().cloned(),
            method: call.engine().methods.shared_name(call.method),
            subject: call.subject().cloned(),
        }
    }

    fn finding(self, kind: FindingKind) -> Finding {
        let Self { session, id, method, subject } = self;
        Finding { session, id, method, subject, kind }
    }
}

/// A poll that blocks its thread.
#[derive(Clone, Debug)]
pub(super) struct BlockedPoll {
    pub(super) poll: Poll,
    pub(super) thread: Arc<str>,
    pub(super) who: Who,
    pub(super) since: Instant,
}

/// Who holds and waits, by the number of the activity; looked at once for many calls.
pub(super) struct Holders(HashMap<usize, Observed>);

impl Holders {
    pub(super) fn look() -> Self {
        Self(observe().members.into_iter().map(|member| (member.actor.tag, member)).collect())
    }

    pub(super) fn of<S: State>(&self, call: &Call<S>) -> (&[Holding], &[Waiting]) {
        match self.0.get(&call.tag()) {
            Some(member) => (&member.holds, &member.waits),
            None => (&[], &[]),
        }
    }
}

impl<S: State> Watchdog<S> {
    fn slow_calls(&self, engine: &EngineState<S>) -> Vec<Finding> {
        let slow = self.standing.with(|standing| standing.slow.clone());
        let slow: Vec<_> = slow.iter().filter_map(Weak::upgrade).filter(|call| !call.is_settled()).collect();
        if slow.is_empty() {
            return Vec::new();
        }
        let (holders, now) = (Holders::look(), engine.runtime.now());
        let finding = |call: Arc<Call<S>>| {
            let (holds, waits) = holders.of(&call);
            Who::of(&call).finding(FindingKind::Slow {
                stage: call.stage(),
                age: now.saturating_duration_since(call.started),
                limit: call.soft_limit(),
                last_polled: call.watch.last_polled(engine.ms_of(now)),
                holds: holds.to_vec(),
                waits: waits.to_vec(),
            })
        };
        slow.into_iter().map(finding).collect()
    }

    fn blocked_threads(&self, engine: &EngineState<S>) -> Vec<Finding> {
        let blocked = self.standing.with(|standing| standing.blocked.clone());
        let now = engine.runtime.now();
        let standing = blocked.into_iter().filter(|blocked| blocked.poll.is_running());
        let finding = |BlockedPoll { thread, who, since, .. }| {
            let lasts = now.saturating_duration_since(since);
            who.finding(FindingKind::ThreadBlocked { thread, lasts })
        };
        standing.map(finding).collect()
    }
}

impl<S: State> Engine<S> {
    /// What the watchdog found and still stands: handlers that block their thread, then calls past their soft limit, at most
    /// 1,024 of those. Empty when all is well. Reads what others do and waits for nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let engine = freehold::Engine::builder(()).build().unwrap();
    /// let ready = engine.findings().is_empty();
    /// assert!(ready);
    /// # }
    /// ```
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = self.inner.watchdog.blocked_threads(&self.inner);
        findings.extend(self.inner.watchdog.slow_calls(&self.inner));
        findings
    }
}

/// What is held, for the log.
pub(crate) struct Held<'a>(pub(crate) &'a [Holding]);

impl fmt::Display for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, hold) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            write!(f, "{}", hold.lock)?;
            if let Some(held_for) = hold.held_for {
                write!(f, " for {held_for:.1?}")?;
            }
        }
        Ok(())
    }
}

/// What is waited for, for the log.
pub(crate) struct Awaited<'a>(pub(crate) &'a [Waiting]);

impl fmt::Display for Awaited<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, wait) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            let Waiting { lock, mode, waited, holder, .. } = wait;
            write!(f, "{mode} of {lock} for {waited:.1?} behind {holder}")?;
        }
        Ok(())
    }
}

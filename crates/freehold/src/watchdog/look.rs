//! One look after the other.

use super::{
    AWAKE, RESTING, Standing,
    finding::{BlockedPoll, Holders, Who},
};
use crate::{
    call::Call,
    contain::contain,
    engine::EngineState,
    event::Event,
    limits::{
        BLOCKED_LOOK_LONGEST, BLOCKED_LOOK_SHORTEST, CALL_LOOK_LONGEST, STANDING_FINDINGS, WATCHDOG_IDLE,
    },
    runtime::{Look, NextLook},
    state::State,
};
use freehold_sync::{Poll, PollingThread, polling_threads};
use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

pub(super) struct Looker<S: State> {
    engine: Weak<EngineState<S>>,
    interval: Duration,
    /// The polls of the last look, each with the time of the look that saw it first.
    seen: Vec<(Poll, Instant)>,
    blocked: Vec<BlockedPoll>,
    slow: Vec<Weak<Call<S>>>,
    /// When to look at the calls, even if no thread is blocked.
    calls_at: Option<Instant>,
    idle_since: Option<Instant>,
}

impl<S: State> Looker<S> {
    pub(super) fn begin(engine: &Arc<EngineState<S>>) -> Look {
        // Twice in the time after which a thread counts as blocked: found after one and a half of it at the latest.
        let interval = (engine.limits.blocked_after / 2).clamp(BLOCKED_LOOK_SHORTEST, BLOCKED_LOOK_LONGEST);
        let mut looker = Self {
            engine: Arc::downgrade(engine),
            interval,
            seen: Vec::new(),
            blocked: Vec::new(),
            slow: Vec::new(),
            calls_at: None,
            idle_since: None,
        };
        Box::new(move || {
            contain(|| looker.look()).unwrap_or_else(|_| {
                tracing::error!("a look of the watchdog panicked; the next one goes on");
                NextLook::After(interval)
            })
        })
    }

    fn look(&mut self) -> NextLook {
        let Some(engine) = self.engine.upgrade() else { return NextLook::Never };
        let now = engine.runtime.now();
        engine.watchdog.tick.store(engine.ms_of(now), Ordering::Relaxed);
        let (found, over) = self.look_at_threads(&engine, now);
        let slow = self.look_at_calls(&engine, now);
        // First it stands, then it is told: an observer that asks for what stands sees it.
        self.publish(&engine);
        for blocked in &found {
            tell_blocked(&engine, now, blocked);
        }
        for blocked in &over {
            tell_unblocked(&engine, now, blocked);
        }
        tell_slow(&engine, now, &slow);
        if self.may_rest(&engine, now) { NextLook::WhenRoused } else { NextLook::After(self.interval) }
    }

    // ---- threads ---------------------------------------------------------------------------------------------------

    /// The polls that block their thread since this look, and those that no longer do.
    fn look_at_threads(
        &mut self,
        engine: &Arc<EngineState<S>>,
        now: Instant,
    ) -> (Vec<BlockedPoll>, Vec<BlockedPoll>) {
        let threads = polling_threads();
        self.note_polls(now, &threads);
        let runs = |blocked: &BlockedPoll| self.seen.iter().any(|(poll, _)| *poll == blocked.poll);
        let (running, over) = std::mem::take(&mut self.blocked).into_iter().partition(runs);
        self.blocked = running;
        let found: Vec<_> =
            threads.iter().filter_map(|thread| self.blocker_of(thread, engine, now)).collect();
        self.blocked.extend(found.iter().cloned());
        (found, over)
    }

    fn note_polls(&mut self, now: Instant, threads: &[PollingThread]) {
        let since =
            |poll: &Poll| self.seen.iter().find(|(seen, _)| seen == poll).map_or(now, |(_, since)| *since);
        let polls = threads.iter().flat_map(|thread| &thread.polls);
        self.seen = polls.map(|poll| (*poll, since(poll))).collect();
    }

    /// The call that blocks this thread, unless it is known: the innermost of those whose poll lasts for too long. One that
    /// has another call's poll inside of it gets twice the time: the inner one may be the one that blocks.
    fn blocker_of(
        &self,
        thread: &PollingThread,
        engine: &Arc<EngineState<S>>,
        now: Instant,
    ) -> Option<BlockedPoll> {
        let mut long = engine.limits.blocked_after;
        let lasts = |poll: &Poll| {
            let (_, since) = self.seen.iter().find(|(seen, _)| seen == poll)?;
            Some((*since, now.saturating_duration_since(*since)))
        };
        // The outermost one lasts longest.
        thread.polls.last().and_then(lasts).filter(|(_, lasts)| *lasts >= long)?;
        for poll in &thread.polls {
            let Some(call) = call_of(poll, engine) else { continue };
            let (since, lasts) = lasts(poll)?;
            if lasts >= long {
                let known = self.blocked.iter().any(|blocked| blocked.poll == *poll);
                let (thread, who) = (thread.thread.clone(), Who::of(&call));
                return (!known).then_some(BlockedPoll { poll: *poll, thread, who, since });
            }
            long = engine.limits.blocked_after.saturating_mul(2);
        }
        None
    }

    // ---- calls -----------------------------------------------------------------------------------------------------

    /// Ends calls past their deadline; those that are past their soft limit since this look.
    fn look_at_calls(&mut self, engine: &Arc<EngineState<S>>, now: Instant) -> Vec<Arc<Call<S>>> {
        if self.blocked.is_empty() && self.calls_at.is_some_and(|at| now < at) {
            return Vec::new();
        }
        self.calls_at = Some(now + self.between_calls(engine));
        let now_ms = engine.ms_of(now);
        let mut due = engine.live.filter(|call| call.watch.is_due(now_ms));
        // A call that is in its first poll has no task yet, and is not among the live ones.
        let blocking = self.blocked.iter().filter_map(|blocked| call_of(&blocked.poll, engine));
        due.extend(blocking.filter(|call| call.watch.is_due(now_ms)));
        due.retain(|call| call.look(now, now_ms, self.interval));
        self.slow.retain(|call| call.upgrade().is_some_and(|call| !call.is_settled()));
        let room = STANDING_FINDINGS.saturating_sub(self.slow.len());
        self.slow.extend(due.iter().take(room).map(Arc::downgrade));
        due
    }

    /// Often enough for the shortest soft limit.
    fn between_calls(&self, engine: &EngineState<S>) -> Duration {
        let shortest = Duration::from_millis(engine.watchdog.shortest_limit.load(Ordering::Relaxed));
        (shortest / 8).clamp(self.interval, CALL_LOOK_LONGEST.max(self.interval))
    }

    // ---- the rest --------------------------------------------------------------------------------------------------

    fn publish(&self, engine: &EngineState<S>) {
        let nothing = self.blocked.is_empty() && self.slow.is_empty();
        if nothing && engine.watchdog.standing.with(|standing| standing.is_empty()) {
            return;
        }
        let standing = Standing { blocked: self.blocked.clone(), slow: self.slow.clone() };
        let displaced = engine.watchdog.standing.with(|place| std::mem::replace(place, standing));
        drop(displaced);
    }

    /// Whether there has been nothing to watch for a while, and is not.
    fn may_rest(&mut self, engine: &EngineState<S>, now: Instant) -> bool {
        if engine.total.count() != 0 || !self.blocked.is_empty() || !self.slow.is_empty() {
            self.idle_since = None;
            return false;
        }
        let idle_since = *self.idle_since.get_or_insert(now);
        if now.saturating_duration_since(idle_since) < WATCHDOG_IDLE {
            return false;
        }
        self.idle_since = None;
        self.calls_at = None;
        engine.watchdog.state.store(RESTING, Ordering::SeqCst);
        if engine.total.count() == 0 {
            return true;
        }
        engine.watchdog.state.store(AWAKE, Ordering::SeqCst);
        false
    }
}

/// The call that a poll is of, if it is one of this engine's.
fn call_of<S: State>(poll: &Poll, engine: &Arc<EngineState<S>>) -> Option<Arc<Call<S>>> {
    poll.about::<Call<S>>().filter(|call| Arc::ptr_eq(call.engine(), engine))
}

fn tell_blocked<S: State>(engine: &EngineState<S>, now: Instant, blocked: &BlockedPoll) {
    let BlockedPoll { thread, who, since, .. } = blocked;
    engine.events.emit(&Event::ThreadBlocked {
        session: who.session,
        id: who.id.as_ref(),
        method: &who.method,
        subject: who.subject.as_deref(),
        thread,
        lasts: now.saturating_duration_since(*since),
    });
}

fn tell_unblocked<S: State>(engine: &EngineState<S>, now: Instant, blocked: &BlockedPoll) {
    let BlockedPoll { thread, who, since, .. } = blocked;
    engine.events.emit(&Event::ThreadUnblocked {
        session: who.session,
        id: who.id.as_ref(),
        method: &who.method,
        subject: who.subject.as_deref(),
        thread,
        lasted: now.saturating_duration_since(*since),
    });
}

fn tell_slow<S: State>(engine: &EngineState<S>, now: Instant, calls: &[Arc<Call<S>>]) {
    if calls.is_empty() {
        return;
    }
    let holders = Holders::look();
    for call in calls {
        let (holds, waits) = holders.of(call);
        engine.events.emit(&Event::CallSlow {
            session: call.session.inner.id,
            id: call.id(),
            method: call.method_name(),
            subject: call.subject().map(AsRef::as_ref),
            stage: call.stage(),
            age: now.saturating_duration_since(call.started),
            limit: call.soft_limit(),
            last_polled: call.watch.last_polled(engine.ms_of(now)),
            holds,
            waits,
        });
    }
}

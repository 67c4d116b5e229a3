//! The engine that is looked at, whatever the state of its sessions.

use freehold::{
    BreakerSnapshot, CallSnapshot, Counters, Engine, Finding, Limits, Session, SessionGauges, SessionId,
    State, StreamLag,
};
use std::{collections::HashSet, time::Duration};

/// Sessions by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionStates {
    /// Not yet initialized.
    pub(crate) initializing: usize,
    /// A call, a question or a reader keeps them alive.
    pub(crate) active: usize,
    pub(crate) idle: usize,
}

/// One session.
#[derive(Clone, Debug)]
pub(crate) struct SessionSnapshot {
    pub(crate) id: SessionId,
    pub(crate) initialized: bool,
    pub(crate) idle_for: Option<Duration>,
    pub(crate) gauges: SessionGauges,
    pub(crate) lag: StreamLag,
}

impl SessionSnapshot {
    fn of<S: State>(session: &Session<S>) -> Self {
        Self {
            id: session.id(),
            initialized: session.is_initialized(),
            idle_for: session.idle_for(),
            gauges: session.gauges(),
            lag: session.lag(),
        }
    }
}

/// What is asked of an engine. Nothing here waits for a handler.
pub(crate) trait Source: Send + Sync {
    fn limits(&self) -> &Limits;
    fn counters(&self) -> Counters;
    fn calls(&self) -> Vec<CallSnapshot>;
    fn call_count(&self) -> usize;
    fn places_taken(&self) -> usize;
    fn breakers(&self) -> Vec<BreakerSnapshot>;
    fn findings(&self) -> Vec<Finding>;
    fn retries_left(&self) -> u64;
    fn is_draining(&self) -> bool;
    /// How many sessions are in which state; and those of `first`, then others, up to `most`.
    fn sessions(&self, first: &[SessionId], most: usize) -> (SessionStates, Vec<SessionSnapshot>);
}

impl<S: State> Source for Engine<S> {
    fn limits(&self) -> &Limits {
        Self::limits(self)
    }

    fn counters(&self) -> Counters {
        Self::counters(self)
    }

    fn calls(&self) -> Vec<CallSnapshot> {
        Self::calls(self)
    }

    fn call_count(&self) -> usize {
        Self::call_count(self)
    }

    fn places_taken(&self) -> usize {
        Self::places_taken(self)
    }

    fn breakers(&self) -> Vec<BreakerSnapshot> {
        Self::breakers(self)
    }

    fn findings(&self) -> Vec<Finding> {
        Self::findings(self)
    }

    fn retries_left(&self) -> u64 {
        Self::retries_left(self)
    }

    fn is_draining(&self) -> bool {
        Self::is_draining(self)
    }

    fn sessions(&self, first: &[SessionId], most: usize) -> (SessionStates, Vec<SessionSnapshot>) {
        let mut states = SessionStates::default();
        let all = Self::sessions(self);
        for session in &all {
            let state = match (session.is_initialized(), session.idle_for()) {
                (false, _) => &mut states.initializing,
                (true, None) => &mut states.active,
                (true, Some(_)) => &mut states.idle,
            };
            *state += 1;
        }
        let first = &first[..first.len().min(most)];
        let named: HashSet<_> = first.iter().collect();
        let busy = first.iter().filter_map(|id| self.session(*id).ok());
        let others = all.iter().filter(|session| !named.contains(&session.id())).cloned();
        (states, busy.chain(others).take(most).map(|session| SessionSnapshot::of(&session)).collect())
    }
}

//! Gates: in a serial session one call runs at a time, in order of arrival.
//!
//! A turn is a permit that the call's activity holds, so waits for turns are in the graph with those for locks and replies.
//! A call that a chain makes back into a session where it has the turn already does not wait for it: it waits for the one
//! turn *inside* of its nearest caller there, so that siblings queue among themselves and nobody waits for themselves.
//!
//! # Invariants
//!
//! 1. Places are taken in the order of dispatch: a call queues for its turn in the poll that [`CallTask::line_up`] makes,
//!    not when its task happens to be scheduled.
//! 2. A turn is held until the handler is over *and* everything it called is gone (`Below::gone`): who has the next turn
//!    meets nobody.
//! 3. `in_line` is the number of live [`Place`]s, waiting or with the turn; it never exceeds the limit plus one.
//!
//! [`CallTask::line_up`]: crate::call::CallTask::line_up

use crate::{
    call::Call,
    limits::Limits,
    lock_order,
    session::SessionState,
    shim::{AtomicUsize, Ordering},
    state::State,
};
use freehold_sync::{Context as Locks, LockError, Permit, PermitPool};
use std::sync::Arc;

/// How many calls of a session may run at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gate {
    /// As many as the limits allow.
    #[default]
    Concurrent,
    /// One at a time, in order of arrival. A call that its handler makes, directly or through other sessions, back into the
    /// session runs inside of its turn.
    Serial,
}

/// The turns of a serial session, or those inside of one call.
pub(crate) struct Turns {
    turn: PermitPool,
    in_line: AtomicUsize,
}

impl Default for Turns {
    fn default() -> Self {
        Self { turn: PermitPool::with_class(&lock_order::TURN, 1), in_line: AtomicUsize::new(0) }
    }
}

impl Turns {
    /// Whether nobody has the turn or waits for it.
    #[cfg(all(test, shuttle))]
    pub(crate) fn is_free(&self) -> bool {
        self.in_line.load(Ordering::Relaxed) == 0 && self.turn.available() == 1
    }
}

/// As many calls as may wait for this turn do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoPlace;

/// Whose turns they are.
pub(crate) enum Whose<S: State> {
    Session(Arc<SessionState<S>>),
    /// Those inside of the turn of this call.
    Call(Arc<Call<S>>),
}

impl<S: State> Whose<S> {
    /// Nothing if they are those of a session that is not serial.
    fn turns(&self) -> Option<&Turns> {
        match self {
            Self::Session(session) => session.turns(),
            Self::Call(call) => Some(call.below().turns()),
        }
    }

    /// A place in the line of `session`; nothing if it is not serial.
    pub(crate) fn enter_session(
        session: &Arc<SessionState<S>>,
        limits: &Limits,
    ) -> Result<Option<Place<S>>, NoPlace> {
        if session.turns().is_none() {
            return Ok(None);
        }
        Self::Session(session.clone()).enter(limits)
    }

    /// A place in the line; nothing where there is no line.
    pub(crate) fn enter(self, limits: &Limits) -> Result<Option<Place<S>>, NoPlace> {
        let Some(turns) = self.turns() else { return Ok(None) };
        // Relaxed: the count guards no other memory.
        if turns.in_line.fetch_add(1, Ordering::Relaxed) > limits.queued_per_session {
            turns.in_line.fetch_sub(1, Ordering::Relaxed);
            return Err(NoPlace);
        }
        Ok(Some(Place(self)))
    }
}

/// A place in the line for a turn, and then the turn's own.
pub(crate) struct Place<S: State>(Whose<S>);

impl<S: State> Place<S> {
    /// Waits for the turn. The call's own deadline ends the wait, from outside.
    pub(crate) async fn turn<'a>(&'a self, locks: &'a Locks) -> Result<Option<Permit<'a>>, LockError> {
        match self.0.turns() {
            Some(turns) => locks.permit(&turns.turn).without_any_deadline().await.map(Some),
            None => Ok(None),
        }
    }
}

impl<S: State> Drop for Place<S> {
    fn drop(&mut self) {
        if let Some(turns) = self.0.turns() {
            turns.in_line.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

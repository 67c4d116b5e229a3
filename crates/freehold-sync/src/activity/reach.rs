//! Reaching an activity from outside, for as long as it runs: to cancel it, to abort it, to ask how it ended.

use crate::{
    error::Ended,
    shim::{Mutex, Ordering, PoisonError},
    signal_cell,
    slot::{Slot, state},
};
use std::{fmt, ops::DerefMut, sync::Arc};

/// The way from outside to an activity, for as long as it runs.
pub(super) struct Reach(Mutex<Stage>);

/// How far an activity is, seen from outside.
enum Stage {
    Running(&'static Slot),
    /// Its next poll ends it.
    Aborting(&'static Slot),
    /// It is done; with the reason if it has no result.
    Over(Option<Ended>),
}

impl Reach {
    pub(super) fn new(slot: &'static Slot) -> Self {
        Self(Mutex::new(Stage::Running(slot)))
    }

    pub(super) fn is_aborting(&self) -> bool {
        matches!(*self.stage(), Stage::Aborting(_))
    }

    pub(super) fn end(&self, why: Option<Ended>) {
        *self.stage() = Stage::Over(why);
    }

    fn stage(&self) -> impl DerefMut<Target = Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cancels or aborts an activity from outside; see [`Activity::handle`](crate::Activity::handle).
#[derive(Clone)]
pub struct ActivityHandle {
    reach: Arc<Reach>,
}

impl ActivityHandle {
    pub(super) fn new(reach: Arc<Reach>) -> Self {
        Self { reach }
    }

    /// Cancels the activity: [`Context::cancelled`](crate::Context::cancelled) becomes ready. Its body decides what to do. Nothing happens if it is
    /// done already, or was cancelled before.
    pub fn cancel(&self) {
        // Held meanwhile, so that the slot is not given to another activity; but not while anybody is woken.
        let stage = self.reach.stage();
        let wakes = match *stage {
            Stage::Running(slot) | Stage::Aborting(slot) => Some(signal_cell::cancel(slot)),
            _ => None,
        };
        drop(stage);
        if let Some(wakes) = wakes {
            wakes.wake();
        }
    }

    /// Ends the activity without asking it: its next poll drops the body where it is, which gives back what it holds and
    /// leaves the queues it is in, and its output is [`Ended::Aborted`]. It is woken for that.
    ///
    /// A poll that runs is not interrupted; if it is the last one, the result stands. Nothing happens if the activity is
    /// done already. Where the body should decide, [`cancel`](Self::cancel) it.
    pub fn abort(&self) {
        let woken = {
            let mut stage = self.reach.stage();
            let Stage::Running(slot) = *stage else { return };
            *stage = Stage::Aborting(slot);
            slot.state.fetch_or(state::END, Ordering::AcqRel);
            // Counted, so the slot stays in use until the parent is woken, which may run anything.
            slot.mark_woken().then_some(slot)
        };
        if let Some(slot) = woken {
            slot.wake_parent();
        }
    }

    /// Whether the activity is done or dropped.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(*self.reach.stage(), Stage::Over(_))
    }

    /// Why the activity has no result, once that is known.
    pub(crate) fn why_ended(&self) -> Option<Ended> {
        match &*self.reach.stage() {
            Stage::Over(why) => why.clone(),
            Stage::Running(_) | Stage::Aborting(_) => None,
        }
    }
}

impl fmt::Debug for ActivityHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActivityHandle").field("done", &self.is_done()).finish()
    }
}

//! Whom the wakes of an activity are passed on to: whoever polls it.

use super::{
    Slot, poll,
    state::{DONE, FREE, FROZEN, PARENT_BUSY, WAKER, WAKERS, WOKEN},
    waker,
};
use crate::shim::Ordering;
use std::task::Waker;

/// Whom a wake is passed on to.
pub(crate) enum Parent {
    Nobody,
    /// The activity this one is polled inside of. Not counted among its waker's clones: it is an edge of the graph.
    Activity(&'static Slot),
    Waker(Waker),
}

impl Parent {
    #[inline]
    pub(super) fn is(&self, waker: &Waker) -> bool {
        match self {
            Self::Nobody => false,
            Self::Waker(parent) => parent.will_wake(waker),
            Self::Activity(parent) => waker::slot_of(waker).is_some_and(|slot| slot.is(*parent)),
        }
    }

    /// The waker's activity as an edge if it is the one this thread polls right now, else the waker, counted.
    fn of(waker: &Waker) -> Self {
        match waker::slot_of(waker) {
            Some(slot) if poll::current().is_some_and(|current| current.is(slot)) => Self::Activity(slot),
            _ => Self::Waker(waker.clone()),
        }
    }
}

impl Slot {
    /// Wakes the activity.
    pub(crate) fn wake(&'static self) {
        if self.mark_woken() {
            self.wake_parent();
        }
    }

    /// Sets WOKEN; wakes nobody, so it may be called inside a section. If it returns true, [`wake_parent`] must follow.
    ///
    /// [`wake_parent`]: Self::wake_parent
    #[must_use]
    pub(crate) fn mark_woken(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let first = state & (WOKEN | DONE | FREE | PARENT_BUSY) == 0;
            let new = if first { (state | WOKEN) + WAKER } else { state | WOKEN };
            // A read-modify-write also when nothing changes: Release makes what was written before the wake visible to
            // the poll that clears WOKEN, whoever set it.
            match self.state.compare_exchange_weak(state, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return first,
                Err(now) => state = now,
            }
        }
    }

    /// Passes a wake on. Only after [`mark_woken`](Self::mark_woken) returned true, once.
    pub(crate) fn wake_parent(&'static self) {
        /// Ends the count, also when the waker panics: otherwise the parent could never be replaced again.
        struct Counted(&'static Slot);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.parent_watch.reads();
                // SeqCst as in `forget_clone`.
                let before = self.0.state.fetch_sub(WAKER, Ordering::SeqCst);
                if before & DONE != 0 {
                    self.0.try_return();
                }
            }
        }
        let _counted = Counted(self);
        self.parent_watch.reads();
        // SAFETY: `mark_woken` counted us, so the parent is not replaced (invariant 5).
        match unsafe { &*self.parent.get() } {
            Parent::Nobody => {}
            Parent::Activity(parent) => parent.wake(),
            Parent::Waker(waker) => waker.wake_by_ref(),
        }
    }

    /// Whether wakes are passed on to `waker`. Only its owner may ask.
    pub(crate) fn wakes_go_to(&self, waker: &Waker) -> bool {
        // SAFETY: only the poller replaces the parent, and the caller is the only one who could be it.
        unsafe { &*self.parent.get() }.is(waker)
    }

    /// Replaces the waker that wakes are passed on to, and returns the old one; nothing if it is being read.
    ///
    /// A wake in the meantime is not lost: it sets WOKEN, and the poll that begins now is what it asks for. No code of a
    /// user runs meanwhile: a detector may be waiting.
    #[cold]
    pub(super) fn replace_parent(&self, parent: &Waker) -> Option<Parent> {
        let parent = Parent::of(parent);
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & (WAKERS | FROZEN) != 0 {
                return None;
            }
            match self.state.compare_exchange_weak(
                state,
                state | PARENT_BUSY,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        self.parent_watch.writes();
        // SAFETY: PARENT_BUSY keeps wakes out, and none was in (invariant 5).
        Some(unsafe { std::mem::replace(&mut *self.parent.get(), parent) })
    }
}

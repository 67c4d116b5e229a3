//! How a poll begins and ends, and which activity the current thread polls.

use super::{
    Slot,
    state::{self, END, EPOCH, FROZEN, IDENTITY, PARENT_BUSY, POLLING, PROBE, WOKEN},
};
use crate::{
    driver, graph,
    raw::{self, RawLock},
    shim::{Ordering, let_others_run, thread_local},
    signal_cell,
};
use std::{cell::Cell, ptr, task::Waker};

#[cfg(not(any(loom, shuttle)))]
thread_local!(static CURRENT: Cell<*const Slot> = const { Cell::new(ptr::null()) });
#[cfg(any(loom, shuttle))]
thread_local!(static CURRENT: Cell<*const Slot> = Cell::new(ptr::null()));

/// The activity that the current thread polls, innermost.
#[inline]
pub(crate) fn current() -> Option<&'static Slot> {
    // SAFETY: only ever set from slots, which are never freed.
    CURRENT.try_with(|current| unsafe { current.get().as_ref() }).ok().flatten()
}

/// Whether the current thread polls `slot`, innermost.
#[inline(always)]
pub(crate) fn is_current(slot: &Slot) -> bool {
    CURRENT.try_with(|current| ptr::eq(current.get(), slot)).unwrap_or(false)
}

/// The activities whose polls are on this thread's stack, innermost first.
pub(crate) fn stack() -> impl Iterator<Item = &'static Slot> {
    // SAFETY: only ever set from slots, which are never freed.
    std::iter::successors(current(), |slot| unsafe { slot.below.load(Ordering::Relaxed).as_ref() })
}

/// Makes `slot` the current activity of this thread until it is dropped.
pub(crate) struct Entered {
    before: *const Slot,
}

impl Entered {
    #[inline]
    pub(crate) fn enter(slot: &'static Slot) -> Self {
        let before = CURRENT.with(|current| current.replace(slot));
        slot.below.store(before.cast_mut(), Ordering::Relaxed);
        #[cfg(not(any(loom, shuttle)))]
        super::window::show(slot);
        Self { before }
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(self.before));
        #[cfg(not(any(loom, shuttle)))]
        super::window::show(self.before);
    }
}

/// What a poll may do.
pub(crate) enum Begin {
    /// Poll the body with the waker of this state.
    Poll(u64),
    /// Drop the body: the activity was ended from outside.
    End,
    /// Come back: the slot is frozen, or the parent's waker in use. The caller's waker was woken.
    Later,
}

impl Slot {
    /// Begins a poll whose wakes go to `parent`.
    pub(crate) fn begin_poll(&'static self, parent: &Waker) -> Begin {
        self.parent_watch.reads();
        // SAFETY: only the poller replaces the parent, and that is us.
        let same = unsafe { &*self.parent.get() }.is(parent);
        // Dropped at the end: whatever a user's waker does then, the poll has begun.
        let mut _displaced = None;
        if !same {
            _displaced = self.replace_parent(parent);
            if _displaced.is_none() {
                parent.wake_by_ref();
                let_others_run();
                return Begin::Later;
            }
        }
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & FROZEN != 0 {
                // Whoever froze us is done in a moment; the thread is not held up for it.
                parent.wake_by_ref();
                let_others_run();
                return Begin::Later;
            }
            if state & END != 0 {
                return Begin::End;
            }
            let mut new = (state & !(WOKEN | PROBE | PARENT_BUSY)) | POLLING;
            if state & PROBE != 0 {
                new ^= IDENTITY;
            }
            new = new.wrapping_add(EPOCH);
            // Acquire pairs with the wakes and the unfreezes before us.
            match self.state.compare_exchange_weak(state, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Begin::Poll(new),
                Err(now) => state = now,
            }
        }
    }

    /// Ends a poll that was not ready.
    #[inline]
    pub(crate) fn end_poll(&'static self, begun: u64) {
        if !self.has_waits() {
            self.state.fetch_and(!POLLING, Ordering::Release);
            return;
        }
        self.end_poll_waiting(begun);
    }

    fn end_poll_waiting(&'static self, begun: u64) {
        self.reclaim();
        self.end_poll_in_graph(begun);
        // The other half of `signal_cell::cancel`.
        if self.cancelled.load(Ordering::SeqCst) {
            let mut wakes = raw::wakes::Wakes::new();
            signal_cell::fire_cancelled(self, &mut wakes);
            wakes.wake();
        }
    }

    fn end_poll_in_graph(&'static self, begun: u64) {
        let mut state = self.state.load(Ordering::Acquire);
        // Who can be woken from outside is not stuck, but a turn it does not use is lost to the others all the same.
        let mut foreign;
        loop {
            foreign = self.foreign_clones(state) != 0;
            let idle = state & WOKEN == 0 && (!foreign || self.has_unused_turn(state::epoch(begun)));
            let new = if idle { (state & !POLLING) | FROZEN } else { state & !POLLING };
            // SeqCst: the last of a ring's members to stop polling sees all others stopped, because each first stops
            // and then looks. It also pairs with the drop of a lock, as in `freeze`.
            match self.state.compare_exchange_weak(state, new, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) if idle => break,
                Ok(_) => return driver::waits_visibly(self),
                Err(now) => state = now,
            }
        }
        let passed_on = self.pass_unused_grants_on(state::epoch(begun));
        let may_be_stuck = !foreign && graph::enabled() && self.looks_stuck();
        self.unfreeze();
        // Before anybody is woken, whose waker may panic: the deadline of this wait must be known all the same.
        driver::waits_visibly(self);
        passed_on.wake();
        if may_be_stuck {
            graph::detect(self);
        }
    }

    fn has_unused_turn(&'static self, epoch: u32) -> bool {
        self.waits().any(|wait| wait.left_its_turn(epoch))
    }

    /// The futurelock cure: a wait that had its turn before this poll began, and was not polled in it, belongs to a
    /// future that nobody polls (Oxide RFD 609). Its turn goes to the next one.
    fn pass_unused_grants_on(&'static self, epoch: u32) -> raw::wakes::Wakes {
        let mut wakes = raw::wakes::Wakes::new();
        for wait in self.waits() {
            if wait.left_its_turn(epoch) {
                // SAFETY: we have frozen the owner, and a cell in use has a source or none.
                if let Some(lock) = unsafe { RawLock::of_cell(wait) } {
                    lock.pass_on(wait, &mut wakes);
                }
            }
        }
        wakes
    }
}

//! The end of a slot's use: its body goes, what was forgotten is taken out of the graph, and the slot goes back to the
//! pool once nothing keeps it.

use super::{
    Parent, Slot,
    cell::{self, Source},
    pool,
    state::{DONE, END, EPOCH, FREE, FROZEN, OUTSIDER, PARENT_BUSY, POLLING, THREAD, WAKERS},
};
use crate::{
    clock::NEVER,
    events,
    name::ActivityName,
    raw::{self, RawLock},
    shim::{Backoff, Ordering, PoisonError},
};
use std::ptr;

impl Slot {
    /// Becomes the poller in order to drop the body. Waits for a detector that looks at the slot, not for a poll: the
    /// caller has the activity for itself.
    pub(crate) fn begin_close(&self) {
        self.change_unless(FROZEN, |state| ((state & !END) | POLLING).wrapping_add(EPOCH));
    }

    /// The body is gone: ends the use of the slot, and reports what is still held under its name.
    pub(crate) fn finish(&'static self) {
        self.reclaim();
        if self.has_waits() {
            self.withdraw_forgotten();
        }
        if !self.holds_nothing() {
            self.held().for_each(|hold| events::guard_forgotten(self, hold));
        }
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let busy = if state & WAKERS == 0 { PARENT_BUSY } else { 0 };
            let new = (state & !(POLLING | PARENT_BUSY)) | DONE | busy;
            // SeqCst: see `forget_clone`.
            match self.state.compare_exchange_weak(state, new, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        debug_assert!(state & FREE == 0, "a slot is finished once");
        if state & WAKERS == 0 {
            // Stale wakers may live for long; the task they would have woken need not.
            self.parent_watch.writes();
            // SAFETY: nobody reads the parent, once DONE is set nobody will (`mark_woken`), and PARENT_BUSY keeps whoever
            // forgets the last clone now from returning the slot, which takes the parent as well.
            let parent = unsafe { std::mem::replace(&mut *self.parent.get(), Parent::Nobody) };
            self.state.fetch_and(!PARENT_BUSY, Ordering::SeqCst);
            self.try_return();
            drop(parent);
            return;
        }
        self.try_return();
    }

    /// Cells whose futures were forgotten (`mem::forget`) instead of dropped: takes them out of their queues. Those of
    /// children, which need not end with us, are left to these.
    #[cold]
    fn withdraw_forgotten(&'static self) {
        let mut wakes = raw::wakes::Wakes::new();
        // The freeze keeps the drop of a source waiting while we follow pointers to it.
        self.state.fetch_or(FROZEN, Ordering::SeqCst);
        let (lent, forgotten): (Vec<_>, Vec<_>) = self.waits().partition(|wait| wait.kind() == Source::Child);
        for wait in &forgotten {
            // SAFETY: we have frozen the owner.
            if let Some(lock) = unsafe { RawLock::of_cell(wait) } {
                lock.withdraw(wait, &mut wakes);
            }
        }
        self.unfreeze();
        for wait in forgotten {
            if wait.kind() == Source::Lock
                && wait.source.swap(ptr::null_mut(), Ordering::AcqRel) == raw::GOING
            {
                let mut backoff = Backoff::new();
                while wait.phase() != cell::ABANDONED {
                    backoff.wait();
                }
            }
            self.free_cell(wait);
        }
        self.end_waits(!lent.is_empty());
        wakes.wake();
    }

    /// Returns the slot to the pool if the body is gone and nothing else keeps it.
    #[cold]
    pub(crate) fn try_return(&'static self) {
        loop {
            let state = self.state.load(Ordering::SeqCst);
            let kept = state & DONE == 0
                || state & (FREE | FROZEN | PARENT_BUSY | WAKERS) != 0
                || self.clones.load(Ordering::SeqCst) != 0
                || self.contexts.load(Ordering::SeqCst) != 0
                || self.lends_cells()
                || !self.holds_nothing();
            if kept {
                return;
            }
            // Once all of this is so it stays so: nobody is left who could make a clone, a cell or an entry. The epoch
            // makes sure that it is still the same use of the slot. A late wake (of a child, of a waker that is not
            // counted) may change the state in between, and will not come back to look: so we do.
            let free = (state & !(EPOCH - 1)) | FREE;
            if self.state.compare_exchange(state, free, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
                self.reset();
                pool::give_back(self);
                return;
            }
        }
    }

    /// Leaves nothing of this use to the next one.
    fn reset(&self) {
        self.parent_watch.writes();
        // SAFETY: the slot is free and not yet in the pool: we are the only one.
        unsafe { *self.parent.get() = Parent::Nobody };
        if self.named.load(Ordering::Relaxed) {
            self.named.store(false, Ordering::Relaxed);
            *self.name.lock().unwrap_or_else(PoisonError::into_inner) = ActivityName::NONE;
        }
        if self.judged.load(Ordering::Relaxed) {
            self.judged.store(false, Ordering::Relaxed);
            *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.doomed.store(false, Ordering::Relaxed);
        }
        self.used.store(0, Ordering::Relaxed);
        self.inside_of.store(0, Ordering::Relaxed);
        self.busy.store(0, Ordering::Relaxed);
        self.due.set(NEVER);
        self.deadline.set(NEVER);
        self.priority.store(0, Ordering::Relaxed);
        self.inherited.store(0, Ordering::Relaxed);
        self.order_mode.store(0, Ordering::Relaxed);
        self.cancelled.store(false, Ordering::Relaxed);
        self.cancel_awaited_elsewhere.store(false, Ordering::Relaxed);
        self.probed.set(0);
        self.suspected.set(0);
    }

    /// Its thread ends. What that still holds keeps the slot: a guard that was forgotten for ever, one in a thread-local until
    /// that is dropped, too.
    pub(crate) fn end_thread(&'static self) {
        self.change_unless(0, |state| (state & !THREAD) | OUTSIDER);
        self.release_ended_thread();
    }

    /// By the thread, which is an outsider by now.
    pub(crate) fn release_ended_thread(&'static self) {
        if self.holds_nothing() {
            self.release_outside();
        }
    }

    /// Gives a slot back that stood for a wait outside, or a thread. Its cells are unused.
    pub(crate) fn release_outside(&'static self) {
        self.change_unless(FROZEN | WAKERS, |state| (state & !(EPOCH - 1)) | FREE);
        self.reset();
        pool::give_back(self);
    }
}

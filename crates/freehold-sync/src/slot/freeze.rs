//! Freezing a slot: while that lasts nobody becomes its poller, and its tables may be read.

use super::{
    Slot,
    state::{DONE, FREE, FROZEN, OUTSIDER, PARENT_BUSY, PARKED, POLLING, THREAD, WOKEN},
};
use crate::shim::{Backoff, Ordering};

impl Slot {
    /// Freezes the slot if its user is idle: neither polling nor woken nor done, and nobody else can wake it. Returns
    /// the state it was frozen in.
    pub(crate) fn freeze_if_idle(&self) -> Result<u64, u64> {
        self.freeze(|slot, state| {
            state & (POLLING | WOKEN | DONE | FREE | OUTSIDER | THREAD) == 0
                && slot.foreign_clones(state) == 0
        })
    }

    /// Freezes the slot if no poll runs, whoever else could wake it.
    pub(crate) fn freeze_if_not_polling(&self) -> Result<u64, u64> {
        self.freeze(|_, state| state & (POLLING | FREE | DONE) == 0)
    }

    /// Freezes the slot if its thread is parked in a blocking lock.
    pub(crate) fn freeze_if_parked(&self) -> Result<u64, u64> {
        self.freeze(|_, state| state & PARKED != 0)
    }

    fn freeze(&self, may: impl Fn(&Self, u64) -> bool) -> Result<u64, u64> {
        let mut backoff = Backoff::new();
        loop {
            let state = self.state.load(Ordering::Acquire);
            if !may(self, state) {
                return Err(state);
            }
            if state & (FROZEN | PARENT_BUSY) != 0 {
                if state & WOKEN != 0 && state & FROZEN == 0 {
                    return Err(state);
                }
                // The end of a poll looks around under it, for a few hundred nanoseconds.
                backoff.wait();
                continue;
            }
            // SeqCst pairs with the drop of a lock: it sees the freeze, or we see that the source is gone.
            if self.state.compare_exchange(state, state | FROZEN, Ordering::SeqCst, Ordering::Relaxed).is_ok()
            {
                return Ok(state);
            }
        }
    }

    pub(crate) fn unfreeze(&self) {
        self.state.fetch_and(!FROZEN, Ordering::Release);
    }

    /// Waits until nobody has frozen the slot.
    pub(crate) fn wait_thawed(&self) {
        let mut backoff = Backoff::new();
        while self.state.load(Ordering::SeqCst) & FROZEN != 0 {
            backoff.wait();
        }
    }

    /// The thread goes on: waits until nobody reads the wait it was parked in.
    pub(crate) fn leave_parked(&self) {
        self.change_unless(FROZEN, |state| state & !PARKED);
    }

    /// Waits until nothing of `unless` is in the state, and changes it.
    #[inline]
    pub(super) fn change_unless(&self, unless: u64, change: impl Fn(u64) -> u64) {
        let mut backoff = Backoff::new();
        loop {
            let state = self.state.load(Ordering::Relaxed);
            if state & unless != 0 {
                backoff.wait();
                continue;
            }
            if self.state.compare_exchange(state, change(state), Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                return;
            }
        }
    }
}

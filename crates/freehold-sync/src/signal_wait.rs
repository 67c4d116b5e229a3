//! Waits that are no sign of life: a deadline around a future, and the cancel of an activity.
//!
//! The cell is in no queue. Its phase, and whom to wake, are guarded by the lock `signals` of its owner.

use crate::{
    acquire::{give_cell_back, is_own},
    clock::{self, NEVER, Ticks},
    driver,
    raw::wakes::Wakes,
    shim::{Ordering, fence},
    slot::{
        Slot,
        cell::{self, Parked, Source, WaitCell},
        poll, state,
    },
};
use std::{
    panic::Location,
    ptr,
    task::{Context as TaskContext, Poll},
};

/// `need` of a cell that waits for the cancel.
const CANCEL: u32 = 1;
/// `need` of a cell that waits for its deadline only.
const DEADLINE: u32 = 0;

pub(crate) struct SignalWait {
    slot: Option<&'static Slot>,
    site: &'static Location<'static>,
    deadline: Ticks,
    cancel: bool,
    cell: Option<&'static WaitCell>,
}

impl SignalWait {
    pub(crate) fn until(
        slot: Option<&'static Slot>,
        deadline: Ticks,
        site: &'static Location<'static>,
    ) -> Self {
        Self { slot, site, deadline, cancel: false, cell: None }
    }

    pub(crate) fn cancelled(slot: &'static Slot, site: &'static Location<'static>) -> Self {
        Self { slot: Some(slot), site, deadline: NEVER, cancel: true, cell: None }
    }

    fn bound(&self) -> Option<&'static Slot> {
        let slot = self.slot?;
        poll::current().filter(|current| current.is(slot))
    }

    /// Ready once it was signalled.
    pub(crate) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        let bound = self.bound();
        if self.cancel && self.slot.is_some_and(|slot| slot.cancelled.load(Ordering::SeqCst)) {
            return Poll::Ready(());
        }
        let wait = match self.cell {
            Some(wait) => wait,
            None if self.deadline <= clock::now() => return Poll::Ready(()),
            // A deadline inside a combinator, or a `block_on`, is waited for outside; see `acquire`.
            None if self.cancel || is_own(cx.waker(), bound) => self.claim(bound),
            None => self.claim(None),
        };
        if let Some(slot) = bound {
            wait.polled.store(state::epoch(slot.state.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
        let owner = wait.owner();
        let own = is_own(cx.waker(), bound) && !owner.is_outsider();
        let section = owner.signals.enter();
        if wait.phase() == cell::EXPIRED {
            return Poll::Ready(());
        }
        // SAFETY: in the section that guards cells without a queue.
        let parked = unsafe { wait.parked_mut() };
        let mut old = None;
        if !parked.is(cx.waker(), own) {
            let new = if own { Parked::Owner } else { Parked::Foreign(cx.waker().clone()) };
            old = Some(std::mem::replace(parked, new));
        }
        wait.set_phase(cell::WAITING);
        drop(section);
        drop(old);
        if self.cancel && owner.cancelled.load(Ordering::SeqCst) {
            // Cancelled between the look and the registration: either we see it here, or who cancels sees the cell.
            return Poll::Ready(());
        }
        if owner.is_outsider() {
            driver::somebody_waits(owner);
        }
        Poll::Pending
    }

    fn claim(&mut self, bound: Option<&'static Slot>) -> &'static WaitCell {
        let slot = bound.unwrap_or_else(|| Slot::acquire_outside(state::OUTSIDER, self.site));
        let wait = slot.claim_cell();
        wait.kind.store(Source::Signal as u8, Ordering::Relaxed);
        wait.need.store(if self.cancel { CANCEL } else { DEADLINE }, Ordering::Relaxed);
        wait.source.store(ptr::null_mut(), Ordering::Relaxed);
        wait.set_site(self.site);
        wait.since.set(clock::now());
        wait.deadline.set(self.deadline);
        // In use from here on, but nothing to signal yet.
        wait.set_phase(cell::DORMANT);
        slot.due.lower(self.deadline);
        self.cell = Some(wait);
        wait
    }
}

impl Drop for SignalWait {
    fn drop(&mut self) {
        if let Some(wait) = self.cell {
            let section = wait.owner().signals.enter();
            // SAFETY: in the section that guards cells without a queue.
            let old = unsafe { std::mem::replace(wait.parked_mut(), Parked::Nobody) };
            wait.set_phase(cell::DORMANT);
            drop(section);
            drop(old);
            give_cell_back(wait, self.bound());
        }
    }
}

/// Signals `wait`. The caller has frozen its owner.
pub(crate) fn fire(wait: &'static WaitCell, wakes: &mut Wakes) {
    let owner = wait.owner();
    let _section = owner.signals.enter();
    if wait.phase() == cell::WAITING {
        // SAFETY: in the section that guards cells without a queue.
        let parked = unsafe { std::mem::replace(wait.parked_mut(), Parked::Nobody) };
        wakes.add(owner, parked);
        wait.set_phase(cell::EXPIRED);
    }
}

/// Cancels the activity: every wait for its cancel ends, and it is polled.
pub(crate) fn cancel(slot: &'static Slot) {
    // SeqCst pairs with the look at the end of a poll: either it sees the cancel, or we see that the poll has ended. The
    // fence, because the look for that end is no SeqCst read.
    slot.cancelled.store(true, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    fire_cancelled(slot);
}

/// Tells the waits for the cancel of a cancelled activity, if no poll runs; one that runs tells them at its end.
pub(crate) fn fire_cancelled(slot: &'static Slot) {
    if slot.freeze_if_not_polling().is_ok() {
        let mut wakes = Wakes::new();
        for wait in slot.waits() {
            if wait.kind() == Source::Signal && wait.need.load(Ordering::Relaxed) == CANCEL {
                fire(wait, &mut wakes);
            }
        }
        slot.unfreeze();
        wakes.wake();
    }
}

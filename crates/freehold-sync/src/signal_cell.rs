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
        poll, pool, state,
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

/// Waits in a cell of its own for a deadline or a cancel.
pub(crate) struct SignalCell {
    slot: Option<&'static Slot>,
    site: &'static Location<'static>,
    deadline: Ticks,
    cancel: bool,
    cell: Option<&'static WaitCell>,
}

impl SignalCell {
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
        // One whose activity is done is a wait no more.
        let wait = match self.cell.filter(|wait| wait.phase() != cell::UNUSED) {
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
        // A user's code, so outside of the section, as the drop of the old one.
        let new = if own { Parked::Owner } else { Parked::Foreign(cx.waker().clone()) };
        let section = owner.signals.enter();
        if wait.phase() == cell::EXPIRED {
            drop(section);
            return Poll::Ready(());
        }
        // SAFETY: in the section that guards cells without a queue.
        let old = std::mem::replace(unsafe { wait.parked_mut() }, new);
        wait.set_phase(cell::WAITING);
        drop(section);
        drop(old);
        if self.cancel && self.is_cancelled(owner) {
            // Cancelled between the look and the registration: either we see it here, or who cancels sees the cell.
            return Poll::Ready(());
        }
        if owner.is_outsider() {
            // Once more: the driver may have looked since the claim, when there was nothing to signal yet.
            fence(Ordering::SeqCst);
            owner.due.lower(wait.deadline.get());
            driver::somebody_waits(owner);
        }
        Poll::Pending
    }

    /// Once the wait can be seen.
    fn is_cancelled(&self, owner: &'static Slot) -> bool {
        let Some(slot) = self.slot else { return false };
        if !owner.is(slot) {
            slot.cancel_awaited_elsewhere.store(true, Ordering::SeqCst);
            fence(Ordering::SeqCst);
        }
        slot.cancelled.load(Ordering::SeqCst)
    }

    fn claim(&mut self, bound: Option<&'static Slot>) -> &'static WaitCell {
        let slot = bound.unwrap_or_else(|| Slot::acquire_outside(state::OUTSIDER, self.site));
        let wait = slot.claim_cell();
        wait.kind.store(Source::Signal as u8, Ordering::Relaxed);
        wait.need.store(if self.cancel { CANCEL } else { DEADLINE }, Ordering::Relaxed);
        // Whose cancel it waits for, in case it is another's.
        let source = self.slot.filter(|_| self.cancel).map_or(ptr::null(), ptr::from_ref);
        wait.source.store(source.cast_mut().cast(), Ordering::Relaxed);
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

impl Drop for SignalCell {
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

/// Cancels the activity: every wait for its cancel ends, and it is polled. Nobody is woken before the wakes are.
pub(crate) fn cancel(slot: &'static Slot) -> Wakes {
    // SeqCst pairs with the look at the end of a poll: either it sees the cancel, or we see that the poll has ended. The
    // fence, because the look for that end is no SeqCst read.
    slot.cancelled.store(true, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    let mut wakes = Wakes::new();
    fire_cancelled(slot, &mut wakes);
    if slot.cancel_awaited_elsewhere.load(Ordering::SeqCst) {
        pool::for_each(|other| {
            if other.is_outsider() && other.has_waits() {
                fire_where(other, &mut wakes, |wait| waits_for_cancel_of(wait, slot));
            }
        });
    }
    wakes
}

/// Tells the waits for the cancel of a cancelled activity, if no poll runs; one that runs tells them at its end.
pub(crate) fn fire_cancelled(slot: &'static Slot, wakes: &mut Wakes) {
    fire_where(slot, wakes, |wait| waits_for_cancel_of(wait, slot));
}

fn waits_for_cancel_of(wait: &WaitCell, slot: &'static Slot) -> bool {
    wait.kind() == Source::Signal
        && wait.need.load(Ordering::Relaxed) == CANCEL
        && slot.is(wait.source.load(Ordering::Relaxed).cast())
}

fn fire_where(slot: &'static Slot, wakes: &mut Wakes, which: impl Fn(&WaitCell) -> bool) {
    if slot.freeze_if_not_polling().is_ok() {
        slot.waits().filter(|wait| which(wait)).for_each(|wait| fire(wait, wakes));
        slot.unfreeze();
    }
}

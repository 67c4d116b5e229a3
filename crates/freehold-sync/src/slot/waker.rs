//! The wakers an activity hands to its body.
//!
//! Two vtables over one data pointer, the slot: the two identities. A clone is counted under the identity it was made
//! of, so that a probe (a poll under the other identity) tells the clones that matter from those that a losing arm of a
//! `select!` left behind: by the contract of `Future::poll` only the waker of the latest poll must be woken.

use super::{
    Slot,
    state::{DONE, IDENTITY},
};
use crate::shim::Ordering;
use std::task::{RawWaker, RawWakerVTable, Waker};

static FIRST: RawWakerVTable = RawWakerVTable::new(clone::<0>, wake::<0>, wake_by_ref, drop_clone::<0>);
static SECOND: RawWakerVTable = RawWakerVTable::new(clone::<1>, wake::<1>, wake_by_ref, drop_clone::<1>);

/// The waker of `slot` under the identity `identity`. It stands for one clone: the caller has counted it, or forgets it.
pub(crate) fn raw(slot: &'static Slot, identity: usize) -> RawWaker {
    RawWaker::new(std::ptr::from_ref(slot).cast(), if identity == 0 { &FIRST } else { &SECOND })
}

/// The slot whose own waker this is.
pub(crate) fn slot_of(waker: &Waker) -> Option<&'static Slot> {
    let vtable = waker.vtable();
    if std::ptr::eq(vtable, &FIRST) || std::ptr::eq(vtable, &SECOND) {
        // SAFETY: these vtables are only ever put over slots, which are never freed.
        Some(unsafe { &*waker.data().cast::<Slot>() })
    } else {
        None
    }
}

fn slot(data: *const ()) -> &'static Slot {
    // SAFETY: see `slot_of`.
    unsafe { &*data.cast::<Slot>() }
}

unsafe fn clone<const IDENTITY: usize>(data: *const ()) -> RawWaker {
    let slot = slot(data);
    slot.count_clone(IDENTITY);
    raw(slot, IDENTITY)
}

unsafe fn wake<const IDENTITY: usize>(data: *const ()) {
    let slot = slot(data);
    // Woken first and forgotten after it: a detector that misses the clone sees the wake.
    slot.wake();
    slot.forget_clone(IDENTITY);
}

unsafe fn wake_by_ref(data: *const ()) {
    slot(data).wake();
}

unsafe fn drop_clone<const IDENTITY: usize>(data: *const ()) {
    slot(data).forget_clone(IDENTITY);
}

impl Slot {
    pub(crate) fn count_clone(&self, identity: usize) {
        // Relaxed: a clone is made from one that lives, or during a poll.
        let before = self.clones.fetch_add(1 << (32 * identity), Ordering::Relaxed);
        if (before >> (32 * identity)) as u32 == u32::MAX {
            // As with `Arc`: four thousand million forgotten wakers, and the count would be a lie.
            std::process::abort();
        }
    }

    pub(crate) fn forget_clone(&'static self, identity: usize) {
        // SeqCst pairs with the SeqCst in `finish`: of the one who sets DONE and the one who forgets the last clone, at
        // least one sees the other and returns the slot.
        self.clones.fetch_sub(1 << (32 * identity), Ordering::SeqCst);
        if self.state.load(Ordering::SeqCst) & DONE != 0 {
            self.try_return();
        }
    }

    /// An owned context is gone.
    pub(crate) fn forget_context(&'static self) {
        // SeqCst as in `forget_clone`.
        self.contexts.fetch_sub(1, Ordering::SeqCst);
        if self.state.load(Ordering::SeqCst) & DONE != 0 {
            self.try_return();
        }
    }

    /// Clones of the waker that count as life under the identity of `state`.
    pub(crate) fn foreign_clones(&self, state: u64) -> u32 {
        // Acquire pairs with `forget_clone`: who sees the clone gone sees the wake before it.
        let clones = self.clones.load(Ordering::Acquire);
        if state & IDENTITY == 0 { clones as u32 } else { (clones >> 32) as u32 }
    }
}

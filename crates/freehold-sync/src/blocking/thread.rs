//! Threads as members of the graph.

use crate::{
    shim::Ordering,
    slot::{Slot, state},
};
use std::{cell::Cell, panic::Location};

/// The slot of a thread, given back when the thread ends.
struct ThreadSlot(&'static Slot);

impl ThreadSlot {
    #[track_caller]
    fn new() -> Self {
        let slot = Slot::acquire_outside(state::THREAD, Location::caller());
        let thread = std::thread::current();
        let name = thread
            .name()
            .map_or_else(|| format!("thread {:?}", thread.id()), |name| format!("thread {name}"));
        slot.set_name(name.into());
        Self(slot)
    }
}

impl Drop for ThreadSlot {
    fn drop(&mut self) {
        MINE.set(None);
        // A guard that was forgotten keeps the slot: the lock names it as its holder for ever.
        if self.0.holds_nothing() {
            self.0.release_outside();
        }
    }
}

thread_local! {
    /// Needs no drop, so that a look at it needs no look at whether that has run.
    static MINE: Cell<Option<&'static Slot>> = const { Cell::new(None) };
    /// Gives the slot back when the thread ends.
    static LEASE: Cell<Option<ThreadSlot>> = const { Cell::new(None) };
}

/// The slot of this thread; nothing while the thread ends.
#[inline(always)]
pub(super) fn current() -> Option<&'static Slot> {
    MINE.get().or_else(enter)
}

#[cold]
fn enter() -> Option<&'static Slot> {
    LEASE
        .try_with(|lease| {
            let mine = ThreadSlot::new();
            let slot = mine.0;
            lease.set(Some(mine));
            MINE.set(Some(slot));
            slot
        })
        .ok()
}

/// Marks the thread and every activity whose poll is on its stack as parked in one wait, until it is dropped.
pub(super) struct Parked {
    slots: Vec<&'static Slot>,
}

impl Parked {
    pub(super) fn new(slots: Vec<&'static Slot>, wait: &'static crate::slot::cell::WaitCell) -> Self {
        for slot in &slots {
            slot.parked_in.store(std::ptr::from_ref(wait).cast_mut(), Ordering::Release);
            // SeqCst as at the end of a poll: the last of a ring to stop sees the others stopped.
            slot.state.fetch_or(state::PARKED, Ordering::SeqCst);
        }
        Self { slots }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        for slot in &self.slots {
            slot.leave_parked();
        }
    }
}

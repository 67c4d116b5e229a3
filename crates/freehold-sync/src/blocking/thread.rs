//! Threads as members of the graph.

use crate::{
    shim::Ordering,
    slot::{Slot, state},
};
use std::{cell::OnceCell, panic::Location};

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
        // A guard that was forgotten keeps the slot: the lock names it as its holder for ever.
        if self.0.holds_nothing() {
            self.0.release_outside();
        }
    }
}

thread_local!(static MINE: OnceCell<ThreadSlot> = const { OnceCell::new() });

/// The slot of this thread; nothing while the thread ends.
#[inline]
pub(super) fn current() -> Option<&'static Slot> {
    MINE.try_with(|mine| mine.get_or_init(ThreadSlot::new).0).ok()
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

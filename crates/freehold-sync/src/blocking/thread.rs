//! Threads as members of the graph.
//!
//! # Invariants
//!
//! 1. `MINE` and `LEASE` belong to one thread, and are read and replaced in one step each; nothing of a user's runs in
//!    between. So whoever locks within a lock operation, or while the thread ends, finds both set or none.
//! 2. `MINE` is set only while `LEASE` has the slot. Once that is gone, which no look at it brings back, locks are booked to
//!    nobody, and a wait has a slot of its own.
//! 3. Others get to the slot by a lock that it holds or waits for, or by the list of all slots; never by what is kept here.
//!    So the end of a thread against their looks is that of any slot: it is given back when nothing is held under its name
//!    and none of its cells is in use, by its thread alone, and not under a freeze.
//! 4. A freeze does not stop a thread, it only keeps it `PARKED`. So a thread tells nobody anything while it is `PARKED`; it
//!    takes a grant by an exchange, as a sweep may pass that on at the same time; and before it leaves a wait it takes the
//!    source away and waits for the freeze to end.

use crate::{
    shim::{Ordering, thread, thread_local},
    slot::{Slot, state},
};
use std::{cell::Cell, panic::Location};

/// The slot of a thread, given back when the thread ends.
struct ThreadSlot(&'static Slot);

impl ThreadSlot {
    #[track_caller]
    fn new() -> Self {
        let slot = Slot::acquire_outside(state::THREAD, Location::caller());
        let thread = thread::current();
        let name = thread
            .name()
            .map_or_else(|| format!("thread {:?}", thread.id()), |name| format!("thread {name}"));
        slot.set_name(name.into());
        Self(slot)
    }
}

impl Drop for ThreadSlot {
    fn drop(&mut self) {
        let _ = MINE.try_with(|mine| mine.set(None));
        self.0.end_thread();
    }
}

#[cfg(not(any(loom, shuttle)))]
thread_local! {
    /// Needs no drop, so that a look at it needs no look at whether that has run.
    static MINE: Cell<Option<&'static Slot>> = const { Cell::new(None) };
    /// Gives the slot back when the thread ends.
    static LEASE: Cell<Option<ThreadSlot>> = const { Cell::new(None) };
}
#[cfg(any(loom, shuttle))]
thread_local! {
    static MINE: Cell<Option<&'static Slot>> = Cell::new(None);
    static LEASE: Cell<Option<ThreadSlot>> = Cell::new(None);
}

/// The slot of this thread; nothing while the thread ends.
#[inline(always)]
pub(super) fn current() -> Option<&'static Slot> {
    MINE.try_with(Cell::get).ok().flatten().or_else(enter)
}

#[cold]
fn enter() -> Option<&'static Slot> {
    LEASE
        .try_with(|lease| {
            let mine = ThreadSlot::new();
            let slot = mine.0;
            lease.set(Some(mine));
            MINE.with(|mine| mine.set(Some(slot)));
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

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::current;
    use crate::{
        blocking::{Mutex, MutexGuard},
        shim::Ordering,
        slot::{Slot, state},
    };
    use std::cell::RefCell;

    /// The state in which a thread has left its slot; nothing if somebody else has it by now.
    fn left(slot: &'static Slot, before: u64) -> Option<u64> {
        let now = slot.state.load(Ordering::Acquire);
        (state::epoch(now) == state::epoch(before)).then_some(now)
    }

    #[test]
    fn a_guard_that_is_dropped_after_the_end_returns_the_slot() {
        static M: Mutex<()> = Mutex::new(());
        thread_local!(static KEPT: RefCell<Option<MutexGuard<'static, ()>>> = const { RefCell::new(None) });
        let thread = std::thread::spawn(|| {
            // There before the slot, so dropped after it.
            KEPT.with_borrow_mut(|kept| *kept = M.lock().ok());
            current().map(|slot| (slot, slot.state.load(Ordering::Acquire)))
        });
        let (slot, before) = thread.join().unwrap().unwrap();
        assert!(left(slot, before).is_none_or(|now| now & state::FREE != 0));
        assert!(M.try_lock().is_some());
    }

    #[test]
    fn a_guard_that_is_forgotten_keeps_the_slot() {
        static M: Mutex<()> = Mutex::new(());
        let thread = std::thread::spawn(|| {
            std::mem::forget(M.lock());
            current().map(|slot| (slot, slot.state.load(Ordering::Acquire)))
        });
        let (slot, before) = thread.join().unwrap().unwrap();
        assert!(left(slot, before).is_some_and(|now| now & state::FREE == 0));
    }
}

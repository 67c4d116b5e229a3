//! What every guard has in it.

use crate::{
    acquire::{self, Acquired},
    raw::{self, RawLock},
    slot::Slot,
};
use std::{mem::ManuallyDrop, ptr};

/// Something of a lock that is held; given back when dropped.
pub(crate) struct Held<'a> {
    pub(crate) lock: &'a RawLock,
    pub(crate) need: u32,
    acquired: Acquired,
    /// Whether the thread was panicking already when it was acquired; such a guard does not poison.
    panicking: bool,
}

impl<'a> Held<'a> {
    #[inline]
    pub(crate) fn new(lock: &'a RawLock, need: u32, acquired: Acquired) -> Self {
        let panicking = lock.flag(raw::POISONING) && std::thread::panicking();
        Self { lock, need, acquired, panicking }
    }

    /// The activity it is booked to; null if nobody knows.
    pub(crate) fn holder(&self) -> *mut Slot {
        self.acquired.hold.map_or(ptr::null_mut(), |hold| ptr::from_ref(hold.owner()).cast_mut())
    }

    /// Takes the lock's lifetime off: the new owner keeps the lock alive and gives it back.
    pub(crate) fn into_owned(self) -> Owned {
        let this = ManuallyDrop::new(self);
        Owned { acquired: this.acquired, panicking: this.panicking }
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        poison(self.lock, self.panicking);
        acquire::give_back(self.lock, self.need, &self.acquired);
    }
}

#[inline]
fn poison(lock: &RawLock, panicking_before: bool) {
    if lock.flag(raw::POISONING) && !panicking_before && std::thread::panicking() {
        lock.set_flag(raw::POISONED);
    }
}

/// Something of a lock that is held, without the lock.
pub(crate) struct Owned {
    acquired: Acquired,
    panicking: bool,
}

impl Owned {
    /// Gives it back to `lock`, where it came from.
    pub(crate) fn give_back(&self, lock: &RawLock, need: u32) {
        poison(lock, self.panicking);
        acquire::give_back(lock, need, &self.acquired);
    }
}

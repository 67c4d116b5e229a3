//! What every guard has in it.

use crate::{
    acquire::{self, Acquired},
    raw::{self, Kind, RawLock},
    slot::Slot,
};
use std::{marker::PhantomData, mem::ManuallyDrop, ptr};

/// What kind of lock a guard is of, known at compile time so that giving back has nothing to decide.
pub(crate) trait Of {
    const KIND: Kind;
}

/// Of a mutex.
pub(crate) struct OfMutex;
/// Of a read-write lock.
pub(crate) struct OfRwLock;
/// Of a permit pool.
pub(crate) struct OfPool;

impl Of for OfMutex {
    const KIND: Kind = Kind::Mutex;
}

impl Of for OfRwLock {
    const KIND: Kind = Kind::RwLock;
}

impl Of for OfPool {
    const KIND: Kind = Kind::Pool;
}

/// Something of a lock that is held; given back when dropped.
pub(crate) struct Held<'a, K: Of> {
    pub(crate) lock: &'a RawLock,
    pub(crate) need: u32,
    acquired: Acquired,
    /// Whether the thread was panicking already when it was acquired; such a guard does not poison.
    panicking: bool,
    of: PhantomData<K>,
}

impl<'a, K: Of> Held<'a, K> {
    #[inline(always)]
    pub(crate) fn new(lock: &'a RawLock, need: u32, acquired: Acquired) -> Self {
        let panicking = lock.flag(raw::POISONING) && std::thread::panicking();
        Self { lock, need, acquired, panicking, of: PhantomData }
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

impl<K: Of> Drop for Held<'_, K> {
    #[inline(always)]
    fn drop(&mut self) {
        poison(self.lock, self.need, self.panicking);
        acquire::give_back(self.lock, K::KIND, self.need, self.acquired);
    }
}

#[inline(always)]
fn poison(lock: &RawLock, need: u32, panicking_before: bool) {
    // A reader changes nothing, so it leaves nothing half done.
    let reads = || lock.kind() == Kind::RwLock && need != raw::ALL_READERS;
    if lock.flag(raw::POISONING) && !panicking_before && std::thread::panicking() && !reads() {
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
        poison(lock, need, self.panicking);
        acquire::give_back(lock, lock.kind(), need, self.acquired);
    }
}

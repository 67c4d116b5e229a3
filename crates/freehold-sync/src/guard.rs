//! What every guard has in it.

use crate::{
    acquire::{self, Acquired},
    booking::Booking,
    raw::{self, ALL_READERS, Kind, RawLock},
    slot::Slot,
};
use std::{mem::ManuallyDrop, ptr};

/// What is held of which kind of lock. What is the same for all of a kind is known at compile time, and takes no room in
/// the guard.
pub(crate) trait Of: Copy {
    const KIND: Kind;
    /// Whether it can leave the value half changed.
    const WRITES: bool;
    /// Whether its guard stays on the thread it was taken by.
    const ON_THREAD: bool = false;

    fn new(need: u32, place: usize) -> Self;

    #[inline(always)]
    fn need(self) -> u32 {
        1
    }

    #[inline(always)]
    fn place(self) -> u32 {
        0
    }
}

/// A mutex.
#[derive(Clone, Copy)]
pub(crate) struct OfMutex;

/// A place of a reader.
#[derive(Clone, Copy)]
pub(crate) struct OfReader {
    place: usize,
}

/// All places of a read-write lock.
#[derive(Clone, Copy)]
pub(crate) struct OfWriter;

/// Permits.
#[derive(Clone, Copy)]
pub(crate) struct OfPool {
    need: usize,
}

/// What a guard holds that stays on its thread.
#[derive(Clone, Copy)]
pub(crate) struct OnThread<K>(K);

impl<K: Of> Of for OnThread<K> {
    const KIND: Kind = K::KIND;
    const WRITES: bool = K::WRITES;
    const ON_THREAD: bool = true;

    #[inline(always)]
    fn new(need: u32, place: usize) -> Self {
        Self(K::new(need, place))
    }

    #[inline(always)]
    fn need(self) -> u32 {
        self.0.need()
    }

    #[inline(always)]
    fn place(self) -> u32 {
        self.0.place()
    }
}

impl Of for OfMutex {
    const KIND: Kind = Kind::Mutex;
    const WRITES: bool = true;

    #[inline(always)]
    fn new(_need: u32, _place: usize) -> Self {
        Self
    }
}

impl Of for OfReader {
    const KIND: Kind = Kind::RwLock;
    const WRITES: bool = false;

    #[inline(always)]
    fn new(_need: u32, place: usize) -> Self {
        Self { place }
    }

    #[inline(always)]
    fn place(self) -> u32 {
        self.place as u32
    }
}

impl Of for OfWriter {
    const KIND: Kind = Kind::RwLock;
    const WRITES: bool = true;

    #[inline(always)]
    fn new(_need: u32, _place: usize) -> Self {
        Self
    }

    #[inline(always)]
    fn need(self) -> u32 {
        ALL_READERS
    }
}

impl Of for OfPool {
    const KIND: Kind = Kind::Pool;
    const WRITES: bool = false;

    #[inline(always)]
    fn new(need: u32, _place: usize) -> Self {
        Self { need: need as usize }
    }

    #[inline(always)]
    fn need(self) -> u32 {
        self.need as u32
    }
}

/// Something of a lock that is held; given back when dropped.
pub(crate) struct Held<'a, K: Of> {
    pub(crate) lock: &'a RawLock,
    booking: Booking,
    of: K,
}

impl<'a, K: Of> Held<'a, K> {
    #[inline(always)]
    pub(crate) fn new(lock: &'a RawLock, need: u32, acquired: Acquired) -> Self {
        Self { lock, booking: acquired.booking, of: K::new(need, acquired.place) }
    }

    pub(crate) fn need(&self) -> u32 {
        self.of.need()
    }

    /// The activity it is booked to; null if nobody knows.
    pub(crate) fn holder(&self) -> *mut Slot {
        self.booking.hold().map_or(ptr::null_mut(), |hold| ptr::from_ref(hold.owner()).cast_mut())
    }

    /// Holds something else of the same lock from now on; the caller has told the lock.
    pub(crate) fn into<L: Of>(self, need: u32, place: usize) -> Held<'a, L> {
        let this = ManuallyDrop::new(self);
        if this.lock.flag(raw::UNWINDING) {
            this.lock.clear_flag(raw::UNWINDING);
        }
        Held { lock: this.lock, booking: this.booking, of: L::new(need, place) }
    }

    /// Takes the lock's lifetime off: the new owner keeps the lock alive and gives it back.
    pub(crate) fn into_owned(self) -> Owned<K> {
        let this = ManuallyDrop::new(self);
        Owned { booking: this.booking, of: this.of }
    }
}

impl<K: Of> Drop for Held<'_, K> {
    #[inline(always)]
    fn drop(&mut self) {
        give_back(self.lock, self.booking, self.of);
    }
}

#[inline(always)]
fn give_back<K: Of>(lock: &RawLock, booking: Booking, of: K) {
    let may_poison = K::WRITES && lock.flag(raw::POISONING);
    let (need, place) = (of.need(), of.place());
    if may_poison || !acquire::give_back(lock, K::KIND, K::ON_THREAD, need, place, booking) {
        give_back_slowly(lock, need, place, booking, K::WRITES);
    }
}

/// Gives back anything.
#[cold]
#[inline(never)]
fn give_back_slowly(lock: &RawLock, need: u32, place: u32, booking: Booking, writes: bool) {
    if writes && lock.flag(raw::POISONING) {
        if lock.flag(raw::UNWINDING) {
            lock.clear_flag(raw::UNWINDING);
        } else if std::thread::panicking() {
            lock.set_flag(raw::POISONED);
        }
    }
    acquire::give_back_slowly(lock, need, place, booking);
}

/// Something of a lock that is held, without the lock.
pub(crate) struct Owned<K: Of> {
    booking: Booking,
    of: K,
}

impl<K: Of> Owned<K> {
    /// Gives it back to `lock`, where it came from.
    pub(crate) fn give_back(&self, lock: &RawLock) {
        give_back(lock, self.booking, self.of);
    }
}

/// Makes a guard stand for the value under its lock, for reading or also for writing. The last argument says where the
/// value is.
macro_rules! stands_for_value {
    (read $guard:ty, |$this:ident| $pointer:expr) => {
        impl<T: ?Sized> std::ops::Deref for $guard {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                let $this = self;
                let value = $pointer;
                // SAFETY: the guard holds the lock: the value is there, and nobody writes it but through `&mut` of the guard.
                unsafe { &*value }
            }
        }

        impl<T: ?Sized + std::fmt::Debug> std::fmt::Debug for $guard {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                (**self).fmt(f)
            }
        }
    };
    (write $guard:ty, |$this:ident| $pointer:expr) => {
        $crate::guard::stands_for_value!(read $guard, |$this| $pointer);

        impl<T: ?Sized> std::ops::DerefMut for $guard {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                let $this = self;
                let value = $pointer;
                // SAFETY: the guard holds the lock alone, and is borrowed alone.
                unsafe { &mut *value }
            }
        }
    };
}
pub(crate) use stands_for_value;

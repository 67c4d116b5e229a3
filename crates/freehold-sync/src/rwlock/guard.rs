//! What holds a read-write lock for as long as it is borrowed.

use crate::{
    guard::{Held, OfReader, OfWriter, Owned, stands_for_value},
    raw::rwlock,
};
use std::{marker::PhantomData, ptr::NonNull};

/// Reads under a [`RwLock`](crate::RwLock); gives it back when dropped.
#[must_use = "the lock is given back at once if the guard is not kept"]
#[clippy::has_significant_drop]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    held: Held<'a, OfReader>,
    value: NonNull<T>,
    _value: PhantomData<&'a T>,
}

/// Writes under a [`RwLock`](crate::RwLock); gives it back when dropped.
#[must_use = "the lock is given back at once if the guard is not kept"]
#[clippy::has_significant_drop]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    held: Held<'a, OfWriter>,
    value: NonNull<T>,
    _value: PhantomData<&'a mut T>,
}

/// Writes to a part of what is under a [`RwLock`](crate::RwLock), which it holds as a whole; see
/// [`RwLockWriteGuard::map`].
#[must_use = "the lock is given back at once if the guard is not kept"]
#[clippy::has_significant_drop]
pub struct MappedRwLockWriteGuard<'a, T: ?Sized> {
    held: Held<'a, OfWriter>,
    value: NonNull<T>,
    _value: PhantomData<&'a mut T>,
}

// SAFETY: as `&mut T`; the lock itself may be given back by any thread.
unsafe impl<T: ?Sized + Send> Send for MappedRwLockWriteGuard<'_, T> {}
// SAFETY: as `&T`.
unsafe impl<T: ?Sized + Sync> Sync for MappedRwLockWriteGuard<'_, T> {}
// SAFETY: as `&T`; the lock itself may be given back by any thread.
unsafe impl<T: ?Sized + Sync> Send for RwLockReadGuard<'_, T> {}
// SAFETY: as `&T`.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: as `&mut T`; a downgrade makes it shared.
unsafe impl<T: ?Sized + Send + Sync> Send for RwLockWriteGuard<'_, T> {}
// SAFETY: as `&T`.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    #[inline(always)]
    pub(super) fn new(held: Held<'a, OfReader>, value: NonNull<T>) -> Self {
        Self { held, value, _value: PhantomData }
    }

    pub(super) fn into_owned(self) -> Owned<OfReader> {
        self.held.into_owned()
    }

    /// A guard of a part of the value. An associated function, so that it does not hide methods of the value.
    pub fn map<U: ?Sized>(this: Self, part: impl FnOnce(&T) -> &U) -> RwLockReadGuard<'a, U> {
        let RwLockReadGuard { held, value, .. } = this;
        // SAFETY: we hold the lock for reading.
        let value = NonNull::from(part(unsafe { value.as_ref() }));
        RwLockReadGuard { held, value, _value: PhantomData }
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    #[inline(always)]
    pub(super) fn new(held: Held<'a, OfWriter>, value: NonNull<T>) -> Self {
        Self { held, value, _value: PhantomData }
    }

    pub(super) fn into_owned(self) -> Owned<OfWriter> {
        self.held.into_owned()
    }

    /// A guard of a part of the value. An associated function, so that it does not hide methods of the value.
    ///
    /// It cannot be downgraded: `part` may have gone through `&mut` into something that readers of the whole could change
    /// through `&` (the inside of a `Cell`, of a `Mutex`).
    ///
    /// ```compile_fail,E0308
    /// use freehold_sync::{RwLock, RwLockWriteGuard};
    /// let lock = RwLock::new(std::cell::Cell::new(1));
    /// let inside = RwLockWriteGuard::map(lock.try_write().unwrap(), |cell| cell.get_mut());
    /// let read = RwLockWriteGuard::downgrade(inside);
    /// ```
    pub fn map<U: ?Sized>(this: Self, part: impl FnOnce(&mut T) -> &mut U) -> MappedRwLockWriteGuard<'a, U> {
        let RwLockWriteGuard { held, mut value, .. } = this;
        // SAFETY: we hold the lock for writing, and the guard that could reach the value is gone.
        let value = NonNull::from(part(unsafe { value.as_mut() }));
        MappedRwLockWriteGuard { held, value, _value: PhantomData }
    }

    /// Goes on reading, without letting a writer in between. Readers that wait are let in.
    pub fn downgrade(this: Self) -> RwLockReadGuard<'a, T> {
        let RwLockWriteGuard { held, value, .. } = this;
        rwlock::downgrade(held.lock, held.holder());
        held.lock.let_in();
        RwLockReadGuard { held: held.into(1, 0), value, _value: PhantomData }
    }
}

impl<'a, T: ?Sized> MappedRwLockWriteGuard<'a, T> {
    /// A guard of a part of the part.
    pub fn map<U: ?Sized>(this: Self, part: impl FnOnce(&mut T) -> &mut U) -> MappedRwLockWriteGuard<'a, U> {
        let MappedRwLockWriteGuard { held, mut value, .. } = this;
        // SAFETY: we hold the lock for writing, and the guard that could reach the value is gone.
        let value = NonNull::from(part(unsafe { value.as_mut() }));
        MappedRwLockWriteGuard { held, value, _value: PhantomData }
    }
}

stands_for_value!(read RwLockReadGuard<'_, T>, |guard| guard.value.as_ptr());
stands_for_value!(write RwLockWriteGuard<'_, T>, |guard| guard.value.as_ptr());
stands_for_value!(write MappedRwLockWriteGuard<'_, T>, |guard| guard.value.as_ptr());

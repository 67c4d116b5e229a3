//! What holds a mutex.

use super::Mutex;
use crate::guard::{Held, OfMutex, Owned, stands_for_value};
use std::{fmt, marker::PhantomData, ptr::NonNull, sync::Arc};

/// Holds a [`Mutex`]; gives it back when dropped.
#[must_use = "the mutex is unlocked at once if the guard is not kept"]
#[clippy::has_significant_drop]
pub struct MutexGuard<'a, T: ?Sized> {
    pub(super) held: Held<'a, OfMutex>,
    pub(super) value: NonNull<T>,
    _value: PhantomData<&'a mut T>,
}

// SAFETY: as `&mut T`; the lock itself may be given back by any thread.
unsafe impl<T: ?Sized + Send> Send for MutexGuard<'_, T> {}
// SAFETY: as `&T`.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    #[inline(always)]
    pub(super) fn new(held: Held<'a, OfMutex>, value: NonNull<T>) -> Self {
        Self { held, value, _value: PhantomData }
    }

    /// A guard of a part of the value. An associated function, so that it does not hide methods of the value.
    pub fn map<U: ?Sized>(this: Self, part: impl FnOnce(&mut T) -> &mut U) -> MutexGuard<'a, U> {
        let MutexGuard { held, mut value, .. } = this;
        // SAFETY: we hold the lock, and the guard that could reach the value is gone.
        let value = NonNull::from(part(unsafe { value.as_mut() }));
        MutexGuard { held, value, _value: PhantomData }
    }
}

stands_for_value!(write MutexGuard<'_, T>, |guard| guard.value.as_ptr());

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Holds a [`Mutex`] and keeps it alive. It may go anywhere, so its holder is unknown to the graph.
#[must_use = "the mutex is unlocked at once if the guard is not kept"]
#[clippy::has_significant_drop]
pub struct OwnedMutexGuard<T: ?Sized> {
    held: Owned<OfMutex>,
    value: NonNull<T>,
    mutex: Arc<Mutex<T>>,
}

// SAFETY: as `Arc<Mutex<T>>` and `&mut T`.
unsafe impl<T: ?Sized + Send> Send for OwnedMutexGuard<T> {}
// SAFETY: as `&T`.
unsafe impl<T: ?Sized + Send + Sync> Sync for OwnedMutexGuard<T> {}

impl<T: ?Sized> OwnedMutexGuard<T> {
    pub(super) fn new(guard: MutexGuard<'_, T>, mutex: Arc<Mutex<T>>) -> Self {
        let MutexGuard { held, value, .. } = guard;
        Self { held: held.into_owned(), value, mutex }
    }

    /// The mutex it holds.
    pub fn mutex(this: &Self) -> &Arc<Mutex<T>> {
        &this.mutex
    }
}

impl<T: ?Sized> Drop for OwnedMutexGuard<T> {
    fn drop(&mut self) {
        self.held.give_back(&self.mutex.raw);
    }
}

stands_for_value!(write OwnedMutexGuard<T>, |guard| guard.value.as_ptr());

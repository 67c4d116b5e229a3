//! A mutex that blocks the thread.

use super::{take::lock_slowly, thread};
use crate::{
    acquire::{self, Acquired},
    class::{ClassRef, LockClass},
    deadline::Limit,
    error::LockError,
    free,
    guard::{Held, OfMutex, OnThread, stands_for_value},
    raw::{self, Kind, RawLock},
    shim::const_unless_modelled,
};
use std::{cell::UnsafeCell, fmt, marker::PhantomData, panic::Location, time::Duration};

/// A mutex that blocks the thread, in the graph; see the [module](super).
///
/// # Examples
///
/// ```
/// let m = freehold_sync::blocking::Mutex::new(1);
/// *m.lock().unwrap() += 1;
/// assert_eq!(m.into_inner(), 2);
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawLock,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through `&mut`, by ownership, or by the one holder of the lock.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above; sharing the mutex hands the value from thread to thread, so it must be `Send`.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    const_unless_modelled! {
        /// A mutex around `value`, whose class is named by the place of this call.
        #[track_caller]
        pub const fn new(value: T) -> Self {
            let class = ClassRef::made_at(Location::caller());
            Self { raw: RawLock::new(Kind::Mutex, 0, class, 0), value: UnsafeCell::new(value) }
        }
    }

    const_unless_modelled! {
        /// A mutex of the given class.
        pub const fn with_class(class: &'static LockClass, value: T) -> Self {
            Self { raw: RawLock::new(Kind::Mutex, 0, ClassRef::named(class), 0), value: UnsafeCell::new(value) }
        }
    }

    /// Makes a panic while it is locked poison it; see [`Mutex::poisoning`](crate::Mutex::poisoning).
    #[must_use]
    pub fn poisoning(self) -> Self {
        self.raw.set_flag(raw::POISONING);
        self
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks it, blocking the thread until it is free, for the default limit of 5 s at most.
    ///
    /// The thread is the holder. Inside an activity that keeps the guard across an await use
    /// [`Context::lock_blocking`](crate::Context::lock_blocking).
    ///
    /// # Errors
    ///
    /// [`LockError`]: a deadlock this wait was part of, the deadline, the order of levels (against what the thread holds in
    /// blocking locks), or poisoning.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, LockError> {
        self.lock_with(|| Limit::Default, Location::caller())
    }

    /// Locks it, blocking the thread for at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    #[track_caller]
    pub fn lock_within(&self, limit: Duration) -> Result<MutexGuard<'_, T>, LockError> {
        self.lock_with(|| Limit::Within(limit), Location::caller())
    }

    /// Locks it, blocking the thread until it is free or the wait is found to be part of a deadlock.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), without the deadline.
    #[track_caller]
    pub fn lock_without_deadline(&self) -> Result<MutexGuard<'_, T>, LockError> {
        self.lock_with(|| Limit::Never, Location::caller())
    }

    /// Locks it if it is free and not poisoned.
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let holder = thread::current();
        let place = self.raw.try_take(1, acquire::pointer(holder))?;
        let acquired = acquire::book(&self.raw, 1, Location::caller(), holder, place, None).ok()?;
        Some(self.guard(acquired))
    }

    /// `limit` is asked only if it is not free, so that nothing is made ready for that otherwise.
    #[inline(always)]
    fn lock_with(
        &self,
        limit: impl FnOnce() -> Limit,
        site: &'static Location<'static>,
    ) -> Result<MutexGuard<'_, T>, LockError> {
        let acquired = match self.take_free(site) {
            Some(acquired) => acquired,
            None => lock_slowly(&self.raw, 1, limit(), site)?,
        };
        Ok(self.guard(acquired))
    }

    /// Takes it if nobody has it and nobody is queued.
    #[inline(always)]
    fn take_free(&self, site: &'static Location<'static>) -> Option<Acquired> {
        let holder = Some(thread::current()?);
        let plain = free::is_plain::<OfMutex>(&self.raw, holder);
        if plain { free::take::<OfMutex>(&self.raw, holder, site) } else { None }
    }

    /// The value; the exclusive borrow proves that nobody has it locked.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Makes it usable again after a panic poisoned it.
    pub fn clear_poison(&self) {
        self.raw.clear_flag(raw::POISONED);
    }

    /// Its class.
    pub fn class(&self) -> &'static LockClass {
        self.raw.class()
    }

    pub(crate) fn raw(&self) -> &RawLock {
        &self.raw
    }

    #[inline]
    pub(crate) fn guard(&self, acquired: Acquired) -> MutexGuard<'_, T> {
        MutexGuard { held: Held::new(&self.raw, 1, acquired), value: &self.value, thread: PhantomData }
    }
}

impl<T: Default> Default for Mutex<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("class", &self.class().name()).finish_non_exhaustive()
    }
}

/// Holds a blocking [`Mutex`]; gives it back when dropped. It stays on its thread:
///
/// ```compile_fail,E0277
/// let m = freehold_sync::blocking::Mutex::new(1);
/// let guard = m.lock().unwrap();
/// std::thread::scope(|s| { s.spawn(move || drop(guard)); });
/// ```
#[must_use = "the mutex is unlocked at once if the guard is not kept"]
#[clippy::has_significant_drop]
pub struct MutexGuard<'a, T: ?Sized> {
    #[expect(dead_code, reason = "gives the lock back when it is dropped")]
    held: Held<'a, OnThread<OfMutex>>,
    value: &'a UnsafeCell<T>,
    thread: PhantomData<*mut ()>,
}

// SAFETY: as `&T`.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

stands_for_value!(write MutexGuard<'_, T>, |guard| guard.value.get());

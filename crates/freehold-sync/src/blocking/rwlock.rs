//! A read-write lock that blocks the thread.

use super::{take::lock_in, thread};
use crate::{
    acquire::Acquired,
    class::{ClassRef, LockClass},
    deadline::Limit,
    error::LockError,
    free,
    guard::{Held, OfReader, OfWriter, OnThread, stands_for_value},
    raw::{ALL_READERS, rwlock::RawRwLock},
    shim::const_unless_modelled,
};
use std::{cell::UnsafeCell, fmt, marker::PhantomData, panic::Location, time::Duration};

/// A read-write lock that blocks the thread, in the graph; see the [module](super). Fair, like
/// [`RwLock`](crate::RwLock).
///
/// # Examples
///
/// ```
/// let lock = freehold_sync::blocking::RwLock::new(1);
/// assert_eq!(*lock.read().unwrap(), 1);
/// *lock.write().unwrap() = 2;
/// assert_eq!(lock.into_inner(), 2);
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through `&mut`, by ownership, or by holders of the lock.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: as above; readers share the value, writers hand it from thread to thread.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

impl<T> RwLock<T> {
    const_unless_modelled! {
        /// A lock around `value`, whose class is named by the place of this call.
        #[track_caller]
        pub const fn new(value: T) -> Self {
            let class = ClassRef::made_at(Location::caller());
            Self { raw: RawRwLock::new(class, 0), value: UnsafeCell::new(value) }
        }
    }

    const_unless_modelled! {
        /// A lock of the given class.
        pub const fn with_class(class: &'static LockClass, value: T) -> Self {
            Self { raw: RawRwLock::new(ClassRef::named(class), 0), value: UnsafeCell::new(value) }
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks it for reading, blocking the thread, for the default limit of 5 s at most.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`](super::Mutex::lock).
    #[track_caller]
    pub fn read(&self) -> Result<RwLockReadGuard<'_, T>, LockError> {
        self.read_with(Limit::Default, Location::caller())
    }

    /// Locks it for reading, blocking the thread for at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`](super::Mutex::lock).
    #[track_caller]
    pub fn read_within(&self, limit: Duration) -> Result<RwLockReadGuard<'_, T>, LockError> {
        self.read_with(Limit::Within(limit), Location::caller())
    }

    fn read_with(
        &self,
        limit: Limit,
        site: &'static Location<'static>,
    ) -> Result<RwLockReadGuard<'_, T>, LockError> {
        let (lock, holder) = (self.raw.raw(), thread::current());
        if free::is_plain::<OfReader>(lock, holder)
            && let Some(acquired) = free::take::<OfReader>(lock, holder, site)
        {
            return Ok(self.read_guard(acquired));
        }
        lock_in(lock, 1, holder, limit, site).map(|acquired| self.read_guard(acquired))
    }

    /// Locks it for writing, blocking the thread, for the default limit of 5 s at most.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`](super::Mutex::lock).
    #[track_caller]
    pub fn write(&self) -> Result<RwLockWriteGuard<'_, T>, LockError> {
        self.write_with(Limit::Default, Location::caller())
    }

    /// Locks it for writing, blocking the thread for at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`](super::Mutex::lock).
    #[track_caller]
    pub fn write_within(&self, limit: Duration) -> Result<RwLockWriteGuard<'_, T>, LockError> {
        self.write_with(Limit::Within(limit), Location::caller())
    }

    fn write_with(
        &self,
        limit: Limit,
        site: &'static Location<'static>,
    ) -> Result<RwLockWriteGuard<'_, T>, LockError> {
        lock_in(self.raw.raw(), ALL_READERS, thread::current(), limit, site)
            .map(|acquired| self.write_guard(acquired))
    }

    /// The value; the exclusive borrow proves that nobody has it locked.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Its class.
    pub fn class(&self) -> &'static LockClass {
        self.raw.raw().class()
    }

    fn read_guard(&self, acquired: Acquired) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard {
            held: Held::new(self.raw.raw(), 1, acquired),
            value: &self.value,
            thread: PhantomData,
        }
    }

    fn write_guard(&self, acquired: Acquired) -> RwLockWriteGuard<'_, T> {
        let held = Held::new(self.raw.raw(), ALL_READERS, acquired);
        RwLockWriteGuard { held, value: &self.value, thread: PhantomData }
    }
}

impl<T: Default> Default for RwLock<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").field("class", &self.class().name()).finish_non_exhaustive()
    }
}

/// Reads under a blocking [`RwLock`]; gives it back when dropped. It stays on its thread.
#[must_use = "the lock is given back at once if the guard is not kept"]
#[clippy::has_significant_drop]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    #[expect(dead_code, reason = "gives the lock back when it is dropped")]
    held: Held<'a, OnThread<OfReader>>,
    value: &'a UnsafeCell<T>,
    thread: PhantomData<*mut ()>,
}

/// Writes under a blocking [`RwLock`]; gives it back when dropped. It stays on its thread.
#[must_use = "the lock is given back at once if the guard is not kept"]
#[clippy::has_significant_drop]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    #[expect(dead_code, reason = "gives the lock back when it is dropped")]
    held: Held<'a, OnThread<OfWriter>>,
    value: &'a UnsafeCell<T>,
    thread: PhantomData<*mut ()>,
}

// SAFETY: as `&T`.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: as `&T`.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

stands_for_value!(read RwLockReadGuard<'_, T>, |guard| guard.value.get());
stands_for_value!(write RwLockWriteGuard<'_, T>, |guard| guard.value.get());

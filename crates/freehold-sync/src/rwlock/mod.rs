//! An async read-write lock whose writer and readers the graph knows.

mod guard;
mod owned;

pub use guard::{MappedRwLockWriteGuard, RwLockReadGuard, RwLockWriteGuard};
pub use owned::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard};

use crate::{
    acquire::{Acquire, Acquired},
    class::{ClassRef, LockClass},
    error::LockError,
    guard::{Held, OfReader, OfWriter},
    raw::{self, ALL_READERS, RawLock, rwlock::RawRwLock},
    shim::const_unless_modelled,
    slot::Slot,
    wait::waits_for,
};
use std::{cell::UnsafeCell, fmt, future::Future, panic::Location, ptr::NonNull, sync::Arc};

/// An async read-write lock whose writer and readers the graph knows, each by itself.
///
/// Fair: first come, first served, readers that stand next to each other together. So a reader behind a waiting writer
/// waits; if its activity reads already that is a deadlock, which is proven, and broken by letting the reader
/// [go past](crate::guide::recovery#without-a-victim). To write what one reads already is one, too, and fails: give the
/// read guard back first.
///
/// Up to eight readers are named in place; more go to a list and cost a little more. At most 65,543 read at once.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), freehold_sync::LockError> {
/// let lock = freehold_sync::RwLock::new(1);
/// {
///     let (a, b) = (lock.read().await?, lock.read().await?);
///     assert_eq!(*a + *b, 2);
/// }
/// *lock.write().await? += 1;
/// assert_eq!(lock.into_inner(), 2);
/// # Ok(()) }
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
        ///
        /// Called through a function of the standard library, as in `iter.map(RwLock::new)`, that place is in there, and
        /// the class is one with all others made so: write `iter.map(|v| RwLock::new(v))`, or name it,
        /// [`with_class`](Self::with_class).
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

    /// Makes a panic of a writer poison it; see [`Mutex::poisoning`](crate::Mutex::poisoning).
    #[must_use]
    pub fn poisoning(self) -> Self {
        self.raw().set_flag(raw::POISONING);
        self
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks it for reading from anywhere. See [`Mutex::lock`](crate::Mutex::lock) for what that means, cancel safety
    /// and errors.
    #[inline]
    #[track_caller]
    pub fn read(&self) -> Read<'_, T> {
        Read::new(self, None, Location::caller())
    }

    /// Locks it for writing from anywhere. See [`Mutex::lock`](crate::Mutex::lock) for what that means, cancel safety
    /// and errors.
    #[inline]
    #[track_caller]
    pub fn write(&self) -> Write<'_, T> {
        Write::new(self, None, Location::caller())
    }

    /// Locks it for reading if that is possible now, nobody waits, and it is not poisoned.
    #[track_caller]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.try_read_with(None, Location::caller()).ok().flatten()
    }

    /// Locks it for writing if that is possible now, nobody waits, and it is not poisoned.
    #[track_caller]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.try_write_with(None, Location::caller()).ok().flatten()
    }

    pub(crate) fn try_read_with<'a>(
        &'a self,
        slot: Option<&'static Slot>,
        site: &'static Location<'static>,
    ) -> Result<Option<RwLockReadGuard<'a, T>>, LockError> {
        let acquired = Acquire::new(self.raw(), slot, 1, site).try_now()?;
        Ok(acquired.map(|acquired| self.read_guard(acquired)))
    }

    pub(crate) fn try_write_with<'a>(
        &'a self,
        slot: Option<&'static Slot>,
        site: &'static Location<'static>,
    ) -> Result<Option<RwLockWriteGuard<'a, T>>, LockError> {
        let acquired = Acquire::new(self.raw(), slot, ALL_READERS, site).try_now()?;
        Ok(acquired.map(|acquired| self.write_guard(acquired)))
    }

    /// Locks it for reading from anywhere, with a guard that keeps it alive and may be sent anywhere. Otherwise as
    /// [`read`](Self::read); the limit is the default one.
    #[track_caller]
    pub fn read_owned(self: Arc<Self>) -> impl Future<Output = Result<OwnedRwLockReadGuard<T>, LockError>> {
        let site = Location::caller();
        async move {
            let held = Read::new(&self, None, site).await?.into_owned();
            Ok(OwnedRwLockReadGuard { held, lock: self.clone() })
        }
    }

    /// Locks it for writing from anywhere, with a guard that keeps it alive and may be sent anywhere. Otherwise as
    /// [`write`](Self::write); the limit is the default one.
    #[track_caller]
    pub fn write_owned(self: Arc<Self>) -> impl Future<Output = Result<OwnedRwLockWriteGuard<T>, LockError>> {
        let site = Location::caller();
        async move {
            let held = Write::new(&self, None, site).await?.into_owned();
            Ok(OwnedRwLockWriteGuard { held, lock: self.clone() })
        }
    }

    /// The value; the exclusive borrow proves that nobody has it locked.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Whether a panic poisoned it.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.raw().flag(raw::POISONED)
    }

    /// Makes it usable again after a panic poisoned it.
    pub fn clear_poison(&self) {
        self.raw().clear_flag(raw::POISONED);
    }

    /// Its class.
    pub fn class(&self) -> &'static LockClass {
        self.raw().class()
    }

    fn raw(&self) -> &RawLock {
        self.raw.raw()
    }

    fn read_guard(&self, acquired: Acquired) -> RwLockReadGuard<'_, T> {
        // SAFETY: never null.
        let value = unsafe { NonNull::new_unchecked(self.value.get()) };
        RwLockReadGuard::new(Held::new(self.raw(), 1, acquired), value)
    }

    fn write_guard(&self, acquired: Acquired) -> RwLockWriteGuard<'_, T> {
        // SAFETY: never null.
        let value = unsafe { NonNull::new_unchecked(self.value.get()) };
        RwLockWriteGuard::new(Held::new(self.raw(), ALL_READERS, acquired), value)
    }
}

impl<T: Default> Default for RwLock<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    #[track_caller]
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").field("class", &self.class().name()).finish_non_exhaustive()
    }
}

waits_for! {
    /// Waits to read; see [`Context::read`](crate::Context::read) and [`RwLock::read`].
    Read for RwLock as OfReader, read_guard -> RwLockReadGuard
}

waits_for! {
    /// Waits to write; see [`Context::write`](crate::Context::write) and [`RwLock::write`].
    Write for RwLock as OfWriter, write_guard -> RwLockWriteGuard
}

//! An async read-write lock whose writer and readers the graph knows.

use crate::{
    acquire::{Acquire, Acquired, Limit},
    class::{ClassRef, LockClass},
    clock,
    error::LockError,
    guard::{Held, OfReader, OfWriter, Owned},
    mutex::limits_of,
    raw::{
        self, ALL_READERS,
        rwlock::{self, RawRwLock},
    },
    shim::const_unless_modelled,
    slot::Slot,
};
use std::{
    cell::UnsafeCell,
    fmt,
    future::Future,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    panic::Location,
    pin::Pin,
    ptr::NonNull,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

/// An async read-write lock whose writer and readers the graph knows, each by itself.
///
/// Fair: first come, first served, readers that stand next to each other together. So a reader behind a waiting writer
/// waits, also if its activity reads already; that is a deadlock, and is proven and broken as one. So is to write what
/// one reads already: give the read guard back first.
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
        self.raw.raw().set_flag(raw::POISONING);
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
        let acquired = Acquire::new(self.raw.raw(), slot, 1, site).try_now()?;
        Ok(acquired.map(|acquired| self.read_guard(acquired)))
    }

    pub(crate) fn try_write_with<'a>(
        &'a self,
        slot: Option<&'static Slot>,
        site: &'static Location<'static>,
    ) -> Result<Option<RwLockWriteGuard<'a, T>>, LockError> {
        let acquired = Acquire::new(self.raw.raw(), slot, ALL_READERS, site).try_now()?;
        Ok(acquired.map(|acquired| self.write_guard(acquired)))
    }

    /// Locks it for reading from anywhere, with a guard that keeps it alive and may be sent anywhere. Otherwise as
    /// [`read`](Self::read); the limit is the default one.
    #[track_caller]
    pub fn read_owned(self: Arc<Self>) -> impl Future<Output = Result<OwnedRwLockReadGuard<T>, LockError>> {
        let site = Location::caller();
        async move {
            let held = Read::new(&self, None, site).await?.held.into_owned();
            Ok(OwnedRwLockReadGuard { held, lock: self.clone() })
        }
    }

    /// Locks it for writing from anywhere, with a guard that keeps it alive and may be sent anywhere. Otherwise as
    /// [`write`](Self::write); the limit is the default one.
    #[track_caller]
    pub fn write_owned(self: Arc<Self>) -> impl Future<Output = Result<OwnedRwLockWriteGuard<T>, LockError>> {
        let site = Location::caller();
        async move {
            let held = Write::new(&self, None, site).await?.held.into_owned();
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
        self.raw.raw().flag(raw::POISONED)
    }

    /// Makes it usable again after a panic poisoned it.
    pub fn clear_poison(&self) {
        self.raw.raw().clear_flag(raw::POISONED);
    }

    /// Its class.
    pub fn class(&self) -> &'static LockClass {
        self.raw.raw().class()
    }

    fn read_guard(&self, acquired: Acquired) -> RwLockReadGuard<'_, T> {
        // SAFETY: never null.
        let value = unsafe { NonNull::new_unchecked(self.value.get()) };
        RwLockReadGuard { held: Held::new(self.raw.raw(), 1, acquired), value, _value: PhantomData }
    }

    fn write_guard(&self, acquired: Acquired) -> RwLockWriteGuard<'_, T> {
        // SAFETY: never null.
        let value = unsafe { NonNull::new_unchecked(self.value.get()) };
        RwLockWriteGuard {
            held: Held::new(self.raw.raw(), ALL_READERS, acquired),
            value,
            _value: PhantomData,
        }
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

/// Waits to read; see [`Context::read`](crate::Context::read) and [`RwLock::read`].
#[must_use = "futures do nothing unless polled"]
pub struct Read<'a, T: ?Sized> {
    pub(crate) acquire: Acquire<'a>,
    lock: &'a RwLock<T>,
}

impl<'a, T: ?Sized> Read<'a, T> {
    pub(crate) fn new(
        lock: &'a RwLock<T>,
        slot: Option<&'static Slot>,
        site: &'static Location<'static>,
    ) -> Self {
        Self { acquire: Acquire::new(lock.raw.raw(), slot, 1, site), lock }
    }

    limits_of!();

    #[inline(never)]
    fn poll_slowly(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<RwLockReadGuard<'a, T>, LockError>> {
        let lock = self.lock;
        self.acquire.poll(cx).map(|acquired| Ok(lock.read_guard(acquired?)))
    }
}

impl<'a, T: ?Sized> Future for Read<'a, T> {
    type Output = Result<RwLockReadGuard<'a, T>, LockError>;

    // Into the body: the guard is then made where it lives, and not copied piece by piece on the way.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if let Some(free) = self.acquire.poll_free::<OfReader>(cx) {
            return free.map(|acquired| Ok(self.lock.read_guard(acquired)));
        }
        self.poll_slowly(cx)
    }
}

/// Waits to write; see [`Context::write`](crate::Context::write) and [`RwLock::write`].
#[must_use = "futures do nothing unless polled"]
pub struct Write<'a, T: ?Sized> {
    pub(crate) acquire: Acquire<'a>,
    lock: &'a RwLock<T>,
}

impl<'a, T: ?Sized> Write<'a, T> {
    pub(crate) fn new(
        lock: &'a RwLock<T>,
        slot: Option<&'static Slot>,
        site: &'static Location<'static>,
    ) -> Self {
        Self { acquire: Acquire::new(lock.raw.raw(), slot, ALL_READERS, site), lock }
    }

    limits_of!();
}

impl<'a, T: ?Sized> Future for Write<'a, T> {
    type Output = Result<RwLockWriteGuard<'a, T>, LockError>;

    // Into the body: the guard is then made where it lives, and not copied piece by piece on the way.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let lock = self.lock;
        self.acquire.poll(cx).map(|acquired| Ok(lock.write_guard(acquired?)))
    }
}

impl<T: ?Sized> fmt::Debug for Read<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Read").finish_non_exhaustive()
    }
}

impl<T: ?Sized> fmt::Debug for Write<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write").finish_non_exhaustive()
    }
}

/// Reads under a [`RwLock`]; gives it back when dropped.
#[must_use = "the lock is given back at once if the guard is not kept"]
#[clippy::has_significant_drop]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    held: Held<'a, OfReader>,
    value: NonNull<T>,
    _value: PhantomData<&'a T>,
}

/// Writes under a [`RwLock`]; gives it back when dropped.
#[must_use = "the lock is given back at once if the guard is not kept"]
#[clippy::has_significant_drop]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    held: Held<'a, OfWriter>,
    value: NonNull<T>,
    _value: PhantomData<&'a mut T>,
}

/// Writes to a part of what is under a [`RwLock`], which it holds as a whole; see [`RwLockWriteGuard::map`].
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
    /// A guard of a part of the value. An associated function, so that it does not hide methods of the value.
    pub fn map<U: ?Sized>(this: Self, part: impl FnOnce(&T) -> &U) -> RwLockReadGuard<'a, U> {
        let RwLockReadGuard { held, value, .. } = this;
        // SAFETY: we hold the lock for reading.
        let value = NonNull::from(part(unsafe { value.as_ref() }));
        RwLockReadGuard { held, value, _value: PhantomData }
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
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

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: we hold the lock for reading.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> Deref for MappedRwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: we hold the lock for writing.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for MappedRwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: we hold the lock for writing.
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MappedRwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: we hold the lock for writing.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: we hold the lock for writing.
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Reads under a [`RwLock`] and keeps it alive. It may go anywhere, so its holder is unknown to the graph.
#[must_use = "the lock is given back at once if the guard is not kept"]
#[clippy::has_significant_drop]
pub struct OwnedRwLockReadGuard<T: ?Sized> {
    held: Owned<OfReader>,
    lock: Arc<RwLock<T>>,
}

/// Writes under a [`RwLock`] and keeps it alive. It may go anywhere, so its holder is unknown to the graph.
#[must_use = "the lock is given back at once if the guard is not kept"]
#[clippy::has_significant_drop]
pub struct OwnedRwLockWriteGuard<T: ?Sized> {
    held: Owned<OfWriter>,
    lock: Arc<RwLock<T>>,
}

impl<T: ?Sized> Drop for OwnedRwLockReadGuard<T> {
    fn drop(&mut self) {
        self.held.give_back(self.lock.raw.raw());
    }
}

impl<T: ?Sized> Drop for OwnedRwLockWriteGuard<T> {
    fn drop(&mut self) {
        self.held.give_back(self.lock.raw.raw());
    }
}

impl<T: ?Sized> Deref for OwnedRwLockReadGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: we hold the lock for reading.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for OwnedRwLockWriteGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: we hold the lock for writing.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for OwnedRwLockWriteGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: we hold the lock for writing.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for OwnedRwLockReadGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for OwnedRwLockWriteGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

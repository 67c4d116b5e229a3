//! An async mutex whose holder and waiters the graph knows.

use crate::{
    acquire::{Acquire, Acquired, Limit},
    class::{ClassRef, LockClass},
    clock,
    error::LockError,
    guard::{Held, OfMutex, Owned},
    raw::{self, Kind, RawLock},
    shim::const_unless_modelled,
    slot::Slot,
};
use std::{
    cell::UnsafeCell,
    fmt,
    future::Future,
    ops::{Deref, DerefMut},
    panic::Location,
    pin::Pin,
    ptr::NonNull,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

/// An async mutex whose holder and waiters the graph knows.
///
/// Inside an activity it is locked through the context, [`Context::lock`](crate::Context::lock): then a deadlock it is
/// part of is proven and broken at once. [`lock`](Self::lock) works anywhere, and gets deadlines and suspicions.
///
/// 48 bytes beside the value; no allocation.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), freehold_sync::LockError> {
/// let m = freehold_sync::Mutex::new(vec![1]);
/// m.lock().await?.push(2);
/// assert_eq!(m.into_inner(), [1, 2]);
/// # Ok(()) }
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
        ///
        /// Called through a function of the standard library, as in `iter.map(Mutex::new)`, that place is in there, and
        /// the class is one with all others made so: write `iter.map(|v| Mutex::new(v))`, or name it,
        /// [`with_class`](Self::with_class).
        #[track_caller]
        pub const fn new(value: T) -> Self {
            Self::from_parts(ClassRef::made_at(Location::caller()), 0, value)
        }
    }

    const_unless_modelled! {
        /// A mutex of the given class.
        pub const fn with_class(class: &'static LockClass, value: T) -> Self {
            Self::from_parts(ClassRef::named(class), 0, value)
        }
    }

    const_unless_modelled! {
        const fn from_parts(class: ClassRef, flags: u8, value: T) -> Self {
            Self { raw: RawLock::new(Kind::Mutex, 0, class, flags), value: UnsafeCell::new(value) }
        }
    }

    /// Makes a panic while it is locked poison it: from then on it cannot be locked until
    /// [`clear_poison`](Self::clear_poison). Without this a panic only releases it, as with tokio's mutex.
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
    /// Locks it from anywhere, waiting until it is free.
    ///
    /// The holder is not known to the graph, so a ring through it is suspected at most and ends at its deadlines. Inside
    /// an activity use [`Context::lock`](crate::Context::lock).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the queue; a turn it had goes to the next one.
    ///
    /// # Errors
    ///
    /// [`LockError`]: the deadline, 5 s unless the future's [`within`](Lock::within), [`until`](Lock::until) or
    /// [`without_deadline`](Lock::without_deadline) says otherwise; or poisoning. The order of levels is not checked: nobody
    /// knows what else the caller holds.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> Lock<'_, T> {
        Lock::new(self, None, Location::caller())
    }

    /// Locks it from anywhere, waiting for at most `limit`. See [`lock`](Self::lock).
    #[track_caller]
    pub fn lock_within(&self, limit: Duration) -> Lock<'_, T> {
        self.lock().within(limit)
    }

    /// Locks it from anywhere, waiting until `deadline` at the latest. See [`lock`](Self::lock).
    #[track_caller]
    pub fn lock_until(&self, deadline: Instant) -> Lock<'_, T> {
        self.lock().until(deadline)
    }

    /// Locks it if it is free and not poisoned ([`is_poisoned`](Self::is_poisoned) tells that from being locked).
    ///
    /// An `Option`, because outside of a context no order is checked, so nothing can be wrong with asking;
    /// [`Context::try_lock`](crate::Context::try_lock) has more to say.
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.try_with(None, Location::caller()).ok().flatten()
    }

    pub(crate) fn try_with<'a>(
        &'a self,
        slot: Option<&'static Slot>,
        site: &'static Location<'static>,
    ) -> Result<Option<MutexGuard<'a, T>>, LockError> {
        let acquired = Acquire::new(&self.raw, slot, 1, site).try_now()?;
        Ok(acquired.map(|acquired| self.guard(acquired)))
    }

    /// Locks it from anywhere, with a guard that keeps the mutex alive and may be sent anywhere. See [`lock`](Self::lock),
    /// also for cancel safety and errors; the limit is the default one.
    #[track_caller]
    pub fn lock_owned(self: Arc<Self>) -> impl Future<Output = Result<OwnedMutexGuard<T>, LockError>> {
        let site = Location::caller();
        async move {
            let guard = Lock::new(&self, None, site).await?;
            let held = guard.held.into_owned();
            let value = guard.value;
            Ok(OwnedMutexGuard { held, value, mutex: self.clone() })
        }
    }

    /// The value; the exclusive borrow proves that nobody has it locked.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Whether somebody holds it now.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.raw.word.load(crate::shim::Ordering::Relaxed) & raw::LOCKED != 0
    }

    /// Whether a panic poisoned it.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.raw.flag(raw::POISONED)
    }

    /// Makes it usable again after a panic poisoned it.
    pub fn clear_poison(&self) {
        self.raw.clear_flag(raw::POISONED);
    }

    /// Its class.
    pub fn class(&self) -> &'static LockClass {
        self.raw.class()
    }

    fn guard(&self, acquired: Acquired) -> MutexGuard<'_, T> {
        // SAFETY: never null.
        let value = unsafe { NonNull::new_unchecked(self.value.get()) };
        MutexGuard { held: Held::new(&self.raw, 1, acquired), value, _value: std::marker::PhantomData }
    }
}

impl<T: Default> Default for Mutex<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    #[track_caller]
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex")
            .field("class", &self.class().name())
            .field("locked", &self.is_locked())
            .finish_non_exhaustive()
    }
}

macro_rules! limits_of {
    () => {
        /// Sets how long to wait at most, from the moment the wait begins.
        pub fn within(mut self, limit: Duration) -> Self {
            self.acquire.limit = Limit::Within(limit);
            self
        }

        /// Sets until when to wait at most. What is free is had even later.
        pub fn until(mut self, deadline: Instant) -> Self {
            self.acquire.limit = Limit::At(clock::of(deadline));
            self
        }

        /// Waits without a deadline of its own. That of the activity still holds, and deadlocks are still found.
        pub fn without_deadline(mut self) -> Self {
            self.acquire.limit = Limit::Never;
            self
        }
    };
}
pub(crate) use limits_of;

/// Waits for a [`Mutex`]; see [`Context::lock`](crate::Context::lock) and [`Mutex::lock`].
#[must_use = "futures do nothing unless polled"]
pub struct Lock<'a, T: ?Sized> {
    pub(crate) acquire: Acquire<'a>,
    mutex: &'a Mutex<T>,
}

impl<'a, T: ?Sized> Lock<'a, T> {
    pub(crate) fn new(
        mutex: &'a Mutex<T>,
        slot: Option<&'static Slot>,
        site: &'static Location<'static>,
    ) -> Self {
        Self { acquire: Acquire::new(&mutex.raw, slot, 1, site), mutex }
    }

    limits_of!();

    #[inline(never)]
    fn poll_slowly(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<MutexGuard<'a, T>, LockError>> {
        let mutex = self.mutex;
        self.acquire.poll(cx).map(|acquired| Ok(mutex.guard(acquired?)))
    }
}

impl<'a, T: ?Sized> Future for Lock<'a, T> {
    type Output = Result<MutexGuard<'a, T>, LockError>;

    // Into the body: the guard is then made where it lives, and not copied piece by piece on the way.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if let Some(free) = self.acquire.poll_free::<OfMutex>(cx) {
            return free.map(|acquired| Ok(self.mutex.guard(acquired)));
        }
        self.poll_slowly(cx)
    }
}

impl<T: ?Sized> fmt::Debug for Lock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

/// Holds a [`Mutex`]; gives it back when dropped.
#[must_use = "the mutex is unlocked at once if the guard is not kept"]
#[clippy::has_significant_drop]
pub struct MutexGuard<'a, T: ?Sized> {
    held: Held<'a, OfMutex>,
    value: NonNull<T>,
    _value: std::marker::PhantomData<&'a mut T>,
}

// SAFETY: as `&mut T`; the lock itself may be given back by any thread.
unsafe impl<T: ?Sized + Send> Send for MutexGuard<'_, T> {}
// SAFETY: as `&T`.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// A guard of a part of the value. An associated function, so that it does not hide methods of the value.
    pub fn map<U: ?Sized>(this: Self, part: impl FnOnce(&mut T) -> &mut U) -> MutexGuard<'a, U> {
        let MutexGuard { held, mut value, .. } = this;
        // SAFETY: we hold the lock, and the guard that could reach the value is gone.
        let value = NonNull::from(part(unsafe { value.as_mut() }));
        MutexGuard { held, value, _value: std::marker::PhantomData }
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: we hold the lock.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: we hold the lock.
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

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

impl<T: ?Sized> Deref for OwnedMutexGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: we hold the lock.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for OwnedMutexGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: we hold the lock.
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for OwnedMutexGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

//! An async mutex whose holder and waiters the graph knows.

mod guard;

pub use guard::{MutexGuard, OwnedMutexGuard};

use crate::{
    acquire::{Acquire, Acquired},
    class::{ClassRef, LockClass},
    error::LockError,
    guard::{Held, OfMutex},
    raw::{self, Kind, RawLock},
    shim::{Ordering, const_unless_modelled},
    slot::Slot,
    wait::waits_for,
};
use std::{
    cell::UnsafeCell,
    fmt,
    future::Future,
    panic::Location,
    ptr::NonNull,
    sync::Arc,
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
            Ok(OwnedMutexGuard::new(guard, self.clone()))
        }
    }

    /// The value; the exclusive borrow proves that nobody has it locked.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Whether somebody holds it now.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.raw.word.load(Ordering::Relaxed) & raw::LOCKED != 0
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

    #[inline]
    fn raw(&self) -> &RawLock {
        &self.raw
    }

    #[inline]
    fn guard(&self, acquired: Acquired) -> MutexGuard<'_, T> {
        // SAFETY: never null.
        let value = unsafe { NonNull::new_unchecked(self.value.get()) };
        MutexGuard::new(Held::new(&self.raw, 1, acquired), value)
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

waits_for! {
    /// Waits for a [`Mutex`]; see [`Context::lock`](crate::Context::lock) and [`Mutex::lock`].
    Lock for Mutex as OfMutex, guard -> MutexGuard
}

//! A fixed number of permits whose holders the graph knows.

use crate::{
    acquire::{Acquire, Acquired},
    class::{ClassRef, LockClass},
    deadline::limits_of,
    error::LockError,
    guard::{Held, OfPool},
    raw::pool::RawPool,
    shim::{Ordering, const_unless_modelled},
    slot::Slot,
};
use std::{
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

/// A fixed number of permits whose holders the graph knows.
///
/// First come, first served. If all permits are held by activities that each want one more, that is a deadlock, and is
/// proven and broken as one; as long as one permit is held by somebody who may give it back, it is not.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use freehold_sync::{PermitPool, activity};
///
/// let pool = PermitPool::new(2);
/// activity(async |ctx| {
///     let _one = ctx.permit(&pool).await?;
///     assert_eq!(pool.available(), 1);
///     Ok::<_, freehold_sync::LockError>(())
/// })
/// .await
/// .unwrap()
/// .unwrap();
/// assert_eq!(pool.available(), 2);
/// # }
/// ```
pub struct PermitPool {
    raw: RawPool,
    size: u32,
}

impl PermitPool {
    const_unless_modelled! {
        /// A pool of `size` permits, whose class is named by the place of this call. Of an empty pool nothing can be
        /// taken: every attempt panics.
        #[track_caller]
        pub const fn new(size: u32) -> Self {
            Self { raw: RawPool::new(size, ClassRef::made_at(Location::caller())), size }
        }
    }

    const_unless_modelled! {
        /// A pool of the given class. See [`new`](Self::new).
        pub const fn with_class(class: &'static LockClass, size: u32) -> Self {
            Self { raw: RawPool::new(size, ClassRef::named(class)), size }
        }
    }

    /// Takes one permit from anywhere. See [`Mutex::lock`](crate::Mutex::lock) for what that means, cancel safety and
    /// errors; beyond these, [`LockError::Closed`].
    ///
    /// # Panics
    ///
    /// If the pool's size is zero.
    #[track_caller]
    pub fn acquire(&self) -> AcquirePermits<'_> {
        self.acquire_many(1)
    }

    /// Takes `count` permits together, from anywhere. See [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// If `count` is zero or more than the pool's size.
    #[track_caller]
    pub fn acquire_many(&self, count: u32) -> AcquirePermits<'_> {
        AcquirePermits::new(self, None, count, Location::caller())
    }

    /// Takes one permit if one is free now, nobody waits, and the pool is not closed. An `Option`, as with
    /// [`Mutex::try_lock`](crate::Mutex::try_lock).
    ///
    /// # Panics
    ///
    /// If the pool's size is zero.
    #[track_caller]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.try_with(None, 1, Location::caller()).ok().flatten()
    }

    pub(crate) fn try_with<'a>(
        &'a self,
        slot: Option<&'static Slot>,
        count: u32,
        site: &'static Location<'static>,
    ) -> Result<Option<Permit<'a>>, LockError> {
        self.check(count);
        let acquired = Acquire::new(self.raw.raw(), slot, count, site).try_now()?;
        Ok(acquired.map(|acquired| self.permit(count, acquired)))
    }

    /// Hands out nothing any more, and ends every wait with [`LockError::Closed`]. Permits that are held stay good. There is
    /// no way back.
    pub fn close(&self) {
        self.raw.raw().shut();
    }

    /// How many permits there are.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// How many are free now. It may be another number by the time you look at it.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.raw.raw().word.load(Ordering::Relaxed) as u32
    }

    /// Its class.
    pub fn class(&self) -> &'static LockClass {
        self.raw.raw().class()
    }

    #[track_caller]
    fn check(&self, count: u32) {
        assert!(
            count > 0 && count <= self.size,
            "asked for {count} permits of a pool of {}; nobody could ever have them",
            self.size
        );
    }

    fn permit(&self, count: u32, acquired: Acquired) -> Permit<'_> {
        Permit { held: Held::new(self.raw.raw(), count, acquired) }
    }
}

impl fmt::Debug for PermitPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PermitPool")
            .field("size", &self.size)
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}

/// Waits for permits; see [`Context::permits`](crate::Context::permits) and [`PermitPool::acquire`].
#[must_use = "futures do nothing unless polled"]
pub struct AcquirePermits<'a> {
    pub(crate) acquire: Acquire<'a>,
    pool: &'a PermitPool,
    count: u32,
}

impl<'a> AcquirePermits<'a> {
    #[track_caller]
    pub(crate) fn new(
        pool: &'a PermitPool,
        slot: Option<&'static Slot>,
        count: u32,
        site: &'static Location<'static>,
    ) -> Self {
        pool.check(count);
        Self { acquire: Acquire::new(pool.raw.raw(), slot, count, site), pool, count }
    }

    limits_of!();
}

impl<'a> Future for AcquirePermits<'a> {
    type Output = Result<Permit<'a>, LockError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let (pool, count) = (self.pool, self.count);
        self.acquire.poll(cx).map(|acquired| Ok(pool.permit(count, acquired?)))
    }
}

impl fmt::Debug for AcquirePermits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquirePermits").field("count", &self.count).finish_non_exhaustive()
    }
}

/// Permits of a [`PermitPool`]; given back when dropped.
#[must_use = "the permits are given back at once if they are not kept"]
#[clippy::has_significant_drop]
pub struct Permit<'a> {
    held: Held<'a, OfPool>,
}

impl Permit<'_> {
    /// How many permits these are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.held.need()
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.held.need()).finish()
    }
}

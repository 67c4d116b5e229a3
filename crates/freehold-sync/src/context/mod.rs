//! What an activity's body gets: the way to everything it may wait for.

mod aside;
mod cancelled;
mod children;
mod owned;
mod within;

pub use aside::Aside;
pub use cancelled::Cancelled;
pub use children::Selected;
pub use owned::OwnedContext;
pub use within::{Within, within};

use crate::{
    blocking, clock,
    deadline::Limit,
    error::LockError,
    lock_set::{LockAll, LockSet},
    mutex::{Lock, Mutex, MutexGuard},
    name::ActivityName,
    permit_pool::{AcquirePermits, Permit, PermitPool},
    rwlock::{Read, RwLock, RwLockReadGuard, RwLockWriteGuard, Write},
    shim::Ordering,
    slot::{Slot, poll},
};
use std::{
    borrow::Cow,
    fmt,
    future::Future,
    panic::Location,
    time::{Duration, Instant},
};

/// The context of an activity; see [`activity`](crate::activity).
///
/// It cannot be cloned or kept: what is acquired through it borrows from it, and so stays in its activity.
pub struct Context {
    slot: &'static Slot,
}

impl Context {
    pub(crate) fn new(slot: &'static Slot) -> Self {
        Self { slot }
    }

    #[inline]
    pub(crate) fn slot(&self) -> &'static Slot {
        self.slot
    }

    /// The name of the activity; empty if it has none.
    #[must_use]
    pub fn name(&self) -> Cow<'static, str> {
        self.slot.name()
    }

    /// Gives the activity another name.
    pub fn set_name(&self, name: impl Into<ActivityName>) {
        self.slot.set_name(name.into().cut());
    }

    /// Sets the deadline of the activity's waits anew; see [`Activity::deadline`](crate::Activity::deadline). The next wait
    /// goes by it, one that has begun does not.
    pub fn set_deadline(&self, at: Instant) {
        self.slot.deadline.set(clock::of(at));
    }

    /// The birth stamp of the activity, for a re-run that is to keep it; see [`Activity::born`](crate::Activity::born).
    #[must_use]
    pub fn birth(&self) -> u64 {
        self.slot.birth.load(Ordering::Relaxed)
    }

    /// How many locks and permits the activity holds; permits taken together count once. Exact inside of the activity; from
    /// elsewhere, of some moment.
    #[must_use]
    pub fn holds(&self) -> usize {
        self.slot.held().count()
    }

    /// Locks `mutex`, waiting until it is free.
    ///
    /// Waits in order of arrival (a task that runs may overtake the first waiter once), for the default limit of 5 s
    /// unless the future's [`within`](Lock::within), [`until`](Lock::until) or
    /// [`without_deadline`](Lock::without_deadline) says otherwise.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the queue; a turn it had goes to the next one.
    ///
    /// Polled by anything but its own activity (moved to another task, say), the future still works, and what it gets is
    /// booked to a holder that nobody knows.
    ///
    /// # Errors
    ///
    /// * [`LockError::Deadlock`]: this wait was chosen to break a ring; or the activity is doomed by an earlier one, still
    ///   holds something, and would have to wait.
    /// * [`LockError::Timeout`]: the deadline passed. A mutex that is free is had even then.
    /// * [`LockError::Order`]: its level may not be taken now, under [`OrderMode::Refuse`](crate::OrderMode::Refuse).
    /// * [`LockError::Poisoned`]: somebody panicked while they held it, and it is [`poisoning`](Mutex::poisoning).
    ///
    /// # Panics
    ///
    /// On a wrong order of levels, under [`OrderMode::Panic`](crate::OrderMode::Panic).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use freehold_sync::{Mutex, activity};
    ///
    /// let m = Mutex::new(1);
    /// let sum = activity(async |ctx| {
    ///     let mut n = ctx.lock(&m).await?;
    ///     *n += 1;
    ///     Ok::<_, freehold_sync::LockError>(*n)
    /// });
    /// assert_eq!(sum.await.unwrap().unwrap(), 2);
    /// # }
    /// ```
    #[inline]
    #[track_caller]
    pub fn lock<'a, T: ?Sized>(&'a self, mutex: &'a Mutex<T>) -> Lock<'a, T> {
        Lock::new(mutex, Some(self.slot), Location::caller())
    }

    /// Locks `mutex`, waiting for at most `limit` from the moment the wait begins. See [`lock`](Self::lock).
    #[inline]
    #[track_caller]
    pub fn lock_within<'a, T: ?Sized>(&'a self, mutex: &'a Mutex<T>, limit: Duration) -> Lock<'a, T> {
        self.lock(mutex).within(limit)
    }

    /// Locks `mutex`, waiting until `deadline` at the latest. See [`lock`](Self::lock).
    #[inline]
    #[track_caller]
    pub fn lock_until<'a, T: ?Sized>(&'a self, mutex: &'a Mutex<T>, deadline: Instant) -> Lock<'a, T> {
        self.lock(mutex).until(deadline)
    }

    /// Locks `mutex` if it is free now; `Ok(None)` if somebody has it. Never waits.
    ///
    /// `Ok(None)` says "later, perhaps", an error says "not like this": who takes one for the other would try for ever.
    ///
    /// # Errors
    ///
    /// [`LockError::Order`] and [`LockError::Poisoned`], as [`lock`](Self::lock).
    #[track_caller]
    pub fn try_lock<'a, T: ?Sized>(
        &'a self,
        mutex: &'a Mutex<T>,
    ) -> Result<Option<MutexGuard<'a, T>>, LockError> {
        mutex.try_with(Some(self.slot), Location::caller())
    }

    /// Locks a whole set, in one order for everybody, so that two such calls never block each other for good: by the levels
    /// of their classes, those without one last, and then by their addresses. The guards come in the order of the argument.
    ///
    /// The set is an array, a `Vec` or a slice of `&Mutex`, or a tuple of up to six, in which there may also be waits that
    /// have not begun: `self.read(..)`, `self.write(..)`, `self.permits(..)`, and `self.lock(..)` with a limit of its own.
    /// Locks of one level may be in one set; what is held already has to be below all of them.
    ///
    /// Waits for one after the other, for each with its own limit, the default one unless something else was said; for a
    /// limit of the whole see [`within`](Self::within).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives back what it has locked already, and leaves the queue it is in.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock); those already locked are given back. [`LockError::Twice`] if one lock or pool is in the set
    /// twice, be it for reading: then nothing was locked.
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use freehold_sync::{LockError, Mutex, RwLock, activity};
    ///
    /// let (from, to) = (Mutex::new(5), Mutex::new(0));
    /// let (rates, journal) = (RwLock::new(2), RwLock::new(String::new()));
    /// let moved = activity(async |ctx| {
    ///     {
    ///         let [mut from, mut to] = ctx.lock_all([&from, &to]).await?;
    ///         (*from, *to) = (0, *from);
    ///     }
    ///     let set = (&to, ctx.read(&rates), ctx.write(&journal));
    ///     let (to, rate, mut journal) = ctx.lock_all(set).await?;
    ///     journal.push_str("moved");
    ///     Ok::<_, LockError>(*to * *rate)
    /// });
    /// assert_eq!(moved.await.unwrap().unwrap(), 10);
    /// # }
    /// ```
    ///
    /// As with `lock`, no guard can leave the activity:
    ///
    /// ```compile_fail
    /// # use freehold_sync::{Mutex, activity};
    /// static M: Mutex<i32> = Mutex::new(0);
    /// let leaving = activity(async |ctx| ctx.lock_all((&M,)).await);
    /// ```
    #[track_caller]
    pub fn lock_all<'a, S: LockSet<'a>>(&'a self, set: S) -> LockAll<S::Waits> {
        LockAll::new(set.waits(self, Location::caller()))
    }

    /// Locks `lock` for reading, together with other readers.
    ///
    /// First come, first served: a reader that comes after a waiting writer waits behind it, also if its activity reads
    /// already. Cancel safety as [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    #[inline]
    #[track_caller]
    pub fn read<'a, T: ?Sized>(&'a self, lock: &'a RwLock<T>) -> Read<'a, T> {
        Read::new(lock, Some(self.slot), Location::caller())
    }

    /// Locks `lock` for writing, alone, in order of arrival. An activity that reads it already waits for itself, which is
    /// proven as a ring of one. Cancel safety as [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    #[inline]
    #[track_caller]
    pub fn write<'a, T: ?Sized>(&'a self, lock: &'a RwLock<T>) -> Write<'a, T> {
        Write::new(lock, Some(self.slot), Location::caller())
    }

    /// Locks `lock` for reading if that is possible now and nobody waits; else `Ok(None)`.
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock).
    #[track_caller]
    pub fn try_read<'a, T: ?Sized>(
        &'a self,
        lock: &'a RwLock<T>,
    ) -> Result<Option<RwLockReadGuard<'a, T>>, LockError> {
        lock.try_read_with(Some(self.slot), Location::caller())
    }

    /// Locks `lock` for writing if that is possible now and nobody waits; else `Ok(None)`.
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock).
    #[track_caller]
    pub fn try_write<'a, T: ?Sized>(
        &'a self,
        lock: &'a RwLock<T>,
    ) -> Result<Option<RwLockWriteGuard<'a, T>>, LockError> {
        lock.try_write_with(Some(self.slot), Location::caller())
    }

    /// Takes one permit of `pool`, in order of arrival. Cancel safety as [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), and [`LockError::Closed`]. A pool is never poisoned.
    ///
    /// # Panics
    ///
    /// If the pool's size is zero.
    #[inline]
    #[track_caller]
    pub fn permit<'a>(&'a self, pool: &'a PermitPool) -> AcquirePermits<'a> {
        self.permits(pool, 1)
    }

    /// Takes `count` permits of `pool` together, in order of arrival.
    ///
    /// # Errors
    ///
    /// As [`permit`](Self::permit).
    ///
    /// # Panics
    ///
    /// If `count` is zero or more than the pool's size.
    #[track_caller]
    pub fn permits<'a>(&'a self, pool: &'a PermitPool, count: u32) -> AcquirePermits<'a> {
        AcquirePermits::new(pool, Some(self.slot), count, Location::caller())
    }

    /// Takes `count` permits of `pool` if they are free now and nobody waits; else `Ok(None)`.
    ///
    /// # Errors
    ///
    /// [`LockError::Order`] and [`LockError::Closed`].
    ///
    /// # Panics
    ///
    /// As [`permits`](Self::permits).
    #[track_caller]
    pub fn try_permits<'a>(
        &'a self,
        pool: &'a PermitPool,
        count: u32,
    ) -> Result<Option<Permit<'a>>, LockError> {
        pool.try_with(Some(self.slot), count, Location::caller())
    }

    /// Locks a blocking mutex for the activity, which the graph then knows as its holder, also across an await. (The guard
    /// is not `Send`, so a body that holds it across an await can be run in place or on a local set, not spawned.)
    ///
    /// Blocks the thread until it is free, for at most the default limit of 5 s; every activity whose poll is on the
    /// thread's stack waits with it.
    ///
    /// # Errors
    ///
    /// As [`blocking::Mutex::lock`](crate::blocking::Mutex::lock).
    #[track_caller]
    pub fn lock_blocking<'a, T: ?Sized>(
        &'a self,
        mutex: &'a blocking::Mutex<T>,
    ) -> Result<blocking::MutexGuard<'a, T>, LockError> {
        // Outside of its activity's poll (in a scoped thread, say) nobody knows who holds it.
        let holder = poll::current().filter(|current| current.is(self.slot));
        blocking::lock_in(mutex.raw(), 1, holder, Limit::Default, Location::caller())
            .map(|acquired| mutex.guard(acquired))
    }

    /// Ready once the activity was cancelled through its [`ActivityHandle`](crate::ActivityHandle).
    ///
    /// It is no sign of life: a ring that waits for locks and for this is proven all the same. An activity that waits for
    /// nothing else is never stuck.
    ///
    /// # Cancel safety
    ///
    /// A cancel is not lost: once cancelled, this is ready whenever it is asked.
    #[track_caller]
    pub fn cancelled(&self) -> Cancelled<'_> {
        Cancelled::new(self, Location::caller())
    }

    /// Whether the activity was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.slot.cancelled.load(Ordering::Acquire)
    }

    /// Runs `future`, for at most `limit` from this call on. The deadline is no sign of life, unlike a timer of the runtime.
    ///
    /// # Cancel safety
    ///
    /// That of `future`, which is dropped with it.
    ///
    /// # Errors
    ///
    /// [`Timeout`](crate::Timeout), which names what the activity held and whom it waited for. The future is dropped
    /// together with this one, so at the end of the `await`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use freehold_sync::activity;
    /// use std::{future::pending, time::Duration};
    ///
    /// let late = activity(async |ctx| ctx.within(Duration::from_millis(5), pending::<()>()).await.is_err());
    /// assert!(late.await.unwrap());
    /// # }
    /// ```
    #[track_caller]
    pub fn within<'a, F: Future>(&'a self, limit: Duration, future: F) -> Within<'a, F> {
        Within::new(Some(self), limit, future, Location::caller())
    }

    /// Polls `future` with a waker that is no sign of life: for a shutdown token, a watch, anything that may end the
    /// wait from outside but will not of itself.
    ///
    /// Whoever declares a future that *does* make progress of itself this way may see a verdict where there is no
    /// deadlock. Under a combinator with wakers of its own (`FuturesUnordered`) it has no effect: there the future is
    /// polled as it is.
    ///
    /// # Cancel safety
    ///
    /// That of `future`.
    #[track_caller]
    pub fn aside<'a, F: Future>(&'a self, future: F) -> Aside<'a, F> {
        Aside::new(self, future, Location::caller())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("name", &self.name()).finish_non_exhaustive()
    }
}

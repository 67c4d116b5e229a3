//! The one future behind every wait for a lock.
//!
//! # Invariants
//!
//! 1. A poll is *bound* while the activity the future was made for is the one being polled. Only a bound poll touches
//!    the tables of that activity's slot, and books what it gets to it; any other books to nobody.
//! 2. A cell is the activity's own only as long as its future is polled, bound, with the activity's own waker. Any other
//!    wait has a slot of its own: what wakes it is foreign to the activity, and it may be inside a `block_on`, where no
//!    end of a poll would come by.
//! 3. When the future is dropped its cell is out of the queue, and a turn it had has gone to the next one.
//! 4. The stamp of the poll comes before the coop budget is asked: who ran out of budget was polled, and keeps its turn.

use crate::{
    clock::{self, NEVER, Ticks},
    driver,
    error::{LockError, Timeout},
    graph, limits, metrics, order,
    raw::{self, Kind, Queued, RawLock, mutex, wakes::Wakes},
    report::{Grade, LockName},
    shim::Ordering,
    slot::{
        Slot,
        cell::{self, Parked, Source, WaitCell},
        holds::HeldEntry,
        poll, state, waker,
    },
};
use std::{
    panic::Location,
    ptr,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

/// How long a wait may last.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    Default,
    Within(Duration),
    At(Ticks),
    Never,
}

impl Limit {
    pub(crate) fn deadline(self, now: Ticks, slot: Option<&'static Slot>) -> Ticks {
        let own = match self {
            Self::Default => clock::after(now, crate::settings::wait_limit()),
            Self::Within(wait) => clock::after(now, wait),
            Self::At(at) => at,
            Self::Never => NEVER,
        };
        slot.map_or(own, |slot| own.min(slot.deadline.get()))
    }
}

/// What a successful wait got.
#[derive(Clone, Copy)]
pub(crate) struct Acquired {
    pub(crate) hold: Option<&'static HeldEntry>,
    /// When it was acquired, if its hold is timed; else zero.
    pub(crate) since: Ticks,
    pub(crate) place: u32,
    /// One if it was waited for.
    pub(crate) contended: u32,
}

pub(crate) struct Acquire<'a> {
    pub(crate) lock: &'a RawLock,
    slot: Option<&'static Slot>,
    need: u32,
    site: &'static Location<'static>,
    pub(crate) limit: Limit,
    /// One of a set of locks taken together in one order: those of its own level do not count against it.
    pub(crate) in_set: bool,
    cell: Option<&'static WaitCell>,
}

impl<'a> Acquire<'a> {
    pub(crate) fn new(
        lock: &'a RawLock,
        slot: Option<&'static Slot>,
        need: u32,
        site: &'static Location<'static>,
    ) -> Self {
        Self { lock, slot, need, site, limit: Limit::Default, in_set: false, cell: None }
    }

    #[inline]
    fn bound(&self) -> Option<&'static Slot> {
        let slot = self.slot?;
        poll::current().filter(|current| current.is(slot))
    }

    pub(crate) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<Acquired, LockError>> {
        let bound = self.bound();
        if let (Some(wait), Some(slot)) = (self.cell, bound) {
            wait.polled.store(epoch_of(slot), Ordering::Relaxed);
        }
        #[cfg(feature = "tokio")]
        let coop = std::task::ready!(tokio::task::coop::poll_proceed(cx));
        let result = match self.cell {
            None => self.begin(cx.waker(), bound),
            Some(wait) => self.go_on(wait, cx.waker(), bound),
        };
        #[cfg(feature = "tokio")]
        if result.is_ready() {
            coop.made_progress();
        }
        result
    }

    /// Polls for a mutex.
    #[inline(always)]
    pub(crate) fn poll_mutex(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<Acquired, LockError>> {
        self.poll_quickly(cx, Self::take_free_mutex)
    }

    /// Polls for a read-write lock, to read.
    #[inline(always)]
    pub(crate) fn poll_read(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<Acquired, LockError>> {
        self.poll_quickly(cx, Self::take_free_read)
    }

    #[inline(always)]
    fn poll_quickly(
        &mut self,
        cx: &mut TaskContext<'_>,
        take: impl FnOnce(&Self) -> Option<Acquired>,
    ) -> Poll<Result<Acquired, LockError>> {
        if self.cell.is_none() {
            #[cfg(feature = "tokio")]
            let coop = std::task::ready!(tokio::task::coop::poll_proceed(cx));
            if let Some(acquired) = take(self) {
                #[cfg(feature = "tokio")]
                coop.made_progress();
                return Poll::Ready(Ok(acquired));
            }
        }
        self.poll(cx)
    }

    /// The common case of a first poll: in the activity, which holds nothing yet, and the mutex is free. Nothing if
    /// anything is different; then nothing has happened.
    #[inline(always)]
    pub(crate) fn take_free_mutex(&self) -> Option<Acquired> {
        let slot = self.idle_slot()?;
        if !mutex::take_free(self.lock, pointer(Some(slot))) {
            return None;
        }
        let sampled = self.lock.count_one();
        self.book_plain(slot, 0, sampled)
    }

    /// As [`take_free_mutex`](Self::take_free_mutex), to read.
    #[inline(always)]
    pub(crate) fn take_free_read(&self) -> Option<Acquired> {
        let slot = self.idle_slot()?;
        let place = raw::rwlock::take_place(self.lock, pointer(Some(slot)), raw::QUEUED)?;
        self.book_plain(slot, place & !raw::SAMPLED, place & raw::SAMPLED != 0)
    }

    #[inline(always)]
    fn idle_slot(&self) -> Option<&'static Slot> {
        self.bound().filter(|slot| slot.busy.load(Ordering::Relaxed) == 0)
    }

    #[inline(always)]
    fn book_plain(&self, slot: &'static Slot, place: u32, sampled: bool) -> Option<Acquired> {
        if self.lock.flag(raw::POISONED) {
            self.lock.release(self.lock.kind(), self.need, place, pointer(Some(slot)), false);
            return None;
        }
        let since = if sampled { measure(self.lock, None, true) } else { 0 };
        let hold = slot.claim_hold();
        hold.claim(self.lock.address(), self.lock.class_ref(), self.site, epoch_of(slot), since);
        // Made in one piece and handed on by value: a copy of something that was just written piece by piece stalls.
        Some(Acquired { hold: Some(hold), since, place, contended: 0 })
    }

    /// Takes it now or never: no wait, no error but the order's.
    pub(crate) fn try_now(&mut self) -> Result<Option<Acquired>, LockError> {
        let bound = self.bound();
        self.check_order(bound)?;
        match self.lock.try_take(self.need, pointer(bound)) {
            Some(place) => book(self.lock, self.need, self.site, bound, place, None).map(Some),
            None if self.lock.flag(raw::SHUT) => Err(closed(self.lock)),
            None => Ok(None),
        }
    }

    fn begin(&mut self, waker: &Waker, bound: Option<&'static Slot>) -> Poll<Result<Acquired, LockError>> {
        self.check_order(bound)?;
        if let Some(place) = self.lock.try_take(self.need, pointer(bound)) {
            return Poll::Ready(book(self.lock, self.need, self.site, bound, place, None));
        }
        self.queue(waker, bound)
    }

    #[inline]
    fn check_order(&self, bound: Option<&'static Slot>) -> Result<(), LockError> {
        match bound {
            Some(slot) if self.lock.kind() != Kind::Event => {
                order::check(slot, self.lock, self.site, self.in_set)
            }
            _ => Ok(()),
        }
    }

    /// It is taken: queues for it.
    #[cold]
    fn queue(&mut self, waker: &Waker, bound: Option<&'static Slot>) -> Poll<Result<Acquired, LockError>> {
        if let Some(slot) = bound
            && slot.doomed.load(Ordering::Acquire)
            && let Some(report) = slot.doom_of()
        {
            return Poll::Ready(Err(LockError::Deadlock(report)));
        }
        let now = clock::now();
        let deadline = self.limit.deadline(now, bound);
        if deadline <= now {
            return Poll::Ready(Err(timed_out(self.lock, bound, Duration::ZERO)));
        }
        let own = bound.filter(|_| is_own(waker, bound));
        let slot = own.unwrap_or_else(|| self.slot_outside(bound));
        let wait = slot.claim_cell();
        wait.kind.store(Source::Lock as u8, Ordering::Relaxed);
        wait.need.store(self.need, Ordering::Relaxed);
        wait.overtaken.store(0, Ordering::Relaxed);
        wait.book(bound);
        wait.polled.store(epoch_of(slot), Ordering::Relaxed);
        wait.set_site(self.site);
        wait.since.set(now);
        wait.deadline.set(deadline);
        self.cell = Some(wait);
        self.enqueue(wait, waker, bound, false)
    }

    /// A slot for this wait alone, named after the activity it is in.
    fn slot_outside(&self, bound: Option<&'static Slot>) -> &'static Slot {
        let outside = Slot::acquire_outside(state::OUTSIDER, self.site);
        if let Some(activity) = bound {
            outside.set_name(format!("a future inside of {}", crate::report::Actor::of(activity)).into());
        }
        outside
    }

    fn enqueue(
        &mut self,
        wait: &'static WaitCell,
        waker: &Waker,
        bound: Option<&'static Slot>,
        front: bool,
    ) -> Poll<Result<Acquired, LockError>> {
        let outside = wait.owner().is_outsider();
        let parked = if outside { Parked::Foreign(waker.clone()) } else { Parked::Owner };
        match self.lock.enqueue(wait, front, parked) {
            Queued::Taken(place) => self.taken(wait, bound, place),
            Queued::Shut => {
                self.give_cell_back(wait, bound);
                Poll::Ready(Err(closed(self.lock)))
            }
            Queued::Waiting => {
                let owner = wait.owner();
                if outside {
                    // Pairs with the fence in the driver's look at the deadlines.
                    crate::shim::fence(Ordering::SeqCst);
                }
                owner.due.lower(wait.deadline.get());
                if outside {
                    driver::somebody_waits(owner);
                }
                Poll::Pending
            }
        }
    }

    /// A later poll.
    fn go_on(
        &mut self,
        wait: &'static WaitCell,
        waker: &Waker,
        bound: Option<&'static Slot>,
    ) -> Poll<Result<Acquired, LockError>> {
        if self.must_move(wait, waker, bound) {
            self.leave(wait, bound);
            return self.begin(waker, bound);
        }
        let mut phase = wait.phase();
        if phase == cell::WAITING {
            if !wait.owner().is_outsider() || self.lock.park(wait, waker) {
                return Poll::Pending;
            }
            // It ended just now, and the waker of the poll before was told; this one was not.
            phase = wait.phase();
        }
        match phase {
            cell::GRANTED if wait.owner().is_outsider() && !wait.leave(cell::GRANTED, cell::UNUSED) => {
                // The watchdog passed it on just now.
                self.enqueue(wait, waker, bound, true)
            }
            cell::GRANTED => {
                let place = wait.place.load(Ordering::Relaxed);
                if bound.is_none() && !wait.holder().is_null() {
                    self.lock.rebook(self.need, place, wait.holder());
                }
                self.taken(wait, bound, place)
            }
            cell::NOTIFIED if mutex::take_notified(self.lock, pointer(bound)) => self.taken(wait, bound, 0),
            cell::NOTIFIED => {
                wait.overtaken.store(1, Ordering::Relaxed);
                self.enqueue(wait, waker, bound, true)
            }
            cell::DORMANT => self.enqueue(wait, waker, bound, true),
            phase => Poll::Ready(Err(self.failed(wait, bound, phase))),
        }
    }

    /// Whether an own cell that still counts is polled as a foreign one: by a combinator's waker, or outside of its
    /// activity. A grant is taken, and an error told, whoever polls.
    fn must_move(&self, wait: &'static WaitCell, waker: &Waker, bound: Option<&'static Slot>) -> bool {
        !wait.owner().is_outsider()
            && matches!(wait.phase(), cell::WAITING | cell::NOTIFIED | cell::DORMANT)
            && !is_own(waker, bound)
    }

    /// Leaves the queue, and gives back a turn it had.
    fn leave(&mut self, wait: &'static WaitCell, bound: Option<&'static Slot>) {
        let mut wakes = Wakes::new();
        self.lock.withdraw(wait, &mut wakes);
        wakes.wake();
        self.give_cell_back(wait, bound);
    }

    fn taken(
        &mut self,
        wait: &'static WaitCell,
        bound: Option<&'static Slot>,
        place: u32,
    ) -> Poll<Result<Acquired, LockError>> {
        let since = wait.since.get();
        self.give_cell_back(wait, bound);
        Poll::Ready(book(self.lock, self.need, self.site, bound, place, Some(since)))
    }

    fn failed(&mut self, wait: &'static WaitCell, bound: Option<&'static Slot>, phase: u8) -> LockError {
        let waited = clock::between(wait.since.get(), clock::now());
        self.lock.failure_taken();
        let verdict = if phase == cell::VICTIM { wait.owner().verdict() } else { None };
        self.give_cell_back(wait, bound);
        match (phase, verdict) {
            (cell::EXPIRED, _) => timed_out(self.lock, bound, waited),
            (_, Some(report)) => LockError::Deadlock(report),
            _ => closed(self.lock),
        }
    }

    fn give_cell_back(&mut self, wait: &'static WaitCell, bound: Option<&'static Slot>) {
        self.cell = None;
        give_cell_back(wait, bound);
    }
}

/// Books what was taken, and counts it.
#[inline]
pub(crate) fn book(
    lock: &RawLock,
    need: u32,
    site: &'static Location<'static>,
    bound: Option<&'static Slot>,
    place: u32,
    waited_since: Option<Ticks>,
) -> Result<Acquired, LockError> {
    let sampled = lock.count_acquisition(need, place);
    let place = place & !raw::SAMPLED;
    if lock.kind() == Kind::Event {
        return Ok(Acquired { hold: None, since: 0, place, contended: 0 });
    }
    if lock.flag(raw::POISONED) {
        lock.release(lock.kind(), need, place, pointer(bound), false);
        return Err(LockError::Poisoned(LockName::of(lock)));
    }
    let since = if sampled || waited_since.is_some() { measure(lock, waited_since, sampled) } else { 0 };
    let hold = bound.map(|slot| {
        let hold = slot.claim_hold();
        hold.claim(lock.address(), lock.class_ref(), site, epoch_of(slot), since);
        hold
    });
    if hold.is_none() {
        lock.set_site(site);
    }
    Ok(Acquired { hold, since, place, contended: u32::from(waited_since.is_some()) })
}

/// Adds an acquisition to the measurements of its class; returns the time of it.
#[cold]
fn measure(lock: &RawLock, waited_since: Option<Ticks>, sampled: bool) -> Ticks {
    let metrics = &lock.class().metrics;
    let now = clock::now();
    if sampled {
        metrics::add(&metrics.acquisitions, u64::from(limits::SAMPLE));
    }
    if let Some(since) = waited_since {
        metrics::add(&metrics.contended, 1);
        metrics.wait.record(clock::between(since, now));
    }
    now
}

pub(crate) fn closed(lock: &RawLock) -> LockError {
    LockError::Closed(LockName::of(lock))
}

pub(crate) fn timed_out(lock: &RawLock, bound: Option<&'static Slot>, waited: Duration) -> LockError {
    metrics::add(&lock.class().metrics.timeouts, 1);
    metrics::add(&metrics::GLOBAL.timeouts, 1);
    let (holder, chain) = graph::chain::from_lock(lock);
    let held = bound.map(|slot| slot.held().map(LockName::of_hold).collect()).unwrap_or_default();
    let timeout =
        Timeout { lock: Some(LockName::of(lock)), waited, holder, chain, held, grade: Grade::Suspected };
    crate::events::timeout(&timeout);
    LockError::Timeout(Box::new(timeout))
}

impl Drop for Acquire<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(wait) = self.cell {
            self.leave(wait, self.bound());
        }
    }
}

fn epoch_of(slot: &Slot) -> u32 {
    state::epoch(slot.state.load(Ordering::Relaxed))
}

pub(crate) fn pointer(slot: Option<&'static Slot>) -> *mut Slot {
    slot.map_or(ptr::null_mut(), |slot| ptr::from_ref(slot).cast_mut())
}

/// Whether `waker` is the own waker of the activity that waits.
pub(crate) fn is_own(waker: &Waker, bound: Option<&'static Slot>) -> bool {
    bound.is_some_and(|slot| waker::slot_of(waker).is_some_and(|of| of.is(slot)))
}

/// The future that used `wait` is done with it.
pub(crate) fn give_cell_back(wait: &'static WaitCell, bound: Option<&'static Slot>) {
    let owner = wait.owner();
    // While the lock is there: its drop must not take this for the cell of a forgotten future.
    wait.source.store(ptr::null_mut(), Ordering::Release);
    if owner.is_outsider() {
        wait.set_phase(cell::UNUSED);
        owner.release_outside();
    } else if bound.is_some_and(|slot| slot.is(owner)) {
        owner.free_cell(wait);
    } else {
        wait.set_phase(cell::ABANDONED);
    }
}

/// Gives back what `acquired` got; the end of every guard. `kind` is that of the lock, where it is known at compile time.
#[inline(always)]
pub(crate) fn give_back(lock: &RawLock, kind: Kind, need: u32, acquired: Acquired) {
    if acquired.since != 0 {
        record_hold(lock, acquired.since, acquired.contended != 0);
    }
    let Some(hold) = acquired.hold else {
        return lock.release(kind, need, acquired.place, ptr::null_mut(), false);
    };
    let owner = hold.owner();
    let long = hold.epoch.load(Ordering::Relaxed) != epoch_of(owner);
    let holder = ptr::from_ref(owner).cast_mut();
    if poll::current().is_some_and(|current| current.is(owner)) {
        hold.release(true);
        lock.release(kind, need, acquired.place, holder, long);
    } else {
        give_back_elsewhere(lock, need, acquired.place, hold);
    }
}

/// Outside of a poll of the activity it is booked to: by another activity, by a scoped thread, by a thread for itself.
#[cold]
fn give_back_elsewhere(lock: &RawLock, need: u32, place: u32, hold: &'static HeldEntry) {
    let owner = hold.owner();
    hold.release(owner.is_thread());
    lock.release(lock.kind(), need, place, ptr::from_ref(owner).cast_mut(), false);
    if !owner.is_thread() {
        // Pairs with `finish`: it sees the entry free, or we see it done.
        crate::shim::fence(Ordering::SeqCst);
        owner.try_return();
    }
}

#[cold]
fn record_hold(lock: &RawLock, since: Ticks, contended: bool) {
    let metrics = &lock.class().metrics;
    let held = clock::between(since, clock::now());
    if contended {
        metrics.hold_contended.record(held);
    } else {
        metrics.hold_sampled.record(held);
    }
}

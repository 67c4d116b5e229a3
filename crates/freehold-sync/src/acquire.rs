//! The one future behind every wait for a lock.
//!
//! # Invariants
//!
//! 1. A wait is *bound* while the activity it was made for is the one being polled. Only a bound poll touches the
//!    tables of that activity's slot; any other takes a slot of its own, and books what it gets to nobody.
//! 2. When the future is dropped its cell is out of the queue, and a turn it had has gone to the next one.
//! 3. The stamp of the poll comes before the coop budget is asked: who ran out of budget was polled, and keeps its turn.

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
    pub(crate) place: u32,
    /// When it was acquired, if its hold is timed; else zero.
    pub(crate) since: Ticks,
    /// Whether it was waited for.
    pub(crate) contended: bool,
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
    /// The cell is parked with the activity's own waker, so that a poll with it has nothing to store.
    own: bool,
}

impl<'a> Acquire<'a> {
    pub(crate) fn new(
        lock: &'a RawLock,
        slot: Option<&'static Slot>,
        need: u32,
        site: &'static Location<'static>,
    ) -> Self {
        Self { lock, slot, need, site, limit: Limit::Default, in_set: false, cell: None, own: false }
    }

    #[inline]
    fn bound(&self) -> Option<&'static Slot> {
        let slot = self.slot?;
        poll::current().filter(|current| current.is(slot))
    }

    #[inline]
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

    #[inline]
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
        let slot = bound.unwrap_or_else(|| Slot::acquire_outside(state::OUTSIDER, self.site));
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
        self.own = is_own(waker, bound);
        self.enqueue(wait, waker, bound, false)
    }

    fn enqueue(
        &mut self,
        wait: &'static WaitCell,
        waker: &Waker,
        bound: Option<&'static Slot>,
        front: bool,
    ) -> Poll<Result<Acquired, LockError>> {
        self.own = is_own(waker, bound);
        let parked = if self.own { Parked::Owner } else { Parked::Foreign(waker.clone()) };
        match self.lock.enqueue(wait, front, parked) {
            Queued::Taken(place) => self.taken(wait, bound, place),
            Queued::Shut => {
                self.give_cell_back(wait, bound);
                Poll::Ready(Err(closed(self.lock)))
            }
            Queued::Waiting => {
                let owner = wait.owner();
                if wait.deadline.get() < owner.due.get() {
                    owner.due.set(wait.deadline.get());
                }
                if bound.is_none() {
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
        let mut phase = wait.phase();
        if phase == cell::WAITING {
            if self.park(wait, waker, bound) {
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

    /// Replaces whom to wake. False if the wait has ended meanwhile.
    fn park(&mut self, wait: &'static WaitCell, waker: &Waker, bound: Option<&'static Slot>) -> bool {
        let own = is_own(waker, bound);
        if own && self.own {
            return true;
        }
        if bound.is_none() && !wait.owner().is_outsider() {
            self.lock.escape(wait);
        }
        self.own = own;
        self.lock.park(wait, waker, own)
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
    let mut acquired = Acquired { hold: None, place: place & !raw::SAMPLED, since: 0, contended: false };
    if lock.kind() == Kind::Event {
        return Ok(acquired);
    }
    if sampled || waited_since.is_some() {
        measure(lock, &mut acquired, waited_since, sampled);
    }
    match bound {
        Some(slot) => {
            let hold = slot.free_hold();
            hold.claim(lock.address(), lock.class_ref(), site, epoch_of(slot));
            hold.since.set(acquired.since);
            acquired.hold = Some(hold);
        }
        None => lock.set_site(site),
    }
    if lock.flag(raw::POISONED) {
        give_back(lock, need, &acquired);
        return Err(LockError::Poisoned(LockName::of(lock)));
    }
    Ok(acquired)
}

#[cold]
fn measure(lock: &RawLock, acquired: &mut Acquired, waited_since: Option<Ticks>, sampled: bool) {
    let metrics = &lock.class().metrics;
    acquired.since = clock::now();
    if sampled {
        metrics::add(&metrics.acquisitions, u64::from(limits::SAMPLE));
    }
    if let Some(since) = waited_since {
        acquired.contended = true;
        metrics::add(&metrics.contended, 1);
        metrics.wait.record(clock::between(since, acquired.since));
    }
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
            let mut wakes = Wakes::new();
            self.lock.withdraw(wait, &mut wakes);
            wakes.wake();
            self.give_cell_back(wait, self.bound());
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
    if owner.is_outsider() {
        wait.set_phase(cell::UNUSED);
        owner.release_outside();
    } else if bound.is_some_and(|slot| slot.is(owner)) {
        owner.free_cell(wait);
    } else {
        wait.set_phase(cell::ABANDONED);
    }
}

/// Gives back what `acquired` got; the end of every guard.
#[inline]
pub(crate) fn give_back(lock: &RawLock, need: u32, acquired: &Acquired) {
    let mut long = false;
    let mut holder = ptr::null_mut();
    if acquired.since != 0 {
        record_hold(lock, acquired);
    }
    let mut elsewhere = None;
    if let Some(hold) = acquired.hold {
        let owner = hold.owner();
        holder = ptr::from_ref(owner).cast_mut();
        long = hold.epoch.load(Ordering::Relaxed) != epoch_of(owner);
        hold.release();
        if !poll::current().is_some_and(|current| current.is(owner)) && !owner.is_thread() {
            elsewhere = Some(owner);
        }
    }
    lock.release(need, acquired.place, holder, long);
    if let Some(owner) = elsewhere {
        crate::shim::fence(Ordering::SeqCst);
        owner.try_return();
    }
}

#[cold]
fn record_hold(lock: &RawLock, acquired: &Acquired) {
    let metrics = &lock.class().metrics;
    let held = clock::between(acquired.since, clock::now());
    if acquired.contended { metrics.hold_contended.record(held) } else { metrics.hold_sampled.record(held) }
}

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
    booking::Booking,
    clock,
    deadline::Limit,
    driver,
    error::{LockError, Timeout},
    free::{self, Free},
    graph,
    measure::{self, Timing, Waited},
    metrics, order,
    raw::{self, Kind, Queued, RawLock, mutex, wakes::Wakes},
    report::{Grade, LockName},
    shim::Ordering,
    slot::{
        Slot,
        cell::{self, Parked, Source, WaitCell},
        holds::HeldEntry,
        poll, state, waker,
    },
    wait_times,
};
use std::{
    panic::Location,
    ptr,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

/// What a successful wait got.
#[derive(Clone, Copy)]
pub(crate) struct Acquired {
    pub(crate) booking: Booking,
    /// As wide as the rest, so that it is copied the way it was written, which a processor passes on without a stall.
    pub(crate) place: usize,
}

pub(crate) struct Acquire<'a> {
    pub(crate) lock: &'a RawLock,
    slot: Option<&'static Slot>,
    need: u32,
    site: &'static Location<'static>,
    pub(crate) limit: Limit,
    /// One of a set of locks taken together in one order: those of its own level do not count against it.
    pub(crate) in_set: bool,
    /// It may take as long as it takes: its age is no reason for a suspicion.
    pub(crate) patient: bool,
    cell: Option<&'static WaitCell>,
}

impl<'a> Acquire<'a> {
    #[inline]
    pub(crate) fn new(
        lock: &'a RawLock,
        slot: Option<&'static Slot>,
        need: u32,
        site: &'static Location<'static>,
    ) -> Self {
        Self { lock, slot, need, site, limit: Limit::Default, in_set: false, patient: false, cell: None }
    }

    #[inline]
    fn bound(&self) -> Option<&'static Slot> {
        self.slot.filter(|slot| poll::is_current(slot))
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

    /// The common case of a poll: the first one, of something that is free. Nothing if anything is different; then nothing
    /// has happened, and [`poll`](Self::poll) does it all.
    #[cfg_attr(not(feature = "tokio"), expect(unused_variables, reason = "the budget is tokio's"))]
    #[inline(always)]
    pub(crate) fn poll_free<K: Free>(&mut self, cx: &mut TaskContext<'_>) -> Option<Poll<Acquired>> {
        let bound = self.slot;
        let unbound = bound.is_some_and(|slot| !poll::is_current(slot));
        if unbound || self.cell.is_some() || !free::is_plain::<K>(self.lock, bound) {
            return None;
        }
        #[cfg(feature = "tokio")]
        let Poll::Ready(coop) = tokio::task::coop::poll_proceed(cx) else { return Some(Poll::Pending) };
        let acquired = free::take::<K>(self.lock, bound, self.site)?;
        #[cfg(feature = "tokio")]
        coop.made_progress();
        Some(Poll::Ready(acquired))
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
        wait.passed.store(0, Ordering::Relaxed);
        wait.patient.store(self.patient, Ordering::Relaxed);
        wait.book(bound);
        wait.polled.store(epoch_of(slot), Ordering::Relaxed);
        wait.set_site(self.site);
        wait.since.set(now);
        wait.deadline.set(deadline);
        self.cell = Some(wait);
        self.enqueue(wait, waker, bound, false)
    }

    /// A slot for this wait alone.
    fn slot_outside(&self, bound: Option<&'static Slot>) -> &'static Slot {
        let outside = Slot::acquire_outside(state::OUTSIDER, self.site);
        if let Some(activity) = bound {
            outside.name_inside_of(activity);
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
                wait_times::ended(wait);
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
        // Once: outside of its activity it may change at any moment.
        let mut phase = wait.phase();
        if must_move(wait, phase, waker, bound) {
            self.leave(wait, bound);
            return self.begin(waker, bound);
        }
        if phase == cell::WAITING {
            if !wait.owner().is_outsider() || self.lock.park(wait, waker) {
                return Poll::Pending;
            }
            // It ended just now, and the waker of the poll before was told; this one was not.
            phase = wait.phase();
        }
        let is_poller = bound.is_some_and(|slot| slot.is(wait.owner()));
        match phase {
            // A freeze stops its poller only: for anybody else it may be passed on at this moment.
            cell::GRANTED if !is_poller && !wait.leave(cell::GRANTED, cell::DORMANT) => {
                self.go_on(wait, waker, bound)
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

    /// Leaves the queue, and gives back a turn it had.
    fn leave(&mut self, wait: &'static WaitCell, bound: Option<&'static Slot>) {
        let mut wakes = Wakes::new();
        let _parked = self.lock.withdraw(wait, &mut wakes);
        // Before a waker is woken or dropped, which may panic: a cell that is left behind would outlive its lock.
        self.give_cell_back(wait, bound);
        wakes.wake();
    }

    /// The future is dropped while it waits.
    #[cold]
    fn abandon(&mut self, wait: &'static WaitCell) {
        wait_times::ended(wait);
        self.leave(wait, self.bound());
    }

    fn taken(
        &mut self,
        wait: &'static WaitCell,
        bound: Option<&'static Slot>,
        place: u32,
    ) -> Poll<Result<Acquired, LockError>> {
        let waited = wait.waited();
        wait_times::ended(wait);
        self.give_cell_back(wait, bound);
        Poll::Ready(book(self.lock, self.need, self.site, bound, place, Some(waited)))
    }

    fn failed(&mut self, wait: &'static WaitCell, bound: Option<&'static Slot>, phase: u8) -> LockError {
        let waited = clock::between(wait.since.get(), clock::now());
        wait_times::ended(wait);
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

/// Whether an own cell that still counts is polled as a foreign one: by a combinator's waker, outside of its activity, or after
/// that one's end. A grant is taken, and an error told, whoever polls.
fn must_move(wait: &'static WaitCell, phase: u8, waker: &Waker, bound: Option<&'static Slot>) -> bool {
    !wait.owner().is_outsider()
        && matches!(phase, cell::WAITING | cell::NOTIFIED | cell::DORMANT | cell::UNUSED)
        && !is_own(waker, bound)
}

/// Books what was taken, and counts it.
#[inline]
pub(crate) fn book(
    lock: &RawLock,
    need: u32,
    site: &'static Location<'static>,
    bound: Option<&'static Slot>,
    place: u32,
    waited: Option<Waited>,
) -> Result<Acquired, LockError> {
    let sampled = lock.count_acquisition(need, place);
    let place = place & !raw::SAMPLED;
    if lock.kind() == Kind::Event {
        return Ok(Acquired { booking: Booking::to_nobody(Timing::NONE), place: place as usize });
    }
    if lock.flag(raw::POISONED) {
        lock.release(lock.kind(), need, place, pointer(bound), || false);
        return Err(LockError::Poisoned(Box::new(LockName::of(lock))));
    }
    if lock.flag(raw::POISONING) && std::thread::panicking() {
        // What is taken while the thread unwinds already does not poison. Of readers none poisons anyway.
        if lock.kind() == Kind::Mutex || need == raw::ALL_READERS {
            lock.set_flag(raw::UNWINDING);
        }
    }
    let timing =
        if sampled || waited.is_some() { measure::acquired(lock, waited, sampled) } else { Timing::NONE };
    let booking = match bound {
        Some(slot) => {
            let hold = slot.claim_hold();
            hold.claim(lock.address(), lock.class_ref(), site, epoch_of(slot), timing);
            Booking::to(hold)
        }
        None => {
            lock.set_site(site);
            Booking::to_nobody(timing)
        }
    };
    Ok(Acquired { booking, place: place as usize })
}

pub(crate) fn closed(lock: &RawLock) -> LockError {
    LockError::Closed(Box::new(LockName::of(lock)))
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
            self.abandon(wait);
        }
    }
}

#[inline(always)]
pub(crate) fn epoch_of(slot: &Slot) -> u32 {
    state::epoch(slot.state.load(Ordering::Relaxed))
}

#[inline]
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
    // While the lock is there: its drop must not take this for the cell of a forgotten future. Who froze the owner and
    // follows the source is waited for: by the end of an outsider's use; by the poll that runs here, which began unfrozen;
    // and below.
    if owner.is_outsider() {
        wait.source.store(ptr::null_mut(), Ordering::Release);
        wait.set_phase(cell::UNUSED);
        owner.release_outside();
    } else if bound.is_some_and(|slot| slot.is(owner)) {
        wait.source.store(ptr::null_mut(), Ordering::Release);
        owner.free_cell(wait);
    } else {
        // SeqCst as in `freeze`: who freezes the owner sees it gone, or we see that.
        wait.source.store(ptr::null_mut(), Ordering::SeqCst);
        owner.wait_thawed();
        wait.set_phase(cell::ABANDONED);
        // Pairs with `finish`: it sees the cell given back, or we see it done.
        crate::shim::fence(Ordering::SeqCst);
        owner.try_return();
    }
}

/// Gives back what was booked; false if that takes [`give_back_slowly`]. `kind` is that of the lock, and `on_thread` says
/// that the guard never left its thread, where these are known at compile time.
#[inline(always)]
pub(crate) fn give_back(
    lock: &RawLock,
    kind: Kind,
    on_thread: bool,
    need: u32,
    place: u32,
    booking: Booking,
) -> bool {
    if booking.timing() != Timing::NONE {
        return false;
    }
    let hold = booking.hold().map(|hold| (hold, hold.owner()));
    match hold {
        Some((hold, owner)) if is_mine(owner, on_thread) => hold.release_by_poller(owner),
        // What stays on its thread is hardly ever nobody's.
        None if !on_thread => {}
        _ => return false,
    }
    let holder = pointer(hold.map(|(_, owner)| owner));
    let long = move || hold.is_some_and(|(hold, owner)| is_long(hold, owner));
    lock.release(kind, need, place, holder, long);
    true
}

/// Whether the caller is sure to be the poller of `owner`, by what is usual for such a guard.
#[inline(always)]
fn is_mine(owner: &Slot, on_thread: bool) -> bool {
    if on_thread { owner.is_thread() } else { poll::is_current(owner) }
}

/// As [`give_back`], of anything.
#[cold]
pub(crate) fn give_back_slowly(lock: &RawLock, need: u32, place: u32, booking: Booking) {
    let timing = booking.timing();
    if timing != Timing::NONE {
        measure::given_back(lock, timing);
    }
    match booking.hold() {
        None => lock.release(lock.kind(), need, place, ptr::null_mut(), || false),
        Some(hold) if poll::is_current(hold.owner()) => {
            give_back_in_poll(lock, lock.kind(), need, place, hold, hold.owner());
        }
        Some(hold) => give_back_elsewhere(lock, need, place, hold),
    }
}

/// In a poll of the activity it is booked to.
#[inline(always)]
fn give_back_in_poll(
    lock: &RawLock,
    kind: Kind,
    need: u32,
    place: u32,
    hold: &'static HeldEntry,
    owner: &'static Slot,
) {
    hold.release_by_poller(owner);
    lock.release(kind, need, place, ptr::from_ref(owner).cast_mut(), || is_long(hold, owner));
}

/// Whether it was held across a suspension. Nobody but the poller, who asks, can use the entry again, so it still says when
/// it was claimed.
fn is_long(hold: &HeldEntry, owner: &Slot) -> bool {
    hold.epoch.load(Ordering::Relaxed) != epoch_of(owner)
}

/// Outside of a poll of the activity it is booked to: by another activity, by a scoped thread, by a thread for itself.
fn give_back_elsewhere(lock: &RawLock, need: u32, place: u32, hold: &'static HeldEntry) {
    let owner = hold.owner();
    // Now: once nothing is held the slot may be somebody else's.
    let ended_thread = owner.is_outsider();
    if owner.is_thread() {
        hold.release_by_poller(owner);
    } else {
        hold.release();
    }
    lock.release(lock.kind(), need, place, ptr::from_ref(owner).cast_mut(), || false);
    if ended_thread {
        owner.release_ended_thread();
    } else if !owner.is_thread() {
        // Pairs with `finish`: it sees the entry free, or we see it done.
        crate::shim::fence(Ordering::SeqCst);
        owner.try_return();
    }
}

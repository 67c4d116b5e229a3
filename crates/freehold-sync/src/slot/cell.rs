//! One wait of one slot.
//!
//! # Invariants
//!
//! 1. A cell is never freed, so a queue and a detector may hold pointers to it for ever. What it points *to* (its
//!    source) may go away: it is dereferenced only by the future that waits, through its own borrow, or by somebody
//!    who has frozen the owner (see `raw/end.rs`, the other half).
//! 2. `phase` leaves [`WAITING`] only inside the section of the source's queue lock (of the owner's signal lock for a
//!    cell without a queue), so exactly one of grant, expiry, verdict and withdrawal happens.
//! 3. `next`, `prev` and `parked` are touched only inside that section.
//! 4. Everything else is written by the poller of the owner, before the cell is queued.

use super::Slot;
use crate::{
    clock::{AtomicTicks, NEVER},
    limits,
    measure::Waited,
    shim::{AtomicPtr, AtomicU8, AtomicU32, Ordering, PlainBool, PlainPtr, PlainU8, Watch, thread::Thread},
};
use std::{cell::UnsafeCell, panic::Location, ptr, task::Waker};

/// Nobody uses the cell.
pub(crate) const UNUSED: u8 = 0;
/// In its source's queue (or, for a signal, waiting to be signalled).
pub(crate) const WAITING: u8 = 1;
/// Out of the queue; woken to try again.
pub(crate) const NOTIFIED: u8 = 2;
/// Out of the queue; owns what it asked for.
pub(crate) const GRANTED: u8 = 3;
/// Out of the queue; had a turn and did not use it. Nobody will wake it; its next poll queues it first again.
pub(crate) const DORMANT: u8 = 4;
/// Its deadline has passed.
pub(crate) const EXPIRED: u8 = 5;
/// Chosen to break a deadlock.
pub(crate) const VICTIM: u8 = 6;
/// Its source was closed, or is gone.
pub(crate) const CLOSED: u8 = 7;
/// Its future was dropped where the poller's tables must not be touched; the poller takes it back.
pub(crate) const ABANDONED: u8 = 8;

/// What a cell waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Source {
    /// A `RawLock`: a mutex, a read-write lock, a permit pool or the end of an activity.
    Lock = 0,
    /// A child activity that is polled by this one; the source is its slot.
    Child = 1,
    /// A deadline around a future, or a cancel: no sign of life.
    Signal = 2,
}

/// Whom to wake.
pub(crate) enum Parked {
    Nobody,
    /// The owner itself: not counted, because it says nothing about anybody else.
    Owner,
    /// A waker that is not the owner's: of a combinator inside it, or of another task.
    Foreign(Waker),
    /// A parked thread.
    Thread(Thread),
}

impl Parked {
    /// Whether waking it would run `waker`'s task; so that it need not be stored again.
    pub(crate) fn is(&self, waker: &Waker) -> bool {
        matches!(self, Self::Foreign(parked) if parked.will_wake(waker))
    }
}

pub(crate) struct WaitCell {
    pub(crate) phase: AtomicU8,
    pub(crate) kind: AtomicU8,
    /// Set once somebody else took what this cell was woken for; the next release transfers.
    pub(crate) overtaken: AtomicU8,
    /// How often others were moved before it in its queue, to break a ring. In the section.
    pub(crate) passed: PlainU8,
    /// For how many waits it counts in the measurements.
    pub(crate) weight: PlainU8,
    /// Its wait may last: it is no reason for a suspicion.
    pub(crate) patient: PlainBool,
    pub(crate) need: AtomicU32,
    /// Which of several places a grant got (a reader's).
    pub(crate) place: AtomicU32,
    /// The epoch of the owner's poll in which the future was polled last.
    pub(crate) polled: AtomicU32,
    /// The epoch of the owner when it was granted or notified.
    pub(crate) granted: AtomicU32,
    pub(crate) next: AtomicPtr<WaitCell>,
    pub(crate) prev: AtomicPtr<WaitCell>,
    pub(crate) source: AtomicPtr<()>,
    pub(crate) since: AtomicTicks,
    pub(crate) deadline: AtomicTicks,
    pub(crate) site: PlainPtr<Location<'static>>,
    owner: PlainPtr<Slot>,
    /// Whom a grant is booked to; null if nobody we know.
    booked: AtomicPtr<Slot>,
    parked: UnsafeCell<Parked>,
    parked_watch: Watch,
}

// SAFETY: `parked` is reached only through `parked_mut`, whose callers are inside the section of invariant 3.
unsafe impl Sync for WaitCell {}
// SAFETY: nothing in a cell is bound to a thread.
unsafe impl Send for WaitCell {}

impl WaitCell {
    pub(crate) fn new() -> Self {
        Self {
            phase: AtomicU8::new(UNUSED),
            kind: AtomicU8::new(Source::Lock as u8),
            overtaken: AtomicU8::new(0),
            passed: PlainU8::new(0),
            weight: PlainU8::new(0),
            patient: PlainBool::new(false),
            need: AtomicU32::new(0),
            place: AtomicU32::new(0),
            polled: AtomicU32::new(0),
            granted: AtomicU32::new(0),
            next: AtomicPtr::new(ptr::null_mut()),
            prev: AtomicPtr::new(ptr::null_mut()),
            source: AtomicPtr::new(ptr::null_mut()),
            since: AtomicTicks::new(0),
            deadline: AtomicTicks::new(NEVER),
            site: PlainPtr::new(ptr::null_mut()),
            owner: PlainPtr::new(ptr::null_mut()),
            booked: AtomicPtr::new(ptr::null_mut()),
            parked: UnsafeCell::new(Parked::Nobody),
            parked_watch: Watch::new(),
        }
    }

    pub(crate) fn set_owner(&self, owner: &'static Slot) {
        self.owner.store(ptr::from_ref(owner).cast_mut(), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn owner(&self) -> &'static Slot {
        // SAFETY: set to a slot, which is never freed, before anybody else can see the cell.
        unsafe { &*self.owner.load(Ordering::Relaxed) }
    }

    #[inline]
    pub(crate) fn phase(&self) -> u8 {
        // Acquire pairs with the Release of `set_phase`: who sees a grant sees what the holder before it wrote.
        self.phase.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn set_phase(&self, phase: u8) {
        self.phase.store(phase, Ordering::Release);
    }

    /// Whether it had its turn before the poll of `epoch` began, and was not polled in it.
    pub(crate) fn left_its_turn(&self, epoch: u32) -> bool {
        matches!(self.phase(), GRANTED | NOTIFIED)
            && self.polled.load(Ordering::Relaxed) != epoch
            && self.granted.load(Ordering::Relaxed) != epoch
    }

    /// Whether it was ended from outside before the poll of `epoch` began, and was not polled in it: its future is left
    /// alone, so that nobody hears of it. It is no sign of life.
    pub(crate) fn left_its_end(&self, epoch: u32) -> bool {
        matches!(self.phase(), EXPIRED | VICTIM | CLOSED)
            && self.polled.load(Ordering::Relaxed) != epoch
            && self.granted.load(Ordering::Relaxed) != epoch
    }

    /// Goes from `from` to `to`; false if somebody else was quicker. For phases that two may want to leave: a grant is picked
    /// up by a thread, or by a future outside of its activity, or passed on by the watchdog.
    pub(crate) fn leave(&self, from: u8, to: u8) -> bool {
        self.phase.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub(crate) fn kind(&self) -> Source {
        match self.kind.load(Ordering::Relaxed) {
            1 => Source::Child,
            2 => Source::Signal,
            _ => Source::Lock,
        }
    }

    /// What is measured of it, once it was successful.
    pub(crate) fn waited(&self) -> Waited {
        Waited { since: self.since.get(), weight: self.weight.load(Ordering::Relaxed) }
    }

    pub(crate) fn site(&self) -> Option<&'static Location<'static>> {
        // SAFETY: only ever set from a `&'static Location`.
        unsafe { self.site.load(Ordering::Relaxed).as_ref() }
    }

    pub(crate) fn set_site(&self, site: &'static Location<'static>) {
        self.site.store(ptr::from_ref(site).cast_mut(), Ordering::Relaxed);
    }

    /// Whether it may be stopped by what would not stop `other`, which stands behind it.
    pub(crate) fn asks_for_more_than(&self, other: &Self) -> bool {
        self.need.load(Ordering::Relaxed) > other.need.load(Ordering::Relaxed)
    }

    /// Whether one more may be moved before it. In the section.
    pub(crate) fn may_be_passed(&self) -> bool {
        self.passed.load(Ordering::Relaxed) < limits::OVERTAKES
    }

    /// One was moved before it. In the section.
    pub(crate) fn count_passing(&self) {
        self.passed.store(self.passed.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
    }

    /// The slot a grant is booked to; null if nobody we know.
    pub(crate) fn holder(&self) -> *mut Slot {
        self.booked.load(Ordering::Relaxed)
    }

    /// Books a grant to `holder`. Before the cell is queued, or in the section.
    pub(crate) fn book(&self, holder: Option<&'static Slot>) {
        self.booked
            .store(holder.map_or(ptr::null_mut(), |slot| ptr::from_ref(slot).cast_mut()), Ordering::Relaxed);
    }

    /// Whom to wake.
    ///
    /// # Safety
    ///
    /// The caller is inside the section that guards this cell (invariant 3).
    #[expect(clippy::mut_from_ref, reason = "the section makes the access exclusive")]
    pub(crate) unsafe fn parked_mut(&self) -> &mut Parked {
        self.parked_watch.writes();
        // SAFETY: by the caller's promise nobody else is in the section.
        unsafe { &mut *self.parked.get() }
    }
}

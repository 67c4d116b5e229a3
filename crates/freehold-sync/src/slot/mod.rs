//! Slots: what the wait-for graph knows of one activity, one thread, or one wait outside of any activity.
//!
//! Its two tables are in `waits` and `holds`. A wake comes in by `waker` and goes out by `parent`. Its life: `pool`,
//! `poll`, `freeze`, `end`.
//!
//! # Invariants
//!
//! 1. A slot is never freed; it goes back to the pool when its body is gone, no clone of its waker and no owned context of
//!    it lives, nothing is held under its name and none of its cells is in use; a child that it polled has one, and may
//!    outlive it. A pointer to a slot is always good, and what it says about its user is true as long as one of these five
//!    keeps it.
//! 2. One thread at a time is *the poller*: between `begin_poll` and `end_poll` (or `begin_close` and `finish`). Only it
//!    claims cells and entries, and replaces `parent`.
//! 3. While `FROZEN` is set nobody becomes the poller. Whoever set it may read the poller's tables and follow the
//!    sources of cells that are in use.
//! 4. `WOKEN` is set before a waker's clone is forgotten, before a grant can be seen, and before the parent is woken.
//!    So a slot that is neither polling nor woken and whose waker has no clones can be woken by its own cells only.
//! 5. The parent's waker is read only by a wake that counted itself in `state` (`WAKERS`), and replaced only while that
//!    count is zero and `PARENT_BUSY` keeps new ones out.
//!
//! *Deadlock safety*: `FROZEN` is waited for only by those who hold no lock of this crate but the detector's, or that of
//! an activity's handle (a cancel), which nobody takes under a freeze. Who has frozen a slot takes queue locks and other
//! leaves, and never waits for another freeze unless it is the detector, of which there is one at a time.

mod birth;
mod block;
pub(crate) mod cell;
mod end;
mod freeze;
pub(crate) mod holds;
mod parent;
pub(crate) mod poll;
pub(crate) mod pool;
pub(crate) mod state;
mod waits;
pub(crate) mod waker;
#[cfg(not(any(loom, shuttle)))]
pub(crate) mod window;

pub(crate) use holds::SPECIAL;

use crate::{
    clock::{AtomicTicks, NEVER},
    limits,
    name::ActivityName,
    report::Deadlock,
    shim::{
        AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Mutex, Ordering, PlainBool, PlainPtr, PlainU8, PlainU32,
        PlainU64, PoisonError, QueueLock, Watch,
    },
};
use block::Block;
use cell::WaitCell;
use holds::HeldEntry;
use parent::Parent;
use state::{EPOCH, FREE, OUTSIDER, PARENT_BUSY, THREAD, WOKEN};
use std::{any::Any, borrow::Cow, cell::UnsafeCell, panic::Location, ptr, sync::Arc};

#[repr(align(64))]
pub(crate) struct Slot {
    pub(crate) state: AtomicU64,
    /// Clones of the waker: of the first identity in the low half, of the second in the high half.
    clones: AtomicU64,
    /// Contexts that are owned by somebody.
    pub(crate) contexts: AtomicU32,
    parent: UnsafeCell<Parent>,
    parent_watch: Watch,
    /// Cells in use, a bit each; the last bit stands for all cells in blocks.
    pub(crate) used: AtomicU32,
    pub(crate) due: AtomicTicks,
    /// Entries that may be in use, a bit each; and `SPECIAL`. Only the poller writes it. Zero: nothing is held, and no
    /// order is to be checked.
    pub(crate) busy: AtomicU32,
    holds: [HeldEntry; limits::INLINE_HOLDS],
    cells: [WaitCell; limits::INLINE_CELLS],
    more_cells: AtomicPtr<Block<WaitCell>>,
    more_holds: AtomicPtr<Block<HeldEntry>>,
    /// When it was born, in order; a re-run keeps it.
    pub(crate) birth: PlainU64,
    site: PlainPtr<Location<'static>>,
    named: PlainBool,
    name: Mutex<ActivityName>,
    /// Of a wait with a slot of its own: the birth stamp of the activity it is in; zero if it is in none.
    pub(crate) inside_of: PlainU64,
    pub(crate) priority: PlainU8,
    /// Levels held by those who forked this activity, a bit each.
    pub(crate) inherited: PlainU64,
    /// The order mode of this activity alone; zero: the one of the process.
    pub(crate) order_mode: PlainU8,
    /// A deadline for every wait.
    pub(crate) deadline: AtomicTicks,
    pub(crate) cancelled: AtomicBool,
    /// Somebody else waits for the cancel: a child, a combinator, another thread.
    pub(crate) cancel_awaited_elsewhere: AtomicBool,
    pub(crate) doomed: AtomicBool,
    /// The epoch in which it was doomed.
    doomed_in: PlainU32,
    verdict: Mutex<Option<Arc<Deadlock>>>,
    /// Whether there ever was one.
    judged: PlainBool,
    /// The lock of cells without a queue.
    pub(crate) signals: QueueLock,
    /// The wait that was probed last, by the tick it began.
    pub(crate) probed: AtomicTicks,
    /// The wait that was reported as suspected last, by the tick it began.
    pub(crate) suspected: AtomicTicks,
    /// The activity whose poll this one's poll is inside of.
    below: PlainPtr<Slot>,
    /// The blocking wait of the thread that polls, while `PARKED`.
    pub(crate) parked_in: AtomicPtr<WaitCell>,
    /// Whose time its ticks are: that of the system, or of a simulation.
    #[cfg(all(feature = "simulation", not(any(loom, shuttle))))]
    pub(crate) clock: PlainU64,
    /// When this use of it began, in order. Unlike `birth`, which a call has from its caller, no two have the same.
    #[cfg(all(feature = "simulation", not(any(loom, shuttle))))]
    pub(crate) begun: PlainU64,
}

// SAFETY: `parent` is guarded by invariant 5; everything else is atomic or behind a lock.
unsafe impl Sync for Slot {}
// SAFETY: nothing in a slot is bound to a thread.
unsafe impl Send for Slot {}

impl Slot {
    fn new() -> Self {
        Self {
            state: AtomicU64::new(FREE),
            clones: AtomicU64::new(0),
            contexts: AtomicU32::new(0),
            parent: UnsafeCell::new(Parent::Nobody),
            parent_watch: Watch::new(),
            used: AtomicU32::new(0),
            due: AtomicTicks::new(NEVER),
            busy: AtomicU32::new(0),
            holds: std::array::from_fn(|_| HeldEntry::new()),
            cells: std::array::from_fn(|_| WaitCell::new()),
            more_cells: AtomicPtr::new(ptr::null_mut()),
            more_holds: AtomicPtr::new(ptr::null_mut()),
            birth: PlainU64::new(0),
            site: PlainPtr::new(ptr::null_mut()),
            named: PlainBool::new(false),
            name: Mutex::new(ActivityName::NONE),
            inside_of: PlainU64::new(0),
            priority: PlainU8::new(0),
            inherited: PlainU64::new(0),
            order_mode: PlainU8::new(0),
            deadline: AtomicTicks::new(NEVER),
            cancelled: AtomicBool::new(false),
            cancel_awaited_elsewhere: AtomicBool::new(false),
            doomed: AtomicBool::new(false),
            doomed_in: PlainU32::new(0),
            verdict: Mutex::new(None),
            judged: PlainBool::new(false),
            signals: QueueLock::new(),
            probed: AtomicTicks::new(0),
            suspected: AtomicTicks::new(0),
            below: PlainPtr::new(ptr::null_mut()),
            parked_in: AtomicPtr::new(ptr::null_mut()),
            #[cfg(all(feature = "simulation", not(any(loom, shuttle))))]
            clock: PlainU64::new(crate::simulation::NONE),
            #[cfg(all(feature = "simulation", not(any(loom, shuttle))))]
            begun: PlainU64::new(0),
        }
    }

    /// Tells cells and entries whose they are; once, before anybody else sees the slot.
    fn adopt(&'static self) {
        self.cells.iter().for_each(|cell| cell.set_owner(self));
        self.holds.iter().enumerate().for_each(|(index, hold)| hold.set_owner(self, 1 << index));
    }

    /// A slot for an activity spawned at `site`.
    pub(crate) fn acquire(site: &'static Location<'static>) -> &'static Slot {
        let slot = pool::take();
        slot.site.store(ptr::from_ref(site).cast_mut(), Ordering::Relaxed);
        slot.birth.store(birth::next(), Ordering::Relaxed);
        // A fresh activity counts as woken: its first poll is still to come.
        slot.begin_use(WOKEN | PARENT_BUSY);
        slot
    }

    /// A slot for a wait outside of any activity, or for a thread.
    pub(crate) fn acquire_outside(flag: u64, site: &'static Location<'static>) -> &'static Slot {
        let slot = pool::take();
        slot.site.store(ptr::from_ref(site).cast_mut(), Ordering::Relaxed);
        slot.birth.store(birth::next(), Ordering::Relaxed);
        slot.begin_use(flag);
        slot
    }

    fn begin_use(&self, flags: u64) {
        #[cfg(all(feature = "simulation", not(any(loom, shuttle))))]
        {
            self.clock.store(crate::simulation::here(), Ordering::Relaxed);
            self.begun.store(birth::next(), Ordering::Relaxed);
        }
        let epoch = self.state.load(Ordering::Relaxed) & !(EPOCH - 1);
        // Release: who sees the slot in use sees whose it is.
        self.state.store(epoch.wrapping_add(EPOCH) | flags, Ordering::Release);
    }

    #[inline]
    pub(crate) fn is_outsider(&self) -> bool {
        self.state.load(Ordering::Relaxed) & OUTSIDER != 0
    }

    #[inline]
    pub(crate) fn is_thread(&self) -> bool {
        self.state.load(Ordering::Relaxed) & THREAD != 0
    }

    #[inline]
    pub(crate) fn is(&self, other: *const Slot) -> bool {
        ptr::eq(self, other)
    }

    // ---- names -----------------------------------------------------------------------------------------------------

    pub(crate) fn set_name(&self, name: ActivityName) {
        let mut place = self.name.lock().unwrap_or_else(PoisonError::into_inner);
        let displaced = std::mem::replace(&mut *place, name);
        place.inherit_about(&displaced);
        drop(place);
        self.named.store(true, Ordering::Relaxed);
    }

    /// What the activity is about, if somebody said it and it lives.
    pub(crate) fn about(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        if !self.named.load(Ordering::Relaxed) {
            return None;
        }
        self.name.lock().unwrap_or_else(PoisonError::into_inner).upgrade_about()
    }

    /// Names a wait after the activity it is in. The text is made when somebody asks for it.
    pub(crate) fn name_inside_of(&self, activity: &'static Slot) {
        if activity.named.load(Ordering::Relaxed) {
            self.set_name(activity.name.lock().unwrap_or_else(PoisonError::into_inner).clone());
        }
        self.inside_of.store(activity.birth.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(crate) fn name(&self) -> Cow<'static, str> {
        if self.named.load(Ordering::Relaxed) {
            self.name.lock().unwrap_or_else(PoisonError::into_inner).clone().into_cow()
        } else {
            Cow::Borrowed("")
        }
    }

    /// The tag of its name.
    pub(crate) fn tag(&self) -> usize {
        let tag = || self.name.lock().unwrap_or_else(PoisonError::into_inner).tag();
        if self.named.load(Ordering::Relaxed) { tag() } else { 0 }
    }

    pub(crate) fn site(&self) -> Option<&'static Location<'static>> {
        // SAFETY: only ever set from a `&'static Location`.
        unsafe { self.site.load(Ordering::Relaxed).as_ref() }
    }

    // ---- verdicts --------------------------------------------------------------------------------------------------

    /// As long as it holds anything that it holds now, further waits of the activity fail with `report`. Only while it is
    /// frozen.
    pub(crate) fn doom(&self, report: Arc<Deadlock>) {
        self.doomed_in.store(state::epoch(self.state.load(Ordering::Relaxed)), Ordering::Relaxed);
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        self.judged.store(true, Ordering::Relaxed);
        self.doomed.store(true, Ordering::Release);
    }

    /// The report the activity was doomed with, if it still is. Only the poller may ask.
    #[cold]
    pub(crate) fn doom_of(&'static self) -> Option<Arc<Deadlock>> {
        // What was acquired in a later poll is of a new beginning: the lock that was free tells nothing about the next one.
        let doomed_in = self.doomed_in.load(Ordering::Relaxed);
        let before = |epoch: u32| doomed_in.wrapping_sub(epoch).cast_signed() >= 0;
        if !self.held().any(|hold| before(hold.epoch.load(Ordering::Relaxed))) {
            self.doomed.store(false, Ordering::Relaxed);
            return None;
        }
        self.verdict()
    }

    pub(crate) fn verdict(&self) -> Option<Arc<Deadlock>> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

//! Slots: what the wait-for graph knows of one activity, one thread, or one wait outside of any activity.
//!
//! # Invariants
//!
//! 1. A slot is never freed; it goes back to the pool when its body is gone, no clone of its waker and no owned context of
//!    it lives, nothing is held under its name and none of its cells is in use. A pointer to a slot is always good, and
//!    what it says about its user is true as long as one of these five keeps it.
//! 2. One thread at a time is *the poller*: between `begin_poll` and `end_poll` (or `begin_close` and `finish`). Only it
//!    claims cells and entries, and replaces `parent`.
//! 3. While `FROZEN` is set nobody becomes the poller. Whoever set it may read the poller's tables and follow the
//!    sources of cells that are in use.
//! 4. `WOKEN` is set before a waker's clone is forgotten, before a grant can be seen, and before the parent is woken.
//!    So a slot that is neither polling nor woken and whose waker has no clones can be woken by its own cells only.
//! 5. The parent's waker is read only by a wake that counted itself in `state` (`WAKERS`), and replaced only while that
//!    count is zero and `PARENT_BUSY` keeps new ones out.
//!
//! *Deadlock safety*: `FROZEN` is waited for only by those who hold no lock of this crate but the detector's. Who has
//! frozen a slot takes queue locks, which are leaves, and never waits for another freeze unless it is the detector, of
//! which there is one at a time.

mod birth;
pub(crate) mod cell;
pub(crate) mod holds;
pub(crate) mod poll;
pub(crate) mod pool;
pub(crate) mod state;
pub(crate) mod waker;

use crate::{
    clock::{AtomicTicks, NEVER},
    limits,
    name::ActivityName,
    report::Deadlock,
    shim::{
        AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Backoff, Mutex, Ordering, PlainBool, PlainPtr, PlainU8,
        PlainU64, PoisonError, QueueLock, Watch,
    },
};
use cell::WaitCell;
use holds::HeldEntry;
use state::{
    DONE, EPOCH, FREE, FROZEN, IDENTITY, OUTSIDER, PARENT_BUSY, PARKED, POLLING, THREAD, WAKER, WOKEN,
};
use std::{borrow::Cow, cell::UnsafeCell, panic::Location, ptr, sync::Arc, task::Waker};

/// Whom a wake is passed on to.
pub(crate) enum Parent {
    Nobody,
    /// The activity this one is polled inside of. Not counted among its waker's clones: it is an edge of the graph.
    Activity(&'static Slot),
    Waker(Waker),
}

const BLOCK: usize = 16;

/// In `busy`: entries of blocks may be in use.
const IN_BLOCKS: u32 = 1 << 30;
/// In `busy`: levels are inherited.
pub(crate) const SPECIAL: u32 = 1 << 31;
/// In `busy`: the entries inside of the slot.
const INLINE: u32 = (1 << limits::INLINE_HOLDS) - 1;

/// More cells or entries than fit a slot.
struct Block<T> {
    items: [T; BLOCK],
    next: AtomicPtr<Block<T>>,
}

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
            priority: PlainU8::new(0),
            inherited: PlainU64::new(0),
            order_mode: PlainU8::new(0),
            deadline: AtomicTicks::new(NEVER),
            cancelled: AtomicBool::new(false),
            cancel_awaited_elsewhere: AtomicBool::new(false),
            doomed: AtomicBool::new(false),
            verdict: Mutex::new(None),
            judged: PlainBool::new(false),
            signals: QueueLock::new(),
            probed: AtomicTicks::new(0),
            suspected: AtomicTicks::new(0),
            below: PlainPtr::new(ptr::null_mut()),
            parked_in: AtomicPtr::new(ptr::null_mut()),
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
        let epoch = self.state.load(Ordering::Relaxed) & !(EPOCH - 1);
        // Release: who sees the slot in use sees whose it is.
        self.state.store(epoch.wrapping_add(EPOCH) | flags, Ordering::Release);
    }

    pub(crate) fn is_outsider(&self) -> bool {
        self.state.load(Ordering::Relaxed) & OUTSIDER != 0
    }

    pub(crate) fn is_thread(&self) -> bool {
        self.state.load(Ordering::Relaxed) & THREAD != 0
    }

    pub(crate) fn is(&self, other: *const Slot) -> bool {
        ptr::eq(self, other)
    }

    // ---- names -----------------------------------------------------------------------------------------------------

    pub(crate) fn set_name(&self, name: ActivityName) {
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = name;
        self.named.store(true, Ordering::Relaxed);
    }

    pub(crate) fn name(&self) -> Cow<'static, str> {
        if self.named.load(Ordering::Relaxed) {
            self.name.lock().unwrap_or_else(PoisonError::into_inner).clone().into_cow()
        } else {
            Cow::Borrowed("")
        }
    }

    pub(crate) fn site(&self) -> Option<&'static Location<'static>> {
        // SAFETY: only ever set from a `&'static Location`.
        unsafe { self.site.load(Ordering::Relaxed).as_ref() }
    }

    // ---- wakers ----------------------------------------------------------------------------------------------------

    pub(crate) fn count_clone(&self, identity: usize) {
        // Relaxed: a clone is made from one that lives, or during a poll.
        let before = self.clones.fetch_add(1 << (32 * identity), Ordering::Relaxed);
        if (before >> (32 * identity)) as u32 == u32::MAX {
            // As with `Arc`: four thousand million forgotten wakers, and the count would be a lie.
            std::process::abort();
        }
    }

    pub(crate) fn forget_clone(&'static self, identity: usize) {
        // SeqCst pairs with the SeqCst in `finish`: of the one who sets DONE and the one who forgets the last clone, at
        // least one sees the other and returns the slot.
        self.clones.fetch_sub(1 << (32 * identity), Ordering::SeqCst);
        if self.state.load(Ordering::SeqCst) & DONE != 0 {
            self.try_return();
        }
    }

    /// An owned context is gone.
    pub(crate) fn forget_context(&'static self) {
        // SeqCst as in `forget_clone`.
        self.contexts.fetch_sub(1, Ordering::SeqCst);
        if self.state.load(Ordering::SeqCst) & DONE != 0 {
            self.try_return();
        }
    }

    /// Clones of the waker that count as life under the identity of `state`.
    pub(crate) fn foreign_clones(&self, state: u64) -> u32 {
        // Acquire pairs with `forget_clone`: who sees the clone gone sees the wake before it.
        let clones = self.clones.load(Ordering::Acquire);
        if state & IDENTITY == 0 { clones as u32 } else { (clones >> 32) as u32 }
    }

    /// Wakes the activity.
    pub(crate) fn wake(&'static self) {
        if self.mark_woken() {
            self.wake_parent();
        }
    }

    /// Sets WOKEN; wakes nobody, so it may be called inside a section. If it returns true, [`wake_parent`] must follow.
    ///
    /// [`wake_parent`]: Self::wake_parent
    #[must_use]
    pub(crate) fn mark_woken(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let first = state & (WOKEN | DONE | FREE | PARENT_BUSY) == 0;
            let new = if first { (state | WOKEN) + WAKER } else { state | WOKEN };
            // A read-modify-write also when nothing changes: Release makes what was written before the wake visible to
            // the poll that clears WOKEN, whoever set it.
            match self.state.compare_exchange_weak(state, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return first,
                Err(now) => state = now,
            }
        }
    }

    /// Passes a wake on. Only after [`mark_woken`](Self::mark_woken) returned true, once.
    pub(crate) fn wake_parent(&'static self) {
        /// Ends the count, also when the waker panics: otherwise the parent could never be replaced again.
        struct Counted(&'static Slot);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.parent_watch.reads();
                // SeqCst as in `forget_clone`.
                let before = self.0.state.fetch_sub(WAKER, Ordering::SeqCst);
                if before & DONE != 0 {
                    self.0.try_return();
                }
            }
        }
        let _counted = Counted(self);
        self.parent_watch.reads();
        // SAFETY: `mark_woken` counted us, so the parent is not replaced (invariant 5).
        match unsafe { &*self.parent.get() } {
            Parent::Nobody => {}
            Parent::Activity(parent) => parent.wake(),
            Parent::Waker(waker) => waker.wake_by_ref(),
        }
    }

    // ---- freezing --------------------------------------------------------------------------------------------------

    /// Freezes the slot if its user is idle: neither polling nor woken nor done, and nobody else can wake it. Returns
    /// the state it was frozen in.
    pub(crate) fn freeze_if_idle(&self) -> Result<u64, u64> {
        self.freeze(|slot, state| {
            state & (POLLING | WOKEN | DONE | FREE | OUTSIDER | THREAD) == 0
                && slot.foreign_clones(state) == 0
        })
    }

    /// Freezes the slot if no poll runs, whoever else could wake it.
    pub(crate) fn freeze_if_not_polling(&self) -> Result<u64, u64> {
        self.freeze(|_, state| state & (POLLING | FREE | DONE) == 0)
    }

    /// Freezes the slot if its thread is parked in a blocking lock.
    pub(crate) fn freeze_if_parked(&self) -> Result<u64, u64> {
        self.freeze(|_, state| state & PARKED != 0)
    }

    fn freeze(&self, may: impl Fn(&Self, u64) -> bool) -> Result<u64, u64> {
        let mut backoff = Backoff::new();
        loop {
            let state = self.state.load(Ordering::Acquire);
            if !may(self, state) {
                return Err(state);
            }
            if state & (FROZEN | PARENT_BUSY) != 0 {
                if state & WOKEN != 0 && state & FROZEN == 0 {
                    return Err(state);
                }
                // The end of a poll looks around under it, for a few hundred nanoseconds.
                backoff.wait();
                continue;
            }
            // SeqCst pairs with the drop of a lock: it sees the freeze, or we see that the source is gone.
            if self.state.compare_exchange(state, state | FROZEN, Ordering::SeqCst, Ordering::Relaxed).is_ok()
            {
                return Ok(state);
            }
        }
    }

    pub(crate) fn unfreeze(&self) {
        self.state.fetch_and(!FROZEN, Ordering::Release);
    }

    /// Waits until nobody has frozen the slot.
    pub(crate) fn wait_thawed(&self) {
        let mut backoff = Backoff::new();
        while self.state.load(Ordering::SeqCst) & FROZEN != 0 {
            backoff.wait();
        }
    }

    /// The thread goes on: waits until nobody reads the wait it was parked in.
    pub(crate) fn leave_parked(&self) {
        let mut backoff = Backoff::new();
        loop {
            let state = self.state.load(Ordering::Relaxed);
            if state & FROZEN != 0 {
                backoff.wait();
                continue;
            }
            if self
                .state
                .compare_exchange(state, state & !PARKED, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                return;
            }
        }
    }

    // ---- cells -----------------------------------------------------------------------------------------------------

    /// Claims an unused cell. Only the poller may.
    pub(crate) fn claim_cell(&'static self) -> &'static WaitCell {
        let used = self.used.load(Ordering::Relaxed);
        for (index, cell) in self.cells.iter().enumerate() {
            if used & (1 << index) == 0 {
                self.used.store(used | (1 << index), Ordering::Relaxed);
                return cell;
            }
            if cell.phase() == cell::ABANDONED {
                return cell;
            }
        }
        self.claim_more(used)
    }

    #[cold]
    fn claim_more(&'static self, used: u32) -> &'static WaitCell {
        self.used.store(used | (1 << limits::INLINE_CELLS), Ordering::Relaxed);
        let blocks = Block::walk(&self.more_cells);
        for cell in blocks.flat_map(|block| &block.items) {
            if matches!(cell.phase(), cell::UNUSED | cell::ABANDONED) {
                return cell;
            }
        }
        let block = Block::extend(&self.more_cells, WaitCell::new);
        block.items.iter().for_each(|cell| cell.set_owner(self));
        &block.items[0]
    }

    /// Gives a cell back. Only the poller may; others leave it [`ABANDONED`](cell::ABANDONED).
    pub(crate) fn free_cell(&self, cell: &'static WaitCell) {
        cell.set_phase(cell::UNUSED);
        for (index, inline) in self.cells.iter().enumerate() {
            if ptr::eq(inline, cell) {
                let used = self.used.load(Ordering::Relaxed);
                self.used.store(used & !(1 << index), Ordering::Relaxed);
                return;
            }
        }
        if Block::walk(&self.more_cells)
            .flat_map(|block| &block.items)
            .all(|cell| cell.phase() == cell::UNUSED)
        {
            let used = self.used.load(Ordering::Relaxed);
            self.used.store(used & !(1 << limits::INLINE_CELLS), Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn has_waits(&self) -> bool {
        self.used.load(Ordering::Relaxed) != 0
    }

    /// The cells in use. Only for the poller, or under a freeze.
    pub(crate) fn waits(&'static self) -> impl Iterator<Item = &'static WaitCell> {
        let used = self.used.load(Ordering::Relaxed);
        let inline = self.cells.iter().enumerate().filter(move |(index, _)| used & (1 << index) != 0);
        let blocks =
            if used & (1 << limits::INLINE_CELLS) == 0 { None } else { Some(Block::walk(&self.more_cells)) };
        inline
            .map(|(_, cell)| cell)
            .chain(blocks.into_iter().flatten().flat_map(|block| &block.items))
            .filter(|cell| !matches!(cell.phase(), cell::UNUSED | cell::ABANDONED))
    }

    /// Calls `visit` with every cell, used or not.
    pub(crate) fn every_cell(&'static self, visit: impl FnMut(&'static WaitCell)) {
        self.cells.iter().chain(Block::walk(&self.more_cells).flat_map(|block| &block.items)).for_each(visit);
    }

    /// Takes abandoned cells back. Only the poller may.
    pub(crate) fn reclaim(&'static self) {
        let used = self.used.load(Ordering::Relaxed);
        for (index, cell) in self.cells.iter().enumerate() {
            if used & (1 << index) != 0 && cell.phase() == cell::ABANDONED {
                self.free_cell(cell);
            }
        }
        if used & (1 << limits::INLINE_CELLS) != 0 {
            for cell in Block::walk(&self.more_cells).flat_map(|block| &block.items) {
                if cell.phase() == cell::ABANDONED {
                    self.free_cell(cell);
                }
            }
        }
    }

    // ---- holds -----------------------------------------------------------------------------------------------------

    /// As [`claim_hold`](Self::claim_hold), where nothing is held.
    #[inline(always)]
    pub(crate) fn claim_first_hold(&'static self) -> &'static HeldEntry {
        debug_assert_eq!(self.busy.load(Ordering::Relaxed), 0, "nothing is held");
        self.busy.store(1, Ordering::Relaxed);
        &self.holds[0]
    }

    /// Claims an unused entry, which the caller fills. Only the poller may.
    #[inline]
    pub(crate) fn claim_hold(&'static self) -> &'static HeldEntry {
        let busy = self.busy.load(Ordering::Relaxed);
        let index = (!busy).trailing_zeros() as usize;
        match self.holds.get(index) {
            Some(hold) => {
                self.busy.store(busy | 1 << index, Ordering::Relaxed);
                hold
            }
            None => self.claim_hold_elsewhere(busy),
        }
    }

    #[cold]
    fn claim_hold_elsewhere(&'static self, busy: u32) -> &'static HeldEntry {
        if let Some(hold) = self.holds.iter().find(|hold| hold.is_free()) {
            // Given back by somebody else, who left its bit.
            return hold;
        }
        self.busy.store(busy | IN_BLOCKS, Ordering::Relaxed);
        if let Some(hold) =
            Block::walk(&self.more_holds).flat_map(|block| &block.items).find(|hold| hold.is_free())
        {
            return hold;
        }
        let block = Block::extend(&self.more_holds, HeldEntry::new);
        block.items.iter().for_each(|hold| hold.set_owner(self, 0));
        &block.items[0]
    }

    /// Clears the bits of entries that others gave back; returns whether anything is held. Only the poller may.
    pub(crate) fn recount_holds(&'static self) -> bool {
        let mut busy = self.busy.load(Ordering::Relaxed) & !INLINE & !IN_BLOCKS;
        for (index, hold) in self.holds.iter().enumerate() {
            busy |= u32::from(!hold.is_free()) << index;
        }
        if Block::walk(&self.more_holds).flat_map(|block| &block.items).any(|hold| !hold.is_free()) {
            busy |= IN_BLOCKS;
        }
        self.busy.store(busy, Ordering::Relaxed);
        busy & !SPECIAL != 0
    }

    /// What is held under this name now.
    pub(crate) fn held(&'static self) -> impl Iterator<Item = &'static HeldEntry> {
        self.holds
            .iter()
            .chain(Block::walk(&self.more_holds).flat_map(|block| &block.items))
            .filter(|hold| !hold.is_free())
    }

    #[inline]
    pub(crate) fn holds_nothing(&'static self) -> bool {
        self.held().next().is_none()
    }

    /// The entry of `lock`, if it is held under this name.
    pub(crate) fn hold_of(&'static self, lock: usize) -> Option<&'static HeldEntry> {
        self.held().find(|hold| hold.lock() == lock)
    }

    // ---- verdicts --------------------------------------------------------------------------------------------------

    /// Until it holds nothing, further waits of the activity fail with `report`.
    pub(crate) fn doom(&self, report: Arc<Deadlock>) {
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        self.judged.store(true, Ordering::Relaxed);
        self.doomed.store(true, Ordering::Release);
    }

    /// The report the activity was doomed with, if it still is. Only the poller may ask.
    #[cold]
    pub(crate) fn doom_of(&'static self) -> Option<Arc<Deadlock>> {
        if !self.recount_holds() {
            self.doomed.store(false, Ordering::Relaxed);
            return None;
        }
        self.verdict()
    }

    pub(crate) fn verdict(&self) -> Option<Arc<Deadlock>> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    // ---- the end of use --------------------------------------------------------------------------------------------

    /// Returns the slot to the pool if the body is gone and nothing else keeps it.
    #[cold]
    pub(crate) fn try_return(&'static self) {
        loop {
            let state = self.state.load(Ordering::SeqCst);
            let kept = state & DONE == 0
                || state & (FREE | FROZEN | PARENT_BUSY | state::WAKERS) != 0
                || self.clones.load(Ordering::SeqCst) != 0
                || self.contexts.load(Ordering::SeqCst) != 0
                || self.has_waits()
                || !self.holds_nothing();
            if kept {
                return;
            }
            // Once all of this is so it stays so: nobody is left who could make a clone, a cell or an entry. The epoch
            // makes sure that it is still the same use of the slot. A late wake (of a child, of a waker that is not
            // counted) may change the state in between, and will not come back to look: so we do.
            let free = (state & !(EPOCH - 1)) | FREE;
            if self.state.compare_exchange(state, free, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
                self.reset();
                pool::give_back(self);
                return;
            }
        }
    }

    /// Leaves nothing of this use to the next one.
    fn reset(&self) {
        self.parent_watch.writes();
        // SAFETY: the slot is free and not yet in the pool: we are the only one.
        unsafe { *self.parent.get() = Parent::Nobody };
        if self.named.load(Ordering::Relaxed) {
            self.named.store(false, Ordering::Relaxed);
            *self.name.lock().unwrap_or_else(PoisonError::into_inner) = ActivityName::NONE;
        }
        if self.judged.load(Ordering::Relaxed) {
            self.judged.store(false, Ordering::Relaxed);
            *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.doomed.store(false, Ordering::Relaxed);
        }
        self.busy.store(0, Ordering::Relaxed);
        self.due.set(NEVER);
        self.deadline.set(NEVER);
        self.priority.store(0, Ordering::Relaxed);
        self.inherited.store(0, Ordering::Relaxed);
        self.order_mode.store(0, Ordering::Relaxed);
        self.cancelled.store(false, Ordering::Relaxed);
        self.cancel_awaited_elsewhere.store(false, Ordering::Relaxed);
        self.probed.set(0);
        self.suspected.set(0);
    }

    /// Gives a slot back that stood for a wait outside, or a thread. Its cells are unused.
    pub(crate) fn release_outside(&'static self) {
        self.used.store(0, Ordering::Relaxed);
        let mut backoff = Backoff::new();
        loop {
            let state = self.state.load(Ordering::Acquire);
            if state & FROZEN != 0 || state & state::WAKERS != 0 {
                backoff.wait();
                continue;
            }
            let free = (state & !(EPOCH - 1)) | FREE;
            if self.state.compare_exchange(state, free, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                break;
            }
        }
        self.reset();
        pool::give_back(self);
    }
}

impl<T> Block<T> {
    fn walk(first: &AtomicPtr<Block<T>>) -> impl Iterator<Item = &'static Block<T>>
    where
        T: 'static,
    {
        // SAFETY: blocks are leaked, so every pointer in the chain is null or good for ever. Acquire pairs with the
        // Release in `extend`.
        let mut next = unsafe { first.load(Ordering::Acquire).as_ref() };
        std::iter::from_fn(move || {
            let block = next?;
            // SAFETY: as above.
            next = unsafe { block.next.load(Ordering::Acquire).as_ref() };
            Some(block)
        })
    }

    /// Puts a new block in front. Only the poller may.
    fn extend(first: &AtomicPtr<Block<T>>, item: impl Fn() -> T) -> &'static Block<T> {
        let next = AtomicPtr::new(first.load(Ordering::Relaxed));
        let block = Box::leak(Box::new(Block { items: std::array::from_fn(|_| item()), next }));
        first.store(block, Ordering::Release);
        block
    }
}

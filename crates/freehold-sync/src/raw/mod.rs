//! One wait queue for everything that can be waited for: a mutex, a read-write lock, a permit pool, the end of an
//! activity.
//!
//! # Invariants
//!
//! 1. `head`, `tail` and the links of queued cells change only inside a section of `queue`.
//! 2. While a cell is queued, `QUEUED` is set in `word`, so a release comes to the slow path. It is set inside the
//!    section, by a compare-and-swap that also sees what is asked for still taken; so there is no interleaving in which
//!    a cell is queued behind a free lock and nobody will look.
//! 3. A mutex has at most one notified waiter under way (`NOTIFIED`). Whoever clears the bit either is that waiter, or
//!    has made it dormant and looked for the next.
//! 4. A cell in use whose future lives is reached by the lock's owner through the future; one whose future was
//!    forgotten is in the queue, or `word` says that something is taken or notified, or `STRAY` is set. So a drop that
//!    sees none of these has no cell pointing to it. A cell that is not in use points to no lock.
//!
//! *Deadlock safety*: a section takes no other lock. Wakers are woken and dropped after it.

pub(crate) mod event;
pub(crate) mod mutex;
pub(crate) mod pool;
pub(crate) mod rwlock;
pub(crate) mod wakes;

use crate::{
    class::{ClassRef, LockClass},
    limits, measure,
    shim::{
        AtomicPtr, AtomicU8, AtomicUsize, Ordering, PlainPtr, PlainU8, PlainU32, QueueLock, Watch,
        const_unless_modelled,
    },
    slot::{
        self, Slot,
        cell::{self, Parked, Source, WaitCell},
    },
};
use std::{panic::Location, ptr, task::Waker};
use wakes::Wakes;

/// Somebody holds it exclusively (a mutex, a writer), or it has not ended yet (an event).
pub(crate) const LOCKED: usize = 1;
/// The queue is not empty.
pub(crate) const QUEUED: usize = 2;
/// A waiter was woken to take it and has not come yet.
pub(crate) const NOTIFIED: usize = 4;
/// The rest of a mutex's word is the holder's slot, which is aligned to this.
pub(crate) const FLAGS: usize = 0x3f;

/// A panic happened while somebody held it.
pub(crate) const POISONED: u8 = 1;
/// A panic while it is held poisons it.
pub(crate) const POISONING: u8 = 2;
/// It hands out nothing any more.
pub(crate) const SHUT: u8 = 4;
/// A cell that is not queued may point here although its future is gone.
pub(crate) const STRAY: u8 = 8;
/// Its holder took it while its thread was unwinding; that one's end does not poison it.
pub(crate) const UNWINDING: u8 = 16;
/// What kind of thing a queue belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Mutex,
    RwLock,
    Pool,
    Event,
}

/// Everything that a read-write lock has to give: a writer needs all of it.
pub(crate) const ALL_READERS: u32 = u32::MAX;

#[repr(C)]
pub(crate) struct RawLock {
    pub(crate) word: AtomicUsize,
    head: AtomicPtr<WaitCell>,
    tail: AtomicPtr<WaitCell>,
    class: PlainPtr<()>,
    /// Where its exclusive holder acquired it.
    site: PlainPtr<Location<'static>>,
    /// Acquisitions; only the holder of a mutex writes it.
    pub(crate) count: PlainU32,
    queue: QueueLock,
    kind: Kind,
    flags: AtomicU8,
    /// Waits, as far as it matters for how many each counts in the measurements; written in the section.
    waits: PlainU8,
    /// Read by who gets here by a cell, written by the end of the lock.
    alive: Watch,
}

/// The source of a cell whose lock is being dropped: the drop has the cell in hand, and leaves it
/// [`ABANDONED`](cell::ABANDONED).
pub(crate) const GOING: *mut () = ptr::without_provenance_mut(1);

/// Set in the place of an acquisition that is to be measured.
pub(crate) const SAMPLED: u32 = 1 << 31;

/// How an attempt to queue ended.
pub(crate) enum Queued {
    Waiting,
    /// It became free; the place is the one the taker got.
    Taken(u32),
    Shut,
}

impl RawLock {
    const_unless_modelled! {
        pub(crate) const fn new(kind: Kind, word: usize, class: ClassRef, flags: u8) -> Self {
            Self {
                word: AtomicUsize::new(word),
                head: AtomicPtr::new(ptr::null_mut()),
                tail: AtomicPtr::new(ptr::null_mut()),
                class: PlainPtr::new(class.to_ptr()),
                site: PlainPtr::new(ptr::null_mut()),
                count: PlainU32::new(0),
                queue: QueueLock::new(),
                kind,
                flags: AtomicU8::new(flags),
                waits: PlainU8::new(0),
                alive: Watch::new(),
            }
        }
    }

    /// The class as it is known so far.
    #[inline]
    pub(crate) fn class_ref(&self) -> ClassRef {
        ClassRef::from_ptr(self.class.load(Ordering::Relaxed))
    }

    /// The class; looked up by the creation site the first time, if it was not named.
    pub(crate) fn class(&self) -> &'static LockClass {
        let class = self.class_ref();
        class.known().unwrap_or_else(|| {
            let found = class.resolve(self.kind);
            self.class.store(ClassRef::named(found).to_ptr(), Ordering::Relaxed);
            found
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    pub(crate) fn flag(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    pub(crate) fn set_flag(&self, flag: u8) {
        self.flags.fetch_or(flag, Ordering::Relaxed);
    }

    pub(crate) fn clear_flag(&self, flag: u8) {
        self.flags.fetch_and(!flag, Ordering::Relaxed);
    }

    pub(crate) fn site(&self) -> Option<&'static Location<'static>> {
        // SAFETY: only ever set from a `&'static Location`.
        unsafe { self.site.load(Ordering::Relaxed).as_ref() }
    }

    pub(crate) fn set_site(&self, site: &'static Location<'static>) {
        self.site.store(ptr::from_ref(site).cast_mut(), Ordering::Relaxed);
    }

    /// The lock a cell waits for; nothing if it waits for something without a queue, or its lock is gone.
    ///
    /// # Safety
    ///
    /// The caller has frozen the cell's owner, and gives the lock up before it unfreezes it.
    pub(crate) unsafe fn of_cell<'a>(wait: &WaitCell) -> Option<&'a RawLock> {
        if wait.kind() != Source::Lock {
            return None;
        }
        let source = wait.source.load(Ordering::SeqCst);
        if source == GOING {
            return None;
        }
        // SAFETY: a source that is not null is alive as long as the owner is frozen: the drop of a lock marks the source
        // first, and then waits for the freeze to end.
        let lock = unsafe { source.cast::<RawLock>().as_ref() };
        if let Some(lock) = lock {
            lock.alive.reads();
        }
        lock
    }

    // ---- taking ----------------------------------------------------------------------------------------------------

    /// Takes `need` if it is free, whoever is queued. Returns the place of the taker.
    fn take(&self, need: u32, holder: *mut Slot) -> Option<u32> {
        match self.kind {
            Kind::Mutex => mutex::take(self, holder).then_some(0),
            Kind::RwLock => rwlock::take(self, need, holder),
            Kind::Pool => pool::take(self, need, holder),
            Kind::Event => (self.word.load(Ordering::Acquire) & LOCKED == 0).then_some(0),
        }
    }

    /// Takes `need` unless a fair lock has somebody queued.
    #[inline]
    pub(crate) fn try_take(&self, need: u32, holder: *mut Slot) -> Option<u32> {
        match self.kind {
            Kind::Mutex => mutex::take(self, holder).then_some(0),
            Kind::RwLock => {
                rwlock::try_take(self, need, holder).or_else(|| self.try_take_listed(need, holder))
            }
            Kind::Pool => {
                let _section = self.queue.enter();
                let free = self.head.load(Ordering::Relaxed).is_null() && !self.flag(SHUT);
                if free { pool::take(self, need, holder) } else { None }
            }
            Kind::Event => self.take(need, holder),
        }
    }

    /// A reader for whom there is no place is named in the list, which takes the section.
    fn try_take_listed(&self, need: u32, holder: *mut Slot) -> Option<u32> {
        if !rwlock::has_no_place(self.word.load(Ordering::Relaxed), need) {
            return None;
        }
        let _section = self.queue.enter();
        if self.head.load(Ordering::Relaxed).is_null() { rwlock::take(self, need, holder) } else { None }
    }

    /// Queues `wait`, or takes what it asks for if it has become free.
    ///
    /// A cell that had its turn before goes first (`front`). `parked` is whom to wake.
    pub(crate) fn enqueue(&self, wait: &'static WaitCell, front: bool, parked: Parked) -> Queued {
        let need = wait.need.load(Ordering::Relaxed);
        let section = self.queue.enter();
        if self.flag(SHUT) {
            return Queued::Shut;
        }
        if !front {
            wait.weight.store(measure::weigh(&self.waits), Ordering::Relaxed);
        }
        if self.kind == Kind::Mutex && front && wait.phase() == cell::NOTIFIED {
            self.word.fetch_and(!NOTIFIED, Ordering::Relaxed);
        }
        let first = front || self.kind == Kind::Mutex || self.head.load(Ordering::Relaxed).is_null();
        loop {
            if first && let Some(place) = self.take(need, wait.holder()) {
                return Queued::Taken(place);
            }
            if self.announce(need, first) {
                break;
            }
        }
        // SAFETY: in the section; the cell is not queued, so it holds no waker of a wait that still counts.
        let old = unsafe { std::mem::replace(wait.parked_mut(), parked) };
        wait.source.store(ptr::from_ref(self).cast_mut().cast(), Ordering::Release);
        wait.set_phase(cell::WAITING);
        self.push(wait, front);
        drop(section);
        drop(old);
        Queued::Waiting
    }

    /// Sets `QUEUED`; false if what is needed has become free meanwhile (`first`: if that matters).
    fn announce(&self, need: u32, first: bool) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        if first && !self.is_taken(word, need) {
            return false;
        }
        if self.kind == Kind::Pool {
            return true;
        }
        word & QUEUED != 0
            || self.word.compare_exchange(word, word | QUEUED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn is_taken(&self, word: usize, need: u32) -> bool {
        match self.kind {
            Kind::Mutex | Kind::Event => word & LOCKED != 0,
            Kind::RwLock => rwlock::is_taken(word, need),
            Kind::Pool => word < need as usize,
        }
    }

    /// Replaces the waker of a cell; false if it does not wait any more. The old waker is dropped after the section.
    pub(crate) fn park(&self, wait: &'static WaitCell, waker: &Waker) -> bool {
        let section = self.queue.enter();
        if wait.phase() != cell::WAITING {
            return false;
        }
        // SAFETY: in the section.
        let parked = unsafe { wait.parked_mut() };
        if parked.is(waker, false) {
            return true;
        }
        let old = std::mem::replace(parked, Parked::Foreign(waker.clone()));
        drop(section);
        drop(old);
        true
    }

    /// Names the activity that will complete an event.
    pub(crate) fn bind(&self, by: &'static Slot) {
        let _section = self.queue.enter();
        event::bind(self, by);
    }

    /// Books a grant that was picked up outside of its activity to nobody.
    pub(crate) fn rebook(&self, need: u32, place: u32, from: *mut Slot) {
        let _section = self.queue.enter();
        match self.kind {
            Kind::Mutex => {
                self.word.fetch_and(FLAGS, Ordering::Relaxed);
            }
            Kind::RwLock => rwlock::rebook(self, place, from),
            Kind::Pool => pool::rebook(self, need, from),
            Kind::Event => {}
        }
    }

    /// Counts an acquisition; true if it is one of those that are measured.
    #[inline]
    pub(crate) fn count_acquisition(&self, need: u32, place: u32) -> bool {
        match self.kind {
            // Exclusive: nobody else writes the count.
            Kind::Mutex => self.count_one(),
            Kind::RwLock if need == ALL_READERS => self.count_one(),
            _ => place & SAMPLED != 0,
        }
    }

    #[inline(always)]
    pub(crate) fn count_one(&self) -> bool {
        let count = self.count.load(Ordering::Relaxed).wrapping_add(1);
        self.count.store(count, Ordering::Relaxed);
        count.is_multiple_of(limits::SAMPLE)
    }

    // ---- giving back -----------------------------------------------------------------------------------------------

    /// Gives back what `holder` took at `place`. `long`: it was held across a suspension, so the next one should get it
    /// handed over instead of racing for it; asked only when somebody waits. `kind` is the lock's, where that is known at compile time.
    #[inline(always)]
    pub(crate) fn release(
        &self,
        kind: Kind,
        units: u32,
        place: u32,
        holder: *mut Slot,
        long: impl FnOnce() -> bool,
    ) {
        match kind {
            Kind::Mutex => {
                if !mutex::try_release(self) {
                    self.release_slow(units, holder, long());
                }
            }
            Kind::RwLock => {
                if rwlock::release(self, units, place, holder) {
                    self.hand_over_queued();
                }
            }
            Kind::Pool | Kind::Event => self.release_slow(units, holder, false),
        }
    }

    #[cold]
    fn release_slow(&self, units: u32, holder: *mut Slot, long: bool) {
        let mut wakes = Wakes::new();
        let section = self.queue.enter();
        match self.kind {
            Kind::Mutex | Kind::RwLock => mutex::release_queued(self, long, &mut wakes),
            Kind::Pool => {
                pool::release(self, units, holder);
                self.hand_over(&mut wakes);
            }
            Kind::Event => event::complete(self, &mut wakes),
        }
        drop(section);
        wakes.wake();
    }

    /// Lets in whoever may come in now.
    pub(crate) fn let_in(&self) {
        if self.word.load(Ordering::Relaxed) & QUEUED != 0 {
            self.hand_over_queued();
        }
    }

    #[cold]
    fn hand_over_queued(&self) {
        let mut wakes = Wakes::new();
        let section = self.queue.enter();
        self.hand_over(&mut wakes);
        drop(section);
        wakes.wake();
    }

    /// In the section: gives the front of the queue what it needs, as long as there is enough.
    fn hand_over(&self, wakes: &mut Wakes) {
        while let Some(first) = self.first() {
            let Some(place) = self.take(first.need.load(Ordering::Relaxed), first.holder()) else { return };
            self.unlink(first);
            first.place.store(place, Ordering::Relaxed);
            self.leave_queue(first, cell::GRANTED, wakes);
        }
    }

    /// In the section: the cell is out of the queue, in `phase`, and is woken afterwards.
    fn leave_queue(&self, wait: &'static WaitCell, phase: u8, wakes: &mut Wakes) {
        let owner = wait.owner();
        wait.granted.store(slot::state::epoch(owner.state.load(Ordering::Relaxed)), Ordering::Relaxed);
        // SAFETY: in the section.
        let parked = unsafe { std::mem::replace(wait.parked_mut(), Parked::Nobody) };
        let own = matches!(parked, Parked::Owner);
        // Woken before the phase can be seen: an owner that is neither woken nor polling has not been granted anything
        // since its last poll began (slot invariant 4).
        wakes.add(owner, parked);
        wait.set_phase(phase);
        if own {
            // And after it: a poll that began in between has used up the wake, and may not have seen the phase. Both
            // are read-modify-writes of one word, so either this one is after that poll's beginning, or the poll sees
            // the phase.
            wakes.add(owner, Parked::Owner);
        }
    }

    // ---- leaving ---------------------------------------------------------------------------------------------------

    /// The future of `wait` is gone: takes it out of the queue, or gives back the turn it had.
    pub(crate) fn withdraw(&self, wait: &'static WaitCell, wakes: &mut Wakes) {
        let section = self.queue.enter();
        match wait.phase() {
            cell::WAITING => self.remove(wait, wakes),
            phase @ (cell::NOTIFIED | cell::GRANTED) => self.give_turn_back(wait, phase, wakes),
            _ => {}
        }
        wait.set_phase(cell::DORMANT);
        // SAFETY: in the section.
        let old = unsafe { std::mem::replace(wait.parked_mut(), Parked::Nobody) };
        drop(section);
        drop(old);
    }

    /// A turn that its waiter does not use goes to the next one; the waiter comes first again when it is polled.
    pub(crate) fn pass_on(&self, wait: &'static WaitCell, wakes: &mut Wakes) {
        let _section = self.queue.enter();
        let phase = wait.phase();
        if matches!(phase, cell::NOTIFIED | cell::GRANTED)
            && self.kind != Kind::Event
            && wait.leave(phase, cell::DORMANT)
        {
            self.set_flag(STRAY);
            self.give_turn_back(wait, phase, wakes);
            self.class().metrics.passed_on();
        }
    }

    /// In the section: undoes a notification or a grant.
    fn give_turn_back(&self, wait: &'static WaitCell, phase: u8, wakes: &mut Wakes) {
        let need = wait.need.load(Ordering::Relaxed);
        match (self.kind, phase) {
            (Kind::Mutex, cell::NOTIFIED) => {
                self.word.fetch_and(!NOTIFIED, Ordering::Relaxed);
                mutex::notify_if_free(self, wakes);
            }
            (Kind::Mutex, _) => mutex::release_queued(self, true, wakes),
            (Kind::RwLock, _) => {
                rwlock::release_in_section(
                    self,
                    need,
                    wait.place.load(Ordering::Relaxed) & !SAMPLED,
                    wait.holder(),
                );
                self.hand_over(wakes);
            }
            (Kind::Pool, _) => {
                pool::release(self, need, wait.holder());
                self.hand_over(wakes);
            }
            (Kind::Event, _) => {}
        }
    }

    /// Ends the wait of `wait` from outside, with `phase`. False if it had ended already.
    pub(crate) fn end_wait(&self, wait: &'static WaitCell, phase: u8, wakes: &mut Wakes) -> bool {
        let _section = self.queue.enter();
        if wait.phase() != cell::WAITING {
            return false;
        }
        // Neither the queue nor the word will tell of this cell, and a drop of the lock has to wait until we have left it:
        // nobody else keeps the lock, if the future was forgotten.
        self.set_flag(STRAY);
        self.remove(wait, wakes);
        self.leave_queue(wait, phase, wakes);
        true
    }

    /// In the section: unlinks a queued cell. Those behind it may have waited for it alone.
    fn remove(&self, wait: &'static WaitCell, wakes: &mut Wakes) {
        self.unlink(wait);
        if matches!(self.kind, Kind::RwLock | Kind::Pool) {
            self.hand_over(wakes);
        }
    }

    /// Refuses everybody from now on, and ends all waits with `CLOSED`.
    pub(crate) fn shut(&self) {
        let mut wakes = Wakes::new();
        let section = self.queue.enter();
        self.set_flag(SHUT);
        while let Some(first) = self.first() {
            self.set_flag(STRAY);
            self.unlink(first);
            self.leave_queue(first, cell::CLOSED, &mut wakes);
        }
        drop(section);
        wakes.wake();
    }

    // ---- the queue, in the section ---------------------------------------------------------------------------------

    fn first(&self) -> Option<&'static WaitCell> {
        // SAFETY: cells are never freed.
        unsafe { self.head.load(Ordering::Relaxed).as_ref() }
    }

    fn push(&self, wait: &'static WaitCell, front: bool) {
        if front {
            self.push_front(wait);
        } else {
            self.push_back(wait);
        }
    }

    fn push_back(&self, wait: &'static WaitCell) {
        let new = ptr::from_ref(wait).cast_mut();
        let last = self.tail.load(Ordering::Relaxed);
        wait.prev.store(last, Ordering::Relaxed);
        wait.next.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: cells are never freed.
        match unsafe { last.as_ref() } {
            Some(last) => last.next.store(new, Ordering::Relaxed),
            None => self.head.store(new, Ordering::Relaxed),
        }
        self.tail.store(new, Ordering::Relaxed);
    }

    fn push_front(&self, wait: &'static WaitCell) {
        let new = ptr::from_ref(wait).cast_mut();
        let first = self.head.load(Ordering::Relaxed);
        wait.next.store(first, Ordering::Relaxed);
        wait.prev.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: cells are never freed.
        match unsafe { first.as_ref() } {
            Some(first) => first.prev.store(new, Ordering::Relaxed),
            None => self.tail.store(new, Ordering::Relaxed),
        }
        self.head.store(new, Ordering::Relaxed);
    }

    fn unlink(&self, wait: &'static WaitCell) {
        let prev = wait.prev.load(Ordering::Relaxed);
        let next = wait.next.load(Ordering::Relaxed);
        // SAFETY: cells are never freed.
        match unsafe { prev.as_ref() } {
            Some(prev) => prev.next.store(next, Ordering::Relaxed),
            // Release pairs with the drop: who sees the queue empty sees the STRAY of before.
            None => self.head.store(next, Ordering::Release),
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(next) => next.prev.store(prev, Ordering::Relaxed),
            None => self.tail.store(prev, Ordering::Relaxed),
        }
        if self.kind != Kind::Pool && self.head.load(Ordering::Relaxed).is_null() {
            self.word.fetch_and(!QUEUED, Ordering::Relaxed);
        }
    }

    // ---- what the graph reads --------------------------------------------------------------------------------------

    fn holders_in_section(&self, visit: &mut dyn FnMut(*mut Slot, u32)) {
        match self.kind {
            Kind::Mutex | Kind::Event => {
                let word = self.word.load(Ordering::Acquire);
                if word & LOCKED != 0 {
                    visit(mutex::holder(word), 1);
                }
            }
            Kind::RwLock => rwlock::holders(self, visit),
            Kind::Pool => pool::holders(self, visit),
        }
    }

    /// What a wait for this lock stands on now: its holders, and those ahead of it with what they need. Nothing if the
    /// cell does not wait here any more.
    pub(crate) fn read_wait(
        &self,
        wait: &'static WaitCell,
        holder: &mut dyn FnMut(*mut Slot, u32),
        ahead: &mut dyn FnMut(&'static WaitCell),
    ) -> bool {
        let _section = self.queue.enter();
        if wait.phase() != cell::WAITING {
            return false;
        }
        self.holders_in_section(holder);
        if matches!(self.kind, Kind::RwLock | Kind::Pool) {
            let mut before = wait.prev.load(Ordering::Relaxed);
            for _ in 0..limits::AHEAD {
                // SAFETY: cells are never freed.
                let Some(other) = (unsafe { before.as_ref() }) else { break };
                ahead(other);
                before = other.prev.load(Ordering::Relaxed);
            }
        }
        true
    }

    /// Somebody who holds it; null for a holder nobody knows.
    pub(crate) fn any_holder(&self) -> Option<*mut Slot> {
        let _section = self.queue.enter();
        let mut any = None;
        self.holders_in_section(&mut |slot, _| {
            any = any.filter(|known: &*mut Slot| !known.is_null()).or(Some(slot));
        });
        any
    }

    /// The one holder of a mutex or an event, if it is known.
    pub(crate) fn sole_holder(&self) -> Option<&'static Slot> {
        // SAFETY: holders are slots, which are never freed.
        unsafe { mutex::holder(self.word.load(Ordering::Acquire)).as_ref() }
    }

    /// Everything there is to give.
    pub(crate) fn total(&self) -> u32 {
        match self.kind {
            Kind::Mutex | Kind::Event => 1,
            Kind::RwLock => ALL_READERS,
            Kind::Pool => pool::size(self),
        }
    }

    /// Calls `visit` for each queued cell, in order.
    pub(crate) fn queued(&self, mut visit: impl FnMut(&'static WaitCell)) {
        let _section = self.queue.enter();
        let mut next = self.first();
        while let Some(wait) = next {
            visit(wait);
            // SAFETY: cells are never freed.
            next = unsafe { wait.next.load(Ordering::Relaxed).as_ref() };
        }
    }
}

impl Drop for RawLock {
    #[inline]
    fn drop(&mut self) {
        // Not `get_mut`: a detector that follows the cell of a forgotten future may read us until `forget_cells` is done.
        let word = self.word.load(Ordering::Relaxed);
        let taken = match self.kind {
            Kind::RwLock => !rwlock::is_free(word),
            // `RawPool` leaves zero here if nobody holds a permit.
            Kind::Mutex | Kind::Event | Kind::Pool => word != 0,
        };
        // The queue first. Acquire pairs with the Release in `unlink`: who sees the queue empty sees the flag.
        if taken || !self.head.load(Ordering::Acquire).is_null() || self.flag(STRAY) {
            self.forget_cells();
        }
        self.alive.writes();
    }
}

impl RawLock {
    /// Cells of forgotten futures still point here: tells them that there is nothing here any more, and waits until
    /// nobody follows such a pointer. Only those: who is done with a cell takes its source away first.
    #[cold]
    fn forget_cells(&mut self) {
        let mut old = Vec::new();
        let me = ptr::from_mut(self).cast();
        slot::pool::for_each(|slot| {
            slot.every_cell(|wait| {
                // SeqCst, and then the look at FROZEN: either who freezes sees the source gone, or we wait for them.
                // From here on the cell is ours: the end of its owner waits for us.
                if wait.source.compare_exchange(me, GOING, Ordering::SeqCst, Ordering::Relaxed).is_err() {
                    return;
                }
                slot.wait_thawed();
                let section = self.queue.enter();
                // SAFETY: in the section; nobody else reaches the cell through this lock any more.
                old.push(unsafe { std::mem::replace(wait.parked_mut(), Parked::Nobody) });
                drop(section);
                // Last: whoever sees it may use the cell again.
                wait.set_phase(cell::ABANDONED);
            });
        });
        drop(old);
    }
}

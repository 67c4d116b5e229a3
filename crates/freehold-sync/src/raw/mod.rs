//! One wait queue for everything that can be waited for: a mutex, a read-write lock, a permit pool, the end of an
//! activity.
//!
//! # Invariants
//!
//! 1. `links` and those of queued cells change only inside a section of `queue`.
//! 2. While a cell is queued, `QUEUED` is set in `word`, so a release comes to the slow path. It is set inside the
//!    section, by a compare-and-swap that also sees what is asked for still taken; so there is no interleaving in which
//!    a cell is queued behind a free lock and nobody will look.
//! 3. A mutex has at most one notified waiter under way (`NOTIFIED`). Whoever clears the bit either is that waiter, or
//!    has made it dormant and looked for the next.
//! 4. A cell in use whose future lives is reached by the lock's owner through the future; one whose future was
//!    forgotten is in the queue, or `word` says that something is taken or notified, or `STRAY` is set. So a drop that
//!    sees none of these has no cell pointing to it. A cell that is not in use points to no lock.
//!
//! *Deadlock safety*: a section takes no other lock and runs no code of a user. Wakers are cloned before it, woken and
//! dropped after it.

mod end;
pub(crate) mod event;
mod leave;
mod links;
pub(crate) mod mutex;
mod overtake;
pub(crate) mod pool;
pub(crate) mod rwlock;
mod view;
pub(crate) mod wakes;

pub(crate) use end::GOING;

use crate::{
    class::{ClassRef, LockClass},
    limits, measure,
    shim::{
        AtomicU8, AtomicUsize, Ordering, PlainPtr, PlainU8, PlainU32, QueueLock, Watch, const_unless_modelled,
    },
    slot::{
        Slot,
        cell::{self, Parked, WaitCell},
    },
};
use links::Links;
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
    links: Links,
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
                links: Links::new(),
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

    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    #[inline]
    pub(crate) fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    #[inline]
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

    #[inline]
    pub(crate) fn set_site(&self, site: &'static Location<'static>) {
        self.site.store(ptr::from_ref(site).cast_mut(), Ordering::Relaxed);
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
                let free = self.links.is_empty() && !self.flag(SHUT);
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
        if self.links.is_empty() { rwlock::take(self, need, holder) } else { None }
    }

    // ---- queueing --------------------------------------------------------------------------------------------------

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
        let first = front || self.kind == Kind::Mutex || self.links.is_empty();
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
        if front {
            self.links.push_front(wait);
        } else {
            self.links.push_back(wait);
        }
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

    /// Replaces the waker of a cell; false if it does not wait any more. Only its future may. Wakers are cloned and dropped
    /// outside of the section, because that is a user's code.
    pub(crate) fn park(&self, wait: &'static WaitCell, waker: &Waker) -> bool {
        let section = self.queue.enter();
        if wait.phase() != cell::WAITING {
            return false;
        }
        // SAFETY: in the section.
        if unsafe { wait.parked_mut() }.is(waker) {
            return true;
        }
        drop(section);
        let new = Parked::Foreign(waker.clone());
        let section = self.queue.enter();
        let waiting = wait.phase() == cell::WAITING;
        // SAFETY: in the section.
        let unused = if waiting { std::mem::replace(unsafe { wait.parked_mut() }, new) } else { new };
        drop(section);
        drop(unused);
        waiting
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

    // ---- counting --------------------------------------------------------------------------------------------------

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
    /// handed over instead of racing for it; asked only when somebody waits. `kind` is the lock's, where that is known at
    /// compile time.
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
                if !mutex::try_release_alone(self) {
                    self.release_among_others(units, holder, long);
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

    /// Gives back a mutex that somebody waits for, or is on the way to.
    #[cold]
    #[inline(never)]
    fn release_among_others(&self, units: u32, holder: *mut Slot, long: impl FnOnce() -> bool) {
        if !mutex::try_release(self) {
            self.release_slow(units, holder, long());
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

    // ---- the queue, in the section ---------------------------------------------------------------------------------

    fn first(&self) -> Option<&'static WaitCell> {
        self.links.first()
    }

    fn unlink(&self, wait: &'static WaitCell) {
        self.links.unlink(wait);
        if self.kind != Kind::Pool && self.links.is_empty() {
            self.word.fetch_and(!QUEUED, Ordering::Relaxed);
        }
    }
}

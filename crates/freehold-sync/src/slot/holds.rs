//! What an activity holds: one entry a guard.
//!
//! Entries are claimed by the poller of the slot only, and given back by whoever drops the guard, so claiming needs no
//! atomic read-modify-write. Everything in an entry can be read by anybody: it names a lock by its address, which is
//! never followed.

use super::{Slot, block::Block};
use crate::{
    class::ClassRef,
    clock::AtomicTicks,
    measure::Timing,
    shim::{AtomicU32, AtomicUsize, Ordering, PlainPtr, PlainU32},
};
use std::{panic::Location, ptr};

/// In `busy`: entries of blocks may be in use.
const IN_BLOCKS: u32 = 1 << 30;
/// In `busy`: levels are inherited.
pub(crate) const SPECIAL: u32 = 1 << 31;
pub(crate) struct HeldEntry {
    /// The address of the lock; zero if the entry is unused. Written last when claimed.
    lock: AtomicUsize,
    class: PlainPtr<()>,
    site: PlainPtr<Location<'static>>,
    /// A `Timing`.
    timing: AtomicTicks,
    /// The epoch of the poll in which it was acquired.
    pub(crate) epoch: AtomicU32,
    owner: PlainPtr<Slot>,
    /// All bits in the `busy` word of its owner but its own.
    others: PlainU32,
}

impl HeldEntry {
    pub(crate) fn new() -> Self {
        Self {
            lock: AtomicUsize::new(0),
            class: PlainPtr::new(ptr::null_mut()),
            site: PlainPtr::new(ptr::null_mut()),
            timing: AtomicTicks::new(Timing::NONE.bits()),
            epoch: AtomicU32::new(0),
            owner: PlainPtr::new(ptr::null_mut()),
            others: PlainU32::new(0),
        }
    }

    pub(crate) fn set_owner(&self, owner: &'static Slot, bit: u32) {
        self.others.store(!bit, Ordering::Relaxed);
        self.owner.store(ptr::from_ref(owner).cast_mut(), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn owner(&self) -> &'static Slot {
        // SAFETY: set to a slot, which is never freed, before anybody else can see the entry.
        unsafe { &*self.owner.load(Ordering::Relaxed) }
    }

    #[inline]
    pub(crate) fn is_free(&self) -> bool {
        // Acquire pairs with the Release in `release`: what the last user wrote is not seen after ours.
        self.lock.load(Ordering::Acquire) == 0
    }

    #[inline]
    pub(crate) fn claim(
        &self,
        lock: usize,
        class: ClassRef,
        site: &'static Location<'static>,
        epoch: u32,
        timing: Timing,
    ) {
        self.class.store(class.to_ptr(), Ordering::Relaxed);
        self.site.store(ptr::from_ref(site).cast_mut(), Ordering::Relaxed);
        self.timing.set(timing.bits());
        self.epoch.store(epoch, Ordering::Relaxed);
        self.lock.store(lock, Ordering::Release);
    }

    /// Gives the entry back. The bit that is left behind in the `busy` word of the owner says "look", and a look finds the
    /// entry free.
    #[inline]
    pub(crate) fn release(&self) {
        self.lock.store(0, Ordering::Release);
    }

    /// As [`release`](Self::release), by the poller of `owner`, whose entry it is.
    #[inline(always)]
    pub(crate) fn release_by_poller(&self, owner: &Slot) {
        self.release();
        let others = self.others.load(Ordering::Relaxed);
        owner.busy.store(owner.busy.load(Ordering::Relaxed) & others, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(crate) fn timing(&self) -> Timing {
        Timing::from_bits(self.timing.get())
    }

    /// When it was acquired, or a little before; zero if nobody looked at a clock.
    pub(crate) fn since(&self) -> crate::clock::Ticks {
        self.timing().since()
    }

    pub(crate) fn lock(&self) -> usize {
        self.lock.load(Ordering::Acquire)
    }

    pub(crate) fn class(&self) -> ClassRef {
        ClassRef::from_ptr(self.class.load(Ordering::Relaxed))
    }

    pub(crate) fn site(&self) -> Option<&'static Location<'static>> {
        // SAFETY: only ever set from a `&'static Location`.
        unsafe { self.site.load(Ordering::Relaxed).as_ref() }
    }
}

impl Slot {
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
}

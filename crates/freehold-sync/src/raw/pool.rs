//! Permit pools: everything happens in the section; `word` is the number of free permits.

use super::{Kind, RawLock, SAMPLED, SHUT};
use crate::{
    class::ClassRef,
    shim::{Ordering, Watch},
    slot::Slot,
};
use std::{cell::UnsafeCell, ptr};

#[repr(C)]
pub(crate) struct RawPool {
    raw: RawLock,
    size: u32,
    /// Who holds how many; touched in the section.
    holders: UnsafeCell<Vec<(*mut Slot, u32)>>,
    watch: Watch,
}

// SAFETY: `holders` is touched in the section only; the slots it points to are `Sync` and never freed.
unsafe impl Sync for RawPool {}
// SAFETY: as above.
unsafe impl Send for RawPool {}

impl RawPool {
    crate::shim::const_unless_modelled! {
        pub(crate) const fn new(size: u32, class: ClassRef) -> Self {
            let raw = RawLock::new(Kind::Pool, size as usize, class, 0);
            Self { raw, size, holders: UnsafeCell::new(Vec::new()), watch: Watch::new() }
        }
    }

    pub(crate) fn raw(&self) -> &RawLock {
        // `of` gets from the field back to the whole, whose provenance it needs.
        ptr::from_ref(self).expose_provenance();
        &self.raw
    }

    fn of(lock: &RawLock) -> &Self {
        debug_assert!(lock.kind() == Kind::Pool);
        // SAFETY: a lock of this kind is only ever made as the first field of a `RawPool`, which is `repr(C)`.
        unsafe { &*ptr::with_exposed_provenance::<Self>(ptr::from_ref(lock).expose_provenance()) }
    }

    /// # Safety
    ///
    /// In the section.
    #[expect(clippy::mut_from_ref, reason = "the section makes the access exclusive")]
    unsafe fn list(&self) -> &mut Vec<(*mut Slot, u32)> {
        self.watch.writes();
        // SAFETY: by the caller's promise.
        unsafe { &mut *self.holders.get() }
    }
}

impl Drop for RawPool {
    fn drop(&mut self) {
        // Zero stands for "nothing is taken" in the drop of the lock.
        let taken = self.size as usize - self.raw.word.load(Ordering::Relaxed);
        self.raw.word.store(taken, Ordering::Relaxed);
    }
}

pub(super) fn size(lock: &RawLock) -> u32 {
    RawPool::of(lock).size
}

/// In the section.
pub(super) fn take(lock: &RawLock, need: u32, holder: *mut Slot) -> Option<u32> {
    let free = lock.word.load(Ordering::Relaxed);
    if free < need as usize || lock.flag(SHUT) {
        return None;
    }
    lock.word.store(free - need as usize, Ordering::Relaxed);
    // SAFETY: in the section.
    let list = unsafe { RawPool::of(lock).list() };
    match list.iter_mut().find(|(slot, _)| *slot == holder) {
        Some((_, units)) => *units += need,
        None => list.push((holder, need)),
    }
    Some(if lock.count_one() { SAMPLED } else { 0 })
}

/// In the section: books `units` of `from` to nobody.
pub(super) fn rebook(lock: &RawLock, units: u32, from: *mut Slot) {
    // SAFETY: in the section.
    let list = unsafe { RawPool::of(lock).list() };
    if let Some(entry) = list.iter_mut().find(|(slot, _)| *slot == from) {
        entry.1 -= units;
        // One entry for each holder: a release looks for one that has it all.
        match list.iter_mut().find(|(slot, _)| slot.is_null()) {
            Some(unknown) => unknown.1 += units,
            None => list.push((ptr::null_mut(), units)),
        }
    }
    list.retain(|(_, units)| *units > 0);
}

/// In the section.
pub(super) fn release(lock: &RawLock, units: u32, holder: *mut Slot) {
    let free = lock.word.load(Ordering::Relaxed);
    lock.word.store(free + units as usize, Ordering::Relaxed);
    // SAFETY: in the section.
    let list = unsafe { RawPool::of(lock).list() };
    if let Some(at) = list.iter().position(|(slot, held)| *slot == holder && *held >= units) {
        list[at].1 -= units;
        if list[at].1 == 0 {
            list.swap_remove(at);
        }
    }
}

/// In the section.
pub(super) fn holders(lock: &RawLock, visit: &mut dyn FnMut(*mut Slot, u32)) {
    // SAFETY: in the section.
    unsafe { RawPool::of(lock).list() }.iter().for_each(|(slot, units)| visit(*slot, *units));
}

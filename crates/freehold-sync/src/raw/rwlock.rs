//! The word of a read-write lock.
//!
//! ```text
//! 63         32 31          16 15        8 7       2   1      0
//! [ read count ] [ more readers ] [ readers ] [      ] QUEUED WRITER
//! ```
//!
//! A reader takes one of eight places with the compare-and-swap that lets it in, and writes its slot there, so that the
//! graph knows each reader at the price of one plain store. Readers beyond eight are named in a list, in the section.

use super::{ALL_READERS, Kind, LOCKED as WRITER, QUEUED, RawLock, SAMPLED};
use crate::{
    class::ClassRef,
    limits::{INLINE_READERS, SAMPLE},
    shim::{AtomicPtr, Ordering, Watch},
    slot::Slot,
};
use std::{cell::UnsafeCell, ptr};

const PLACES: usize = 0xff << 8;
const MORE: usize = 1 << 16;
const MORE_MASK: usize = 0xffff << 16;
const COUNT: usize = 1 << 32;
/// The place of a reader that is named in the list.
const LISTED: u32 = INLINE_READERS as u32;

#[repr(C)]
pub(crate) struct RawRwLock {
    raw: RawLock,
    /// The readers by place; the writer at the first one. Null while nobody, or nobody known, is there.
    readers: [AtomicPtr<Slot>; INLINE_READERS],
    /// The other readers; touched in the section.
    more: UnsafeCell<Vec<*mut Slot>>,
    watch: Watch,
}

// SAFETY: `more` is touched in the section only; the slots it points to are `Sync` and never freed.
unsafe impl Sync for RawRwLock {}
// SAFETY: as above.
unsafe impl Send for RawRwLock {}

impl RawRwLock {
    crate::shim::const_unless_modelled! {
        pub(crate) const fn new(class: ClassRef, flags: u8) -> Self {
            Self {
                raw: RawLock::new(Kind::RwLock, 0, class, flags),
                #[cfg(not(any(loom, shuttle)))]
                readers: [const { AtomicPtr::new(ptr::null_mut()) }; INLINE_READERS],
                #[cfg(any(loom, shuttle))]
                readers: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
                more: UnsafeCell::new(Vec::new()), watch: Watch::new(),
            }
        }
    }

    pub(crate) fn raw(&self) -> &RawLock {
        // `of` gets from the field back to the whole, whose provenance it needs.
        ptr::from_ref(self).expose_provenance();
        &self.raw
    }

    fn of(lock: &RawLock) -> &Self {
        debug_assert!(lock.kind() == Kind::RwLock);
        // SAFETY: a lock of this kind is only ever made as the first field of a `RawRwLock`, which is `repr(C)`, and
        // reached through `raw`, which exposes the whole.
        unsafe { &*ptr::with_exposed_provenance::<Self>(ptr::from_ref(lock).expose_provenance()) }
    }

    /// # Safety
    ///
    /// In the section.
    #[expect(clippy::mut_from_ref, reason = "the section makes the access exclusive")]
    unsafe fn more(&self) -> &mut Vec<*mut Slot> {
        self.watch.writes();
        // SAFETY: by the caller's promise.
        unsafe { &mut *self.more.get() }
    }
}

pub(super) fn is_free(word: usize) -> bool {
    word & (WRITER | PLACES | MORE_MASK) == 0
}

pub(super) fn is_taken(word: usize, need: u32) -> bool {
    let full = PLACES | MORE_MASK;
    if need == ALL_READERS { !is_free(word) } else { word & WRITER != 0 || word & full == full }
}

/// Whether a reader could come in but for the places.
pub(super) fn has_no_place(word: usize, need: u32) -> bool {
    need != ALL_READERS && word & (WRITER | PLACES) == PLACES
}

/// Whether the acquisition that led to `word` is one to measure.
fn sampled(word: usize) -> u32 {
    if ((word >> 32) as u32).is_multiple_of(SAMPLE) { SAMPLED } else { 0 }
}

/// In the section: names nobody as the holder at `place`.
pub(super) fn rebook(lock: &RawLock, place: u32, from: *mut Slot) {
    let whole = RawRwLock::of(lock);
    if place & !SAMPLED != LISTED {
        whole.readers[(place & !SAMPLED) as usize].store(ptr::null_mut(), Ordering::Relaxed);
        return;
    }
    // SAFETY: in the section.
    if let Some(reader) = unsafe { whole.more() }.iter_mut().find(|reader| **reader == from) {
        *reader = ptr::null_mut();
    }
}

/// Takes the lock unless somebody is queued.
#[inline]
pub(super) fn try_take(lock: &RawLock, need: u32, holder: *mut Slot) -> Option<u32> {
    if need == ALL_READERS { take_write(lock, holder, QUEUED) } else { take_place(lock, holder, QUEUED) }
}

/// In the section: takes the lock, whoever is queued.
pub(super) fn take(lock: &RawLock, need: u32, holder: *mut Slot) -> Option<u32> {
    if need == ALL_READERS {
        take_write(lock, holder, 0)
    } else {
        take_place(lock, holder, 0).or_else(|| take_listed(lock, holder))
    }
}

#[inline(always)]
pub(crate) fn take_write(lock: &RawLock, holder: *mut Slot, unless: usize) -> Option<u32> {
    let mut word = lock.word.load(Ordering::Relaxed);
    loop {
        if !is_free(word) || word & unless != 0 {
            return None;
        }
        match lock.word.compare_exchange_weak(word, word | WRITER, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => break,
            Err(now) => word = now,
        }
    }
    RawRwLock::of(lock).readers[0].store(holder, Ordering::Release);
    Some(0)
}

#[inline(always)]
pub(crate) fn take_place(lock: &RawLock, holder: *mut Slot, unless: usize) -> Option<u32> {
    let mut word = lock.word.load(Ordering::Relaxed);
    let place = loop {
        if word & (WRITER | unless) != 0 || word & PLACES == PLACES {
            return None;
        }
        let place = ((word & PLACES) >> 8).trailing_ones();
        let new = (word | (1 << (8 + place))).wrapping_add(COUNT);
        match lock.word.compare_exchange_weak(word, new, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => {
                word = new;
                break place;
            }
            Err(now) => word = now,
        }
    };
    RawRwLock::of(lock).readers[place as usize].store(holder, Ordering::Release);
    Some(place | sampled(word))
}

/// Whether a writer may come in at once.
#[inline(always)]
pub(crate) fn is_all_free(lock: &RawLock) -> bool {
    let word = lock.word.load(Ordering::Relaxed);
    is_free(word) && word & QUEUED == 0
}

/// Whether a reader may come in at once.
#[inline(always)]
pub(crate) fn is_open(lock: &RawLock) -> bool {
    lock.word.load(Ordering::Relaxed) & (WRITER | QUEUED) == 0
}

fn take_listed(lock: &RawLock, holder: *mut Slot) -> Option<u32> {
    let mut word = lock.word.load(Ordering::Relaxed);
    loop {
        if word & WRITER != 0 || word & MORE_MASK == MORE_MASK {
            return None;
        }
        let new = (word + MORE).wrapping_add(COUNT);
        match lock.word.compare_exchange_weak(word, new, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => break,
            Err(now) => word = now,
        }
    }
    // SAFETY: in the section.
    unsafe { RawRwLock::of(lock).more() }.push(holder);
    Some(LISTED | sampled(word.wrapping_add(COUNT)))
}

/// Gives back outside of the section. True if somebody is queued who may now get it.
#[inline(always)]
pub(super) fn release(lock: &RawLock, units: u32, place: u32, holder: *mut Slot) -> bool {
    if units != ALL_READERS && place == LISTED {
        let _section = lock.queue.enter();
        return release_in_section(lock, units, place, holder);
    }
    release_in_section(lock, units, place, holder)
}

/// Gives back; a listed reader only in the section.
#[inline(always)]
pub(super) fn release_in_section(lock: &RawLock, units: u32, place: u32, holder: *mut Slot) -> bool {
    let whole = RawRwLock::of(lock);
    let before = if units == ALL_READERS {
        whole.readers[0].store(ptr::null_mut(), Ordering::Relaxed);
        lock.word.fetch_sub(WRITER, Ordering::Release) - WRITER
    } else if place == LISTED {
        // SAFETY: in the section.
        let more = unsafe { whole.more() };
        if let Some(at) = more.iter().position(|reader| *reader == holder) {
            more.swap_remove(at);
        }
        lock.word.fetch_sub(MORE, Ordering::Release) - MORE
    } else {
        // Before the place is given up: the next one there writes after us.
        whole.readers[place as usize].store(ptr::null_mut(), Ordering::Relaxed);
        let bit = 1 << (8 + place);
        lock.word.fetch_sub(bit, Ordering::Release) - bit
    };
    before & QUEUED != 0 && is_free(before)
}

/// Turns the writer, which calls it, into a reader; others may be let in afterwards.
pub(crate) fn downgrade(lock: &RawLock, holder: *mut Slot) {
    let whole = RawRwLock::of(lock);
    whole.readers[0].store(holder, Ordering::Relaxed);
    let mut word = lock.word.load(Ordering::Relaxed);
    loop {
        let new = ((word & !WRITER) | (1 << 8)).wrapping_add(COUNT);
        match lock.word.compare_exchange_weak(word, new, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => word = now,
        }
    }
}

/// In the section: the holders.
pub(super) fn holders(lock: &RawLock, visit: &mut dyn FnMut(*mut Slot, u32)) {
    let whole = RawRwLock::of(lock);
    let word = lock.word.load(Ordering::Acquire);
    if word & WRITER != 0 {
        visit(whole.readers[0].load(Ordering::Acquire), ALL_READERS);
        return;
    }
    for (place, reader) in whole.readers.iter().enumerate() {
        if word & (1 << (8 + place)) != 0 {
            visit(reader.load(Ordering::Acquire), 1);
        }
    }
    // SAFETY: in the section.
    for reader in unsafe { whole.more() } {
        visit(*reader, 1);
    }
}

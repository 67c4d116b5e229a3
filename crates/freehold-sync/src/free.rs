//! Taking what is free: the part of an acquisition that is worth a path of its own.

use crate::{
    acquire::{self, Acquired},
    booking::Booking,
    guard::{OfMutex, OfReader, OfWriter},
    measure::{self, Timing},
    raw::{self, ALL_READERS, RawLock, mutex, rwlock},
    shim::Ordering,
    slot::Slot,
};
use std::panic::Location;

/// A way to take a lock that nobody has and nobody is queued for.
pub(crate) trait Free {
    /// What it takes of the lock.
    const NEED: u32;

    fn is_free(lock: &RawLock) -> bool;

    /// Takes it if it still is, for `holder`. The place, with [`raw::SAMPLED`] if this one is to be measured.
    fn take(lock: &RawLock, holder: *mut Slot) -> Option<u32>;
}

impl Free for OfMutex {
    const NEED: u32 = 1;

    #[inline(always)]
    fn is_free(lock: &RawLock) -> bool {
        lock.word.load(Ordering::Relaxed) == 0
    }

    #[inline(always)]
    fn take(lock: &RawLock, holder: *mut Slot) -> Option<u32> {
        let taken = mutex::take_free(lock, holder);
        taken.then(|| if lock.count_one() { raw::SAMPLED } else { 0 })
    }
}

impl Free for OfReader {
    const NEED: u32 = 1;

    #[inline(always)]
    fn is_free(lock: &RawLock) -> bool {
        rwlock::is_open(lock)
    }

    #[inline(always)]
    fn take(lock: &RawLock, holder: *mut Slot) -> Option<u32> {
        rwlock::take_place(lock, holder, raw::QUEUED)
    }
}

impl Free for OfWriter {
    const NEED: u32 = ALL_READERS;

    #[inline(always)]
    fn is_free(lock: &RawLock) -> bool {
        rwlock::is_all_free(lock)
    }

    #[inline(always)]
    fn take(lock: &RawLock, holder: *mut Slot) -> Option<u32> {
        let place = rwlock::take_write(lock, holder, raw::QUEUED)?;
        Some(if lock.count_one() { place | raw::SAMPLED } else { place })
    }
}

/// Whether [`take`] may be tried: it is free, it is not one that a panic can poison, and `bound` holds nothing, so that
/// there is no order to check.
#[inline(always)]
pub(crate) fn is_plain<K: Free>(lock: &RawLock, bound: Option<&'static Slot>) -> bool {
    !lock.flag(raw::POISONING)
        && K::is_free(lock)
        && bound.is_none_or(|slot| slot.busy.load(Ordering::Relaxed) == 0)
}

/// Takes it, if it still is free. Only after [`is_plain`] said yes, by the poller of `bound`.
#[inline(always)]
pub(crate) fn take<K: Free>(
    lock: &RawLock,
    bound: Option<&'static Slot>,
    site: &'static Location<'static>,
) -> Option<Acquired> {
    let place = K::take(lock, acquire::pointer(bound))?;
    let sampled = place & raw::SAMPLED != 0;
    let timing = if sampled { measure::acquired(lock, None, true) } else { Timing::NONE };
    let booking = match bound {
        Some(slot) => {
            let hold = slot.claim_first_hold();
            hold.claim(lock.address(), lock.class_ref(), site, acquire::epoch_of(slot), timing);
            Booking::to(hold)
        }
        None => {
            lock.set_site(site);
            Booking::to_nobody(timing)
        }
    };
    Some(Acquired { booking, place: (place & !raw::SAMPLED) as usize })
}

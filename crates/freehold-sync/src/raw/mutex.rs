//! The word of a mutex: its holder's slot and three flags. One compare-and-swap takes it, one gives it back.

use super::{FLAGS, LOCKED, NOTIFIED, QUEUED, RawLock, wakes::Wakes};
use crate::{
    shim::Ordering,
    slot::{Slot, cell},
};

/// The holder's slot in `word`; null if nobody knows the holder.
pub(super) fn holder(word: usize) -> *mut Slot {
    std::ptr::with_exposed_provenance_mut(word & !FLAGS)
}

/// The bits that stand for `holder`.
#[inline(always)]
fn bits(holder: *mut Slot) -> usize {
    holder.expose_provenance()
}

/// Takes a free mutex, whoever is queued.
#[inline]
pub(super) fn take(lock: &RawLock, holder: *mut Slot) -> bool {
    let mut word = lock.word.load(Ordering::Relaxed);
    loop {
        if word & LOCKED != 0 {
            return false;
        }
        let new = word | LOCKED | bits(holder);
        // Acquire pairs with the Release of the release before: what was written under the lock is seen. Release: a
        // detector that follows the holder's pointer sees the slot it points to.
        match lock.word.compare_exchange_weak(word, new, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(now) => word = now,
        }
    }
}

/// Takes a mutex that nobody has, waits for, or is on the way to.
#[inline(always)]
pub(crate) fn take_free(lock: &RawLock, holder: *mut Slot) -> bool {
    // The orderings of `take`.
    lock.word.compare_exchange(0, LOCKED | bits(holder), Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

/// Takes a mutex that a notification was for, and ends the notification.
pub(crate) fn take_notified(lock: &RawLock, holder: *mut Slot) -> bool {
    let mut word = lock.word.load(Ordering::Relaxed);
    loop {
        if word & LOCKED != 0 {
            return false;
        }
        let new = (word & !NOTIFIED) | LOCKED | bits(holder);
        match lock.word.compare_exchange_weak(word, new, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(now) => word = now,
        }
    }
}

/// Gives a mutex back that nobody waits for or is on the way to.
#[inline(always)]
pub(super) fn try_release_alone(lock: &RawLock) -> bool {
    let word = lock.word.load(Ordering::Relaxed);
    word & (QUEUED | NOTIFIED) == 0
        && lock.word.compare_exchange_weak(word, 0, Ordering::Release, Ordering::Relaxed).is_ok()
}

/// Gives a mutex back if nobody has to be told: nobody is queued, or the one at the front is on its way already.
pub(super) fn try_release(lock: &RawLock) -> bool {
    let mut word = lock.word.load(Ordering::Relaxed);
    loop {
        if word & (QUEUED | NOTIFIED) == QUEUED {
            return false;
        }
        let new = word & (QUEUED | NOTIFIED);
        match lock.word.compare_exchange_weak(word, new, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(now) => word = now,
        }
    }
}

/// In the section, by the holder: hands the mutex over, or lets go of it and wakes the first in the queue.
pub(super) fn release_queued(lock: &RawLock, long: bool, wakes: &mut Wakes) {
    let notified = lock.word.load(Ordering::Relaxed) & NOTIFIED;
    let first = lock.first();
    match first {
        Some(first) if notified == 0 && (long || first.overtaken.load(Ordering::Relaxed) != 0) => {
            lock.unlink(first);
            let queued = if lock.first().is_some() { QUEUED } else { 0 };
            // Nobody else writes: it is locked and we are in the section; only flags that the section guards differ.
            lock.word.store(LOCKED | bits(first.holder()) | queued, Ordering::Release);
            lock.leave_queue(first, cell::GRANTED, wakes);
        }
        _ => {
            let queued = if first.is_some() { QUEUED } else { 0 };
            lock.word.store(queued | notified, Ordering::Release);
            notify_if_free(lock, wakes);
        }
    }
}

/// In the section: wakes the first in the queue to take a free mutex, unless one is under way.
pub(super) fn notify_if_free(lock: &RawLock, wakes: &mut Wakes) {
    let word = lock.word.load(Ordering::Relaxed);
    if word & (LOCKED | NOTIFIED) != 0 {
        return;
    }
    let Some(first) = lock.first() else { return };
    // Before anybody can see the phase; a taker in between leaves the bit as it is.
    lock.word.fetch_or(NOTIFIED, Ordering::Relaxed);
    lock.unlink(first);
    lock.leave_queue(first, cell::NOTIFIED, wakes);
}

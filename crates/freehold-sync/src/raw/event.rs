//! The end of an activity, as something that the activity holds until then: so a reply is an edge like any other.

use super::{FLAGS, LOCKED, QUEUED, RawLock, wakes::Wakes};
use crate::{
    shim::Ordering,
    slot::{Slot, cell},
};

/// The word of an event that `by` will complete; null: somebody nobody knows.
pub(crate) fn pending(by: *const Slot) -> usize {
    by.expose_provenance() | LOCKED
}

/// In the section: from now on `by` will complete it.
pub(super) fn bind(lock: &RawLock, by: &'static Slot) {
    let flags = lock.word.load(Ordering::Relaxed) & FLAGS;
    lock.word.store(std::ptr::from_ref(by).expose_provenance() | flags, Ordering::Release);
}

/// In the section: it has happened; everybody goes on.
pub(super) fn complete(lock: &RawLock, wakes: &mut Wakes) {
    let queued = lock.word.load(Ordering::Relaxed) & QUEUED;
    lock.word.store(queued, Ordering::Release);
    while let Some(first) = lock.first() {
        lock.unlink(first);
        lock.leave_queue(first, cell::GRANTED, wakes);
    }
}

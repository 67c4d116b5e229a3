//! The result that somebody owes, as something that its activity holds until it is there: so waiting for it is an edge.

use crate::{
    class::ClassRef,
    error::Ended,
    raw::{self, Kind, RawLock, event},
    shim::{Mutex, Ordering, PoisonError},
    slot::Slot,
};
use std::{ptr, sync::Arc};

/// The result of an activity, and its end as something that it holds until then.
pub(crate) struct Completion<T> {
    pub(crate) lock: RawLock,
    result: Mutex<Option<Result<T, Ended>>>,
}

impl<T> Completion<T> {
    pub(crate) fn new(by: &'static Slot) -> Arc<Self> {
        Self::held_by(by)
    }

    /// One that nobody known will complete.
    pub(crate) fn unbound() -> Arc<Self> {
        Self::held_by(ptr::null())
    }

    fn held_by(by: *const Slot) -> Arc<Self> {
        let class = ClassRef::from_ptr(ptr::null_mut());
        Arc::new(Self {
            lock: RawLock::new(Kind::Event, event::pending(by), class, 0),
            result: Mutex::new(None),
        })
    }

    pub(crate) fn is_done(&self) -> bool {
        self.lock.word.load(Ordering::Acquire) & raw::LOCKED == 0
    }

    /// What it was completed with; nothing if that never happened.
    pub(crate) fn take(&self) -> Option<Result<T, Ended>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Completes when dropped: with the result if there is one. Dropped inside the activity, as the last thing of its body,
/// so that nobody sees the event bound to a slot whose user has changed.
pub(crate) struct Completer<T>(pub(crate) Arc<Completion<T>>);

impl<T> Completer<T> {
    pub(crate) fn complete(self, result: Result<T, Ended>) {
        *self.0.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        self.0.lock.release(Kind::Event, 1, 0, ptr::null_mut(), || false);
    }
}

//! The future that waits for a mutex.

use super::{Mutex, MutexGuard};
use crate::{acquire::Acquire, deadline::limits_of, error::LockError, guard::OfMutex, slot::Slot};
use std::{
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

/// Waits for a [`Mutex`]; see [`Context::lock`](crate::Context::lock) and [`Mutex::lock`].
#[must_use = "futures do nothing unless polled"]
pub struct Lock<'a, T: ?Sized> {
    pub(crate) acquire: Acquire<'a>,
    mutex: &'a Mutex<T>,
}

impl<'a, T: ?Sized> Lock<'a, T> {
    pub(crate) fn new(
        mutex: &'a Mutex<T>,
        slot: Option<&'static Slot>,
        site: &'static Location<'static>,
    ) -> Self {
        Self { acquire: Acquire::new(&mutex.raw, slot, 1, site), mutex }
    }

    limits_of!();

    #[inline(never)]
    fn poll_slowly(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<MutexGuard<'a, T>, LockError>> {
        let mutex = self.mutex;
        self.acquire.poll(cx).map(|acquired| Ok(mutex.guard(acquired?)))
    }
}

impl<'a, T: ?Sized> Future for Lock<'a, T> {
    type Output = Result<MutexGuard<'a, T>, LockError>;

    // Into the body: the guard is then made where it lives, and not copied piece by piece on the way.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if let Some(free) = self.acquire.poll_free::<OfMutex>(cx) {
            return free.map(|acquired| Ok(self.mutex.guard(acquired)));
        }
        self.poll_slowly(cx)
    }
}

impl<T: ?Sized> fmt::Debug for Lock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

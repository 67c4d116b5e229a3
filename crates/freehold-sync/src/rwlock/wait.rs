//! The futures that wait for a read-write lock.

use super::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::{
    acquire::Acquire, deadline::limits_of, error::LockError, guard::OfReader, raw::ALL_READERS, slot::Slot,
};
use std::{
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

/// Waits to read; see [`Context::read`](crate::Context::read) and [`RwLock::read`].
#[must_use = "futures do nothing unless polled"]
pub struct Read<'a, T: ?Sized> {
    pub(crate) acquire: Acquire<'a>,
    lock: &'a RwLock<T>,
}

impl<'a, T: ?Sized> Read<'a, T> {
    pub(crate) fn new(
        lock: &'a RwLock<T>,
        slot: Option<&'static Slot>,
        site: &'static Location<'static>,
    ) -> Self {
        Self { acquire: Acquire::new(lock.raw.raw(), slot, 1, site), lock }
    }

    limits_of!();

    #[inline(never)]
    fn poll_slowly(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<RwLockReadGuard<'a, T>, LockError>> {
        let lock = self.lock;
        self.acquire.poll(cx).map(|acquired| Ok(lock.read_guard(acquired?)))
    }
}

impl<'a, T: ?Sized> Future for Read<'a, T> {
    type Output = Result<RwLockReadGuard<'a, T>, LockError>;

    // Into the body: the guard is then made where it lives, and not copied piece by piece on the way.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if let Some(free) = self.acquire.poll_free::<OfReader>(cx) {
            return free.map(|acquired| Ok(self.lock.read_guard(acquired)));
        }
        self.poll_slowly(cx)
    }
}

/// Waits to write; see [`Context::write`](crate::Context::write) and [`RwLock::write`].
#[must_use = "futures do nothing unless polled"]
pub struct Write<'a, T: ?Sized> {
    pub(crate) acquire: Acquire<'a>,
    lock: &'a RwLock<T>,
}

impl<'a, T: ?Sized> Write<'a, T> {
    pub(crate) fn new(
        lock: &'a RwLock<T>,
        slot: Option<&'static Slot>,
        site: &'static Location<'static>,
    ) -> Self {
        Self { acquire: Acquire::new(lock.raw.raw(), slot, ALL_READERS, site), lock }
    }

    limits_of!();
}

impl<'a, T: ?Sized> Future for Write<'a, T> {
    type Output = Result<RwLockWriteGuard<'a, T>, LockError>;

    // Into the body: the guard is then made where it lives, and not copied piece by piece on the way.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let lock = self.lock;
        self.acquire.poll(cx).map(|acquired| Ok(lock.write_guard(acquired?)))
    }
}

impl<T: ?Sized> fmt::Debug for Read<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Read").finish_non_exhaustive()
    }
}

impl<T: ?Sized> fmt::Debug for Write<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write").finish_non_exhaustive()
    }
}

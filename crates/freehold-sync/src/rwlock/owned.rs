//! What holds a read-write lock and keeps it alive.

use super::RwLock;
use crate::guard::{OfReader, OfWriter, Owned, stands_for_value};
use std::sync::Arc;

/// Reads under a [`RwLock`] and keeps it alive. It may go anywhere, so its holder is unknown to the graph.
#[must_use = "the lock is given back at once if the guard is not kept"]
#[clippy::has_significant_drop]
pub struct OwnedRwLockReadGuard<T: ?Sized> {
    pub(super) held: Owned<OfReader>,
    pub(super) lock: Arc<RwLock<T>>,
}

/// Writes under a [`RwLock`] and keeps it alive. It may go anywhere, so its holder is unknown to the graph.
#[must_use = "the lock is given back at once if the guard is not kept"]
#[clippy::has_significant_drop]
pub struct OwnedRwLockWriteGuard<T: ?Sized> {
    pub(super) held: Owned<OfWriter>,
    pub(super) lock: Arc<RwLock<T>>,
}

impl<T: ?Sized> Drop for OwnedRwLockReadGuard<T> {
    fn drop(&mut self) {
        self.held.give_back(self.lock.raw.raw());
    }
}

impl<T: ?Sized> Drop for OwnedRwLockWriteGuard<T> {
    fn drop(&mut self) {
        self.held.give_back(self.lock.raw.raw());
    }
}

stands_for_value!(read OwnedRwLockReadGuard<T>, |guard| guard.lock.value.get());
stands_for_value!(write OwnedRwLockWriteGuard<T>, |guard| guard.lock.value.get());

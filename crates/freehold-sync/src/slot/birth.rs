//! Birth stamps: who is older. Not part of any model, so the atomic is the real one.

use std::sync::atomic::{AtomicU64, Ordering};

/// A birth stamp, later than all before.
pub(super) fn next() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

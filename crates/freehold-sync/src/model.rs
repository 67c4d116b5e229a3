//! What models of other crates need of this one. Exists under `cfg(loom)` and `cfg(shuttle)` only.

/// Atomics for a model under loom: loom's, with the one total order of `SeqCst` accesses.
#[cfg(loom)]
pub use crate::shim::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

#[cfg(shuttle)]
mod time {
    use crate::{clock, driver, graph::sweep, slot::pool};
    use std::time::{Duration, Instant};

    /// A run begins: frees what the one before left, whose threads must be gone, and sets the clock of the locks.
    pub fn begin_run(now: Instant) {
        pool::model::begin_run();
        clock::set(clock::of(now));
    }

    /// How many slots are in use: one for each activity, and each wait outside of activities, that has not ended.
    #[must_use]
    pub fn slots_in_use() -> usize {
        pool::model::in_use()
    }

    /// Does what the driver's thread does: ends the waits whose deadline has passed by `now`, and sweeps the graph.
    /// Returns the next deadline, if somebody waits until one.
    pub fn look(now: Instant) -> Option<Instant> {
        let ticks = clock::of(now);
        clock::set(ticks);
        let (waiting, _) = driver::expire(ticks);
        if waiting {
            sweep::sweep(ticks);
        }
        let (_, next) = driver::expire(ticks);
        (next != clock::NEVER).then(|| now + Duration::from_nanos(next.saturating_sub(ticks)))
    }
}

#[cfg(shuttle)]
pub use time::{begin_run, look, slots_in_use};

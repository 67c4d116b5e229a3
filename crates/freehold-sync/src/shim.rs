//! The one place that chooses between the standard library's primitives, loom's and shuttle's.
//!
//! `cfg(loom)` and `cfg(shuttle)` are set by `scripts/loom` and `scripts/shuttle`. Everything of this crate that takes
//! part in an interleaving comes through here: atomics, the mutexes of its own tables, thread-locals and the queue lock.

#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::yield_now,
    thread_local,
};

#[cfg(loom)]
pub(crate) use loom::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::yield_now,
    thread_local,
};
#[cfg(loom)]
pub(crate) use std::sync::PoisonError;

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::yield_now,
    thread_local,
};

/// Declares a function that is `const` except under loom, whose atomics cannot be made in a constant.
macro_rules! const_unless_modelled {
    ($(#[$meta:meta])* $vis:vis const fn $($rest:tt)*) => {
        #[cfg(not(any(loom, shuttle)))]
        $(#[$meta])*
        $vis const fn $($rest)*
        #[cfg(any(loom, shuttle))]
        $(#[$meta])*
        $vis fn $($rest)*
    };
}
pub(crate) use const_unless_modelled;

/// The lock of one wait queue: one byte, held for a few loads and stores, never while a waker is woken or dropped.
pub(crate) struct QueueLock {
    #[cfg(not(any(loom, shuttle)))]
    raw: parking_lot::RawMutex,
    #[cfg(any(loom, shuttle))]
    raw: AtomicBool,
}

impl QueueLock {
    const_unless_modelled! {
        pub(crate) const fn new() -> Self {
            #[cfg(not(any(loom, shuttle)))]
            let raw = <parking_lot::RawMutex as parking_lot::lock_api::RawMutex>::INIT;
            #[cfg(any(loom, shuttle))]
            let raw = AtomicBool::new(false);
            Self { raw }
        }
    }

    /// Takes the lock; it is given back when the returned section is dropped.
    #[inline]
    pub(crate) fn enter(&self) -> Section<'_> {
        #[cfg(not(any(loom, shuttle)))]
        parking_lot::lock_api::RawMutex::lock(&self.raw);
        #[cfg(any(loom, shuttle))]
        while self.raw.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            yield_now();
        }
        Section { lock: self }
    }
}

/// A critical section of a [`QueueLock`].
pub(crate) struct Section<'a> {
    lock: &'a QueueLock,
}

impl Drop for Section<'_> {
    #[inline]
    fn drop(&mut self) {
        #[cfg(not(any(loom, shuttle)))]
        // SAFETY: a `Section` exists only between a `lock` and this one `unlock`.
        unsafe {
            parking_lot::lock_api::RawMutex::unlock(&self.lock.raw);
        }
        #[cfg(any(loom, shuttle))]
        self.lock.raw.store(false, Ordering::Release);
    }
}

/// One turn of a short wait for another thread to leave a section of a few hundred nanoseconds.
pub(crate) struct Backoff {
    #[cfg(not(any(loom, shuttle)))]
    turns: u32,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(not(any(loom, shuttle)))]
            turns: 0,
        }
    }

    pub(crate) fn wait(&mut self) {
        #[cfg(not(any(loom, shuttle)))]
        if self.turns < crate::limits::SPINS_BEFORE_YIELD {
            self.turns += 1;
            std::hint::spin_loop();
            return;
        }
        yield_now();
    }
}

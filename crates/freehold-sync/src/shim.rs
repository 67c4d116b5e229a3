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
    thread::{self, yield_now},
    thread_local,
};

#[cfg(loom)]
pub(crate) use loom::{
    sync::{
        Mutex, MutexGuard,
        atomic::{Ordering, fence},
    },
    thread::{self, yield_now},
    thread_local,
};
#[cfg(loom)]
pub(crate) use sequential::AtomicPtr;
#[cfg(loom)]
pub use sequential::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};
#[cfg(loom)]
pub(crate) use std::sync::PoisonError;

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::{self, yield_now},
    thread_local,
};

/// Atomics that no model looks at: for what is only told (names, places, counts), or means the same whenever it is read.
/// Each access of the others is a point where a model branches.
pub(crate) use std::sync::atomic::{
    AtomicBool as PlainBool, AtomicPtr as PlainPtr, AtomicU8 as PlainU8, AtomicU32 as PlainU32,
    AtomicU64 as PlainU64,
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

/// Declares a static that models make anew in every run.
macro_rules! static_of_a_run {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $value:expr;) => {
        #[cfg(not(any(loom, shuttle)))]
        $(#[$meta])*
        static $name: $type = $value;
        #[cfg(loom)]
        loom::lazy_static! { $(#[$meta])* static ref $name: $type = $value; }
        #[cfg(shuttle)]
        shuttle::lazy_static! { $(#[$meta])* static ref $name: $type = $value; }
    };
}
pub(crate) use static_of_a_run;

/// The lock of one wait queue: one byte, held for a few loads and stores, never while a waker is woken or dropped.
pub(crate) struct QueueLock {
    #[cfg(not(any(loom, shuttle)))]
    raw: parking_lot::RawMutex,
    #[cfg(any(loom, shuttle))]
    raw: Mutex<()>,
}

impl QueueLock {
    const_unless_modelled! {
        pub(crate) const fn new() -> Self {
            #[cfg(not(any(loom, shuttle)))]
            let raw = <parking_lot::RawMutex as parking_lot::lock_api::RawMutex>::INIT;
            #[cfg(any(loom, shuttle))]
            let raw = Mutex::new(());
            Self { raw }
        }
    }

    /// Takes the lock; it is given back when the returned section is dropped.
    #[cfg(not(any(loom, shuttle)))]
    #[inline]
    pub(crate) fn enter(&self) -> Section<'_> {
        parking_lot::lock_api::RawMutex::lock(&self.raw);
        Section { lock: self }
    }

    #[cfg(any(loom, shuttle))]
    pub(crate) fn enter(&self) -> Section<'_> {
        Section { _guard: self.raw.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// A critical section of a [`QueueLock`].
pub(crate) struct Section<'a> {
    #[cfg(not(any(loom, shuttle)))]
    lock: &'a QueueLock,
    #[cfg(any(loom, shuttle))]
    _guard: MutexGuard<'a, ()>,
}

#[cfg(not(any(loom, shuttle)))]
impl Drop for Section<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: a `Section` exists only between a `lock` and this one `unlock`.
        unsafe {
            parking_lot::lock_api::RawMutex::unlock(&self.lock.raw);
        }
    }
}

/// Stands beside an `UnsafeCell`: under loom, an access that is not ordered after the one before it is an error, unless
/// both read. Nothing elsewhere.
pub(crate) struct Watch {
    #[cfg(loom)]
    cell: loom::cell::UnsafeCell<()>,
}

// SAFETY: loom checks the accesses, which are what it is for, and reach nothing.
#[cfg(loom)]
unsafe impl Sync for Watch {}

impl Watch {
    const_unless_modelled! {
        pub(crate) const fn new() -> Self {
            Self {
                #[cfg(loom)]
                cell: loom::cell::UnsafeCell::new(()),
            }
        }
    }

    #[inline(always)]
    pub(crate) fn reads(&self) {
        #[cfg(loom)]
        self.cell.with(|_| ());
    }

    #[inline(always)]
    pub(crate) fn writes(&self) {
        #[cfg(loom)]
        self.cell.with_mut(|_| ());
    }
}

/// Called by a poll that asks to be polled again because somebody else is in its way. An executor lets others run in
/// between; in a model, which has none, this does.
#[inline(always)]
pub(crate) fn let_others_run() {
    #[cfg(any(loom, shuttle))]
    yield_now();
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

/// loom's atomics, with the one total order of `SeqCst` accesses: loom itself orders `SeqCst` fences only, and takes such
/// accesses for `AcqRel`. A `SeqCst` read that comes after a `SeqCst` write of its thread is preceded by such a fence.
#[cfg(loom)]
#[expect(unreachable_pub, reason = "models of other crates use all of them but the pointer")]
mod sequential {
    use super::{Ordering, fence};
    use loom::sync::atomic as checked;
    use std::cell::Cell;

    loom::thread_local!(static WROTE: Cell<bool> = Cell::new(false));

    fn before_read(order: Ordering) {
        if order == Ordering::SeqCst && WROTE.try_with(Cell::get).unwrap_or(true) {
            fence(Ordering::SeqCst);
        }
    }

    fn after_write(order: Ordering) {
        if order == Ordering::SeqCst {
            let _ = WROTE.try_with(|wrote| wrote.set(true));
        }
    }

    macro_rules! atomics {
        ($($name:ident $(<$param:ident>)? of $value:ty, $($fetch:ident)*;)*) => {$(
            /// An atomic of a model.
            pub struct $name $(<$param>)? (checked::$name $(<$param>)?);

            #[allow(dead_code, missing_docs, reason = "the same set of methods for all types; they are those of std")]
            impl $(<$param>)? $name $(<$param>)? {
                #[track_caller]
                pub fn new(value: $value) -> Self {
                    Self(checked::$name::new(value))
                }

                #[track_caller]
                pub fn load(&self, order: Ordering) -> $value {
                    before_read(order);
                    self.0.load(order)
                }

                #[track_caller]
                pub fn store(&self, value: $value, order: Ordering) {
                    self.0.store(value, order);
                    after_write(order);
                }

                #[track_caller]
                pub fn compare_exchange(
                    &self,
                    from: $value,
                    to: $value,
                    order: Ordering,
                    failed: Ordering,
                ) -> Result<$value, $value> {
                    let result = self.0.compare_exchange(from, to, order, failed);
                    if result.is_ok() {
                        after_write(order);
                    }
                    result
                }

                #[track_caller]
                pub fn compare_exchange_weak(
                    &self,
                    from: $value,
                    to: $value,
                    order: Ordering,
                    failed: Ordering,
                ) -> Result<$value, $value> {
                    self.compare_exchange(from, to, order, failed)
                }

                $(#[track_caller]
                pub fn $fetch(&self, value: $value, order: Ordering) -> $value {
                    let before = self.0.$fetch(value, order);
                    after_write(order);
                    before
                })*
            }
        )*};
    }

    atomics! {
        AtomicBool of bool, swap fetch_or fetch_and;
        AtomicU8 of u8, swap fetch_or fetch_and;
        AtomicU32 of u32, swap fetch_or fetch_and fetch_add fetch_sub;
        AtomicU64 of u64, swap fetch_or fetch_and fetch_add fetch_sub;
        AtomicUsize of usize, swap fetch_or fetch_and fetch_add fetch_sub;
        AtomicPtr<T> of *mut T, swap;
    }

    macro_rules! defaults {
        ($($name:ident of $value:expr;)*) => {$(
            impl Default for $name {
                fn default() -> Self {
                    Self::new($value)
                }
            }
        )*};
    }

    defaults! {
        AtomicBool of false;
        AtomicU8 of 0;
        AtomicU32 of 0;
        AtomicU64 of 0;
        AtomicUsize of 0;
    }
}

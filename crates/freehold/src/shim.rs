//! The one place that chooses between the standard library's primitives, shuttle's and loom's.
//!
//! `cfg(shuttle)` and `cfg(loom)` are set by `scripts/shuttle` and `scripts/loom`. What of this crate takes part in an
//! interleaving comes through here, or is a [`ScopedMutex`](freehold_sync::ScopedMutex), which `freehold-sync` models.
//!
//! Not modelled, and so a single step to a model: papaya's maps, `ArcSwap`, tokio's `Semaphore`, and what is told or counted
//! only (events, gauges, serial numbers, the watchdog's marks). Where others can come in before or after such a step,
//! [`branch`] lets a model do so.

#[cfg(not(any(loom, shuttle)))]
pub(crate) use atomic_waker::AtomicWaker;
#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::{
    sync::{
        Once, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize},
    },
    thread_local,
};
#[cfg(not(any(loom, shuttle)))]
pub(crate) use tokio::sync::Notify;

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::{
        Mutex, Once,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize},
    },
    thread::yield_now,
    thread_local,
};

#[cfg(loom)]
pub(crate) use freehold_sync::model::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize};
#[cfg(loom)]
pub(crate) use loom::sync::Mutex;
#[cfg(loom)]
pub(crate) use std::sync::{Once, OnceLock};

/// As std's; loom's own takes no constants.
#[cfg(loom)]
macro_rules! of_a_thread {
    ($($(#[$meta:meta])* $vis:vis static $name:ident: $type:ty = const { $init:expr });+ $(;)?) => {
        loom::thread_local! { $($(#[$meta])* $vis static $name: $type = $init;)+ }
    };
}
#[cfg(loom)]
pub(crate) use of_a_thread as thread_local;

#[cfg(any(loom, shuttle))]
pub(crate) use modelled::{AtomicWaker, Notify};
#[cfg(shuttle)]
pub(crate) use stepwise::OnceLock;

pub(crate) use std::sync::atomic::Ordering;
/// Atomics that no model looks at: for what is only told, or means the same whenever it is read. Each access of the others
/// is a point where a model branches.
pub(crate) use std::sync::atomic::{AtomicU64 as PlainU64, AtomicUsize as PlainUsize};

/// Others may come in here: before a step that is a single one to a model, because it is not made of what is modelled.
#[inline(always)]
pub(crate) fn branch() {
    #[cfg(shuttle)]
    yield_now();
}

/// A [`OnceLock`](std::sync::OnceLock) whose steps are some that others can come in between.
#[cfg(shuttle)]
mod stepwise {
    use super::branch;
    use std::sync::OnceLock as Std;

    pub(crate) struct OnceLock<T>(Std<T>);

    impl<T> OnceLock<T> {
        pub(crate) const fn new() -> Self {
            Self(Std::new())
        }

        pub(crate) fn get(&self) -> Option<&T> {
            branch();
            self.0.get()
        }

        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            branch();
            self.0.set(value)
        }

        /// Unlike std's it may run `init` and then find that another one was faster: std's waits for that one, and all
        /// threads of a model are one.
        pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
            if let Some(there) = self.get() {
                return there;
            }
            let value = init();
            self.0.get_or_init(|| value)
        }
    }

    impl<T> Default for OnceLock<T> {
        fn default() -> Self {
            Self::new()
        }
    }
}

/// What stands for the primitives of others in a model, with the promises that those make, and no more.
#[cfg(any(loom, shuttle))]
mod modelled {
    use super::Mutex;
    use std::{
        future::Future,
        pin::Pin,
        task::{Context, Poll, Waker},
    };

    fn with<T, R>(mutex: &Mutex<T>, section: impl FnOnce(&mut T) -> R) -> R {
        section(&mut mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// As that of the crate `atomic-waker`: of a registration and a wake, whichever comes second sees the other.
    #[derive(Default)]
    pub(crate) struct AtomicWaker(Mutex<Option<Waker>>);

    impl AtomicWaker {
        pub(crate) fn register(&self, waker: &Waker) {
            let displaced = with(&self.0, |place| place.replace(waker.clone()));
            drop(displaced);
        }

        pub(crate) fn wake(&self) {
            let waker = with(&self.0, Option::take);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// As tokio's: [`notify_waiters`](Self::notify_waiters) reaches each `Notified` that was made before.
    #[derive(Default)]
    pub(crate) struct Notify(Mutex<Notifications>);

    #[derive(Default)]
    struct Notifications {
        /// How many there were.
        sent: u64,
        next: u64,
        waiting: Vec<(u64, Waker)>,
    }

    pub(crate) struct Notified<'a> {
        notify: &'a Notify,
        number: u64,
        /// How many there were when it was made.
        sent: u64,
    }

    impl Notify {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn notified(&self) -> Notified<'_> {
            let (number, sent) = with(&self.0, |inner| {
                inner.next += 1;
                (inner.next, inner.sent)
            });
            Notified { notify: self, number, sent }
        }

        pub(crate) fn notify_waiters(&self) {
            let waiting = with(&self.0, |inner| {
                inner.sent += 1;
                std::mem::take(&mut inner.waiting)
            });
            waiting.into_iter().for_each(|(_, waker)| waker.wake());
        }
    }

    impl Notified<'_> {
        /// It waits from when it was made on.
        pub(crate) fn enable(self: Pin<&mut Self>) -> bool {
            with(&self.notify.0, |inner| inner.sent != self.sent)
        }
    }

    impl Future for Notified<'_> {
        type Output = ();

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            let (polled, displaced) = with(&self.notify.0, |inner| {
                if inner.sent != self.sent {
                    return (Poll::Ready(()), None);
                }
                let place = inner.waiting.iter().position(|(number, _)| *number == self.number);
                let displaced = place.map(|place| inner.waiting.swap_remove(place));
                inner.waiting.push((self.number, cx.waker().clone()));
                (Poll::Pending, displaced)
            });
            drop(displaced);
            polled
        }
    }

    impl Drop for Notified<'_> {
        fn drop(&mut self) {
            let waker = with(&self.notify.0, |inner| {
                let place = inner.waiting.iter().position(|(number, _)| *number == self.number);
                place.map(|place| inner.waiting.swap_remove(place))
            });
            drop(waker);
        }
    }
}

//! A one-shot signal with a reason.
//!
//! # Invariants
//!
//! 1. `reason` goes from 0 to a non-zero value once and never changes again.
//! 2. A waker is in `waiters` only while its [`SignalWait`] is alive and unready.
//! 3. Registration re-reads `reason` inside the section that stores the waker; the setter writes `reason` before the
//!    section in which it takes the wakers. Whichever section comes second sees the other's write, so there is no
//!    interleaving in which a waiter sleeps and no wake follows.
//!
//! *Deadlock safety*: the section only moves wakers; they are woken and dropped outside of it.

use crate::{
    LockLevel, ScopedMutex,
    shim::{AtomicU8, Ordering},
};
use std::{
    fmt,
    future::Future,
    num::NonZeroU8,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// A one-shot broadcast that carries a small reason: set once, seen by every waiter, before or after it registers.
///
/// # Examples
///
/// ```
/// use freehold_sync::Signal;
/// use std::num::NonZeroU8;
///
/// let cancel = Signal::new();
/// assert!(cancel.get().is_none());
/// let reason = NonZeroU8::new(3).unwrap();
/// assert!(cancel.set(reason));
/// assert!(!cancel.set(NonZeroU8::MIN), "the first reason stays");
/// assert_eq!(cancel.get(), Some(reason));
/// ```
#[derive(Default)]
pub struct Signal {
    reason: AtomicU8,
    waiters: ScopedMutex<Waiters, SignalWaiters>,
}

crate::sections! {
    at LockLevel::INNERMOST;
    SignalWaiters = "Signal waiters";
}

#[derive(Default)]
struct Waiters {
    slots: Vec<Option<Waker>>,
    /// The empty ones of `slots`. Without it each registration would search all of them, and a signal such as "the
    /// server stops" has as many waiters as there are streams.
    free: Vec<usize>,
}

impl Waiters {
    /// Stores `waker` under `key`, or under a new key; returns the key and the waker it displaced.
    fn store(&mut self, key: Option<usize>, waker: Waker) -> (usize, Option<Waker>) {
        let key = key.or_else(|| self.free.pop()).unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        (key, self.slots[key].replace(waker))
    }

    /// Takes the waker under `key` out; nothing if the signal was set in between, which took all of them.
    fn forget(&mut self, key: usize) -> Option<Waker> {
        let waker = self.slots.get_mut(key)?.take()?;
        self.free.push(key);
        Some(waker)
    }
}

impl Signal {
    /// A signal that has not been set.
    #[must_use]
    pub fn new() -> Self {
        Self { reason: AtomicU8::new(0), waiters: ScopedMutex::default() }
    }

    /// Sets the signal and wakes every waiter. Returns whether this call was the one that set it.
    pub fn set(&self, reason: NonZeroU8) -> bool {
        // AcqRel: Release pairs with the Acquire in `get`, so that who sees the reason sees what came before it.
        let first =
            self.reason.compare_exchange(0, reason.get(), Ordering::AcqRel, Ordering::Acquire).is_ok();
        if first {
            let waiters = self.waiters.with(std::mem::take);
            waiters.slots.into_iter().flatten().for_each(Waker::wake);
        }
        first
    }

    /// The reason, once set.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<NonZeroU8> {
        NonZeroU8::new(self.reason.load(Ordering::Acquire))
    }

    /// Waits for the signal; ready at once if it is set already.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets its registration; nothing is lost.
    pub fn wait(&self) -> SignalWait<&Signal> {
        SignalWait { signal: self, key: None }
    }
}

/// Something with a signal in it, so that a [`SignalWait`] can own its way there.
pub trait HasSignal {
    /// The signal; always the same one.
    fn signal(&self) -> &Signal;
}

impl HasSignal for Signal {
    fn signal(&self) -> &Signal {
        self
    }
}

impl<T: HasSignal + ?Sized> HasSignal for &T {
    fn signal(&self) -> &Signal {
        (**self).signal()
    }
}

impl<T: HasSignal + ?Sized> HasSignal for std::sync::Arc<T> {
    fn signal(&self) -> &Signal {
        (**self).signal()
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").field("reason", &self.get()).finish_non_exhaustive()
    }
}

/// Waits for a [`Signal`]; see [`Signal::wait`].
///
/// Generic over how the signal is owned, so that a long-lived task can wait on a signal inside an `Arc` of its own.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct SignalWait<R: HasSignal> {
    signal: R,
    key: Option<usize>,
}

impl<R: HasSignal> SignalWait<R> {
    /// A wait that owns its way to the signal.
    pub fn new(signal: R) -> Self {
        Self { signal, key: None }
    }
}

impl<R: HasSignal + Unpin> Future for SignalWait<R> {
    type Output = NonZeroU8;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<NonZeroU8> {
        let this = &mut *self;
        let signal = this.signal.signal();
        if let Some(reason) = signal.get() {
            this.key = None;
            return Poll::Ready(reason);
        }
        // Cloned before the section and dropped after it: that is a user's code.
        let waker = cx.waker().clone();
        let mut displaced = None;
        let reason = signal.waiters.with(|waiters| {
            if let Some(reason) = signal.get() {
                displaced = Some(waker);
                return Some(reason);
            }
            let (key, old) = waiters.store(this.key, waker);
            this.key = Some(key);
            displaced = old;
            None
        });
        drop(displaced);
        match reason {
            Some(reason) => {
                this.key = None;
                Poll::Ready(reason)
            }
            None => Poll::Pending,
        }
    }
}

impl<R: HasSignal> Drop for SignalWait<R> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let signal = self.signal.signal();
            let waker = signal.waiters.with(|waiters| waiters.forget(key));
            drop(waker);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Signal;
    use std::{
        future::Future,
        num::NonZeroU8,
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Context, Poll, Wake, Waker},
    };

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn every_waiter_is_woken_once_and_dropped_ones_are_not() {
        let signal = Signal::new();
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        let mut first = pin!(signal.wait());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(first.as_mut().poll(&mut cx).is_pending(), "a second poll does not register twice");
        {
            let mut gone = Box::pin(signal.wait());
            assert!(gone.as_mut().poll(&mut cx).is_pending());
        }
        signal.set(NonZeroU8::MIN);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert_eq!(first.as_mut().poll(&mut cx), Poll::Ready(NonZeroU8::MIN));
    }

    #[test]
    fn the_place_of_a_dropped_waiter_is_used_again() {
        let signal = Signal::new();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..100 {
            let mut wait = Box::pin(signal.wait());
            assert!(wait.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(signal.waiters.with(|waiters| waiters.slots.len()), 1);
    }

    #[test]
    fn a_signal_set_before_the_wait_is_seen() {
        let signal = Signal::new();
        signal.set(NonZeroU8::MIN);
        let mut wait = pin!(signal.wait());
        assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::{HasSignal, Signal, SignalWait};
    use loom::{future::block_on, sync::Arc, thread};
    use std::num::NonZeroU8;

    #[derive(Clone)]
    struct Held(Arc<Signal>);

    impl HasSignal for Held {
        fn signal(&self) -> &Signal {
            &self.0
        }
    }

    /// S-10: whatever the order of `set` and the registration, the waiter ends.
    #[test]
    fn a_waiter_never_outlives_its_signal() {
        loom::model(|| {
            let signal = Held(Arc::new(Signal::new()));
            let setter = signal.clone();
            let thread = thread::spawn(move || setter.0.set(NonZeroU8::MIN));
            assert_eq!(block_on(SignalWait::new(signal)), NonZeroU8::MIN);
            thread.join().unwrap();
        });
    }

    /// A waiter that gives up, or registers in the place of one that did, takes nobody's wake-up.
    #[test]
    fn a_dropped_waiter_takes_nobody_elses_place() {
        use std::{
            future::Future,
            pin::Pin,
            task::{Context, Waker},
        };
        loom::model(|| {
            let signal = Held(Arc::new(Signal::new()));
            let mut gone = SignalWait::new(signal.clone());
            let _ = Pin::new(&mut gone).poll(&mut Context::from_waker(Waker::noop()));
            let waiting = signal.clone();
            let waiter = thread::spawn(move || block_on(SignalWait::new(waiting)));
            let setter = signal.clone();
            let thread = thread::spawn(move || setter.0.set(NonZeroU8::MIN));
            drop(gone);
            assert_eq!(waiter.join().unwrap(), NonZeroU8::MIN);
            thread.join().unwrap();
        });
    }

    #[test]
    fn two_setters_one_reason() {
        loom::model(|| {
            let signal = Held(Arc::new(Signal::new()));
            let other = signal.clone();
            let thread = thread::spawn(move || other.0.set(NonZeroU8::new(2).unwrap()));
            let mine = signal.0.set(NonZeroU8::MIN);
            let theirs = thread.join().unwrap();
            assert!(mine != theirs, "exactly one setter is the first");
            assert_eq!(signal.0.get().unwrap().get(), if mine { 1 } else { 2 });
        });
    }
}

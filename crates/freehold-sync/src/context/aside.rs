//! Futures that may end a wait from outside, and are no sign of life.

use super::Context;
use crate::{
    acquire::is_own,
    clock,
    signal_cell::SignalCell,
    slot::{Slot, poll},
};
use std::{
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, Wake, Waker},
};

/// A future whose wakers are no sign of life; see [`Context::aside`].
#[must_use = "futures do nothing unless polled"]
pub struct Aside<'a, F> {
    future: F,
    waker: Option<Waker>,
    /// Says in the graph that something outside may end the wait: an activity that waits for nothing else is no orphan.
    signal: SignalCell,
    context: &'a Context,
}

impl<'a, F> Aside<'a, F> {
    pub(super) fn new(context: &'a Context, future: F, site: &'static Location<'static>) -> Self {
        let signal = SignalCell::until(Some(context.slot()), clock::NEVER, site);
        Self { future, waker: None, signal, context }
    }
}

/// Wakes the activity without being counted. If the slot has a new user by then, that one is polled once for nothing.
struct AsideWaker(&'static Slot);

impl Wake for AsideWaker {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }
}

impl<F: Future> Future for Aside<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<F::Output> {
        // SAFETY: only the future is pinned, and it is not moved.
        let this = unsafe { self.get_unchecked_mut() };
        let slot = this.context.slot();
        let current = poll::current().filter(|current| current.is(slot));
        // SAFETY: as above.
        let future = unsafe { Pin::new_unchecked(&mut this.future) };
        if !is_own(cx.waker(), current) {
            // Polled by a combinator with a waker of its own: that one has to be told.
            return future.poll(cx);
        }
        let waker = this.waker.get_or_insert_with(|| Waker::from(Arc::new(AsideWaker(slot))));
        let output = future.poll(&mut TaskContext::from_waker(waker));
        if output.is_pending() {
            // Without a deadline and not for the cancel, so never ready.
            let _ = this.signal.poll(cx);
        }
        output
    }
}

impl<F> fmt::Debug for Aside<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aside").finish_non_exhaustive()
    }
}

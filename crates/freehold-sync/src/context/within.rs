//! Deadlines around futures.

use super::Context;
use crate::{
    clock,
    error::Timeout,
    events,
    graph::chain,
    metrics,
    report::{Grade, LockName},
    signal_cell::SignalCell,
};
use std::{
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

/// A future with a deadline; see [`Context::within`] and [`within`].
#[must_use = "futures do nothing unless polled"]
pub struct Within<'a, F> {
    future: F,
    wait: SignalCell,
    limit: Duration,
    context: Option<&'a Context>,
}

impl<'a, F> Within<'a, F> {
    pub(super) fn new(
        context: Option<&'a Context>,
        limit: Duration,
        future: F,
        site: &'static Location<'static>,
    ) -> Self {
        let deadline = clock::after(clock::now(), limit);
        let wait = SignalCell::until(context.map(Context::slot), deadline, site);
        Self { future, wait, limit, context }
    }

    fn timed_out(&self) -> Timeout {
        metrics::add(&metrics::GLOBAL.timeouts, 1);
        let slot = self.context.map(Context::slot);
        let mut chain = slot.map(chain::from_poller).unwrap_or_default().into_iter();
        let timeout = Timeout {
            lock: None,
            waited: self.limit,
            holder: chain.next(),
            chain: chain.collect(),
            held: slot.map(|slot| slot.held().map(LockName::of_hold).collect()).unwrap_or_default(),
            grade: Grade::Suspected,
        };
        events::timeout(&timeout);
        timeout
    }
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Result<F::Output, Timeout>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        // SAFETY: only the future is pinned, and it is not moved.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        if let Poll::Ready(output) = unsafe { Pin::new_unchecked(&mut this.future) }.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        match this.wait.poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(this.timed_out())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<F> fmt::Debug for Within<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Within").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// Runs `future`, anywhere, for at most `limit` from this call on. Inside an activity use [`Context::within`], which is no
/// sign of life and whose error names more.
///
/// # Cancel safety
///
/// That of `future`, which is dropped with it.
///
/// # Errors
///
/// [`Timeout`]; the future is dropped with the returned one.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::{future::pending, time::Duration};
///
/// let late = freehold_sync::within(Duration::from_millis(5), pending::<()>()).await;
/// assert!(late.is_err());
/// # }
/// ```
#[track_caller]
pub fn within<F: Future>(limit: Duration, future: F) -> Within<'static, F> {
    Within::new(None, limit, future, Location::caller())
}

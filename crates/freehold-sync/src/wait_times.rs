//! How many waits end in a poll, and how long they were, for who wants to tell that of what it polls.
//!
//! A wait is looked at when the future that waited is done with it, which is in a poll of who waited or in the drop of
//! what was polled; so counts for the thread are enough, and a wait that nobody wants to know of costs one look at a flag.

use crate::{clock, slot::cell::WaitCell};
use std::{cell::Cell, marker::PhantomData, time::Duration};

/// Waits that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitTimes {
    /// How many there were.
    pub count: u64,
    /// How long they were, together. Of those that ran at the same time each counts.
    pub total: Duration,
}

thread_local! {
    static WANTED: Cell<Option<WaitTimes>> = const { Cell::new(None) };
}

/// Runs `poll`, and says which waits ended in it: those for async locks, permits, turns, results and replies that were not there
/// at once, however they ended. What is run inside of it in the same way keeps its waits to itself.
///
/// Not among them: waits for locks that block their thread ([`blocking`](crate::blocking)), whose metrics count them. Of a wait
/// that was begun in one activity and goes on in another, the second part counts.
///
/// # Panics
///
/// If `poll` does; then nothing is told.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use freehold_sync::{Mutex, activity, wait_times};
/// use std::{future::poll_fn, pin::pin};
///
/// let mutex = Mutex::new(0);
/// let holds = activity(async |ctx| {
///     let _held = ctx.lock(&mutex).await;
///     tokio::task::yield_now().await;
/// });
/// let waits = activity(async |ctx| *ctx.lock(&mutex).await.unwrap() += 1);
/// let (mut waits, mut seen) = (pin!(waits), 0);
/// let told = poll_fn(|cx| {
///     let (polled, times) = wait_times(|| waits.as_mut().poll(cx));
///     seen += times.count;
///     polled
/// });
/// tokio::join!(holds, told).1.unwrap();
/// assert_eq!(seen, 1);
/// # }
/// ```
pub fn wait_times<R>(poll: impl FnOnce() -> R) -> (R, WaitTimes) {
    let watch = WaitWatch::begin();
    let output = poll();
    (output, watch.end())
}

/// [`wait_times`] in two steps, for one who does not always want to know.
#[derive(Debug)]
#[must_use = "what ends while it is there is counted"]
pub struct WaitWatch {
    /// What is put back at the end, also by a panic.
    before: Option<WaitTimes>,
    of_this_thread: PhantomData<*const ()>,
}

impl WaitWatch {
    /// Begins. To be ended on this thread, and after what was begun later.
    pub fn begin() -> Self {
        Self { before: WANTED.replace(Some(WaitTimes::default())), of_this_thread: PhantomData }
    }

    /// The waits that ended since.
    #[must_use]
    pub fn end(self) -> WaitTimes {
        WANTED.get().unwrap_or_default()
    }
}

impl Drop for WaitWatch {
    fn drop(&mut self) {
        WANTED.set(self.before);
    }
}

/// The future that waited in `wait` is done with it.
#[inline]
pub(crate) fn ended(wait: &WaitCell) {
    if let Some(times) = WANTED.get() {
        let waited = clock::between(wait.since.get(), clock::now());
        WANTED.set(Some(WaitTimes { count: times.count + 1, total: times.total.saturating_add(waited) }));
    }
}

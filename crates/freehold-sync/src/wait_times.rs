//! How many waits end in a poll, and how long they were, for who wants to tell that of what it polls.
//!
//! A wait is looked at when the future that waited is done with it, which is in a poll of who waited or in the drop of
//! what was polled; so counts for the thread are enough, and a wait that nobody wants to know of costs one look at a flag.

use crate::{clock, slot::cell::WaitCell};
use std::{cell::Cell, time::Duration};

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

/// Runs `poll`, and says which waits ended in it: those for locks, permits, turns, results and replies that were not there at
/// once, however they ended. What is run inside of it in the same way keeps its waits to itself.
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
    /// Puts back what was there before, also when `poll` panics.
    struct Before(Option<WaitTimes>);

    impl Drop for Before {
        fn drop(&mut self) {
            WANTED.set(self.0);
        }
    }

    let before = Before(WANTED.replace(Some(WaitTimes::default())));
    let output = poll();
    let times = WANTED.get().unwrap_or_default();
    drop(before);
    (output, times)
}

/// The future that waited in `wait` is done with it.
#[inline]
pub(crate) fn ended(wait: &WaitCell) {
    if let Some(times) = WANTED.get() {
        let waited = clock::between(wait.since.get(), clock::now());
        WANTED.set(Some(WaitTimes { count: times.count + 1, total: times.total.saturating_add(waited) }));
    }
}

//! The seam for time, timers, randomness and spawning.
//!
//! Nothing else in the engine reads a clock, sleeps, draws a random number or spawns a task, so that a simulation can
//! drive all of it. [`TokioRuntime`] is the one used outside of tests.

mod split;
mod watch;

pub use split::SplitRuntime;
pub use watch::{Look, NextLook, Rouse};

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, Instant, SystemTime},
};

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the engine needs from its surroundings.
pub trait Runtime: Send + Sync + 'static {
    /// The monotonic clock.
    fn now(&self) -> Instant;

    /// The time of day, as it has passed since 1970 began: for instants that other machines read. It may jump.
    #[expect(clippy::disallowed_methods, reason = "this is the seam it must be asked through")]
    fn unix_time(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    /// A timer that fires at `at`.
    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>>;

    /// Runs `future` as a task of its own; `name` says what it is.
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>);

    /// As [`spawn`](Self::spawn), for the task of a call, which runs its handler: on threads of their own where handlers have
    /// such.
    fn spawn_handler(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        self.spawn(name, future);
    }

    /// Whether a handler may begin in the task that waits for its answer, which spares a handler that is ready at once a task.
    /// Not where handlers have threads of their own.
    fn starts_inline(&self) -> bool {
        true
    }

    /// Calls `look` again and again, when it says, by something that goes on although all tasks are blocked: a thread.
    /// Returns how to rouse it, or nothing if it will not be called.
    ///
    /// By default it is not, and such an engine has no watchdog: nobody finds handlers that block their thread, or ends
    /// calls at their deadline while they do. A simulation, in which nothing blocks and time is its own, wants it so.
    fn watch(&self, name: &'static str, look: Look) -> Option<Rouse> {
        let _ = (name, look);
        None
    }

    /// Fills `bytes` from a cryptographically secure source.
    ///
    /// # Panics
    ///
    /// If the system has no such source: guessable session ids are worse than none.
    fn fill_random(&self, bytes: &mut [u8]);
}

/// A timer that can be moved. Ready once its instant has come.
pub trait Timer: Future<Output = ()> + Send {
    /// Moves the timer to `at`, also after it fired.
    fn reset(self: Pin<&mut Self>, at: Instant);
}

/// [`Runtime`] on tokio. Its methods must be called from inside a tokio runtime with time enabled.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioRuntime;

#[expect(clippy::disallowed_methods, reason = "this is the seam they must be asked through")]
impl Runtime for TokioRuntime {
    fn now(&self) -> Instant {
        // tokio's clock, not std's: tests pause it.
        tokio::time::Instant::now().into_std()
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        Box::pin(tokio::time::sleep_until(at.into()))
    }

    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) {
        tokio::spawn(future);
    }

    fn watch(&self, name: &'static str, look: Look) -> Option<Rouse> {
        watch::on_a_thread(name, tokio::runtime::Handle::try_current().ok(), look)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system has a random source");
    }
}

impl Timer for tokio::time::Sleep {
    fn reset(self: Pin<&mut Self>, at: Instant) {
        tokio::time::Sleep::reset(self, at.into());
    }
}

/// Stands for "never" where an instant is needed.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// `now + period`, or an instant so far away that it never comes: a period of `Duration::MAX` means no bound.
pub(crate) fn after(now: Instant, period: Duration) -> Instant {
    now.checked_add(period.min(FAR)).unwrap_or(now)
}

/// Waits for `future` until `at`; `None` if the instant came first.
///
/// # Cancel safety
///
/// Dropping it drops `future`.
pub async fn until<F: Future>(runtime: &dyn Runtime, at: Instant, future: F) -> Option<F::Output> {
    let mut timer = runtime.timer(at);
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(cx) {
            return std::task::Poll::Ready(Some(output));
        }
        timer.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// Sleeps for `period`.
pub async fn pause(runtime: &dyn Runtime, period: Duration) {
    runtime.timer(after(runtime.now(), period)).await;
}

//! Running again what failed so that others could get on.

use crate::{
    clock::{self, Ticks},
    context::Context,
    limits,
    signal_cell::SignalCell,
    slot::Slot,
};
use foldhash::quality::RandomState;
use std::{future::Future, hash::BuildHasher, panic::Location, task::Poll, time::Duration};

/// How often, and after which pauses, [`Context::retry`] runs something again.
///
/// The pauses are random, up to a bound that doubles each time; so two that were in each other's way do not meet again in
/// step.
///
/// # Examples
///
/// ```
/// use freehold_sync::Retry;
/// use std::time::Duration;
///
/// let patient = Retry::default().attempts(5).pauses(Duration::from_millis(2), Duration::from_millis(500));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    attempts: u32,
    first: Duration,
    longest: Duration,
}

impl Default for Retry {
    /// [`limits::RETRY_ATTEMPTS`], with pauses from [`limits::RETRY_FIRST_PAUSE`] up to [`limits::RETRY_LONGEST_PAUSE`].
    fn default() -> Self {
        Self {
            attempts: limits::RETRY_ATTEMPTS,
            first: limits::RETRY_FIRST_PAUSE,
            longest: limits::RETRY_LONGEST_PAUSE,
        }
    }
}

impl Retry {
    /// Sets how often it is run at most, the first time included; at least once.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// Sets the bound of the first pause, and the one that no later pause exceeds.
    #[must_use]
    pub fn pauses(self, first: Duration, longest: Duration) -> Self {
        Self { first, longest, ..self }
    }

    /// The pause after so many attempts, by a number that is anything.
    fn pause(self, attempts: u32, random: u64) -> Duration {
        let bound = self.first.saturating_mul(1 << (attempts - 1).min(20)).min(self.longest);
        bound.mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

impl Context {
    /// Runs `attempt`, and runs it again as long as it fails with an error for which `again` says so, typically
    /// [`LockError::is_deadlock`](crate::LockError::is_deadlock).
    ///
    /// All attempts are those of one activity, so they have its birth stamp: under the default
    /// [`VictimPolicy`](crate::VictimPolicy) it gets older than everybody new, and finishes in the end.
    ///
    /// It is not run again if the activity still holds something after the attempt (then it would only be told the same,
    /// because a victim gets nothing it has to wait for before it holds nothing), once it was cancelled, also in a pause,
    /// or if the pause would last until its deadline. The pauses need no runtime and are no sign of life.
    ///
    /// Only what had no effect outside may be run again: nothing sent, nothing committed.
    ///
    /// # Cancel safety
    ///
    /// That of `attempt`, which is dropped where it is.
    ///
    /// # Errors
    ///
    /// That of the last attempt.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use freehold_sync::{Context, LockError, Mutex, Retry, activity};
    ///
    /// async fn sum(ctx: &Context, a: &Mutex<u32>, b: &Mutex<u32>) -> Result<u32, LockError> {
    ///     let a = ctx.lock(a).await?;
    ///     tokio::task::yield_now().await;
    ///     let b = ctx.lock(b).await?;
    ///     Ok(*a + *b)
    /// }
    ///
    /// let (a, b) = (Mutex::new(1), Mutex::new(2));
    /// let one = activity(async |ctx| {
    ///     ctx.retry(Retry::default(), LockError::is_deadlock, || sum(ctx, &a, &b)).await
    /// });
    /// let two = activity(async |ctx| {
    ///     ctx.retry(Retry::default(), LockError::is_deadlock, || sum(ctx, &b, &a)).await
    /// });
    /// let (one, two) = tokio::join!(one, two);
    /// assert_eq!((one.unwrap().unwrap(), two.unwrap().unwrap()), (3, 3));
    /// # }
    /// ```
    #[track_caller]
    pub fn retry<T, E, F>(
        &self,
        retry: Retry,
        again: impl Fn(&E) -> bool,
        mut attempt: impl FnMut() -> F,
    ) -> impl Future<Output = Result<T, E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let (slot, site) = (self.slot(), Location::caller());
        async move {
            let mut attempts = 1;
            loop {
                let error = match attempt().await {
                    Err(error) if again(&error) && attempts < retry.attempts => error,
                    ended => return ended,
                };
                let pause = retry.pause(attempts, random(attempts));
                let until = clock::after(clock::now(), pause);
                if !slot.holds_nothing() || until >= slot.deadline.get() || !paused(slot, until, site).await {
                    return Err(error);
                }
                attempts += 1;
            }
        }
    }
}

fn random(attempts: u32) -> u64 {
    #[cfg(all(feature = "simulation", not(any(loom, shuttle))))]
    if let Some(random) = crate::simulation::random() {
        return random;
    }
    RandomState::default().hash_one((attempts, clock::now()))
}

/// Waits until then; false if the activity is cancelled before.
async fn paused(slot: &'static Slot, until: Ticks, site: &'static Location<'static>) -> bool {
    let mut over = SignalCell::until(Some(slot), until, site);
    let mut cancelled = SignalCell::cancelled(slot, site);
    std::future::poll_fn(|cx| match cancelled.poll(cx) {
        Poll::Ready(()) => Poll::Ready(false),
        Poll::Pending => over.poll(cx).map(|()| true),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_random_below_a_bound_that_doubles_up_to_the_longest() {
        let ms = Duration::from_millis;
        let retry = Retry::default().pauses(ms(2), ms(9));
        let bounds = [(1, ms(2)), (2, ms(4)), (3, ms(8)), (4, ms(9)), (40, ms(9)), (u32::MAX, ms(9))];
        for (attempts, bound) in bounds {
            assert_eq!(retry.pause(attempts, 0), Duration::ZERO);
            assert_eq!(retry.pause(attempts, u64::MAX / 2 + 1), bound / 2);
            let most = retry.pause(attempts, u64::MAX);
            assert!(most <= bound && bound - most < ms(1), "{most:?} of {bound:?}");
        }
        assert_eq!(Retry::default().pauses(Duration::MAX, Duration::MAX).pause(9, 0), Duration::ZERO);
    }
}

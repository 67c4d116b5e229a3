use crate::limits::Limits;
use std::time::Duration;

/// How often, and after which pauses, the engine runs a call again that was ended to break a deadlock, or whose lock
/// could not be had in time.
///
/// Only calls of methods that are idempotent or read-only are run again
/// ([`MethodOptions::idempotent`](crate::MethodOptions::idempotent),
/// [`read_only`](crate::MethodOptions::read_only)), and only if the attempt committed, sent, asked and called nothing.
/// All attempts have one deadline, that of the call; one that could begin only after it is not made. A re-run is as old
/// as its first attempt, so that it is not chosen for ever. All calls of an engine share a budget, see
/// [`Limits::retry_percent`].
///
/// A pause is random, up to a bound that doubles each time: those who were in each other's way do not meet in step.
///
/// # Examples
///
/// ```
/// use freehold::{MethodOptions, RetryPolicy};
/// use std::time::Duration;
///
/// let patient = RetryPolicy::new().attempts(5).pauses(Duration::from_millis(5), Duration::from_millis(500));
/// let method = MethodOptions::new().idempotent(true).retry(patient);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
    first: Duration,
    longest: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: Limits::RETRY_ATTEMPTS,
            first: Limits::RETRY_FIRST_PAUSE,
            longest: Limits::RETRY_LONGEST_PAUSE,
        }
    }
}

impl RetryPolicy {
    /// The default: [`Limits::RETRY_ATTEMPTS`], with pauses from [`Limits::RETRY_FIRST_PAUSE`] up to
    /// [`Limits::RETRY_LONGEST_PAUSE`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing is run again.
    #[must_use]
    pub fn never() -> Self {
        Self::default().attempts(1)
    }

    /// Sets how often a call is run at most, the first time included; at least once, and at most
    /// [`Limits::RETRY_ATTEMPTS_MOST`].
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts: attempts.clamp(1, Limits::RETRY_ATTEMPTS_MOST), ..self }
    }

    /// Sets the bound of the first pause, and the one that no later pause exceeds.
    #[must_use]
    pub fn pauses(self, first: Duration, longest: Duration) -> Self {
        Self { first, longest, ..self }
    }

    /// The pause after so many attempts, by a number that is anything; nothing if there was the last one.
    pub(crate) fn pause(self, attempts: u32, random: u64) -> Option<Duration> {
        if attempts >= self.attempts {
            return None;
        }
        let bound = self.first.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(self.longest);
        let bound = bound.min(Limits::RETRY_PAUSE_MOST);
        Some(bound.mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::RetryPolicy;
    use std::time::Duration;

    #[test]
    fn pauses_are_random_below_a_bound_that_doubles_up_to_the_longest() {
        let ms = Duration::from_millis;
        let policy = RetryPolicy::new().attempts(6).pauses(ms(2), ms(9));
        for (attempts, bound) in [(1, ms(2)), (2, ms(4)), (3, ms(8)), (4, ms(9)), (5, ms(9))] {
            assert_eq!(policy.pause(attempts, 0), Some(Duration::ZERO));
            assert_eq!(policy.pause(attempts, u64::MAX / 2 + 1), Some(bound / 2));
            let most = policy.pause(attempts, u64::MAX).unwrap();
            assert!(most <= bound && bound - most < ms(1), "{most:?} of {bound:?}");
        }
        assert_eq!(policy.pause(6, 0), None);
        assert_eq!(RetryPolicy::never().pause(1, 0), None);
        let endless = RetryPolicy::new().attempts(u32::MAX).pauses(Duration::MAX, Duration::MAX);
        assert!(endless.pause(9, u64::MAX).is_some() && endless.pause(u32::MAX, 0).is_none());
    }
}

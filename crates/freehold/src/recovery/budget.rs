//! How many re-runs an engine may make: so many of a hundred calls, and a few each second. Re-runs are work on top of the
//! work that was in each other's way; without a bound they multiply an overload.
//!
//! Calls pay nothing into the budget while they run: it is filled when somebody takes from it, by what was counted since.

use crate::{limits::Limits, lock_order};
use freehold_sync::ScopedMutex;

/// A token bucket, in thousandths of a re-run.
pub(crate) struct RetryBudget(ScopedMutex<Bucket, lock_order::RetryBudget>);

struct Bucket {
    tokens: u64,
    /// Calls that had ended, and the time, when it was filled last.
    calls: u64,
    at_ms: u64,
}

const ONE: u64 = 1_000;

impl RetryBudget {
    /// A full one.
    pub(crate) fn new(limits: &Limits) -> Self {
        let tokens = u64::from(limits.retry_burst) * ONE;
        Self(ScopedMutex::of(Bucket { tokens, calls: 0, at_ms: 0 }))
    }

    /// Takes one re-run, if there is one, when so many calls have ended.
    pub(crate) fn take(&self, limits: &Limits, calls: u64, now_ms: u64) -> bool {
        self.0.with(|bucket| {
            bucket.fill(limits, calls, now_ms);
            let enough = bucket.tokens >= ONE;
            if enough {
                bucket.tokens -= ONE;
            }
            enough
        })
    }

    /// Re-runs that could be taken at this moment.
    pub(crate) fn left(&self, limits: &Limits, calls: u64, now_ms: u64) -> u64 {
        self.0.with(|bucket| {
            bucket.fill(limits, calls, now_ms);
            bucket.tokens / ONE
        })
    }
}

impl Bucket {
    fn fill(&mut self, limits: &Limits, calls: u64, now_ms: u64) {
        let of_calls =
            calls.saturating_sub(self.calls).saturating_mul(u64::from(limits.retry_percent) * ONE / 100);
        let of_time = now_ms
            .saturating_sub(self.at_ms)
            .saturating_mul(u64::from(limits.retries_per_second) * ONE / 1_000);
        let most = u64::from(limits.retry_burst) * ONE;
        self.tokens = self.tokens.saturating_add(of_calls).saturating_add(of_time).min(most);
        self.calls = self.calls.max(calls);
        self.at_ms = self.at_ms.max(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::RetryBudget;
    use crate::limits::Limits;

    fn taken(budget: &RetryBudget, limits: &Limits, calls: u64, now_ms: u64) -> usize {
        (0..1_000).filter(|_| budget.take(limits, calls, now_ms)).count()
    }

    #[test]
    fn it_is_filled_by_calls_and_by_time_up_to_its_burst() {
        let limits = Limits { retry_percent: 10, retries_per_second: 2, retry_burst: 5, ..Limits::default() };
        let budget = RetryBudget::new(&limits);
        for (calls, now_ms, tokens) in [
            (0, 0, 5),
            (9, 0, 0),
            (10, 0, 1),
            (10, 499, 0),
            (10, 500, 1),
            (10, 100, 0),
            (5, 500, 0),
            (1_000_000, 500, 5),
            (u64::MAX, u64::MAX, 5),
        ] {
            assert_eq!(budget.left(&limits, calls, now_ms), tokens as u64, "{calls} calls, {now_ms} ms");
            assert_eq!(taken(&budget, &limits, calls, now_ms), tokens, "{calls} calls, {now_ms} ms");
        }
    }
}

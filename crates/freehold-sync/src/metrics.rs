//! What is counted and measured: by lock class, and for the process.
//!
//! Counters are plain atomics that nobody waits for. Acquisitions are counted in the lock and added to their class every
//! 64th time, so a class lags behind by less than 64 for each of its locks. What is measured how often: `measure`.

#[cfg(feature = "section-times")]
pub use crate::section_times::{SectionTimes, sections};

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The buckets of a [`Histogram`]: bucket `i` counts times below `2^i` nanoseconds that no lower bucket counts.
pub const BUCKETS: usize = 36;

/// Times, counted by powers of two.
pub(crate) struct Times {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Times {
    pub(crate) const fn new() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }

    /// Records `time` as often as `count` says.
    pub(crate) fn record(&self, time: Duration, count: u64) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - nanos.leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(count, Ordering::Relaxed);
        self.sum.fetch_add(nanos.saturating_mul(count), Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Histogram {
        Histogram {
            buckets: std::array::from_fn(|i| self.buckets[i].load(Ordering::Relaxed)),
            sum: Duration::from_nanos(self.sum.load(Ordering::Relaxed)),
        }
    }
}

/// A distribution of times.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Histogram {
    /// How many times fell below `2^i` nanoseconds and into no lower bucket; the last one holds all that are longer.
    pub buckets: [u64; BUCKETS],
    /// The sum of all times.
    pub sum: Duration,
}

impl Default for Histogram {
    /// Without any times.
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], sum: Duration::ZERO }
    }
}

impl Histogram {
    /// How many times were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The upper end of the bucket in which the share `quantile` (0 to 1) of all times is reached.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        let wanted = (self.count() as f64 * quantile).ceil() as u64;
        let mut seen = 0;
        for (i, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return Duration::from_nanos(1 << i);
            }
        }
        Duration::ZERO
    }
}

macro_rules! counters {
    ($(#[$meta:meta])* $live:ident => $snapshot:ident { $($(#[$doc:meta])* $name:ident,)* } $(times { $($(#[$tdoc:meta])* $time:ident,)* })?) => {
        $(#[$meta])*
        pub(crate) struct $live {
            $(pub(crate) $name: AtomicU64,)*
            $($(pub(crate) $time: Times,)*)?
        }

        impl $live {
            pub(crate) const fn new() -> Self {
                Self { $($name: AtomicU64::new(0),)* $($($time: Times::new(),)*)? }
            }

            pub(crate) fn snapshot(&self) -> $snapshot {
                $snapshot {
                    $($name: self.$name.load(Ordering::Relaxed),)*
                    $($($time: self.$time.snapshot(),)*)?
                }
            }
        }

        /// What was counted up to now.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $snapshot {
            $($(#[$doc])* pub $name: u64,)*
            $($($(#[$tdoc])* pub $time: Histogram,)*)?
        }
    };
}

counters! {
    /// The measurements of one class.
    ClassMetrics => ClassSnapshot {
        /// Acquisitions of all kinds, without the last few (fewer than 64) of each lock.
        acquisitions,
        /// Acquisitions that had to wait. Beyond the first 64 of a lock, one of eight is counted, for eight.
        contended,
        /// Waits that ended at their deadline.
        timeouts,
        /// Waits that ended as the victim of a deadlock.
        deadlocks,
        /// Acquisitions against the order of levels.
        order_violations,
        /// Turns that their waiter did not use and that went to the next one.
        passed_on,
    }
    times {
        /// How long contended acquisitions waited: the first 64 of each lock, and all that waited for 20 ms and more; of the
        /// others one of eight, which is counted for eight.
        wait,
        /// How long uncontended holds lasted: every 64th one; of a mutex, beyond its first 4,096, every 512th, which is counted
        /// for eight.
        hold_sampled,
        /// How long holds lasted that began with a wait. Which of them are measured, as with `wait`; where the wait was not,
        /// a long hold is known to 20 ms.
        hold_contended,
    }
}

impl ClassMetrics {
    pub(crate) fn passed_on(&self) {
        add(&self.passed_on, 1);
        add(&GLOBAL.passed_on, 1);
    }
}

counters! {
    /// The measurements of the process.
    GlobalMetrics => GlobalSnapshot {
        /// Deadlocks proven and broken.
        proven,
        /// Those of them that were broken without a victim: a wait was moved up in its queue.
        reordered,
        /// Waits reported as suspected.
        suspected,
        /// Inversions of the learned order reported as potential.
        potential,
        /// Walks of the graph at the end of a poll that found the holder idle and looked further.
        walks,
        /// Sweeps of the whole graph.
        sweeps,
        /// Nanoseconds spent in walks and sweeps.
        detector_nanos,
        /// Rings that a walk saw and the validation did not find any more.
        phantoms,
        /// Activities that were probed for stale wakers.
        probes,
        /// Turns that their waiter did not use and that went to the next one.
        passed_on,
        /// Waits that ended at their deadline.
        timeouts,
        /// Guards still held, or forgotten, when their activity ended.
        guards_forgotten,
        /// Activities ended because others waited for what they held and nobody was left to wake them.
        orphans_ended,
    }
}

pub(crate) static GLOBAL: GlobalMetrics = GlobalMetrics::new();

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// The measurements of the process up to now.
#[must_use]
pub fn global() -> GlobalSnapshot {
    GLOBAL.snapshot()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_the_bucket_whose_end_is_above_it() {
        let times = Times::new();
        times.record(Duration::from_nanos(1000), 1);
        let seen = times.snapshot();
        assert_eq!(seen.count(), 1);
        assert_eq!(seen.quantile(0.5), Duration::from_nanos(1024));
        assert_eq!(seen.sum, Duration::from_nanos(1000));
        times.record(Duration::MAX, 1);
        assert_eq!(times.snapshot().buckets[BUCKETS - 1], 1);
    }
}

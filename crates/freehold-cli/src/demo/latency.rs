//! Times, counted without keeping each.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Buckets of each power of two; a quantile is told to 1/16.
const PARTS: usize = 16;
const BUCKETS: usize = 64 * PARTS;

/// A distribution of times.
pub(super) struct Latencies {
    buckets: Box<[AtomicU64]>,
}

impl Latencies {
    pub(super) fn new() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn record(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.buckets[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
    }

    /// The end of the bucket in which the share `quantile` (0 to 1) of all is reached; nothing of nothing.
    pub(super) fn quantile(&self, quantile: f64) -> Option<Duration> {
        let counts: Vec<u64> = self.buckets.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let wanted = (counts.iter().sum::<u64>() as f64 * quantile).ceil().max(1.0) as u64;
        let mut seen = 0;
        let reached = counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        reached.map(|bucket| Duration::from_nanos(end_of(bucket)))
    }
}

/// By the power of two, and the bits behind the first one.
fn bucket(nanos: u64) -> usize {
    let power = nanos.ilog2() as usize;
    let part = if power >= 4 { nanos >> (power - 4) } else { nanos << (4 - power) } as usize - PARTS;
    power * PARTS + part
}

fn end_of(bucket: usize) -> u64 {
    let (power, part) = (bucket / PARTS, (bucket % PARTS + PARTS + 1) as u128);
    u64::try_from((part << power) / PARTS as u128).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_told_to_a_sixteenth() {
        let latencies = Latencies::new();
        assert_eq!(latencies.quantile(0.5), None);
        (1..=1000).map(Duration::from_micros).for_each(|time| latencies.record(time));
        for (quantile, micros) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let told = latencies.quantile(quantile).unwrap().as_secs_f64() * 1e6;
            assert!(told >= micros && told <= micros * 17.0 / 16.0, "{told} for {micros}");
        }
        latencies.record(Duration::MAX);
        assert_eq!(latencies.quantile(1.0), Some(Duration::from_nanos(u64::MAX)));
    }
}

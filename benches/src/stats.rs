//! Medians and percentiles.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The median, or NaN of nothing.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The smallest and the largest, or NaN of nothing.
#[must_use]
pub fn range(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    values.into_iter().fold((f64::NAN, f64::NAN), |(low, high), value| (low.min(value), high.max(value)))
}

/// Latencies in the figures that get reported, in microseconds.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct Latency {
    /// Half of the requests were at most this slow.
    pub p50_us: f64,
    /// 99 of 100 requests were at most this slow.
    pub p99_us: f64,
    /// The slowest request.
    pub max_us: f64,
}

impl Latency {
    /// Summarises latencies, in any order.
    #[must_use]
    pub fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        let at = |share: f64| percentile(&latencies, share).as_secs_f64() * 1e6;
        Self { p50_us: at(0.5), p99_us: at(0.99), max_us: at(1.0) }
    }
}

/// Nearest rank: the smallest value that `share` of all values do not exceed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rank among samples held in memory"
)]
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Latency, median, range};

    #[test]
    fn medians() {
        let rows: [(&[f64], f64); 4] =
            [(&[3.0], 3.0), (&[4.0, 1.0], 2.5), (&[9.0, 1.0, 5.0], 5.0), (&[1.0, 2.0, 3.0, 10.0], 2.5)];
        for (values, expected) in rows {
            assert_eq!(median(values.iter().copied()), expected, "{values:?}");
        }
        assert!(median([]).is_nan());
    }

    #[test]
    fn ranges() {
        assert_eq!(range([2.0, 1.0, 3.0]), (1.0, 3.0));
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let latency = Latency::of((1..=200).rev().map(Duration::from_micros).collect());
        let figures = [latency.p50_us, latency.p99_us, latency.max_us].map(f64::round);
        assert_eq!(figures, [100.0, 198.0, 200.0]);
    }
}

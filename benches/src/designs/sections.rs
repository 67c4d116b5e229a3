//! How long the critical sections of Freehold's engine are waited for and last; in a build that times them.

use std::time::Duration;

use freehold_sync::metrics::Histogram;
use serde::{Deserialize, Serialize};

/// The sections of some calls. Times are ends of buckets of powers of two.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct Sections {
    /// How many a call had.
    pub per_call: f64,
    /// How long they were waited for: half of them, 99 of 100, all, at most.
    pub wait: [Duration; 3],
    /// How long they lasted.
    pub hold: [Duration; 3],
}

/// Waits and holds of all sections of this process up to now.
#[derive(Debug, Clone)]
pub struct Seen {
    wait: Histogram,
    hold: Histogram,
}

/// Nothing in a build that does not time them.
#[must_use]
pub fn seen() -> Option<Seen> {
    #[cfg(feature = "section-times")]
    {
        let sections = freehold_sync::metrics::sections();
        Some(Seen { wait: sections.wait, hold: sections.hold })
    }
    #[cfg(not(feature = "section-times"))]
    None
}

impl Seen {
    /// What came since `before`, in so many calls.
    #[must_use]
    pub fn since(&self, before: &Self, calls: u64) -> Sections {
        let (wait, hold) = (difference(&self.wait, &before.wait), difference(&self.hold, &before.hold));
        let figures = |times: &Histogram| [0.5, 0.99, 1.0].map(|quantile| times.quantile(quantile));
        Sections { per_call: hold.count() as f64 / calls as f64, wait: figures(&wait), hold: figures(&hold) }
    }
}

fn difference(after: &Histogram, before: &Histogram) -> Histogram {
    let mut difference = Histogram::default();
    difference.buckets = std::array::from_fn(|bucket| after.buckets[bucket] - before.buckets[bucket]);
    difference.sum = after.sum - before.sum;
    difference
}

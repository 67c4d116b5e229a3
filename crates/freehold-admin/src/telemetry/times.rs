//! How long calls took, by method, subject and outcome.
//!
//! # Invariants
//!
//! 1. A place of the table is filled once and never emptied, so a series that was found stays.
//! 2. `entered` counts the places that are filled or about to be; it never exceeds [`limits::SERIES`] by more than the
//!    threads that fill one at the same time.
//!
//! Cells are added to without an order (Relaxed): a scrape may see one of two cells of a call and not yet the other.

use crate::limits;
use freehold::OutcomeKind;
use std::{
    cell::Cell,
    hash::{BuildHasher, Hasher},
    sync::{
        OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// The upper ends of the buckets, in nanoseconds; one more has all that are longer.
pub(crate) const BOUNDS: [u64; 20] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
];
/// The buckets with the one that has no end.
pub(crate) const BUCKETS: usize = BOUNDS.len() + 1;
/// Threads add to different cells, as far as there are that many: else each addition waits for the line of the last one.
const SHARDS: usize = 4;
const OUTCOMES: usize = OutcomeKind::ALL.len();
/// Twice the series, so that places are found near where they are looked for.
const PLACES: usize = (limits::SERIES * 2).next_power_of_two();
/// So many places are looked at before a series counts as one of the others.
const PROBES: usize = 16;

/// Times that were counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Distribution {
    pub(crate) buckets: [u64; BUCKETS],
    pub(crate) sum_nanos: u64,
}

impl Distribution {
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (own, other) in self.buckets.iter_mut().zip(other.buckets) {
            *own += other;
        }
        self.sum_nanos += other.sum_nanos;
    }

    /// What came since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut since = self.clone();
        for (own, before) in since.buckets.iter_mut().zip(before.buckets) {
            *own = own.saturating_sub(before);
        }
        since.sum_nanos = since.sum_nanos.saturating_sub(before.sum_nanos);
        since
    }

    /// The time that the share `quantile` of all does not exceed, between the ends of its bucket as if those in it were evenly
    /// spread; of the last bucket its lower end. Nothing if nothing was counted.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = count as f64 * quantile;
        let mut below = 0.0;
        for (index, in_bucket) in self.buckets.iter().enumerate() {
            let in_bucket = *in_bucket as f64;
            if in_bucket > 0.0 && below + in_bucket >= wanted {
                let low = index.checked_sub(1).map_or(0, |index| BOUNDS[index]) as f64;
                let high = BOUNDS.get(index).map_or(low, |bound| *bound as f64);
                let within = ((wanted - below) / in_bucket).clamp(0.0, 1.0);
                return Some(Duration::from_nanos((low + (high - low) * within) as u64));
            }
            below += in_bucket;
        }
        None
    }
}

#[derive(Default)]
#[repr(align(128))]
struct Shard {
    buckets: [AtomicU64; BUCKETS],
    sum_nanos: AtomicU64,
}

type Shards = Box<[Shard; SHARDS]>;

/// The calls of one method and subject.
struct Series {
    method: Box<str>,
    subject: Option<Box<str>>,
    outcomes: [OnceLock<Shards>; OUTCOMES],
}

impl Series {
    fn new(method: &str, subject: Option<&str>) -> Self {
        Self { method: method.into(), subject: subject.map(Into::into), outcomes: Default::default() }
    }

    fn is(&self, method: &str, subject: Option<&str>) -> bool {
        *self.method == *method && self.subject.as_deref() == subject
    }

    #[inline]
    fn record(&self, outcome: OutcomeKind, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let shard = &self.outcomes[outcome as usize].get_or_init(Shards::default)[own_shard()];
        let bucket = BOUNDS.partition_point(|bound| *bound < nanos);
        shard.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        shard.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn of(&self, outcome: OutcomeKind) -> Option<Distribution> {
        let shards = self.outcomes[outcome as usize].get()?;
        let mut all = Distribution::default();
        for shard in shards.iter() {
            for (sum, bucket) in all.buckets.iter_mut().zip(&shard.buckets) {
                *sum += bucket.load(Ordering::Relaxed);
            }
            all.sum_nanos += shard.sum_nanos.load(Ordering::Relaxed);
        }
        Some(all)
    }
}

/// Which cells this thread adds to.
#[inline]
fn own_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    const UNKNOWN: usize = usize::MAX;
    thread_local!(static OWN: Cell<usize> = const { Cell::new(UNKNOWN) });
    OWN.with(|own| {
        if own.get() == UNKNOWN {
            own.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        own.get()
    })
}

/// How long the calls of one method, subject and outcome took.
#[derive(Clone, Debug)]
pub(crate) struct CallTimes {
    pub(crate) method: String,
    pub(crate) subject: Option<String>,
    pub(crate) outcome: OutcomeKind,
    pub(crate) times: Distribution,
}

/// All series.
pub(crate) struct CallTimesTable {
    places: Box<[OnceLock<Box<Series>>; PLACES]>,
    entered: AtomicUsize,
    others: Series,
    hasher: foldhash::fast::FixedState,
}

impl Default for CallTimesTable {
    fn default() -> Self {
        Self {
            places: Box::new([const { OnceLock::new() }; PLACES]),
            entered: AtomicUsize::new(0),
            others: Series::new("other", None),
            hasher: foldhash::fast::FixedState::default(),
        }
    }
}

impl CallTimesTable {
    /// Counts a call.
    pub(crate) fn record(&self, method: &str, subject: Option<&str>, outcome: OutcomeKind, took: Duration) {
        self.series(method, subject).record(outcome, took);
    }

    fn series(&self, method: &str, subject: Option<&str>) -> &Series {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(method.as_bytes());
        hasher.write(subject.unwrap_or_default().as_bytes());
        let first = hasher.finish() as usize;
        for probe in 0..PROBES {
            let place = &self.places[first.wrapping_add(probe) % PLACES];
            match place.get() {
                Some(series) if series.is(method, subject) => return series,
                Some(_) => {}
                None => return self.enter(place, method, subject),
            }
        }
        &self.others
    }

    #[cold]
    fn enter<'a>(
        &'a self,
        place: &'a OnceLock<Box<Series>>,
        method: &str,
        subject: Option<&str>,
    ) -> &'a Series {
        if self.entered.fetch_add(1, Ordering::Relaxed) >= limits::SERIES {
            self.entered.fetch_sub(1, Ordering::Relaxed);
            return &self.others;
        }
        let mut entered = false;
        let series = place.get_or_init(|| {
            entered = true;
            Box::new(Series::new(method, subject))
        });
        if !entered {
            self.entered.fetch_sub(1, Ordering::Relaxed);
        }
        // Another one may have taken the place at the same moment: this one call is one of the others.
        if series.is(method, subject) { series } else { &self.others }
    }

    fn all_series(&self) -> impl Iterator<Item = &Series> {
        self.places.iter().filter_map(OnceLock::get).map(AsRef::as_ref).chain([&self.others])
    }

    /// Everything that was counted.
    pub(crate) fn all(&self) -> Vec<CallTimes> {
        let of_series = |series: &Series| {
            let of_outcome = |outcome: OutcomeKind| {
                series.of(outcome).map(|times| CallTimes {
                    method: series.method.to_string(),
                    subject: series.subject.as_deref().map(ToOwned::to_owned),
                    outcome,
                    times,
                })
            };
            OutcomeKind::ALL.into_iter().filter_map(of_outcome).collect::<Vec<_>>()
        };
        self.all_series().flat_map(of_series).collect()
    }

    /// All of them together.
    pub(crate) fn total(&self) -> Distribution {
        let mut total = Distribution::default();
        for series in self.all_series() {
            for outcome in OutcomeKind::ALL {
                if let Some(times) = series.of(outcome) {
                    total.add(&times);
                }
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_method_subject_and_outcome() {
        let table = CallTimesTable::default();
        let took = Duration::from_micros(30);
        table.record("tools/call", Some("echo"), OutcomeKind::Answered, took);
        table.record("tools/call", Some("echo"), OutcomeKind::Answered, took);
        table.record("tools/call", Some("echo"), OutcomeKind::Failed, took);
        table.record("ping", None, OutcomeKind::Answered, Duration::from_secs(60));
        let mut all = table.all();
        all.sort_by_key(|series| (series.method.clone(), series.outcome as usize));
        let told: Vec<_> = all
            .iter()
            .map(|series| (&*series.method, series.subject.as_deref(), series.outcome, series.times.count()))
            .collect();
        assert_eq!(
            told,
            [
                ("ping", None, OutcomeKind::Answered, 1),
                ("tools/call", Some("echo"), OutcomeKind::Answered, 2),
                ("tools/call", Some("echo"), OutcomeKind::Failed, 1),
            ]
        );
        assert_eq!(all[0].times.buckets[BUCKETS - 1], 1, "longer than all bounds");
        assert_eq!(all[1].times.buckets[2], 2, "above 25 and up to 50 microseconds");
        assert_eq!(all[1].times.sum_nanos, 60_000);
        assert_eq!(table.total().count(), 4);
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let table = CallTimesTable::default();
        table.record("m", None, OutcomeKind::Answered, Duration::from_nanos(BOUNDS[0]));
        table.record("m", None, OutcomeKind::Answered, Duration::from_nanos(BOUNDS[0] + 1));
        assert_eq!(table.all()[0].times.buckets[..3], [1, 1, 0]);
    }

    #[test]
    fn beyond_the_cap_calls_are_counted_as_others() {
        let table = CallTimesTable::default();
        for number in 0..10 * limits::SERIES {
            table.record(&format!("m{number}"), None, OutcomeKind::Answered, Duration::ZERO);
        }
        let all = table.all();
        assert!(all.len() <= limits::SERIES + 1, "{}", all.len());
        assert!(all.len() > limits::SERIES / 2, "{}: the table is used", all.len());
        assert_eq!(table.total().count(), 10 * limits::SERIES as u64);
        assert!(all.iter().any(|series| series.method == "other" && series.times.count() > 1));
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let mut times = Distribution::default();
        assert_eq!(times.quantile(0.5), None);
        times.buckets[1] = 100;
        assert_eq!(times.quantile(0.5), Some(Duration::from_nanos(17_500)));
        times.buckets[BUCKETS - 1] = 100;
        assert_eq!(times.quantile(0.99), Some(Duration::from_secs(30)), "nothing is known beyond");
    }
}

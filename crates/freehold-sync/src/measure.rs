//! Which acquisitions are measured, and for how many each counts.
//!
//! To look at the clock, and to add to counters that every core writes, costs as much as to hand a lock over. So where
//! nobody waited every 64th acquisition of a lock is counted, for 64, and timed; of a mutex, once 64 were, every eighth of
//! these, for eight. Of those that waited, the first ones of a lock all are, and then every eighth, which counts for eight;
//! but none that lasted [`LONG`](limits::LONG) is left out.

use crate::{
    clock::{self, Ticks},
    driver, limits, metrics,
    raw::{Kind, RawLock},
    shim::{Ordering, PlainU8},
};

/// When something was acquired, if its hold is timed, and for how many it counts; in one word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing(u64);

/// Nobody waited.
const SAMPLED: u64 = 0;
/// It was waited for, and counts for itself.
const EACH: u64 = 1;
/// It was waited for, and counts for several.
const ONE_OF_SEVERAL: u64 = 2;
/// It was waited for, and the time is that of the driver's last look: counts only if it lasts long.
const ROUGH: u64 = 3;

impl Timing {
    /// Nobody looked at a clock.
    pub(crate) const NONE: Self = Self(0);

    fn new(since: Ticks, kind: u64) -> Self {
        Self(since << 2 | kind)
    }

    fn kind(self) -> u64 {
        self.0 & 3
    }

    pub(crate) fn since(self) -> Ticks {
        self.0 >> 2
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }
}

/// A wait that was successful.
#[derive(Clone, Copy)]
pub(crate) struct Waited {
    pub(crate) since: Ticks,
    /// For how many it counts; zero if it is not measured.
    pub(crate) weight: u8,
}

/// Counts one more wait of a lock, and returns for how many it counts. In the section.
pub(crate) fn weigh(waits: &PlainU8) -> u8 {
    let before = waits.load(Ordering::Relaxed);
    let last = limits::MEASURED_WAITS + limits::SAMPLED_WAITS - 1;
    waits.store(if before == last { limits::MEASURED_WAITS } else { before + 1 }, Ordering::Relaxed);
    match before {
        all if all < limits::MEASURED_WAITS => 1,
        limits::MEASURED_WAITS => limits::SAMPLED_WAITS,
        _ => 0,
    }
}

/// Adds an acquisition to the measurements of its class; returns what is known of when it was.
#[cold]
pub(crate) fn acquired(lock: &RawLock, waited: Option<Waited>, sampled: bool) -> Timing {
    if sampled {
        metrics::add(&lock.class().metrics.acquisitions, u64::from(limits::SAMPLE));
    }
    match waited {
        None if weight_of_sample(lock) == 0 => Timing::NONE,
        None => Timing::new(clock::now(), SAMPLED),
        Some(waited) => acquired_after(lock, waited),
    }
}

/// For how many samples the one counts that is taken of `lock` now; zero if it is not timed. Only a mutex has an exact count,
/// which stays the same while it is held.
fn weight_of_sample(lock: &RawLock) -> u8 {
    let samples = lock.count.load(Ordering::Relaxed) / limits::SAMPLE;
    if lock.kind() != Kind::Mutex || samples <= limits::TIMED_SAMPLES {
        return 1;
    }
    if samples.is_multiple_of(u32::from(limits::THINNED_SAMPLES)) { limits::THINNED_SAMPLES } else { 0 }
}

fn acquired_after(lock: &RawLock, waited: Waited) -> Timing {
    let looked = driver::last_look();
    let long = has_lasted(waited.since, looked);
    let (weight, kind) = match waited.weight {
        0 if !long => return Timing::new(looked.max(waited.since), ROUGH),
        0 | 1 => (1, EACH),
        _ if long => (1, ONE_OF_SEVERAL),
        several => (several, ONE_OF_SEVERAL),
    };
    let now = clock::now();
    let metrics = &lock.class().metrics;
    metrics::add(&metrics.contended, weight.into());
    metrics.wait.record(clock::between(waited.since, now), weight.into());
    Timing::new(now, kind)
}

/// Adds the end of a hold to the measurements of its class.
#[cold]
pub(crate) fn given_back(lock: &RawLock, timing: Timing) {
    let long = has_lasted(timing.since(), driver::last_look());
    let weight = match timing.kind() {
        ROUGH if !long => return,
        ONE_OF_SEVERAL if !long => limits::SAMPLED_WAITS,
        SAMPLED => weight_of_sample(lock),
        _ => 1,
    };
    let metrics = &lock.class().metrics;
    let times = if timing.kind() == SAMPLED { &metrics.hold_sampled } else { &metrics.hold_contended };
    times.record(clock::between(timing.since(), clock::now()), weight.into());
}

fn has_lasted(since: Ticks, now: Ticks) -> bool {
    clock::between(since, now) >= limits::LONG
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn waits_count_for_as_many_as_there_were() {
        let waits = PlainU8::new(0);
        let all = u32::from(limits::MEASURED_WAITS) + 10 * u32::from(limits::SAMPLED_WAITS);
        let counted: u32 = (0..all).map(|_| u32::from(weigh(&waits))).sum();
        assert_eq!(counted, all);
    }
}

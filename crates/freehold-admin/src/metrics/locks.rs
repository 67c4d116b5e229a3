//! Metrics of locks and of the detector, for the whole process.

use super::exposition::{Exposition, Labels};
use crate::{inspection::ratio, limits, look::Look, telemetry::Gathered};
use freehold_sync::{
    lock_classes,
    metrics::{self, ClassSnapshot, Histogram},
};
use std::collections::BTreeMap;

/// Of the measured powers of two, in nanoseconds, every second one is exported: from a microsecond to 17 s.
const EXPORTED: [usize; 13] = [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34];

/// The measurements of the classes of one name.
#[derive(Default)]
struct OfClass {
    acquisitions: u64,
    contended: u64,
    timeouts: u64,
    deadlocks: u64,
    order_violations: u64,
    passed_on: u64,
    wait: Histogram,
    hold_sampled: Histogram,
    hold_contended: Histogram,
}

impl OfClass {
    fn add(&mut self, other: &ClassSnapshot) {
        self.acquisitions += other.acquisitions;
        self.contended += other.contended;
        self.timeouts += other.timeouts;
        self.deadlocks += other.deadlocks;
        self.order_violations += other.order_violations;
        self.passed_on += other.passed_on;
        add(&mut self.wait, &other.wait);
        add(&mut self.hold_sampled, &other.hold_sampled);
        add(&mut self.hold_contended, &other.hold_contended);
    }
}

fn add(sum: &mut Histogram, other: &Histogram) {
    for (own, other) in sum.buckets.iter_mut().zip(other.buckets) {
        *own += other;
    }
    sum.sum = sum.sum.saturating_add(other.sum);
}

/// Adds up what classes of one name have, and those of all beyond the cap.
fn by_name() -> BTreeMap<&'static str, OfClass> {
    let mut classes: BTreeMap<_, OfClass> = BTreeMap::new();
    for class in lock_classes() {
        let room = classes.len() < limits::CLASSES || classes.contains_key(class.name());
        classes.entry(if room { class.name() } else { "other" }).or_default().add(&class.metrics());
    }
    classes
}

pub(super) fn write(out: &mut Exposition<'_>, gathered: &Gathered, look: &Look) {
    let classes = by_name();
    counted(out, &classes);
    measured(out, &classes);
    present(out, look, &classes);
    detector(out, gathered);
}

fn counted(out: &mut Exposition<'_>, classes: &BTreeMap<&'static str, OfClass>) {
    type Of = fn(&OfClass) -> u64;
    let families: [(&str, Of); 6] = [
        ("freehold_lock_acquisitions_total", |class| class.acquisitions),
        ("freehold_lock_contended_total", |class| class.contended),
        ("freehold_lock_timeouts_total", |class| class.timeouts),
        ("freehold_lock_deadlocks_total", |class| class.deadlocks),
        ("freehold_lock_order_violations_total", |class| class.order_violations),
        ("freehold_lock_passed_on_total", |class| class.passed_on),
    ];
    for (name, of) in families {
        let mut family = out.family(name);
        for (class, metrics) in classes {
            family.sample(&[("class", class)], of(metrics));
        }
    }
    let mut family = out.family("freehold_lock_contention_ratio");
    for (class, metrics) in classes {
        family.sample(&[("class", class)], ratio(metrics.contended, metrics.acquisitions));
    }
}

fn measured(out: &mut Exposition<'_>, classes: &BTreeMap<&'static str, OfClass>) {
    let mut family = out.family("freehold_lock_wait_seconds");
    let mut write = |labels: Labels<'_>, times: &Histogram| {
        let (buckets, beyond) = exported(times);
        family.histogram(labels, &buckets, beyond, times.sum.as_secs_f64());
    };
    for (class, metrics) in classes {
        write(&[("class", class)], &metrics.wait);
    }
    let mut family = out.family("freehold_lock_hold_seconds");
    let mut write = |labels: Labels<'_>, times: &Histogram| {
        let (buckets, beyond) = exported(times);
        family.histogram(labels, &buckets, beyond, times.sum.as_secs_f64());
    };
    for (class, metrics) in classes {
        write(&[("class", class), ("contended", "false")], &metrics.hold_sampled);
        write(&[("class", class), ("contended", "true")], &metrics.hold_contended);
    }
}

/// The exported bounds in seconds with what is between each and the one before, and what is beyond.
fn exported(times: &Histogram) -> (Vec<(f64, u64)>, u64) {
    let mut from = 0;
    let buckets = EXPORTED.map(|to| {
        let count = times.buckets[from..=to].iter().sum();
        from = to + 1;
        ((1_u64 << to) as f64 / 1e9, count)
    });
    (buckets.to_vec(), times.buckets[from..].iter().sum())
}

fn present(out: &mut Exposition<'_>, look: &Look, classes: &BTreeMap<&'static str, OfClass>) {
    let mut now: BTreeMap<&str, (usize, usize)> = classes.keys().map(|class| (*class, (0, 0))).collect();
    for (lock, holders, waiters) in look.observation.locks() {
        let room = now.len() < limits::CLASSES || now.contains_key(lock.class);
        let (all_holders, all_waiters) = now.entry(if room { lock.class } else { "other" }).or_default();
        *all_holders += holders;
        *all_waiters += waiters;
    }
    let mut family = out.family("freehold_lock_holders");
    for (class, (holders, _)) in &now {
        family.sample(&[("class", class)], *holders);
    }
    let mut family = out.family("freehold_lock_waiters");
    for (class, (_, waiters)) in &now {
        family.sample(&[("class", class)], *waiters);
    }
}

fn detector(out: &mut Exposition<'_>, gathered: &Gathered) {
    let global = metrics::global();
    let mut family = out.family("freehold_deadlocks_total");
    for (grade, count) in
        [("proven", global.proven), ("suspected", global.suspected), ("potential", global.potential)]
    {
        family.sample(&[("grade", grade)], count);
    }
    let mut family = out.family("freehold_deadlock_rings_total");
    for ((grade, classes), count) in gathered.rings() {
        family.sample(&[("grade", &grade.name().to_lowercase()), ("classes", &classes)], count);
    }
    let mut family = out.family("freehold_deadlock_last_number");
    for (grade, number) in gathered.last_numbers() {
        family.sample(&[("grade", &grade.name().to_lowercase())], number);
    }
    let (levels, learned) = gathered.violated();
    let mut family = out.family("freehold_order_violations_total");
    family.sample(&[("rule", "levels")], levels);
    family.sample(&[("rule", "learned")], learned);
    out.single("freehold_deadlocks_reordered_total", global.reordered);
    out.single("freehold_guards_forgotten_total", global.guards_forgotten);
    out.single("freehold_orphans_ended_total", global.orphans_ended);
    out.single("freehold_detector_seconds_total", global.detector_nanos as f64 / 1e9);
    out.single("freehold_detector_walks_total", global.walks);
    out.single("freehold_detector_sweeps_total", global.sweeps);
    out.single("freehold_detector_phantoms_total", global.phantoms);
    out.single("freehold_detector_probes_total", global.probes);
}

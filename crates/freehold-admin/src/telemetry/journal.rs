//! What happened that is rare and worth keeping.

use crate::limits;
use freehold::BreakerState;
use freehold_sync::{Deadlock, Grade, OrderViolation};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

/// A report, and when it came.
#[derive(Clone, Debug)]
pub(crate) struct KeptReport {
    pub(crate) at: Instant,
    pub(crate) report: Arc<Deadlock>,
}

/// A lock taken against the order, and when.
#[derive(Clone, Debug)]
pub(crate) struct KeptViolation {
    pub(crate) at: Instant,
    pub(crate) violation: Arc<OrderViolation>,
}

/// A breaker that changed, and when.
#[derive(Clone, Debug)]
pub(crate) struct KeptChange {
    pub(crate) at: Instant,
    pub(crate) name: Arc<str>,
    pub(crate) from: BreakerState,
    pub(crate) to: BreakerState,
}

/// Deadlocks by their grade and the classes in them.
pub(crate) type Rings = BTreeMap<(Grade, String), u64>;

/// What is kept, and counts that are kept with it.
#[derive(Default)]
pub(crate) struct Journal {
    proven: VecDeque<KeptReport>,
    /// Apart, since they may be many, and a proven one must not go for them.
    suspected: VecDeque<KeptReport>,
    violations: VecDeque<KeptViolation>,
    changes: VecDeque<KeptChange>,
    rings: Rings,
    levels_violated: u64,
    learned_violated: u64,
}

/// What makes room; to be dropped outside of the section.
#[must_use = "it is dropped outside of the section"]
pub(crate) struct Evicted<T> {
    _oldest: Option<T>,
}

fn keep<T>(kept: &mut VecDeque<T>, new: T) -> Evicted<T> {
    let oldest = if kept.len() >= limits::KEPT { kept.pop_front() } else { None };
    kept.push_back(new);
    Evicted { _oldest: oldest }
}

/// The classes that a report is about, each once, by name.
pub(crate) fn classes_of(report: &Deadlock) -> String {
    let mut classes: Vec<_> = report.edges.iter().map(|edge| edge.lock.class).collect();
    classes.sort_unstable();
    classes.dedup();
    classes.join(", ")
}

impl Journal {
    pub(crate) fn report(
        &mut self,
        at: Instant,
        report: Arc<Deadlock>,
        classes: String,
    ) -> Evicted<KeptReport> {
        let key = (report.grade, classes);
        let room = self.rings.len() < limits::RINGS || self.rings.contains_key(&key);
        let key = if room { key } else { (report.grade, "other".to_owned()) };
        *self.rings.entry(key).or_default() += 1;
        let kept = match report.grade {
            Grade::Proven => &mut self.proven,
            _ => &mut self.suspected,
        };
        keep(kept, KeptReport { at, report })
    }

    pub(crate) fn violation(&mut self, kept: KeptViolation) -> Evicted<KeptViolation> {
        match kept.violation.rule {
            freehold_sync::Rule::Learned(_) => self.learned_violated += 1,
            _ => self.levels_violated += 1,
        }
        keep(&mut self.violations, kept)
    }

    pub(crate) fn change(&mut self, change: KeptChange) -> Evicted<KeptChange> {
        keep(&mut self.changes, change)
    }

    /// The newest first.
    pub(crate) fn reports(&self) -> Vec<KeptReport> {
        let mut reports: Vec<_> = self.proven.iter().chain(&self.suspected).cloned().collect();
        reports.sort_by_key(|kept| std::cmp::Reverse(kept.at));
        reports
    }

    /// The newest first.
    pub(crate) fn violations(&self) -> Vec<KeptViolation> {
        self.violations.iter().rev().cloned().collect()
    }

    /// The newest first.
    pub(crate) fn changes(&self) -> Vec<KeptChange> {
        self.changes.iter().rev().cloned().collect()
    }

    pub(crate) fn rings(&self) -> Rings {
        self.rings.clone()
    }

    /// Violations of levels, and of the learned order.
    pub(crate) fn violated(&self) -> (u64, u64) {
        (self.levels_violated, self.learned_violated)
    }
}

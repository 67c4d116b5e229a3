//! What happened that is rare and worth keeping.

use crate::limits;
use freehold::BreakerState;
use freehold_sync::{Deadlock, Grade, OrderViolation, PermitPool};
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

/// A permit pool of the application, and what it is called.
#[derive(Clone)]
pub(crate) struct WatchedPool {
    pub(crate) name: Arc<str>,
    pub(crate) pool: Arc<PermitPool>,
}

/// A pool was not added to those that are watched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WatchPoolError {
    /// Another one has its name.
    #[error("a permit pool named {0:?} is watched already; choose another name")]
    Taken(String),
    /// There are as many as may be.
    #[error("{most} permit pools are watched already; leave out {0:?} or one of them", most = limits::POOLS)]
    Full(String),
}

/// Findings by their grade and the classes in them.
pub(crate) type Rings = BTreeMap<(Grade, String), u64>;

/// What is kept, and counts that are kept with it.
#[derive(Default)]
pub(crate) struct Journal {
    proven: VecDeque<KeptReport>,
    /// Apart, since they may be many, and a proven one must not go for them.
    suspected: VecDeque<KeptReport>,
    violations: VecDeque<KeptViolation>,
    changes: VecDeque<KeptChange>,
    pools: Vec<WatchedPool>,
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
    listed(report.edges.iter().map(|edge| edge.lock.class).collect())
}

fn listed(mut classes: Vec<&'static str>) -> String {
    classes.sort_unstable();
    classes.dedup();
    classes.join(", ")
}

/// The number in a report's id, which is `FH-` and that number.
fn number_of(report: &Deadlock) -> u64 {
    report.id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

impl Journal {
    pub(crate) fn report(
        &mut self,
        at: Instant,
        report: Arc<Deadlock>,
        classes: String,
    ) -> Evicted<KeptReport> {
        self.count_ring(report.grade, classes);
        let kept = match report.grade {
            Grade::Proven => &mut self.proven,
            _ => &mut self.suspected,
        };
        keep(kept, KeptReport { at, report })
    }

    fn count_ring(&mut self, grade: Grade, classes: String) {
        let key = (grade, classes);
        let room = self.rings.len() < limits::RINGS || self.rings.contains_key(&key);
        let key = if room { key } else { (grade, "other".to_owned()) };
        *self.rings.entry(key).or_default() += 1;
    }

    pub(crate) fn violation(&mut self, kept: KeptViolation) -> Evicted<KeptViolation> {
        match kept.violation.rule {
            freehold_sync::Rule::Learned(_) => {
                self.learned_violated += 1;
                self.count_ring(Grade::Potential, listed(vec![kept.violation.held, kept.violation.wanted]));
            }
            _ => self.levels_violated += 1,
        }
        keep(&mut self.violations, kept)
    }

    pub(crate) fn change(&mut self, change: KeptChange) -> Evicted<KeptChange> {
        keep(&mut self.changes, change)
    }

    /// The pool that was added is given back if there is no place for it.
    pub(crate) fn watch_pool(&mut self, watched: WatchedPool) -> Result<(), (WatchPoolError, WatchedPool)> {
        let name = || watched.name.to_string();
        if self.pools.iter().any(|pool| pool.name == watched.name) {
            return Err((WatchPoolError::Taken(name()), watched));
        }
        if self.pools.len() >= limits::POOLS {
            return Err((WatchPoolError::Full(name()), watched));
        }
        self.pools.push(watched);
        Ok(())
    }

    pub(crate) fn pools(&self) -> Vec<WatchedPool> {
        self.pools.clone()
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

    /// The numbers of the last report that was proven, and of the last that was not; zero where there was none.
    pub(crate) fn last_numbers(&self) -> [(Grade, u64); 2] {
        let last = |kept: &VecDeque<KeptReport>| kept.back().map_or(0, |kept| number_of(&kept.report));
        [(Grade::Proven, last(&self.proven)), (Grade::Suspected, last(&self.suspected))]
    }

    pub(crate) fn rings(&self) -> Rings {
        self.rings.clone()
    }

    /// Violations of levels, and of the learned order.
    pub(crate) fn violated(&self) -> (u64, u64) {
        (self.levels_violated, self.learned_violated)
    }
}

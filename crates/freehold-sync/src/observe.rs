//! Who holds what and waits for what, at any moment.

use crate::{
    clock,
    graph::chain,
    report::{Actor, LockName, Mode, Site},
    slot::{Slot, pool},
};
use std::{collections::BTreeMap, time::Duration};

/// One hold.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Holding {
    /// Which lock.
    pub lock: LockName,
    /// Where it was acquired.
    pub site: Option<Site>,
    /// For how long, where somebody looked at the clock.
    pub held_for: Option<Duration>,
}

/// One wait.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Waiting {
    /// For which lock.
    pub lock: LockName,
    /// How.
    pub mode: Mode,
    /// Where in the source.
    pub site: Option<Site>,
    /// For how long.
    pub waited: Duration,
    /// Who holds it now, or stands for those who do.
    pub holder: Actor,
}

/// An activity, a thread, or a wait outside, that holds or waits for something.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Observed {
    /// Who.
    pub actor: Actor,
    /// What it holds.
    pub holds: Vec<Holding>,
    /// What it waits for. Empty while it is being polled: then it runs.
    pub waits: Vec<Waiting>,
}

/// What was seen at one look. Members are read one after the other, so what is said of two of them may be of two moments.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Observation {
    /// All who hold or wait.
    pub members: Vec<Observed>,
}

impl Observation {
    /// By lock: how many hold it, and how many wait.
    #[must_use]
    pub fn locks(&self) -> Vec<(LockName, usize, usize)> {
        let mut locks: BTreeMap<usize, (LockName, usize, usize)> = BTreeMap::new();
        for member in &self.members {
            for hold in &member.holds {
                locks.entry(hold.lock.address).or_insert_with(|| (hold.lock.clone(), 0, 0)).1 += 1;
            }
            for wait in &member.waits {
                locks.entry(wait.lock.address).or_insert_with(|| (wait.lock.clone(), 0, 0)).2 += 1;
            }
        }
        locks.into_values().collect()
    }
}

/// Lists everybody who holds or waits for a lock of this crate now.
///
/// Costs a short freeze of each waiting activity; nobody is stopped while all are read. Holds of plain guards (made
/// without a context) are seen only through those who wait for them.
#[must_use]
pub fn observe() -> Observation {
    let now = clock::now();
    let mut members = Vec::new();
    pool::for_each_here(|slot| {
        let holds: Vec<_> = slot.held().map(|hold| holding(hold, now)).collect();
        let waits = waits_of(slot);
        if !holds.is_empty() || !waits.is_empty() {
            members.push(Observed { actor: Actor::of(slot), holds, waits });
        }
    });
    Observation { members }
}

fn holding(hold: &crate::slot::holds::HeldEntry, now: clock::Ticks) -> Holding {
    let since = hold.since();
    let held_for = (since != 0).then(|| clock::between(since, now));
    Holding { lock: LockName::of_hold(hold), site: hold.site(), held_for }
}

fn waits_of(slot: &'static Slot) -> Vec<Waiting> {
    if !slot.has_waits() {
        return Vec::new();
    }
    chain::waits(slot)
        .into_iter()
        .map(|edge| Waiting {
            lock: edge.lock,
            mode: edge.mode,
            site: edge.waits_at,
            waited: edge.waited,
            holder: edge.holder,
        })
        .collect()
}

//! The wait-for graph: who is stuck, and what is done about it.
//!
//! Nothing is kept between two looks. A look collects slots one at a time (`snapshot`), decides on plain data
//! (`fixpoint`), and only a verdict freezes its members together and reads everything again (`verdict`).
//!
//! *Deadlock safety*: the detector's mutex first, then freezes, then one queue lock at a time. Nothing of a user runs
//! under any of them but a victim hook, whose contract says so. Wakes and events come after.

pub(crate) mod chain;
mod few;
pub(crate) mod fixpoint;
pub(crate) mod snapshot;
pub(crate) mod sweep;
pub(crate) mod verdict;

use crate::{
    clock, events, limits, metrics,
    raw::{Kind, RawLock, wakes::Wakes},
    report::Deadlock,
    settings,
    shim::{Mutex, Ordering, PoisonError, static_of_a_run},
    slot::{
        Slot,
        cell::{self, Source, WaitCell},
        state,
    },
};
use snapshot::{Snapshot, Strictness};
use std::sync::Arc;

/// Whether deadlocks are looked for.
#[inline]
pub(crate) fn enabled() -> bool {
    settings::detection()
}

static_of_a_run! {
    /// One detector at a time.
    static DETECTOR: Mutex<()> = Mutex::new(());
}

/// Runs `look` as the one detector.
fn as_detector(look: impl FnOnce(&mut Findings)) -> Findings {
    let begun = clock::now();
    let mut findings = Findings::default();
    {
        let _detector = DETECTOR.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut findings);
    }
    metrics::add(&metrics::GLOBAL.detector_nanos, clock::now().saturating_sub(begun));
    findings
}

/// What a look found, to be carried out and told after it, without any lock.
#[derive(Default)]
#[must_use = "nobody is woken until it is told"]
pub(crate) struct Findings {
    wakes: Wakes,
    reports: Vec<Arc<Deadlock>>,
}

impl Findings {
    pub(crate) fn are_none(&self) -> bool {
        self.wakes.is_empty() && self.reports.is_empty()
    }

    /// Runs wakers and subscribers: anything may happen, a panic included.
    pub(crate) fn tell(self) {
        self.wakes.wake();
        for report in &self.reports {
            events::keep(report);
            events::deadlock(report);
        }
    }
}

/// Looks for a deadlock that `slot` is part of, or waits behind, and breaks it.
#[cold]
pub(crate) fn detect(slot: &'static Slot) {
    look(slot).tell();
}

/// As [`detect`], where what was found cannot be told yet.
#[cold]
pub(crate) fn look(slot: &'static Slot) -> Findings {
    metrics::add(&metrics::GLOBAL.walks, 1);
    as_detector(|findings| break_from(slot, limits::EAGER_WALK, findings))
}

/// Breaks every deadlock that can be reached from `start`. After each victim its ring's members are looked at again, and
/// who led to it: one wait can close two rings.
fn break_from(start: &'static Slot, cap: usize, findings: &mut Findings) {
    // Room for a ring of two and for its start once more.
    let mut starts = Vec::with_capacity(4);
    starts.push(start);
    let mut rounds = 0;
    while let Some(start) = starts.pop() {
        rounds += 1;
        if rounds > limits::ROUNDS {
            return;
        }
        let snapshot = Snapshot::collect([start], Strictness::Exact, cap);
        if snapshot.members[0].live {
            continue;
        }
        let stuck = snapshot.stuck();
        if !stuck[0] {
            continue;
        }
        match verdict::pronounce(&snapshot, &stuck, 0, &mut findings.wakes) {
            Some(verdict) => {
                findings.reports.push(verdict.report);
                // It may have stood behind that ring, and close another one.
                starts.push(start);
                starts.extend(verdict.ring.into_iter().filter(|member| !member.is(start)));
            }
            None => {
                // It changed while we looked. Whoever changed it looks itself, but for us; once more, then the sweep.
                metrics::add(&metrics::GLOBAL.phantoms, 1);
                if rounds < 4 {
                    starts.push(start);
                }
            }
        }
    }
}

impl Slot {
    /// At the end of a poll, under a freeze: whether every wait may be blocked, as far as a glance at the holders tells.
    pub(crate) fn looks_stuck(&'static self) -> bool {
        let mut blocked = false;
        let epoch = state::epoch(self.state.load(Ordering::Relaxed));
        for wait in self.waits() {
            match (wait.kind(), wait.phase()) {
                (Source::Signal, cell::EXPIRED) => return false,
                (Source::Signal, _) | (_, cell::DORMANT) => {}
                (Source::Child, _) => {
                    // SAFETY: slots are never freed.
                    let child = unsafe { wait.source.load(Ordering::Acquire).cast::<Slot>().as_ref() };
                    if child.is_none_or(|child| !child.may_be_stuck()) {
                        return false;
                    }
                    blocked = true;
                }
                (Source::Lock, cell::WAITING) => {
                    // SAFETY: the owner is frozen, and the lock is not used after this.
                    let lock = unsafe { RawLock::of_cell(wait) };
                    if lock.is_none_or(|lock| !self.lock_looks_stuck(lock, wait)) {
                        return false;
                    }
                    blocked = true;
                }
                (Source::Lock, _) if wait.left_its_end(epoch) => {}
                (Source::Lock, _) => return false,
            }
        }
        blocked
    }

    fn lock_looks_stuck(&'static self, lock: &RawLock, wait: &'static WaitCell) -> bool {
        if matches!(lock.kind(), Kind::Mutex | Kind::Event) {
            return lock.sole_holder().is_some_and(|holder| holder.is(self) || holder.may_be_stuck());
        }
        let stuck = std::cell::Cell::new(false);
        let look = |holder: *mut Slot| {
            // SAFETY: holders are slots, which are never freed.
            let holder: Option<&'static Slot> = unsafe { holder.as_ref() };
            if holder.is_some_and(|holder| holder.is(self) || holder.may_be_stuck()) {
                stuck.set(true);
            }
        };
        let mut look_ahead = |ahead: &WaitCell| {
            if ahead.asks_for_more_than(wait) {
                look(ahead.holder());
            }
        };
        lock.read_wait(wait, &mut |holder, _| look(holder), &mut look_ahead);
        stuck.get()
    }

    /// Whether nothing speaks against its being stuck. A glance, not a proof.
    fn may_be_stuck(&self) -> bool {
        let state = self.state.load(Ordering::SeqCst);
        if state & (state::PARKED | state::DONE) != 0 {
            return true;
        }
        let busy = state::POLLING | state::WOKEN | state::OUTSIDER | state::THREAD | state::FREE;
        state & busy == 0 && self.foreign_clones(state) == 0
    }
}

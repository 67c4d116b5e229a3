//! Random lock programs under random schedules. A program that hangs leaves no thread that can run, which shuttle tells;
//! so a lost wake-up is one, and a deadlock that is not found.
//!
//! How many there are, and how to run one again: [`Programs`].

mod plan;
mod run;
mod steps;
mod world;

/// What the files that are shared with the fuzz targets get from where they are.
mod host {
    pub(super) use super::run::{Gate, key};
    pub(super) use crate::{
        Action, Context, Deadlock, LockError, Mutex, MutexGuard, Permit, PermitPool, RwLock, RwLockReadGuard,
        RwLockWriteGuard, Selected, observe,
    };
}

use crate::{
    metrics,
    model::{Programs, numbers, schedule},
    slot::pool,
};
use plan::{Family, Plan};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

pub(crate) use run::pronounced;

/// A verdict formats its report; a program takes some ten thousand steps.
const PROGRAMS: Programs = Programs { ordinary: 2_000, stack: 0x4_0000, steps: 2_000_000 };

/// What was seen over all programs of a test.
#[derive(Default, Debug)]
struct Tally {
    programs: AtomicUsize,
    with_verdicts: AtomicUsize,
    verdicts: AtomicUsize,
    reordered: AtomicUsize,
    errors: AtomicUsize,
    swept: AtomicUsize,
}

fn add(counter: &AtomicUsize, n: usize) {
    counter.fetch_add(n, Ordering::Relaxed);
}

fn one_program(family: Family, tally: &Tally) {
    let plan = Plan::new(family, &mut numbers());
    if schedule().is_some() {
        println!("{plan:#?}");
    }
    let expires = plan.expiries > 0;
    let outcome = run::run(plan);
    let verdicts = outcome.world.verdicts();
    outcome.world.check_heard(family == Family::Strict);
    assert!(family != Family::Ordered || verdicts.is_empty(), "in order, yet: {}", verdicts[0]);
    for error in outcome.results.iter().filter_map(|result| result.as_ref().err()) {
        assert!(error.deadlock().is_some() || (expires && error.is_timeout()), "{error}");
        assert!(family != Family::Ordered || error.is_timeout(), "{error}");
        add(&tally.errors, 1);
    }
    if family == Family::Strict {
        assert_eq!(outcome.world.swept(), 0, "the end of the poll that closes a ring sees it");
    }
    assert_eq!(pool::model::in_use(), 0, "every slot goes back to the pool");
    // Here, and not when the next one begins: a schedule must not depend on the run before.
    pool::model::begin_run();
    add(&tally.programs, 1);
    add(&tally.with_verdicts, usize::from(!verdicts.is_empty()));
    add(&tally.verdicts, verdicts.len());
    add(&tally.reordered, outcome.world.reordered());
    add(&tally.swept, outcome.world.swept());
}

fn check(family: Family, scheduler: impl Scheduler + 'static) -> Arc<Tally> {
    /// The counters of the process are looked at.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let tally = Arc::new(Tally::default());
    let seen = tally.clone();
    let before = metrics::global();
    PROGRAMS.run(scheduler, move || one_program(family, &seen));
    let phantoms = metrics::global().phantoms - before.phantoms;
    println!("{family:?}: {tally:?}, {phantoms} looks that the validation did not confirm");
    tally
}

fn random() -> RandomScheduler {
    PROGRAMS.random()
}

fn pct() -> PctScheduler {
    PROGRAMS.few_preemptions()
}

fn check_some_verdicts(tally: &Tally) {
    let (programs, verdicts) =
        (tally.programs.load(Ordering::Relaxed), tally.verdicts.load(Ordering::Relaxed));
    assert!(programs < 500 || verdicts > programs / 50, "hardly a ring in {programs} programs: {verdicts}");
    let reordered = tally.reordered.load(Ordering::Relaxed);
    assert!(programs < 10_000 || reordered > 0, "no soft edge in {programs} programs");
}

#[test]
fn ordered_programs_get_no_verdict() {
    check(Family::Ordered, random());
}

#[test]
fn ordered_programs_get_no_verdict_under_few_preemptions() {
    check(Family::Ordered, pct());
}

#[test]
fn strict_programs_end_and_hear_of_every_verdict() {
    check_some_verdicts(&check(Family::Strict, random()));
}

#[test]
fn strict_programs_end_and_hear_of_every_verdict_under_few_preemptions() {
    check_some_verdicts(&check(Family::Strict, pct()));
}

#[test]
fn loose_programs_end() {
    check_some_verdicts(&check(Family::Loose, random()));
}

#[test]
fn loose_programs_end_under_few_preemptions() {
    check_some_verdicts(&check(Family::Loose, pct()));
}

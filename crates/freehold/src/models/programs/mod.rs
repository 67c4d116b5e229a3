//! Random programs on the whole engine under random schedules. A program that hangs leaves no thread that can run, which
//! shuttle tells, or comes to the end of virtual time.
//!
//! How many there are, and how to run one again: [`Programs`].
//!
//! What must hold: `books` and [`run`].

mod books;
mod plan;
mod run;
mod steps;

use super::runtime::World;
use crate::OutcomeKind;
use freehold_sync::model::{Programs, numbers, schedule};
use plan::{Family, Plan};
use shuttle::scheduler::Scheduler;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// A program takes some thousands of steps.
const PROGRAMS: Programs = Programs { ordinary: 500, stack: 0x8_0000, steps: 1_000_000 };

/// What was seen over all programs of a test.
#[derive(Default, Debug)]
struct Tally {
    programs: usize,
    outcomes: BTreeMap<&'static str, usize>,
}

/// Tells what happens in a program that is run again.
fn trace(what: impl FnOnce() -> String) {
    if schedule().is_some() {
        println!("{}", what());
    }
}

fn one_program(family: Family, tally: &Mutex<Tally>) {
    let plan = Plan::new(family, &mut numbers());
    trace(|| format!("{plan:#?}"));
    let outcomes = run::run(plan);
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    tally.programs += 1;
    for outcome in outcomes {
        *tally.outcomes.entry(OutcomeKind::name(outcome)).or_default() += 1;
    }
}

fn check(family: Family, scheduler: impl Scheduler + 'static) {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let seen = tally.clone();
    let begun = std::time::Instant::now();
    PROGRAMS.run(scheduler, move || one_program(family, &seen));
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{family:?}: {tally:?} in {:.1?}", begun.elapsed());
}

macro_rules! families {
    ($($family:ident: $random:ident, $few:ident;)*) => {$(
        #[test]
        fn $random() {
            check(Family::$family, PROGRAMS.random());
        }

        #[test]
        fn $few() {
            check(Family::$family, PROGRAMS.few_preemptions());
        }
    )*};
}

families! {
    Outcomes: each_request_has_one_outcome, each_request_has_one_outcome_under_few_preemptions;
    Cancels: a_cancel_leaves_nothing_of_a_call, a_cancel_leaves_nothing_of_a_call_under_few_preemptions;
    Turns: a_serial_session_runs_one_chain, a_serial_session_runs_one_chain_under_few_preemptions;
    Sessions: a_session_that_ended_is_gone, a_session_that_ended_is_gone_under_few_preemptions;
    Drains: a_drain_ends_after_the_last_call, a_drain_ends_after_the_last_call_under_few_preemptions;
}

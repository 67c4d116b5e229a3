//! Random programs on the whole engine under random schedules. A program that hangs leaves no thread that can run, which
//! shuttle tells, or comes to the end of virtual time.
//!
//! `FREEHOLD_PROGRAMS=n` runs n programs of each family under each scheduler. A failure prints a schedule;
//! `FREEHOLD_SCHEDULE=...` runs that one again, program and all.
//!
//! What must hold: `books` and [`run`].

mod books;
mod plan;
mod run;
mod steps;

use super::runtime::World;
use crate::OutcomeKind;
use plan::{Family, Plan};
use shuttle::{
    Config, Runner,
    rand::{Rng, thread_rng},
    scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

/// Programs of each family and scheduler in an ordinary run.
const PROGRAMS: usize = 500;
/// Bytes.
const STACK: usize = 0x8_0000;
/// Of one program: it takes some thousands.
const STEPS: usize = 1_000_000;

/// What was seen over all programs of a test.
#[derive(Default, Debug)]
struct Tally {
    programs: usize,
    outcomes: BTreeMap<&'static str, usize>,
}

/// Numbers below what is asked for, that follow from a seed.
fn numbers(seed: u64) -> impl FnMut(usize) -> usize {
    let mut random = seed | 1;
    move |n| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as usize % n
    }
}

fn schedule() -> Option<&'static str> {
    static SCHEDULE: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("FREEHOLD_SCHEDULE").ok());
    SCHEDULE.as_deref()
}

/// Tells what happens in a program that is run again.
fn trace(what: impl FnOnce() -> String) {
    if schedule().is_some() {
        println!("{}", what());
    }
}

fn one_program(family: Family, tally: &Mutex<Tally>) {
    let plan = Plan::new(family, &mut numbers(thread_rng().r#gen()));
    trace(|| format!("{plan:#?}"));
    let outcomes = run::run(plan);
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    tally.programs += 1;
    for outcome in outcomes {
        *tally.outcomes.entry(OutcomeKind::name(outcome)).or_default() += 1;
    }
}

fn check(family: Family, scheduler: impl Scheduler + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK;
    config.max_steps = shuttle::MaxSteps::FailAfter(STEPS);
    config.silence_warnings = true;
    let tally = Arc::new(Mutex::new(Tally::default()));
    let seen = tally.clone();
    let begun = std::time::Instant::now();
    match schedule() {
        Some(schedule) => Runner::new(ReplayScheduler::new_from_encoded(schedule), config)
            .run(move || one_program(family, &seen)),
        None => Runner::new(scheduler, config).run(move || one_program(family, &seen)),
    };
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{family:?}: {tally:?} in {:.1?}", begun.elapsed());
}

fn programs() -> usize {
    std::env::var("FREEHOLD_PROGRAMS")
        .map_or(PROGRAMS, |text| text.parse().expect("FREEHOLD_PROGRAMS is a number"))
}

macro_rules! families {
    ($($family:ident: $random:ident, $few:ident;)*) => {$(
        #[test]
        fn $random() {
            check(Family::$family, RandomScheduler::new(programs()));
        }

        /// Few preemptions, each anywhere.
        #[test]
        fn $few() {
            check(Family::$family, PctScheduler::new(4, programs()));
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

//! The whole engine in deterministic simulation: random programs over sessions (some of them serial), locks, nested
//! calls, states in a store that fails, questions, slow readers, cancels, panics and ends, under random schedules in virtual
//! time. What must hold afterwards is in `checks`.
//!
//! `FREEHOLD_SCHEDULES` chooses another number of seeds than 2,000, `FREEHOLD_SEED` one seed alone, with its trace.

mod checks;
mod program;
mod record;
mod slow_store;
mod world;

use freehold_testing::{Explore, Simulation, Trace};
use program::Plan;

const SEEDS: u64 = 2_000;

/// Deadlocks, locks out of order and calls with locks in hand are what the programs are for.
fn explore() -> Explore {
    Explore::new().schedules(SEEDS).allow_deadlocks().allow_order_violations().allow_calls_while_holding()
}

async fn any_program(sim: Simulation) {
    world::hide_panics();
    let plan = Plan::random(&mut sim.random());
    checks::run(&sim, &plan).await;
}

#[test]
fn random_programs_end_with_one_outcome_for_each_and_leave_nothing_behind() {
    let explored = explore().run(any_program);
    println!("{explored:?}");
    assert!(explored.schedules < SEEDS || explored.deadlocks > SEEDS / 10, "they deadlock: {explored:?}");
}

fn trace(seed: u64) -> Trace {
    explore().replay(seed, any_program).unwrap_or_else(|failure| panic!("{failure}")).1
}

#[test]
fn a_seed_twice_is_one_trace_twice() {
    for seed in 1..=150 {
        let (first, second) = (trace(seed), trace(seed));
        for (one, two) in first.lines().zip(second.lines()) {
            assert_eq!(one, two, "seed {seed}");
        }
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn seeds_differ() {
    let digests: std::collections::BTreeSet<_> = (1..=50).map(|seed| trace(seed).digest()).collect();
    assert_eq!(digests.len(), 50);
}

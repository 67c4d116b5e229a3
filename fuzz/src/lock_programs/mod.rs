//! Random lock programs on the real detector, in virtual time and on one thread, so that an input is one run.
//!
//! What a program may be, what its steps do and the books that it is judged by are those of freehold-sync's own models:
//! the same files.

#[path = "../../../crates/freehold-sync/src/models/programs/plan.rs"]
mod plan;
mod run;
#[path = "../../../crates/freehold-sync/src/models/programs/steps.rs"]
mod steps;
mod verdicts;
#[path = "../../../crates/freehold-sync/src/models/programs/world.rs"]
mod world;

/// What the shared files get from where they are.
mod host {
    pub(super) use super::{run::Gate, verdicts::key};
    pub(super) use freehold_sync::{
        Action, Context, Deadlock, LockError, Mutex, MutexGuard, Permit, PermitPool, RwLock, RwLockReadGuard,
        RwLockWriteGuard, Selected, observe,
    };
}

use crate::choices::Choices;
use freehold_sync::{LockError, observe};
use plan::{Family, Plan};
use run::{Outcome, run};

const FAMILIES: [Family; 3] = [Family::Ordered, Family::Strict, Family::Loose];

/// Any lock program under any schedule ends: in order without a verdict; out of order every deadlock is found, by the end of
/// the poll that closes it where nothing but turns and verdicts ends waits; every verdict is true by the program's own
/// books, and one activity hears of it.
///
/// The first character chooses the family; the program takes its choices from the front of the others, the schedule from
/// the back. What is left to choose then is as simple as can be, and tasks take turns.
///
/// # Panics
///
/// When that does not hold.
pub fn lock_programs(data: &[u8]) {
    let (first, rest) = data.split_first().unwrap_or((&0, &[]));
    let family = FAMILIES[usize::from(first.wrapping_sub(b'0')) % FAMILIES.len()];
    let mut choices = Choices::new(rest);
    let plan = Plan::new(family, &mut |below| choices.front(below));
    let expires = plan.expiries > 0;
    let told = format!("{plan:#?}");
    let outcome = run(plan, family == Family::Strict, choices);
    check(family, expires, &outcome).unwrap_or_else(|wrong| panic!("{wrong}\n{told}"));
}

fn check(family: Family, expires: bool, outcome: &Outcome) -> Result<(), String> {
    let world = &outcome.world;
    world.check_heard(family == Family::Strict);
    if let (Family::Ordered, Some(verdict)) = (family, world.verdicts().first()) {
        return Err(format!("in order, yet: {verdict}"));
    }
    if family == Family::Strict && world.swept() > 0 {
        return Err("the end of the poll that closes a ring did not see it".to_owned());
    }
    for error in outcome.results.iter().filter_map(|result| result.as_ref().err()) {
        let wanted = match error {
            LockError::Deadlock(_) => family != Family::Ordered,
            LockError::Timeout(_) => expires,
            _ => false,
        };
        if !wanted {
            return Err(format!("{error}"));
        }
    }
    let left = observe().members;
    if left.is_empty() { Ok(()) } else { Err(format!("still there: {left:#?}")) }
}

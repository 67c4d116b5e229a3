//! Who runs next.

use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};

/// How the next one is chosen. Both find what the other one misses: the first mixes all that could run evenly; the second
/// lets somebody wait for as long as anybody else can go on, and so comes to orders that are rare otherwise.
#[derive(Debug)]
pub(crate) enum Order {
    /// Anybody who can run.
    Any,
    /// The one of the highest priority; each task has one by chance. The running one loses its own now and then, and when it
    /// wakes itself, so that nobody spins for ever.
    Priorities(BTreeMap<u64, u64>),
}

/// Every how many polls a task loses its priority, on the average.
const CHANGE_EVERY: usize = 24;

impl Order {
    pub(crate) fn new(random: &mut Random) -> Self {
        if random.chance(3, 5) { Self::Any } else { Self::Priorities(BTreeMap::new()) }
    }

    /// One of `ready`, which must not be empty.
    pub(crate) fn choose(&mut self, ready: &BTreeSet<u64>, random: &mut Random) -> u64 {
        match self {
            Self::Any => *ready.iter().nth(random.below(ready.len())).expect("below its length"),
            Self::Priorities(priorities) => {
                for task in ready {
                    // The upper half: those that lost theirs are below.
                    priorities.entry(*task).or_insert_with(|| random.next_u64() | 1 << 63);
                }
                let first = ready.iter().max_by_key(|task| priorities.get(task));
                let first = *first.expect("somebody can run");
                if random.chance(1, CHANGE_EVERY) {
                    priorities.insert(first, random.next_u64() >> 1);
                }
                first
            }
        }
    }

    /// It woke itself in its poll.
    pub(crate) fn spins(&mut self, task: u64, random: &mut Random) {
        if let Self::Priorities(priorities) = self {
            priorities.insert(task, random.next_u64() >> 1);
        }
    }

    pub(crate) fn ended(&mut self, task: u64) {
        if let Self::Priorities(priorities) = self {
            priorities.remove(&task);
        }
    }
}

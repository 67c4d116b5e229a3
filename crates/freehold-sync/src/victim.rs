//! Who of a ring has to give up.

use crate::report::Actor;
use std::{fmt, sync::Arc};

/// One member of a ring that could be the victim.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Candidate {
    /// Who.
    pub actor: Actor,
    /// The order of births; later ones are younger. A re-run keeps its stamp.
    pub birth: u64,
    /// How many locks it holds.
    pub holds: usize,
    /// Its priority; higher ones are more worth keeping.
    pub priority: u8,
}

/// Chooses the index of the victim among the candidates, which are never empty.
pub type VictimHook = dyn Fn(&[Candidate]) -> usize + Send + Sync;

/// Who of a proven ring is chosen to break it.
///
/// Before the policy is asked, those who wait for a lock are preferred to those who wait for a permit, and these to
/// those who wait for a reply.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum VictimPolicy {
    /// The youngest; so the oldest always finishes, whatever the conflicts.
    #[default]
    Youngest,
    /// Who holds the fewest locks; the youngest of these.
    FewestLocks,
    /// Who has the lowest priority; the youngest of these.
    LowestPriority,
    /// Who this function says. It runs while the ring is frozen, so it must be quick and must not touch the locks or
    /// activities of this crate. An index out of range, or a panic, counts as the first one.
    Hook(Arc<VictimHook>),
}

impl fmt::Debug for VictimPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Youngest => "Youngest",
            Self::FewestLocks => "FewestLocks",
            Self::LowestPriority => "LowestPriority",
            Self::Hook(_) => "Hook",
        })
    }
}

impl VictimPolicy {
    /// The index of the victim.
    pub(crate) fn choose(&self, candidates: &[Candidate]) -> usize {
        let youngest_by = |key: &dyn Fn(&Candidate) -> u64| {
            let best = candidates.iter().enumerate().min_by_key(|(_, c)| (key(c), u64::MAX - c.birth));
            best.map_or(0, |(index, _)| index)
        };
        match self {
            Self::Youngest => youngest_by(&|_| 0),
            Self::FewestLocks => youngest_by(&|c| c.holds as u64),
            Self::LowestPriority => youngest_by(&|c| u64::from(c.priority)),
            Self::Hook(hook) => {
                let chosen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hook(candidates)));
                chosen.ok().filter(|index| *index < candidates.len()).unwrap_or(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(birth: u64, holds: usize, priority: u8) -> Candidate {
        Candidate { actor: Actor::unknown(), birth, holds, priority }
    }

    #[test]
    fn policies_choose_as_they_say() {
        let ring = [candidate(5, 3, 1), candidate(9, 2, 2), candidate(7, 1, 1), candidate(8, 1, 3)];
        assert_eq!(VictimPolicy::Youngest.choose(&ring), 1);
        assert_eq!(VictimPolicy::FewestLocks.choose(&ring), 3, "the younger of the two that hold one");
        assert_eq!(VictimPolicy::LowestPriority.choose(&ring), 2, "the younger of the two of priority one");
        assert_eq!(VictimPolicy::Hook(Arc::new(|ring| ring.len() - 1)).choose(&ring), 3);
        assert_eq!(VictimPolicy::Hook(Arc::new(|_| 99)).choose(&ring), 0, "out of range");
        assert_eq!(VictimPolicy::Hook(Arc::new(|_| panic!("in the hook"))).choose(&ring), 0);
    }
}

//! Who is stuck, on plain data: the greatest set of nodes whose every wait is blocked by members of the set.
//!
//! A wait is blocked, given a set S, if what is free for it (everything there is, less what members of S hold) is less
//! than it needs, or less than somebody ahead of it in S needs. This one rule covers mutexes, read-write locks, permit
//! pools and replies, `join!` and `select!`: a node with several waits runs as soon as *one* of them is not blocked.

use super::few::Few;
use std::cell::LazyCell;

/// One wait of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wait {
    pub(crate) need: u64,
    pub(crate) total: u64,
    /// Nodes that hold units, with how many. Units of others are not listed.
    pub(crate) held: Few<(usize, u64)>,
    /// Nodes queued ahead, with what they need.
    pub(crate) ahead: Few<(usize, u64)>,
}

impl Wait {
    /// Whether it is blocked, given who is stuck.
    pub(crate) fn is_blocked(&self, stuck: &[bool]) -> bool {
        let held: u64 = self.held.iter().filter(|(node, _)| stuck[*node]).map(|(_, units)| units).sum();
        let free = self.total.saturating_sub(held);
        free < self.need || self.ahead.iter().any(|(node, need)| stuck[*node] && free < *need)
    }

    fn others(&self) -> impl Iterator<Item = usize> {
        self.held.iter().chain(&self.ahead).map(|(node, _)| *node)
    }
}

/// Which nodes are stuck, of those that `stuck` says may be. `waits` has the waits of each node; a node without any is
/// stuck (nobody will wake it), and a node that is known to live must not be listed as one that holds.
pub(crate) fn stuck(waits: &[Few<Wait>], mut stuck: Vec<bool>) -> Vec<bool> {
    // In a ring nobody turns out to live, and nobody asks.
    let dependents = LazyCell::new(|| dependents(waits));
    let mut again = Vec::new();
    // Each node is looked at once, and again whenever somebody it depends on turns out to be live.
    for first in 0..waits.len() {
        let mut next = Some(first);
        while let Some(node) = next {
            if stuck[node] && waits[node].iter().any(|wait| !wait.is_blocked(&stuck)) {
                stuck[node] = false;
                again.extend(dependents[node].iter().filter(|other| stuck[**other]));
            }
            next = again.pop();
        }
    }
    stuck
}

/// Who waits for each node.
fn dependents(waits: &[Few<Wait>]) -> Vec<Few<usize>> {
    let mut dependents = vec![Few::new(); waits.len()];
    for (node, waits) in waits.iter().enumerate() {
        for other in waits.iter().flat_map(Wait::others) {
            dependents[other].push(node);
        }
    }
    dependents
}

#[cfg(test)]
mod tests {
    use super::{Few, Wait, stuck};

    /// The definition, word for word: take out who is not blocked until nothing changes.
    fn naive(waits: &[Few<Wait>], live: &[bool]) -> Vec<bool> {
        let mut set: Vec<bool> = live.iter().map(|live| !live).collect();
        loop {
            let next: Vec<bool> = (0..waits.len())
                .map(|node| {
                    set[node]
                        && waits[node].iter().all(|wait| {
                            let mut free = wait.total;
                            for (holder, units) in &wait.held {
                                if set[*holder] {
                                    free -= units;
                                }
                            }
                            let mut blocked = free < wait.need;
                            for (other, need) in &wait.ahead {
                                blocked |= set[*other] && free < *need;
                            }
                            blocked
                        })
                })
                .collect();
            if next == set {
                return set;
            }
            set = next;
        }
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, n: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % n
        }
    }

    fn random_graph(random: &mut Random) -> (Vec<Few<Wait>>, Vec<bool>) {
        let nodes = 1 + random.below(9) as usize;
        let waits = (0..nodes)
            .map(|_| {
                (0..random.below(3))
                    .map(|_| {
                        let mut left = 1 + random.below(4);
                        let total = left;
                        let mut held = Few::new();
                        while left > 0 && random.below(4) > 0 {
                            let units = 1 + random.below(left);
                            left -= units;
                            held.push((random.below(nodes as u64) as usize, units));
                        }
                        let ahead = (0..random.below(3))
                            .map(|_| (random.below(nodes as u64) as usize, 1 + random.below(total)))
                            .collect();
                        Wait { need: 1 + random.below(total), total, held, ahead }
                    })
                    .collect()
            })
            .collect();
        let live = (0..nodes).map(|_| random.below(4) == 0).collect();
        (waits, live)
    }

    #[test]
    fn agrees_with_the_definition_on_random_graphs() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let (mut some_stuck, mut some_live) = (0, 0);
        for round in 0..200_000 {
            let (waits, live) = random_graph(&mut random);
            let quick = stuck(&waits, live.iter().map(|live| !live).collect());
            assert_eq!(quick, naive(&waits, &live), "round {round}: {waits:?} {live:?}");
            some_stuck += usize::from(quick.contains(&true));
            some_live += usize::from(quick.contains(&false));
        }
        assert!(
            some_stuck > 10_000 && some_live > 10_000,
            "both kinds must occur: {some_stuck}, {some_live}"
        );
    }

    #[test]
    fn a_chain_costs_no_square() {
        let n = 200_000;
        let waits: Vec<Few<Wait>> = (0..n)
            .map(|i| {
                if i == 0 {
                    Few::new()
                } else {
                    let held = Few::from_iter([(i - 1, 1)]);
                    Few::from_iter([Wait { need: 1, total: 1, held, ahead: Few::new() }])
                }
            })
            .collect();
        let mut may_be = vec![true; n];
        assert!(stuck(&waits, may_be.clone()).iter().all(|stuck| *stuck), "nobody wakes the first one");
        may_be[0] = false;
        assert!(stuck(&waits, may_be).iter().all(|stuck| !stuck));
    }
}

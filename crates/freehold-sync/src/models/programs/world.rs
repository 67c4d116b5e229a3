//! What is known of a running program from its own point of view: who holds what, who waits for what. It is written by
//! the program before it asks and before it gives back, so whoever is idle is described exactly, and it says without the
//! detector's help who can be stuck.
//!
//! Shared with the fuzz targets: nothing in here is shuttle's, and so nothing is a point where it may schedule another
//! thread.

use super::{
    host::{Action, Deadlock},
    plan::{Kind, Plan, Take},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    Lock {
        lock: usize,
        need: u32,
    },
    Child(usize),
    /// Queued, and polled by nobody.
    Left {
        lock: usize,
        need: u32,
    },
}

/// An activity.
#[derive(Default, Debug)]
struct Node {
    /// By which the detector's members are told from each other.
    key: usize,
    ended: bool,
    /// Threads of control in it that do not wait for a lock or a child.
    running: isize,
    waits: BTreeMap<usize, Wait>,
    held: Vec<(usize, u32)>,
    /// Chosen by a verdict, and not polled since.
    chosen: bool,
}

/// Who was moved up in a queue last, who was stuck then, both by key, and how everybody was. More may be stuck soon after
/// without a change of that: whoever was in the middle of a poll. Not of one with a wait that nobody polls: that may be the one
/// that got a turn, and its next poll gives it back.
#[derive(Debug)]
struct Moved {
    key: usize,
    members: Vec<usize>,
    then: String,
}

impl Moved {
    /// Whether it has helped nothing: it is stuck again, nobody else is, and nothing has changed.
    fn in_vain(&self, members: &[usize], now: &str) -> bool {
        members.contains(&self.key)
            && members.iter().all(|member| self.members.contains(member))
            && self.then == now
    }
}

#[derive(Default, Debug)]
struct Book {
    totals: Vec<u32>,
    ordered_queue: Vec<bool>,
    nodes: Vec<Node>,
    next: usize,
    told: Vec<Arc<Deadlock>>,
    moved: Option<Moved>,
    /// How many verdicts were left to a sweep, and how many needed no victim.
    swept: usize,
    reordered: usize,
    /// Who heard of which verdict.
    heard: BTreeMap<String, BTreeSet<usize>>,
}

#[derive(Clone, Default, Debug)]
pub(super) struct World(Rc<RefCell<Book>>);

/// What a writer takes: more than there are readers.
const ALL_READERS: u32 = 1_000_000;

fn units(take: Take) -> u32 {
    match take {
        Take::Lock | Take::Read => 1,
        Take::Write => ALL_READERS,
        Take::Permits(count) => count,
    }
}

impl World {
    pub(super) fn new(plan: &Plan) -> Self {
        let total = |kind: &Kind| match kind {
            Kind::Mutex => 1,
            Kind::RwLock => ALL_READERS,
            Kind::Pool(size) => *size,
        };
        let book = Book {
            totals: plan.locks.iter().map(total).collect(),
            ordered_queue: plan.locks.iter().map(|kind| *kind != Kind::Mutex).collect(),
            ..Book::default()
        };
        Self(Rc::new(RefCell::new(book)))
    }

    pub(super) fn node(&self, key: usize, parent: Option<usize>) -> NodeEntry {
        let mut book = self.0.borrow_mut();
        let node = book.nodes.len();
        book.nodes.push(Node { key, ..Node::default() });
        let link = parent.map(|parent| (parent, book.add_wait(parent, Wait::Child(node))));
        drop(book);
        NodeEntry { world: self.clone(), node, link }
    }

    pub(super) fn strand(&self, node: usize) -> Strand {
        self.0.borrow_mut().nodes[node].running += 1;
        Strand { world: self.clone(), node }
    }

    /// This thread of control is not what keeps the node going, until the entry is dropped.
    pub(super) fn branches(&self, node: usize) -> Branched {
        self.0.borrow_mut().nodes[node].running -= 1;
        Branched { world: self.clone(), node }
    }

    pub(super) fn waits(&self, node: usize, lock: usize, take: Take) -> (WaitEntry, Branched) {
        (self.add_wait(node, Wait::Lock { lock, need: units(take) }), self.branches(node))
    }

    pub(super) fn leaves(&self, node: usize, lock: usize, take: Take) -> WaitEntry {
        self.add_wait(node, Wait::Left { lock, need: units(take) })
    }

    fn add_wait(&self, node: usize, wait: Wait) -> WaitEntry {
        let wait = self.0.borrow_mut().add_wait(node, wait);
        WaitEntry { world: self.clone(), node, wait }
    }

    pub(super) fn holds(&self, node: usize, lock: usize, take: Take) -> HoldEntry {
        let mut book = self.0.borrow_mut();
        book.nodes[node].held.push((lock, units(take)));
        let all = book.nodes.iter().flat_map(|node| &node.held).filter(|(of, _)| *of == lock);
        let taken: u64 = all.map(|(_, units)| u64::from(*units)).sum();
        assert!(taken <= u64::from(book.totals[lock]), "lock {lock} was given out twice: {:?}", book.nodes);
        drop(book);
        HoldEntry { world: self.clone(), node, held: (lock, units(take)) }
    }

    pub(super) fn polls(&self, node: usize) {
        self.0.borrow_mut().nodes[node].chosen = false;
    }

    pub(super) fn hears(&self, node: usize, report: &Deadlock) {
        self.0.borrow_mut().heard.entry(report.id.clone()).or_default().insert(node);
    }

    /// Compares a verdict with what the program knows. `Err`: what is wrong with it. To be called before anybody is polled.
    /// `culprit`: the victim, or who was moved up.
    pub(super) fn pronounced(
        &self,
        members: &[usize],
        culprit: Option<usize>,
        swept: bool,
        report: &Arc<Deadlock>,
    ) -> Result<(), String> {
        let mut book = self.0.borrow_mut();
        let stuck = book.stuck(true);
        let is_victim = matches!(report.action, Action::Victim(_));
        let now = format!("{:?}", book.nodes);
        if book.moved.as_ref().is_some_and(|moved| moved.in_vain(members, &now)) {
            return Err(format!("it was moved up in vain: {:#?}\n{report}", book.nodes));
        }
        for key in members {
            let node = book.nodes.iter().position(|node| node.key == *key && !node.ended);
            let node = node.ok_or_else(|| format!("somebody is stuck who is not there: {report}"))?;
            if !stuck[node] {
                return Err(format!("{node} is not stuck: {:#?}\n{report}", book.nodes));
            }
            book.nodes[node].chosen |= is_victim && culprit == Some(*key);
        }
        if let (false, Some(key)) = (is_victim, culprit) {
            let has_left = |node: &Node| node.waits.values().any(|wait| matches!(wait, Wait::Left { .. }));
            let surely = !book.nodes.iter().any(|node| node.key == key && !node.ended && has_left(node));
            book.moved = surely.then(|| Moved { key, members: members.to_vec(), then: now });
            book.reordered += 1;
        }
        book.swept += usize::from(swept);
        book.told.push(report.clone());
        Ok(())
    }

    /// Who can be stuck only, whatever the order in the queues is.
    #[cfg_attr(shuttle, expect(dead_code, reason = "a thread that sleeps there may have been woken already"))]
    pub(super) fn surely_stuck(&self) -> Vec<usize> {
        let stuck = self.0.borrow().stuck(false);
        (0..stuck.len()).filter(|node| stuck[*node]).collect()
    }

    /// Verdicts that no end of a poll saw.
    pub(super) fn swept(&self) -> usize {
        self.0.borrow().swept
    }

    /// Verdicts without a victim.
    #[cfg_attr(not(shuttle), expect(dead_code, reason = "the models count what occurs"))]
    pub(super) fn reordered(&self) -> usize {
        self.0.borrow().reordered
    }

    pub(super) fn verdicts(&self) -> Vec<Arc<Deadlock>> {
        self.0.borrow().told.clone()
    }

    /// Each verdict that has a victim was heard of by one activity at most, and nobody heard of another one; `all`: by one
    /// exactly.
    pub(super) fn check_heard(&self, all: bool) {
        let book = self.0.borrow();
        for (id, who) in &book.heard {
            assert_eq!(who.len(), 1, "{id} was given to {who:?}");
            assert!(book.told.iter().any(|report| report.id == *id), "nobody pronounced {id}");
        }
        for report in &book.told {
            let heard = book.heard.contains_key(&report.id);
            match report.action {
                Action::Victim(_) => assert!(!all || heard, "no victim heard of {report}"),
                Action::Reordered(_) => assert!(!heard, "nobody had to fail: {report}"),
                _ => panic!("nobody is an orphan here: {report}"),
            }
        }
    }
}

impl Book {
    fn add_wait(&mut self, node: usize, wait: Wait) -> usize {
        self.next += 1;
        self.nodes[node].waits.insert(self.next, wait);
        self.next
    }

    /// The greatest set of nodes whose every wait is blocked by members of the set, word for word. With `queues` everybody
    /// else in a queue may be ahead, which errs towards stuck only; without, nobody is, which errs the other way.
    fn stuck(&self, queues: bool) -> Vec<bool> {
        let mut set: Vec<bool> =
            self.nodes.iter().map(|node| !node.ended && node.running == 0 && !node.chosen).collect();
        loop {
            let all_blocked =
                |node: &Node| node.waits.iter().all(|(id, wait)| self.is_blocked(*id, *wait, &set, queues));
            let next: Vec<bool> =
                self.nodes.iter().zip(&set).map(|(node, stuck)| *stuck && all_blocked(node)).collect();
            if next == set {
                return set;
            }
            set = next;
        }
    }

    fn is_blocked(&self, id: usize, wait: Wait, set: &[bool], queues: bool) -> bool {
        let (lock, need) = match wait {
            Wait::Child(child) => return set[child],
            Wait::Left { .. } => return true,
            Wait::Lock { lock, need } => (lock, need),
        };
        let of_the_set = || self.nodes.iter().zip(set).filter(|(_, stuck)| **stuck).map(|(node, _)| node);
        let held = of_the_set().flat_map(|node| &node.held).filter(|(of, _)| *of == lock);
        let free = self.totals[lock] - held.map(|(_, units)| *units).sum::<u32>();
        let ahead = |(other, wait): (&usize, &Wait)| match wait {
            Wait::Lock { lock: of, need } | Wait::Left { lock: of, need } => {
                *other != id && *of == lock && free < *need
            }
            Wait::Child(_) => false,
        };
        let ordered = queues && self.ordered_queue[lock];
        free < need || (ordered && of_the_set().flat_map(|node| &node.waits).any(ahead))
    }
}

/// An activity, until its body is gone.
pub(super) struct NodeEntry {
    world: World,
    pub(super) node: usize,
    link: Option<(usize, usize)>,
}

impl Drop for NodeEntry {
    fn drop(&mut self) {
        let mut book = self.world.0.borrow_mut();
        book.nodes[self.node].ended = true;
        if let Some((parent, wait)) = self.link {
            book.nodes[parent].waits.remove(&wait);
        }
    }
}

/// A thread of control in a node.
pub(super) struct Strand {
    world: World,
    pub(super) node: usize,
}

impl Drop for Strand {
    fn drop(&mut self) {
        self.world.0.borrow_mut().nodes[self.node].running -= 1;
    }
}

pub(super) struct Branched {
    world: World,
    node: usize,
}

impl Drop for Branched {
    fn drop(&mut self) {
        self.world.0.borrow_mut().nodes[self.node].running += 1;
    }
}

pub(super) struct WaitEntry {
    world: World,
    node: usize,
    wait: usize,
}

impl Drop for WaitEntry {
    fn drop(&mut self) {
        self.world.0.borrow_mut().nodes[self.node].waits.remove(&self.wait);
    }
}

pub(super) struct HoldEntry {
    world: World,
    node: usize,
    held: (usize, u32),
}

impl Drop for HoldEntry {
    fn drop(&mut self) {
        let mut book = self.world.0.borrow_mut();
        let held = &mut book.nodes[self.node].held;
        let at = held.iter().position(|held| *held == self.held).expect("it was booked");
        held.swap_remove(at);
    }
}

//! Who waits for whom, as a graph that is drawn.

mod layout;
mod svg;

pub(crate) use svg::{draw, standalone};

use crate::{limits, look::Look};
use freehold_sync::{Actor, Deadlock, LockName, Observed};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Somebody, or several who wait alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) label: String,
    pub(crate) detail: String,
    /// How many it stands for.
    pub(crate) count: usize,
    /// It is in a ring.
    pub(crate) in_ring: bool,
    /// It was chosen to break the ring.
    pub(crate) victim: bool,
}

/// A wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrow {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) label: String,
    pub(crate) in_ring: bool,
}

/// What is drawn.
#[derive(Clone, Debug, Default)]
pub(crate) struct WaitGraph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) arrows: Vec<Arrow>,
    /// Those who wait and are not drawn.
    pub(crate) left_out: usize,
}

/// By what somebody is told from others: its number and tag; somebody unknown by the lock.
type Key = (u64, usize, usize);

fn key_of(actor: &Actor, lock: &LockName) -> Key {
    if actor.number == 0 && actor.tag == 0 { (0, 0, lock.address) } else { (actor.number, actor.tag, 0) }
}

fn label_of(actor: &Actor) -> String {
    match (actor.name.is_empty(), actor.number) {
        (true, number) => format!("activity #{number}"),
        (false, 0) => actor.name.to_string(),
        (false, number) => format!("{} #{number}", actor.name),
    }
}

/// Builds it of people that are told apart by their keys.
#[derive(Default)]
struct Builder {
    graph: WaitGraph,
    places: HashMap<Key, usize>,
}

impl Builder {
    fn node(&mut self, actor: &Actor, lock: &LockName, detail: impl FnOnce() -> String) -> usize {
        let next = self.graph.nodes.len();
        let place = *self.places.entry(key_of(actor, lock)).or_insert(next);
        if place == next {
            let (label, detail) = (label_of(actor), detail());
            self.graph.nodes.push(Node { label, detail, count: 1, in_ring: false, victim: false });
        }
        place
    }

    fn arrow(&mut self, from: usize, to: usize, label: String) {
        self.graph.arrows.push(Arrow { from, to, label, in_ring: false });
    }
}

impl WaitGraph {
    /// Who waits at this moment.
    pub(crate) fn of_look(look: &Look) -> Self {
        let waiting: Vec<_> =
            look.observation.members.iter().filter(|member| !member.waits.is_empty()).collect();
        let awaited: HashSet<Key> = waiting
            .iter()
            .flat_map(|member| member.waits.iter().map(|wait| key_of(&wait.holder, &wait.lock)))
            .collect();
        let mut builder = Builder::default();
        let detail =
            |actor: &Actor| look.call_of(actor).map_or(String::new(), |call| call.session.abbreviated());
        let is_awaited = |member: &Observed| {
            let actor = &member.actor;
            awaited.contains(&(actor.number, actor.tag, 0))
        };
        let (links, ends): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|member| is_awaited(member));
        // First those who are waited for themselves: they are the chains and the rings.
        let mut left_out = 0;
        for member in links {
            if builder.graph.nodes.len() >= limits::DRAWN {
                left_out += 1;
                continue;
            }
            let first = &member.waits[0].lock;
            let from = builder.node(&member.actor, first, || detail(&member.actor));
            for wait in &member.waits {
                let to = builder.node(&wait.holder, &wait.lock, || detail(&wait.holder));
                builder.arrow(from, to, format!("{} {}", wait.mode, wait.lock.class));
            }
        }
        left_out += add_ends(&mut builder, &ends, &detail);
        builder.graph.left_out = left_out;
        builder.graph.mark_rings();
        builder.graph
    }

    /// What a report is about.
    pub(crate) fn of_report(report: &Deadlock) -> Self {
        let mut builder = Builder::default();
        let site = |site: Option<freehold_sync::Site>| site.map_or(String::new(), ToString::to_string);
        for edge in &report.edges {
            let from = builder.node(&edge.waiter, &edge.lock, || site(edge.waits_at));
            // Of who waits in turn it is told where.
            let waits = report
                .edges
                .iter()
                .find(|next| key_of(&next.waiter, &next.lock) == key_of(&edge.holder, &edge.lock));
            let at = waits.map_or(edge.held_at, |next| next.waits_at);
            let to = builder.node(&edge.holder, &edge.lock, || site(at));
            builder.arrow(from, to, format!("{} {}", edge.mode, edge.lock.class));
        }
        let mut graph = builder.graph;
        graph.mark_rings();
        if let freehold_sync::Action::Victim(index) = report.action
            && let Some(arrow) = graph.arrows.get(index)
        {
            let victim = arrow.from;
            graph.nodes[victim].victim = true;
        }
        graph
    }

    /// Marks what is part of a ring: who reaches itself.
    fn mark_rings(&mut self) {
        let ring_of = layout::components(self.nodes.len(), &self.pairs());
        let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
        for component in &ring_of {
            *sizes.entry(*component).or_default() += 1;
        }
        for arrow in &mut self.arrows {
            let (from, to) = (ring_of[arrow.from], ring_of[arrow.to]);
            arrow.in_ring = from == to && (sizes[&from] > 1 || arrow.from == arrow.to);
            if arrow.in_ring {
                self.nodes[arrow.from].in_ring = true;
                self.nodes[arrow.to].in_ring = true;
            }
        }
    }

    pub(crate) fn pairs(&self) -> Vec<(usize, usize)> {
        self.arrows.iter().map(|arrow| (arrow.from, arrow.to)).collect()
    }

    pub(crate) fn has_ring(&self) -> bool {
        self.arrows.iter().any(|arrow| arrow.in_ring)
    }
}

/// The name of somebody, and for whom and which classes they wait.
type WaitsFor<'a> = (&'a str, Vec<(Key, &'a str)>);

/// Adds those whom nobody waits for; who do so alike are one. Returns how many had no room.
fn add_ends(builder: &mut Builder, ends: &[&Observed], detail: &dyn Fn(&Actor) -> String) -> usize {
    let mut alike: BTreeMap<WaitsFor<'_>, Vec<&Observed>> = BTreeMap::new();
    for member in ends {
        let waits = member.waits.iter().map(|wait| (key_of(&wait.holder, &wait.lock), wait.lock.class));
        alike.entry((&member.actor.name, waits.collect())).or_default().push(member);
    }
    let mut groups: Vec<_> = alike.into_iter().collect();
    groups.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
    let mut left_out = 0;
    for ((name, _), members) in groups {
        if builder.graph.nodes.len() >= limits::DRAWN {
            left_out += members.len();
            continue;
        }
        let Some(first) = members.first() else { continue };
        let from = builder.node(&first.actor, &first.waits[0].lock, || detail(&first.actor));
        if members.len() > 1 {
            let node = &mut builder.graph.nodes[from];
            node.count = members.len();
            node.label = format!("{} x {}", members.len(), if name.is_empty() { "activities" } else { name });
            node.detail = String::new();
        }
        for wait in &first.waits {
            let to = builder.node(&wait.holder, &wait.lock, || detail(&wait.holder));
            builder.arrow(from, to, format!("{} {}", wait.mode, wait.lock.class));
        }
    }
    left_out
}

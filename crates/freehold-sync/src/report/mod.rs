//! What is told about deadlocks and other findings: typed, as text, as JSON, as a graph.

mod advice;
mod render;

use crate::{
    raw::RawLock,
    slot::{Slot, holds::HeldEntry},
};
use std::{
    borrow::Cow,
    fmt::{self, Write},
    panic::Location,
    time::Duration,
};

/// How sure a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Grade {
    /// An order that could deadlock, though nothing waited.
    Potential,
    /// A wait that lasts, whose holder cannot be proven stuck.
    Suspected,
    /// No member can run again by its own wakes; only dropping one from outside, or a victim, ends it.
    Proven,
}

impl Grade {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Potential => "POTENTIAL",
            Self::Suspected => "SUSPECTED",
            Self::Proven => "PROVEN",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A place in the source.
pub type Site = &'static Location<'static>;

/// An activity, a thread, or somebody nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Actor {
    /// Its number: the birth stamp of an activity; zero for somebody unknown. Attempts that were given the stamp of an
    /// earlier one share it.
    pub number: u64,
    /// Its name; empty if it has none.
    pub name: Cow<'static, str>,
    /// The address of the value that its name says it is about ([`ActivityName::about`](crate::ActivityName::about)), by which
    /// the program finds that value; zero if it says nothing.
    pub tag: usize,
    /// Where it was made.
    pub site: Option<Site>,
    /// Clones of its waker that something outside of the graph holds: who could still wake it.
    pub foreign_wakers: u32,
    /// Tells it from all others at the time of the report; zero for somebody unknown.
    identity: usize,
}

impl Actor {
    pub(crate) fn of(slot: &'static Slot) -> Self {
        use crate::shim::Ordering;
        Self {
            number: slot.birth.load(Ordering::Relaxed),
            name: match (slot.name(), slot.inside_of.load(Ordering::Relaxed)) {
                (name, 0) if name.is_empty() && slot.is_outsider() => "a wait outside of activities".into(),
                (name, 0) => name,
                (name, number) if name.is_empty() => format!("a future inside of activity #{number}").into(),
                (name, number) => format!("a future inside of {name} (#{number})").into(),
            },
            tag: slot.tag(),
            site: slot.site(),
            foreign_wakers: slot.foreign_clones(slot.state.load(Ordering::Relaxed)),
            identity: std::ptr::from_ref(slot).addr(),
        }
    }

    /// Somebody nobody knows: an owned guard, a plain task, an escaped future.
    pub(crate) fn unknown() -> Self {
        Self {
            number: 0,
            name: Cow::Borrowed("a holder outside of activities"),
            tag: 0,
            site: None,
            foreign_wakers: 0,
            identity: 0,
        }
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.identity == 0
    }

    /// Whether both are the same one, in one report.
    pub(crate) fn is(&self, other: &Self) -> bool {
        !self.is_unknown() && self.identity == other.identity
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name.is_empty(), self.number) {
            (true, _) => write!(f, "activity #{}", self.number)?,
            (false, 0) => write!(f, "{}", self.name)?,
            (false, number) => write!(f, "{} (#{number})", self.name)?,
        }
        match self.site {
            Some(site) => write!(f, " made at {site}"),
            None => Ok(()),
        }
    }
}

/// A lock, a pool, or the end of an activity.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockName {
    /// The name of its class.
    pub class: &'static str,
    /// Tells it from others of its class.
    pub address: usize,
}

impl LockName {
    pub(crate) fn of(lock: &RawLock) -> Self {
        Self { class: lock.class().name(), address: lock.address() }
    }

    pub(crate) fn of_hold(hold: &HeldEntry) -> Self {
        let class = hold.class();
        Self { class: class.resolve(crate::raw::Kind::Mutex).name(), address: hold.lock() }
    }
}

impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lock {} ({:#x})", self.class, self.address)
    }
}

/// What a wait asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Mode {
    /// A mutex.
    Lock,
    /// A read-write lock, to read.
    Read,
    /// A read-write lock, to write.
    Write,
    /// So many permits of a pool.
    Permits(u32),
    /// The end of an activity.
    End,
    /// A child activity that is polled in place.
    Child,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock => f.write_str("lock"),
            Self::Read => f.write_str("read"),
            Self::Write => f.write_str("write"),
            Self::Permits(count) => write!(f, "{count} permit(s)"),
            Self::End => f.write_str("end"),
            Self::Child => f.write_str("child"),
        }
    }
}

/// One step of a ring: somebody waits for what somebody else holds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Edge {
    /// Who waits.
    pub waiter: Actor,
    /// For what.
    pub lock: LockName,
    /// How.
    pub mode: Mode,
    /// For how long already.
    pub waited: Duration,
    /// Where the wait is in the source.
    pub waits_at: Option<Site>,
    /// Who holds it, or stands before the waiter in the queue.
    pub holder: Actor,
    /// Where the holder acquired it; nothing if the holder only stands before the waiter.
    pub held_at: Option<Site>,
    /// For how long, where somebody looked at the clock (holds that began with a wait, and a sample of the others).
    pub held_for: Option<Duration>,
}

/// What was done about a deadlock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Action {
    /// The waiter of this edge got [`LockError::Deadlock`](crate::LockError::Deadlock).
    Victim(usize),
    /// The holder of the last edge was ended: nobody was left to wake it.
    EndedHolder,
    /// Nobody failed: the wait of this edge was moved up in its queue, before the holder of the edge, who only stood before
    /// it and waits, through the others, for this very waiter.
    Reordered(usize),
    /// Nothing: it is suspected only, and ends at its deadlines.
    Reported,
}

/// A deadlock, proven or suspected: who waits for whom, and what was done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Deadlock {
    /// Its own id, `FH-` and the number of the finding in this process.
    pub id: String,
    /// The same for deadlocks of the same shape: the same classes waited for and held at the same places.
    pub fingerprint: u64,
    /// How sure it is.
    pub grade: Grade,
    /// The ring in order: the holder of each edge is the waiter of the next, and the last one's holder the first waiter.
    /// For a chain that is no ring, the last holder waits for nobody.
    pub edges: Vec<Edge>,
    /// Others that wait for locks held in the ring.
    pub behind: usize,
    /// What was done.
    pub action: Action,
}

impl Deadlock {
    /// Whether the last holder is the first waiter.
    #[must_use]
    pub fn is_ring(&self) -> bool {
        match (self.edges.first(), self.edges.last()) {
            (Some(first), Some(last)) => last.holder.is(&first.waiter),
            _ => false,
        }
    }

    /// One line: how many wait in the ring, for which classes, and how many behind it.
    #[must_use]
    pub fn headline(&self) -> String {
        let classes: Vec<_> = self.edges.iter().map(|edge| edge.lock.class).collect();
        let shape = if self.is_ring() { "ring" } else { "chain" };
        format!(
            "{} {shape} of {} over {}; {} more behind it",
            self.grade,
            self.edges.len(),
            classes.join(" -> "),
            self.behind
        )
    }

    /// The victim's actor, if one was chosen.
    #[must_use]
    pub fn victim(&self) -> Option<&Actor> {
        match self.action {
            Action::Victim(index) => self.edges.get(index).map(|edge| &edge.waiter),
            _ => None,
        }
    }

    /// The order in which the classes of the ring could be taken by everybody without such a ring: by name, since any
    /// one order will do. Nothing if it is no ring, or one within one class: see [`advice`](Self::advice).
    #[must_use]
    pub fn suggested_order(&self) -> Option<Vec<&'static str>> {
        Some(self.classes()).filter(|classes| self.is_ring() && classes.len() > 1)
    }
}

/// The fingerprint of a ring: FNV-1a over the edges, begun at the smallest one, so that it does not depend on where the
/// ring was entered, nor on addresses and times.
pub(crate) fn fingerprint(edges: &[Edge]) -> u64 {
    let hashes: Vec<u64> = edges.iter().map(|edge| Fnv::of_edge(edge).0).collect();
    let from = |start: usize| hashes.iter().cycle().skip(start).take(hashes.len());
    let start = (0..hashes.len()).min_by(|a, b| from(*a).cmp(from(*b))).unwrap_or(0);
    let mut all = Fnv::NEW;
    from(start).for_each(|hash| all.add(&hash.to_le_bytes()));
    all.0
}

/// FNV-1a of what is written to it.
struct Fnv(u64);

impl Fnv {
    const NEW: Self = Self(0xcbf2_9ce4_8422_2325);

    fn of_edge(edge: &Edge) -> Self {
        let mut hash = Self::NEW;
        // Writing to it cannot fail.
        let _ = write!(hash, "{}|{}", edge.lock.class, edge.mode);
        for site in [edge.waits_at, edge.held_at].into_iter().flatten() {
            hash.add_site(site);
        }
        hash
    }

    /// As it is written, but without the machinery that writes: a ring stands still meanwhile.
    fn add_site(&mut self, site: Site) {
        self.add(b"|");
        self.add(site.file().as_bytes());
        for number in [site.line(), site.column()] {
            self.add(b":");
            self.add_decimal(number);
        }
    }

    fn add_decimal(&mut self, number: u32) {
        if number >= 10 {
            self.add_decimal(number / 10);
        }
        self.add(&[b'0' + (number % 10) as u8]);
    }

    fn add(&mut self, bytes: &[u8]) {
        self.0 =
            bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    }
}

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add(text.as_bytes());
        Ok(())
    }
}

/// A lock taken, or about to be taken, against the order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OrderViolation {
    /// [`Grade::Potential`]: nothing waited.
    pub grade: Grade,
    /// Who.
    pub actor: Actor,
    /// The class of the lock that is held.
    pub held: &'static str,
    /// Where it was acquired.
    pub held_at: Option<Site>,
    /// The class of the lock that was asked for.
    pub wanted: &'static str,
    /// Where.
    pub wanted_at: Site,
    /// What the order is.
    pub rule: Rule,
}

/// Why an order is an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Rule {
    /// The levels of the two classes.
    Levels(crate::LockLevel, crate::LockLevel),
    /// The classes were taken the other way round before, at this place.
    Learned(Option<Site>),
}

impl fmt::Display for OrderViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} takes {} at {} while it holds {}", self.actor, self.wanted, self.wanted_at, self.held)?;
        if let Some(site) = self.held_at {
            write!(f, ", acquired at {site}")?;
        }
        match self.rule {
            Rule::Levels(held, wanted) if held == wanted => {
                write!(f, "; both are at level {}: take them together, with lock_all", held.name())
            }
            Rule::Levels(held, wanted) => {
                write!(f, "; level {} comes before {}: take it first", wanted.name(), held.name())
            }
            Rule::Learned(Some(site)) => write!(f, "; at {site} they were taken the other way round"),
            Rule::Learned(None) => f.write_str("; they were taken the other way round before"),
        }
    }
}

impl std::error::Error for OrderViolation {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_hashed_as_it_is_written() {
        let site = Location::caller();
        let (mut hashed, mut written) = (Fnv::NEW, Fnv::NEW);
        hashed.add_site(site);
        write!(written, "|{site}").unwrap();
        assert_eq!(hashed.0, written.0);
    }
}

//! From "was stuck when I looked" to a verdict.
//!
//! # Why a verdict is true
//!
//! 1. All members are frozen at once, so none of them begins a poll, and none gives anything back: guards that are
//!    booked to an activity are dropped in its polls or in its drop, and both wait for the freeze.
//! 2. Frozen, every wait is read again, and the fixpoint over the members alone finds all of them stuck: whatever
//!    everybody else gives back, no wait of a member can be granted.
//! 3. Then each member is seen not woken and without foreign clones. A clone is made of a clone or during a poll, and a
//!    wake is seen before its clone is gone (slot invariant 4); so from that moment on nothing can wake it but its own
//!    cells (2 rules that out) and signals from outside, which are not its own wakes.
//!
//! # Why nobody has to fail where the order of a queue alone is at fault
//!
//! An edge is *soft* if what the stuck hold leaves enough for the wait, and one of them only stands before it in the queue
//! and asks for more. PostgreSQL's deadlock check (`src/backend/storage/lmgr/README`) has the name and the idea.
//!
//! 4. It is moved before all who need more than what the stuck leave. There is enough for it (soft), and for everybody who is
//!    ahead of it then; so no stuck one keeps it waiting, its owner is not stuck, and the ring is broken. (Its future was
//!    polled in its owner's latest poll: one that is left alone would not use its turn.)
//! 5. Whoever it goes past waits for one turn more at most: all of them stand behind somebody, or are one, for whom there is
//!    not enough before a stuck one gives back.
//! 6. It ends. Within a queue, a place gets a smaller need than it had, and those before it are the same. And each
//!    wait is gone past a few times only (`OVERTAKES`), whoever does so and however often they ask; then the ring has a victim.

use super::snapshot::{Member, ReadWait, Snapshot, Strictness};
use crate::{
    clock, metrics,
    raw::{self, Kind, RawLock, wakes::Wakes},
    report::{self, Action, Actor, Deadlock, Edge, Grade, LockName, Mode},
    settings,
    shim::Ordering,
    slot::{
        Slot,
        cell::{self, Source, WaitCell},
        state,
    },
    victim::Candidate,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering as StdOrdering},
};

/// A deadlock that was broken.
pub(crate) struct Verdict {
    pub(crate) report: Arc<Deadlock>,
    /// The members of its ring.
    pub(crate) ring: Vec<&'static Slot>,
}

/// The stuck members of a snapshot, frozen; thawed when dropped.
struct Frozen {
    slots: Vec<&'static Slot>,
    snapshot: Snapshot,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.slots.iter().for_each(|slot| slot.unfreeze());
    }
}

impl Frozen {
    /// Freezes all stuck members and reads them again. Nothing if one of them has moved.
    fn freeze(seen: &Snapshot, stuck: &[bool]) -> Option<Self> {
        let mut frozen = Self { slots: Vec::new(), snapshot: Snapshot::default() };
        let members = seen.members.iter().zip(stuck).filter(|(_, stuck)| **stuck).map(|(member, _)| member);
        for member in members.clone() {
            let now = match member.state {
                state if state & state::DONE != 0 => {
                    let now = member.slot.state.load(Ordering::Acquire);
                    if now != state {
                        return None;
                    }
                    continue;
                }
                state if state & state::PARKED != 0 => member.slot.freeze_if_parked(),
                _ => member.slot.freeze_if_idle(),
            };
            let now = now.ok()?;
            frozen.slots.push(member.slot);
            // Polled since it was looked at. Reading it again would show that, too; this is cheaper.
            if state::epoch(now) != state::epoch(member.state) {
                return None;
            }
        }
        for member in members {
            let read = match member.state {
                state if state & state::DONE != 0 => Member::read(member.slot, Strictness::Exact),
                state if state & state::PARKED != 0 => Member::read_parked(member.slot, state),
                state => Member::read_frozen(member.slot, state, Strictness::Exact),
            };
            frozen.snapshot.add(read);
        }
        Some(frozen)
    }

    #[cfg(all(test, shuttle))]
    fn tell_model(&self, stuck: &[bool], steps: &[Step], action: Action, report: &Arc<Deadlock>) {
        let members = &self.snapshot.members;
        let found: Vec<_> =
            members.iter().zip(stuck).filter(|(_, stuck)| **stuck).map(|(member, _)| member.slot).collect();
        let culprit = match action {
            Action::Victim(index) | Action::Reordered(index) => Some(members[steps[index].member].slot),
            _ => None,
        };
        crate::models::pronounced(&found, culprit, report);
    }

    /// Whether all members are stuck and none was woken since they were frozen.
    fn holds(&self, stuck: &[bool]) -> bool {
        stuck.iter().all(|stuck| *stuck)
            && self.slots.iter().all(|slot| {
                let state = slot.state.load(Ordering::Acquire);
                if state & state::PARKED != 0 {
                    return true;
                }
                // The clones first: see slot invariant 4.
                slot.foreign_clones(state) == 0 && slot.state.load(Ordering::Acquire) & state::WOKEN == 0
            })
    }
}

/// One step of the way through the stuck.
#[derive(Clone, Copy)]
struct Step {
    member: usize,
    wait: usize,
    next: usize,
}

impl Step {
    fn wait_in(self, snapshot: &Snapshot) -> &ReadWait {
        snapshot.members[self.member].waits.at(self.wait)
    }
}

/// The ring that `start` is in or waits behind; or the chain to somebody who waits for nobody, with that one.
fn ring_from(snapshot: &Snapshot, stuck: &[bool], start: usize) -> (Vec<Step>, Option<usize>) {
    let mut steps: Vec<Step> = Vec::new();
    let mut at = start;
    loop {
        if let Some(first) = steps.iter().position(|step| step.member == at) {
            return (steps.split_off(first), None);
        }
        match snapshot.step(at, stuck) {
            Some((wait, next)) => {
                steps.push(Step { member: at, wait, next });
                at = next;
            }
            None => return (steps, Some(at)),
        }
    }
}

/// Validates that the stuck members of `seen` are stuck, and breaks the ring that member `start` is in or waits behind.
/// Nothing if it is not so any more.
pub(crate) fn pronounce(seen: &Snapshot, stuck: &[bool], start: usize, wakes: &mut Wakes) -> Option<Verdict> {
    let frozen = Frozen::freeze(seen, stuck)?;
    let snapshot = &frozen.snapshot;
    let still = snapshot.stuck();
    if !frozen.holds(&still) {
        return None;
    }
    let start = snapshot.find(seen.members[start].slot)?;
    let (steps, end) = ring_from(snapshot, &still, start);
    let ring: Vec<_> = steps.iter().map(|step| snapshot.members[step.member].slot).collect();
    let edges: Vec<Edge> = steps.iter().map(|step| edge(snapshot, *step)).collect();
    let action = match end.map(|end| snapshot.members[end].slot) {
        // An orphan: ending those who wait for it would not help them.
        Some(orphan) if orphan.state.load(Ordering::Acquire) & state::DONE == 0 => Action::EndedHolder,
        // Nobody can give back what a forgotten guard holds: the one who waits for it has to go.
        Some(_) if steps.is_empty() => return None,
        Some(_) => Action::Victim(steps.len() - 1),
        None => match steps.iter().position(|step| may_overtake(snapshot, &still, *step)) {
            Some(soft) => Action::Reordered(soft),
            None => Action::Victim(choose_victim(snapshot, &steps, &edges)?),
        },
    };
    if steps.is_empty() {
        // An orphan for whom nobody waits is left alone: it harms nobody, and its owner may drop it.
        return None;
    }
    let behind = behind(snapshot, &steps);
    let report = Arc::new(report_of(Grade::Proven, edges, behind, action));
    metrics::add(&metrics::GLOBAL.proven, 1);
    #[cfg(all(test, shuttle))]
    frozen.tell_model(&still, &steps, action, &report);
    match action {
        Action::Reordered(index) => let_overtake(snapshot, &still, steps[index], wakes),
        _ => carry_out(snapshot, &steps, end, action, &report, wakes),
    }
    Some(Verdict { report, ring })
}

fn carry_out(
    snapshot: &Snapshot,
    steps: &[Step],
    end: Option<usize>,
    action: Action,
    report: &Arc<Deadlock>,
    wakes: &mut Wakes,
) {
    match action {
        Action::Victim(index) => {
            let victim = &snapshot.members[steps[index].member];
            let wait = steps[index].wait_in(snapshot).cell;
            // The report first: the victim reads it when it sees the phase.
            victim.slot.doom(report.clone());
            if !wait.owner().is(victim.slot) {
                // A thread parked inside the victim's poll.
                wait.owner().doom(report.clone());
            }
            // SAFETY: the owner is frozen.
            if let Some(lock) = unsafe { RawLock::of_cell(wait) } {
                metrics::add(&lock.class().metrics.deadlocks, 1);
                lock.end_wait(wait, cell::VICTIM, wakes);
            }
        }
        Action::EndedHolder => {
            if let Some(orphan) = end.map(|end| snapshot.members[end].slot) {
                metrics::add(&metrics::GLOBAL.orphans_ended, 1);
                orphan.doom(report.clone());
                orphan.state.fetch_or(state::END, Ordering::AcqRel);
                wakes.add(orphan, cell::Parked::Owner);
            }
        }
        Action::Reordered(_) | Action::Reported => {}
    }
}

/// Whether a step is soft, and its wait may be moved. Of those ahead in a long queue only some are in the snapshot.
fn may_overtake(snapshot: &Snapshot, stuck: &[bool], step: Step) -> bool {
    let wait = step.wait_in(snapshot);
    snapshot.is_soft(step.member, wait, stuck)
        // SAFETY: the owner is frozen.
        && unsafe { RawLock::of_cell(wait.cell) }
            .is_some_and(|lock| lock.may_overtake(wait.cell, snapshot.free(wait, stuck)))
}

/// Moves the wait of a soft step before those for whom the stuck do not leave enough.
fn let_overtake(snapshot: &Snapshot, stuck: &[bool], step: Step, wakes: &mut Wakes) {
    let wait = step.wait_in(snapshot);
    // SAFETY: the owner is frozen.
    let Some(lock) = (unsafe { RawLock::of_cell(wait.cell) }) else { return };
    if lock.overtake(wait.cell, snapshot.free(wait, stuck), wakes) {
        metrics::add(&metrics::GLOBAL.reordered, 1);
    }
}

/// The step whose waiter gives up: who waits for a lock before who waits for a permit before who waits for a reply, and
/// then by the policy. Who waits for a child has nothing to fail.
fn choose_victim(snapshot: &Snapshot, steps: &[Step], edges: &[Edge]) -> Option<usize> {
    let rank = |edge: &Edge| match edge.mode {
        Mode::Lock | Mode::Read | Mode::Write => Some(0),
        Mode::Permits(_) => Some(1),
        Mode::End => Some(2),
        Mode::Child => None,
    };
    let best = edges.iter().filter_map(rank).min()?;
    let places: Vec<usize> = (0..edges.len()).filter(|index| rank(&edges[*index]) == Some(best)).collect();
    let candidates: Vec<Candidate> = places
        .iter()
        .map(|index| {
            let slot = snapshot.members[steps[*index].member].slot;
            Candidate {
                actor: edges[*index].waiter.clone(),
                birth: slot.birth.load(Ordering::Relaxed),
                holds: slot.held().count(),
                priority: slot.priority.load(Ordering::Relaxed),
            }
        })
        .collect();
    Some(places[settings::victim_policy().choose(&candidates)])
}

/// How many others wait in the queues of the locks of the ring.
fn behind(snapshot: &Snapshot, steps: &[Step]) -> usize {
    let (mut waits, mut own) = (0_usize, 0);
    let mut counted: Vec<usize> = Vec::new();
    for step in steps {
        let wait = step.wait_in(snapshot).cell;
        // SAFETY: the owner is frozen, and the lock is not used after this.
        let Some(lock) = (unsafe { RawLock::of_cell(wait) }) else { continue };
        own += 1;
        if !counted.contains(&lock.address()) {
            counted.push(lock.address());
            lock.queued(|_| waits += 1);
        }
    }
    // A pool may be closed meanwhile: its waits are gone then.
    waits.saturating_sub(own)
}

fn edge(snapshot: &Snapshot, step: Step) -> Edge {
    let wait = step.wait_in(snapshot);
    edge_of(snapshot.members[step.member].slot, wait.cell, Some(snapshot.members[step.next].slot))
}

/// One edge, read from its cell. The cell's owner is frozen.
pub(super) fn edge_of(waiter: &'static Slot, wait: &'static WaitCell, holder: Option<&'static Slot>) -> Edge {
    let now = clock::now();
    let need = wait.need.load(Ordering::Relaxed);
    // SAFETY: the owner is frozen, and the lock is not used after this function.
    let lock = unsafe { RawLock::of_cell(wait) };
    let (lock_name, mode) = match lock {
        Some(lock) => {
            let mode = match lock.kind() {
                Kind::Mutex => Mode::Lock,
                Kind::RwLock if need == raw::ALL_READERS => Mode::Write,
                Kind::RwLock => Mode::Read,
                Kind::Pool => Mode::Permits(need),
                Kind::Event => Mode::End,
            };
            (LockName::of(lock), mode)
        }
        None => (
            LockName { class: "a child activity", address: wait.source.load(Ordering::Relaxed).addr() },
            Mode::Child,
        ),
    };
    let hold = holder.and_then(|holder| holder.hold_of(lock_name.address));
    let unknown_site = || lock.filter(|lock| lock.kind() == Kind::Mutex).and_then(RawLock::site);
    let (waited, waits_at) = match wait.kind() {
        Source::Child => (std::time::Duration::ZERO, None),
        _ => (clock::between(wait.since.get(), now), wait.site()),
    };
    Edge {
        waiter: Actor::of(waiter),
        mode,
        waited,
        waits_at,
        held_at: hold
            .map_or_else(|| if holder.is_none() { unknown_site() } else { None }, |hold| hold.site()),
        held_for: hold
            .map(|hold| hold.since())
            .filter(|since| *since != 0)
            .map(|since| clock::between(since, now)),
        lock: lock_name,
        holder: holder.map_or_else(Actor::unknown, Actor::of),
    }
}

/// The report of a finding, with an id of its own.
pub(super) fn report_of(grade: Grade, edges: Vec<Edge>, behind: usize, action: Action) -> Deadlock {
    static FOUND: AtomicU64 = AtomicU64::new(0);
    let number = FOUND.fetch_add(1, StdOrdering::Relaxed) + 1;
    let fingerprint = report::fingerprint(&edges);
    Deadlock { id: format!("FH-{number}"), fingerprint, grade, edges, behind, action }
}

/// Tells of a suspicion.
pub(super) fn suspect(edges: Vec<Edge>, reports: &mut Vec<Arc<Deadlock>>) {
    metrics::add(&metrics::GLOBAL.suspected, 1);
    reports.push(Arc::new(report_of(Grade::Suspected, edges, 0, Action::Reported)));
}

//! The sweep: what no end of a poll could see. Rings longer than the eager walk, wakers that vanished, holders that went
//! idle; then probes, suspicions, and grants that waits outside of activities left lying.

use super::{
    Findings, as_detector, break_from, chain,
    snapshot::{Member, Snapshot, Strictness},
    verdict,
};
use crate::{
    clock::{self, Ticks},
    limits, metrics,
    raw::{RawLock, wakes::Wakes},
    settings,
    shim::Ordering,
    slot::{
        Slot,
        cell::{self, Source},
        pool, state,
    },
};
use std::collections::HashMap;

/// Looks at everything once.
pub(crate) fn sweep(now: Ticks) {
    metrics::add(&metrics::GLOBAL.sweeps, 1);
    let old = old_waits(now);
    if old.is_empty() {
        return;
    }
    let mut findings = Findings::default();
    if super::enabled() {
        break_rings(&old);
        if settings::probing() {
            probe(&old, &mut findings.wakes);
        }
    }
    // Suspicions decide nothing, so nobody has to wait for them, and there are only so many in one sweep.
    let mut told = 0;
    for OldWait { slot, impatient, .. } in &old {
        if told < limits::SUSPICIONS
            && impatient.is_some_and(|since| suspect(slot, since, now, &mut findings))
        {
            told += 1;
        }
        pass_stale_grant_on(slot, &mut findings.wakes);
    }
    findings.tell();
}

/// Looks for rings among all that wait, as an ordinary reader, and becomes the detector only for those it saw: while the
/// graph is read, the end of a poll that closes a ring elsewhere need not wait.
fn break_rings(old: &[OldWait]) {
    let snapshot = Snapshot::collect(old.iter().map(|old| old.slot), Strictness::Exact, usize::MAX);
    let starts = ring_members(&snapshot, &snapshot.stuck());
    if starts.is_empty() {
        return;
    }
    let findings = as_detector(|findings| {
        for start in starts {
            break_from(start, usize::MAX, findings);
        }
    });
    findings.tell();
}

/// A slot with a wait that is not young any more.
struct OldWait {
    slot: &'static Slot,
    /// When its oldest wait began.
    since: Ticks,
    /// The same of those whose age is a reason for a suspicion.
    impatient: Option<Ticks>,
}

fn old_waits(now: Ticks) -> Vec<OldWait> {
    let young = now.saturating_sub(limits::PROBE_AFTER.as_nanos() as u64);
    let mut old = Vec::new();
    pool::for_each_here(|slot| {
        if !slot.has_waits() {
            return;
        }
        // Read without a freeze: what it says may be past, and is only a reason to look.
        let waits = || {
            slot.waits().filter(|wait| {
                wait.kind() == Source::Lock && !matches!(wait.phase(), cell::CLOSED | cell::DORMANT)
            })
        };
        let Some(since) = waits().map(|wait| wait.since.get()).min().filter(|since| *since <= young) else {
            return;
        };
        let impatient =
            waits().filter(|wait| !wait.patient.load(Ordering::Relaxed)).map(|wait| wait.since.get()).min();
        old.push(OldWait { slot, since, impatient });
    });
    old
}

/// One stuck member of each ring, or of each chain that ends in somebody who waits for nobody.
fn ring_members(snapshot: &Snapshot, stuck: &[bool]) -> Vec<&'static Slot> {
    const UNSEEN: usize = usize::MAX;
    let mut seen_from = vec![UNSEEN; stuck.len()];
    let mut members = Vec::new();
    for start in (0..stuck.len()).filter(|index| stuck[*index]) {
        let mut at = start;
        // Each member has one step, so each is passed once over all starts.
        while seen_from[at] == UNSEEN {
            seen_from[at] = start;
            match snapshot.step(at, stuck) {
                Some((_, next)) => at = next,
                None => break,
            }
        }
        if seen_from[at] == start {
            members.push(snapshot.members[if snapshot.step(at, stuck).is_some() { at } else { start }].slot);
        }
    }
    members
}

/// Polls each activity once under its other waker identity that would be stuck if the wakers left outside of the graph
/// were stale; once for each of its waits.
fn probe(old: &[OldWait], wakes: &mut Wakes) {
    let snapshot = Snapshot::collect(old.iter().map(|old| old.slot), Strictness::Loose, usize::MAX);
    let stuck = snapshot.stuck();
    let since_of: HashMap<usize, Ticks> =
        old.iter().map(|old| (std::ptr::from_ref(old.slot).addr(), old.since)).collect();
    for (Member { slot, state, .. }, _) in snapshot.members.iter().zip(stuck).filter(|(_, stuck)| *stuck) {
        let Some(since) = since_of.get(&std::ptr::from_ref(*slot).addr()) else { continue };
        if slot.foreign_clones(*state) == 0 || slot.probed.get() == *since {
            continue;
        }
        slot.probed.set(*since);
        metrics::add(&metrics::GLOBAL.probes, 1);
        slot.state.fetch_or(state::PROBE, Ordering::AcqRel);
        wakes.add(slot, cell::Parked::Owner);
    }
}

/// Reports a wait that has lasted for long, once. Returns whether it looked at the wait's chain.
fn suspect(slot: &'static Slot, since: Ticks, now: Ticks, findings: &mut Findings) -> bool {
    if clock::between(since, now) < settings::suspect_after() || slot.suspected.get() == since {
        return false;
    }
    slot.suspected.set(since);
    let edges = chain::follow(slot);
    if !edges.is_empty() {
        verdict::suspect(edges, &mut findings.reports);
    }
    true
}

/// In `overtaken`: a sweep has seen it; more than that, so many more have.
const SEEN: u8 = 2;

/// A turn that a wait has not used for some sweeps goes to the next one: its future, or its whole activity, is not polled.
fn pass_stale_grant_on(slot: &'static Slot, wakes: &mut Wakes) {
    let patience =
        if slot.is_outsider() { limits::FUTURELOCK_OUTSIDE } else { limits::FUTURELOCK_OF_AN_ACTIVITY };
    let enough = SEEN + (patience.as_millis() / limits::SWEEP_EVERY.as_millis()) as u8;
    pass_unused_grants_on(slot, enough, wakes);
}

/// As seen by one more sweep, passes on what more than `enough` have seen.
pub(crate) fn pass_unused_grants_on(slot: &'static Slot, enough: u8, wakes: &mut Wakes) {
    if slot.freeze_if_not_polling().is_err() {
        return;
    }
    for wait in slot.waits() {
        if !matches!(wait.phase(), cell::GRANTED | cell::NOTIFIED) {
            continue;
        }
        let seen = wait.overtaken.load(Ordering::Relaxed).max(SEEN - 1) + 1;
        wait.overtaken.store(seen, Ordering::Relaxed);
        if seen > enough {
            // SAFETY: the owner is frozen.
            if let Some(lock) = unsafe { RawLock::of_cell(wait) } {
                lock.pass_on(wait, wakes);
                wait.overtaken.store(0, Ordering::Relaxed);
            }
        }
    }
    slot.unfreeze();
}

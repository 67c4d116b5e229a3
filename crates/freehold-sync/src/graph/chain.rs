//! Whom a wait stands behind, for errors: a walk along single edges, without a verdict.

use super::verdict;
use crate::{
    limits,
    raw::RawLock,
    report::{Actor, Edge},
    slot::{
        Slot,
        cell::{self, Source, WaitCell},
        poll, state,
    },
};

/// The holder of `lock`, and whom it waits for, and so on.
pub(crate) fn from_lock(lock: &RawLock) -> (Option<Actor>, Vec<Actor>) {
    let Some(holder) = lock.any_holder() else { return (None, Vec::new()) };
    // SAFETY: holders are slots, which are never freed.
    match unsafe { holder.as_ref() } {
        Some(holder) => {
            (Some(Actor::of(holder)), follow(holder).into_iter().map(|edge| edge.holder).collect())
        }
        None => (Some(Actor::unknown()), Vec::new()),
    }
}

/// Whom the activity being polled waits for: from its own cells, which only it may touch now. Nothing on a thread that
/// does not poll it: whose locks may be gone at any moment.
pub(crate) fn from_poller(slot: &'static Slot) -> Vec<Actor> {
    if !poll::stack().any(|polled| polled.is(slot)) {
        return Vec::new();
    }
    // Frozen against the drop of a source; the poller is us, so nobody else has it frozen.
    slot.state.fetch_or(state::FROZEN, crate::shim::Ordering::SeqCst);
    let first = first_wait(slot).map(|wait| next_edge(slot, wait));
    slot.unfreeze();
    let mut actors = Vec::new();
    if let Some((edge, next)) = first {
        actors.push(edge.holder);
        if let Some(next) = next {
            actors.extend(follow(next).into_iter().map(|edge| edge.holder));
        }
    }
    actors
}

/// The edges from `slot` on, until somebody does not wait or comes up twice.
pub(crate) fn follow(slot: &'static Slot) -> Vec<Edge> {
    let mut edges = Vec::new();
    let mut seen: Vec<&'static Slot> = Vec::new();
    let mut at = Some(slot);
    while let Some(slot) = at
        && edges.len() < limits::CHAIN
        && !seen.iter().any(|other| other.is(slot))
    {
        seen.push(slot);
        if slot.freeze_if_not_polling().is_err() {
            break;
        }
        let step = first_wait(slot).map(|wait| next_edge(slot, wait));
        slot.unfreeze();
        at = step.as_ref().and_then(|(_, next)| *next);
        edges.extend(step.map(|(edge, _)| edge));
    }
    edges
}

/// All edges from `slot`; none while it is being polled.
pub(crate) fn waits(slot: &'static Slot) -> Vec<Edge> {
    if slot.freeze_if_not_polling().is_err() {
        return Vec::new();
    }
    let edges = slot.waits().filter(|wait| is_edge(wait)).map(|wait| next_edge(slot, wait).0).collect();
    slot.unfreeze();
    edges
}

/// One of its waits; rather one that is not meant to last.
fn first_wait(slot: &'static Slot) -> Option<&'static WaitCell> {
    slot.waits()
        .filter(|wait| is_edge(wait))
        .min_by_key(|wait| wait.kind() == Source::Lock && wait.patient.load(crate::shim::Ordering::Relaxed))
}

fn is_edge(wait: &WaitCell) -> bool {
    match wait.kind() {
        Source::Lock => wait.phase() == cell::WAITING,
        Source::Child => true,
        Source::Signal => false,
    }
}

/// The owner of `wait` is frozen.
fn next_edge(slot: &'static Slot, wait: &'static WaitCell) -> (Edge, Option<&'static Slot>) {
    let next = match wait.kind() {
        Source::Child => wait.source.load(crate::shim::Ordering::Acquire).cast::<Slot>(),
        // SAFETY: the owner is frozen, and the lock is not used after this.
        _ => unsafe { RawLock::of_cell(wait) }.and_then(RawLock::any_holder).unwrap_or_default(),
    };
    // SAFETY: holders are slots, which are never freed.
    let next = unsafe { next.as_ref() };
    (verdict::edge_of(slot, wait, next), next)
}

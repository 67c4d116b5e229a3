//! The graph as it was at one look: slots and their waits, collected one slot at a time.

use super::{few::Few, fixpoint};
use crate::{
    raw::RawLock,
    shim::Ordering,
    slot::{
        Slot,
        cell::{self, Source, WaitCell},
        state::{self, DONE, FREE, OUTSIDER, PARKED, POLLING, THREAD, WOKEN},
    },
};
use std::{collections::HashMap, ptr};

type PointerMap = HashMap<usize, usize, foldhash::fast::FixedState>;

/// A wait as it was read.
pub(crate) struct ReadWait {
    pub(crate) cell: &'static WaitCell,
    need: u64,
    total: u64,
    held: Few<(*mut Slot, u64)>,
    /// Those who ask for more than this wait: if one of the others is not given what it asks for, neither is this one.
    ahead: Few<(*mut Slot, u64)>,
    /// Whether it may be moved before all who are ahead.
    may_pass: bool,
}

/// A slot as it was read.
pub(crate) struct Member {
    pub(crate) slot: &'static Slot,
    /// The state it was frozen in, or had.
    pub(crate) state: u64,
    pub(crate) waits: Few<ReadWait>,
    pub(crate) live: bool,
}

/// Whose wakers count as life.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// Everybody's: who is stuck then is proven stuck.
    Exact,
    /// Nobody's, in an activity that waits for locks: who is stuck then may be stuck.
    Loose,
}

impl Member {
    fn live(slot: &'static Slot, state: u64) -> Self {
        Self { slot, state, waits: Few::new(), live: true }
    }

    /// Reads one slot, which is frozen meanwhile.
    pub(crate) fn read(slot: &'static Slot, strictness: Strictness) -> Self {
        let state = slot.state.load(Ordering::Acquire);
        if state & DONE != 0 && state & FREE == 0 {
            // Gone without giving back: what it holds is held for ever. (A done slot keeps its entries only then.)
            return Self { slot, state, waits: Few::new(), live: slot.holds_nothing() };
        }
        if state & PARKED != 0 {
            let Ok(state) = slot.freeze_if_parked() else { return Self::live(slot, state) };
            let member = Self::read_parked(slot, state);
            slot.unfreeze();
            return member;
        }
        let frozen = match strictness {
            Strictness::Exact => slot.freeze_if_idle(),
            Strictness::Loose if state & (WOKEN | POLLING | OUTSIDER | THREAD) == 0 => {
                slot.freeze_if_not_polling()
            }
            Strictness::Loose => Err(state),
        };
        let Ok(state) = frozen else { return Self::live(slot, state) };
        let member = Self::read_frozen(slot, state, strictness);
        slot.unfreeze();
        member
    }

    /// Reads a slot that the caller has frozen.
    pub(crate) fn read_frozen(slot: &'static Slot, state: u64, strictness: Strictness) -> Self {
        let mut waits = Few::new();
        let mut signals = false;
        let epoch = state::epoch(state);
        for wait in slot.waits() {
            match (wait.kind(), wait.phase()) {
                (Source::Signal, cell::EXPIRED) => return Self::live(slot, state),
                (Source::Signal, _) => signals = true,
                // Nobody wakes it: it had its turn, and is polled by nobody.
                (_, cell::DORMANT) => {}
                (Source::Child, _) => match ReadWait::of_child(wait) {
                    Some(wait) => waits.push(wait),
                    None => return Self::live(slot, state),
                },
                (Source::Lock, cell::WAITING) => match ReadWait::of_lock(wait) {
                    Some(wait) => waits.push(wait),
                    None => return Self::live(slot, state),
                },
                (Source::Lock, _) if wait.left_its_end(epoch) => {}
                // Granted, notified, expired, a victim, closed: it is on its way.
                (Source::Lock, _) => return Self::live(slot, state),
            }
        }
        // Who waits for signals only may be waiting for a person; and who is woken by something outside of the graph and
        // waits for no lock just works.
        let foreign = slot.foreign_clones(state) > 0;
        let live = waits.is_empty() && (signals || (strictness == Strictness::Loose && foreign));
        Self { slot, state, waits, live }
    }

    /// Reads a slot whose thread is parked in a blocking lock: only that wait counts.
    pub(crate) fn read_parked(slot: &'static Slot, state: u64) -> Self {
        // SAFETY: cells are never freed.
        let wait = unsafe { slot.parked_in.load(Ordering::Acquire).as_ref() };
        match wait.and_then(ReadWait::of_lock) {
            Some(wait) => Self { slot, state, waits: Few::from_iter([wait]), live: false },
            None => Self::live(slot, state),
        }
    }
}

impl ReadWait {
    fn of_child(wait: &'static WaitCell) -> Option<Self> {
        let child = wait.source.load(Ordering::Acquire).cast::<Slot>();
        (!child.is_null()).then(|| Self {
            cell: wait,
            need: 1,
            total: 1,
            held: Few::from_iter([(child, 1)]),
            ahead: Few::new(),
            may_pass: false,
        })
    }

    /// Nothing if the cell does not wait any more. The caller has frozen its owner.
    fn of_lock(wait: &'static WaitCell) -> Option<Self> {
        // SAFETY: the owner is frozen, and the lock is given up before this function returns.
        let lock = unsafe { RawLock::of_cell(wait) }?;
        let need = u64::from(wait.need.load(Ordering::Relaxed));
        let mut held = Few::new();
        let mut ahead = Few::new();
        let mut may_pass = true;
        let waits =
            lock.read_wait(wait, &mut |slot, units| held.push((slot, u64::from(units))), &mut |other| {
                may_pass &= other.may_be_passed();
                if other.asks_for_more_than(wait) {
                    ahead.push((other.holder(), u64::from(other.need.load(Ordering::Relaxed))));
                }
            });
        waits.then(|| Self { cell: wait, need, total: u64::from(lock.total()), held, ahead, may_pass })
    }

    /// Whether its future was polled in the latest poll of its owner, whose state is `state`; or a thread is parked in it.
    fn is_attended(&self, state: u64) -> bool {
        state & PARKED != 0 || self.cell.polled.load(Ordering::Relaxed) == state::epoch(state)
    }

    fn others(&self) -> impl Iterator<Item = *mut Slot> {
        self.held.iter().chain(&self.ahead).map(|(slot, _)| *slot).filter(|slot| !slot.is_null())
    }
}

/// Slots and their waits, as far as the look went.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub(crate) members: Vec<Member>,
    /// Where each member is; empty as long as all of them are searched as quickly.
    index: PointerMap,
}

/// Members that are searched without an index.
const SEARCHED: usize = 8;

impl Snapshot {
    /// Looks at `starts` and everybody they wait for, and so on, up to `cap` slots; those beyond count as live.
    pub(crate) fn collect(
        starts: impl IntoIterator<Item = &'static Slot>,
        strictness: Strictness,
        cap: usize,
    ) -> Self {
        let mut snapshot = Self::default();
        for start in starts {
            snapshot.add(Member::read(start, strictness));
        }
        let mut next = 0;
        while next < snapshot.members.len() {
            // Taken out for as long as others are added beside it.
            let waits = std::mem::take(&mut snapshot.members[next].waits);
            for other in waits.iter().flat_map(ReadWait::others) {
                if snapshot.members.len() >= cap {
                    break;
                }
                if snapshot.find(other).is_none() {
                    // SAFETY: holders are slots, which are never freed.
                    snapshot.push(Member::read(unsafe { &*other }, strictness));
                }
            }
            snapshot.members[next].waits = waits;
            next += 1;
        }
        snapshot
    }

    /// Adds a member, once.
    pub(crate) fn add(&mut self, member: Member) {
        if self.find(member.slot).is_none() {
            self.push(member);
        }
    }

    fn push(&mut self, member: Member) {
        self.members.push(member);
        if self.members.len() > SEARCHED {
            let missing = self.members.iter().enumerate().skip(self.index.len());
            self.index.extend(missing.map(|(index, member)| (ptr::from_ref(member.slot).addr(), index)));
        }
    }

    /// The index of a slot that was looked at.
    pub(crate) fn find(&self, slot: *const Slot) -> Option<usize> {
        if self.index.is_empty() {
            return self.members.iter().position(|member| member.slot.is(slot));
        }
        self.index.get(&slot.addr()).copied()
    }

    fn known(&self, of: &Few<(*mut Slot, u64)>) -> impl Iterator<Item = (usize, u64)> {
        of.iter().filter_map(|(slot, units)| Some((self.find(*slot)?, *units)))
    }

    /// Which members are stuck.
    pub(crate) fn stuck(&self) -> Vec<bool> {
        let waits: Vec<Few<fixpoint::Wait>> = self
            .members
            .iter()
            .map(|member| {
                let wait = |wait: &ReadWait| fixpoint::Wait {
                    need: wait.need,
                    total: wait.total,
                    held: self.known(&wait.held).collect(),
                    ahead: self.known(&wait.ahead).collect(),
                };
                member.waits.iter().map(wait).collect()
            })
            .collect();
        fixpoint::stuck(&waits, self.members.iter().map(|member| !member.live).collect())
    }

    /// One step along the graph of the stuck: a wait of `member` and whom it waits for; rather one that the order of a
    /// queue alone keeps from being granted.
    pub(crate) fn step(&self, member: usize, stuck: &[bool]) -> Option<(usize, usize)> {
        let waits = || self.members[member].waits.iter().enumerate();
        let soft = waits().filter(|(_, wait)| self.is_soft(member, wait, stuck));
        soft.chain(waits()).find_map(|(index, wait)| Some((index, self.in_the_way(member, wait, stuck)?)))
    }

    /// Whether there is enough for this wait, whatever the stuck hold: only somebody before it in the queue keeps it from
    /// being granted. Not of a wait that is left alone, which a turn would not help, nor where somebody ahead was
    /// gone past often enough.
    pub(crate) fn is_soft(&self, member: usize, wait: &ReadWait, stuck: &[bool]) -> bool {
        !wait.ahead.is_empty()
            && wait.may_pass
            && wait.is_attended(self.members[member].state)
            && wait.need <= self.free(wait, stuck)
    }

    /// What is free for `wait` once all but the stuck have given back what they hold.
    pub(crate) fn free(&self, wait: &ReadWait, stuck: &[bool]) -> u64 {
        let held: u64 = self.stuck_of(&wait.held, stuck).map(|(_, units)| units).sum();
        wait.total.saturating_sub(held)
    }

    fn stuck_of(&self, list: &Few<(*mut Slot, u64)>, stuck: &[bool]) -> impl Iterator<Item = (usize, u64)> {
        self.known(list).filter(|(member, _)| stuck[*member])
    }

    /// Somebody stuck who keeps `wait` of `member` from being granted: one who holds what it needs or, if there is
    /// enough for it, one ahead of it for whom there is not. The member itself only if nobody else does: with somebody
    /// else the ring has all whom the victim policy should choose among.
    fn in_the_way(&self, member: usize, wait: &ReadWait, stuck: &[bool]) -> Option<usize> {
        let free = self.free(wait, stuck);
        let in_the_way = if free < wait.need {
            self.stuck_of(&wait.held, stuck).max_by_key(|(holder, _)| *holder != member)
        } else {
            self.stuck_of(&wait.ahead, stuck).find(|(_, need)| free < *need)
        };
        in_the_way.map(|(member, _)| member)
    }
}

//! How a wait leaves its queue: with a turn, without one, or because its future is gone; and what becomes of a turn
//! that is not used.

use super::{Kind, NOTIFIED, RawLock, SAMPLED, SHUT, STRAY, mutex, pool, rwlock, wakes::Wakes};
use crate::{
    shim::Ordering,
    slot::{
        cell::{self, Parked, WaitCell},
        state,
    },
};

impl RawLock {
    /// In the section: the cell is out of the queue, in `phase`, and is woken afterwards.
    pub(super) fn leave_queue(&self, wait: &'static WaitCell, phase: u8, wakes: &mut Wakes) {
        let owner = wait.owner();
        wait.granted.store(state::epoch(owner.state.load(Ordering::Relaxed)), Ordering::Relaxed);
        // SAFETY: in the section.
        let parked = unsafe { std::mem::replace(wait.parked_mut(), Parked::Nobody) };
        let own = matches!(parked, Parked::Owner);
        // Woken before the phase can be seen: an owner that is neither woken nor polling has not been granted anything
        // since its last poll began (slot invariant 4).
        wakes.add(owner, parked);
        wait.set_phase(phase);
        if own {
            // And after it: a poll that began in between has used up the wake, and may not have seen the phase. Both
            // are read-modify-writes of one word, so either this one is after that poll's beginning, or the poll sees
            // the phase.
            wakes.add(owner, Parked::Owner);
        }
    }

    /// The future of `wait` is gone: takes it out of the queue, or gives back the turn it had. Returns whom it would have
    /// woken, to be dropped as the last thing.
    pub(crate) fn withdraw(&self, wait: &'static WaitCell, wakes: &mut Wakes) -> Parked {
        let _section = self.queue.enter();
        match wait.phase() {
            cell::WAITING => self.remove(wait, wakes),
            // Unless it is taken at this moment: a future may be polled while its activity ends.
            phase @ (cell::NOTIFIED | cell::GRANTED) if wait.leave(phase, cell::DORMANT) => {
                self.give_turn_back(wait, phase, wakes);
            }
            _ => {}
        }
        wait.set_phase(cell::DORMANT);
        // SAFETY: in the section.
        unsafe { std::mem::replace(wait.parked_mut(), Parked::Nobody) }
    }

    /// A turn that its waiter does not use goes to the next one; the waiter comes first again when it is polled.
    pub(crate) fn pass_on(&self, wait: &'static WaitCell, wakes: &mut Wakes) {
        let section = self.queue.enter();
        let phase = wait.phase();
        let had_a_turn = matches!(phase, cell::NOTIFIED | cell::GRANTED)
            && self.kind != Kind::Event
            && wait.leave(phase, cell::DORMANT);
        if had_a_turn {
            self.set_flag(STRAY);
            self.give_turn_back(wait, phase, wakes);
        }
        drop(section);
        if had_a_turn {
            self.class().metrics.passed_on();
        }
    }

    /// In the section: undoes a notification or a grant.
    fn give_turn_back(&self, wait: &'static WaitCell, phase: u8, wakes: &mut Wakes) {
        let need = wait.need.load(Ordering::Relaxed);
        match (self.kind, phase) {
            (Kind::Mutex, cell::NOTIFIED) => {
                self.word.fetch_and(!NOTIFIED, Ordering::Relaxed);
                mutex::notify_if_free(self, wakes);
            }
            (Kind::Mutex, _) => mutex::release_queued(self, true, wakes),
            (Kind::RwLock, _) => {
                rwlock::release_in_section(
                    self,
                    need,
                    wait.place.load(Ordering::Relaxed) & !SAMPLED,
                    wait.holder(),
                );
                self.hand_over(wakes);
            }
            (Kind::Pool, _) => {
                pool::release(self, need, wait.holder());
                self.hand_over(wakes);
            }
            (Kind::Event, _) => {}
        }
    }

    /// Ends the wait of `wait` from outside, with `phase`. False if it had ended already.
    pub(crate) fn end_wait(&self, wait: &'static WaitCell, phase: u8, wakes: &mut Wakes) -> bool {
        let _section = self.queue.enter();
        if wait.phase() != cell::WAITING {
            return false;
        }
        // Neither the queue nor the word will tell of this cell, and a drop of the lock has to wait until we have left it:
        // nobody else keeps the lock, if the future was forgotten.
        self.set_flag(STRAY);
        self.remove(wait, wakes);
        self.leave_queue(wait, phase, wakes);
        true
    }

    /// In the section: unlinks a queued cell. Those behind it may have waited for it alone.
    fn remove(&self, wait: &'static WaitCell, wakes: &mut Wakes) {
        self.unlink(wait);
        if matches!(self.kind, Kind::RwLock | Kind::Pool) {
            self.hand_over(wakes);
        }
    }

    /// Refuses everybody from now on, and ends all waits with `CLOSED`.
    pub(crate) fn shut(&self) {
        let mut wakes = Wakes::new();
        let section = self.queue.enter();
        self.set_flag(SHUT);
        while let Some(first) = self.first() {
            self.set_flag(STRAY);
            self.unlink(first);
            self.leave_queue(first, cell::CLOSED, &mut wakes);
        }
        drop(section);
        wakes.wake();
    }
}

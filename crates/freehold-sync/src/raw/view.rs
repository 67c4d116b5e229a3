//! What the graph reads of a lock.

use super::{ALL_READERS, Kind, LOCKED, RawLock, links, mutex, pool, rwlock};
use crate::{
    limits,
    shim::Ordering,
    slot::{
        Slot,
        cell::{self, WaitCell},
    },
};

impl RawLock {
    fn holders_in_section(&self, visit: &mut dyn FnMut(*mut Slot, u32)) {
        match self.kind {
            Kind::Mutex | Kind::Event => {
                let word = self.word.load(Ordering::Acquire);
                if word & LOCKED != 0 {
                    visit(mutex::holder(word), 1);
                }
            }
            Kind::RwLock => rwlock::holders(self, visit),
            Kind::Pool => pool::holders(self, visit),
        }
    }

    /// What a wait for this lock stands on now: its holders, and those ahead of it with what they need. Nothing if the
    /// cell does not wait here any more.
    pub(crate) fn read_wait(
        &self,
        wait: &'static WaitCell,
        holder: &mut dyn FnMut(*mut Slot, u32),
        ahead: &mut dyn FnMut(&'static WaitCell),
    ) -> bool {
        let _section = self.queue.enter();
        if wait.phase() != cell::WAITING {
            return false;
        }
        self.holders_in_section(holder);
        if matches!(self.kind, Kind::RwLock | Kind::Pool) {
            links::before(wait).take(limits::AHEAD).for_each(ahead);
        }
        true
    }

    /// Somebody who holds it; null for a holder nobody knows.
    pub(crate) fn any_holder(&self) -> Option<*mut Slot> {
        let _section = self.queue.enter();
        let mut any = None;
        self.holders_in_section(&mut |slot, _| {
            any = any.filter(|known: &*mut Slot| !known.is_null()).or(Some(slot));
        });
        any
    }

    /// The one holder of a mutex or an event, if it is known.
    pub(crate) fn sole_holder(&self) -> Option<&'static Slot> {
        // SAFETY: holders are slots, which are never freed.
        unsafe { mutex::holder(self.word.load(Ordering::Acquire)).as_ref() }
    }

    /// Everything there is to give.
    pub(crate) fn total(&self) -> u32 {
        match self.kind {
            Kind::Mutex | Kind::Event => 1,
            Kind::RwLock => ALL_READERS,
            Kind::Pool => pool::size(self),
        }
    }

    /// Calls `visit` for each queued cell, in order.
    pub(crate) fn queued(&self, visit: impl FnMut(&'static WaitCell)) {
        let _section = self.queue.enter();
        self.links.iter().for_each(visit);
    }
}

//! Where slots come from: they are made in need and never freed, so that a pointer to one is always good.

use super::{Slot, state};
use crate::shim::{Mutex, Ordering, PoisonError};
#[cfg(not(any(loom, shuttle)))]
use crate::{limits, shim};
#[cfg(not(any(loom, shuttle)))]
use std::cell::RefCell;
use std::sync::OnceLock;

/// All slots ever made, for those who walk them.
static ALL: OnceLock<Mutex<Vec<&'static Slot>>> = OnceLock::new();

fn make() -> &'static Slot {
    let slot: &'static Slot = Box::leak(Box::new(Slot::new()));
    slot.adopt();
    // Models make their slots anew in every run and walk none of them.
    #[cfg(not(any(loom, shuttle)))]
    ALL.get_or_init(|| Mutex::new(Vec::new())).lock().unwrap_or_else(PoisonError::into_inner).push(slot);
    slot
}

/// Calls `visit` with every slot ever made, those not in use included. Slots made meanwhile may be left out.
pub(crate) fn for_each(mut visit: impl FnMut(&'static Slot)) {
    let mut next = 0;
    let mut batch: Vec<&'static Slot> = Vec::new();
    loop {
        batch.clear();
        if let Some(all) = ALL.get() {
            let all = all.lock().unwrap_or_else(PoisonError::into_inner);
            batch.extend(all.iter().skip(next).take(1024));
        }
        if batch.is_empty() {
            return;
        }
        next += batch.len();
        for slot in &batch {
            if slot.state.load(Ordering::Relaxed) & state::FREE == 0 {
                visit(slot);
            }
        }
    }
}

#[cfg(not(any(loom, shuttle)))]
static SPARE: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());

#[cfg(not(any(loom, shuttle)))]
struct ThreadSpare(RefCell<Vec<&'static Slot>>);

#[cfg(not(any(loom, shuttle)))]
impl Drop for ThreadSpare {
    fn drop(&mut self) {
        SPARE.lock().unwrap_or_else(PoisonError::into_inner).append(self.0.get_mut());
    }
}

#[cfg(not(any(loom, shuttle)))]
shim::thread_local!(static MINE: ThreadSpare = const { ThreadSpare(RefCell::new(Vec::new())) });

/// A slot nobody uses.
#[cfg(not(any(loom, shuttle)))]
pub(super) fn take() -> &'static Slot {
    let mine = MINE.try_with(|mine| {
        let mut mine = mine.0.borrow_mut();
        if mine.is_empty() {
            let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
            let from = spare.len().saturating_sub(limits::THREAD_SLOTS / 2);
            mine.extend(spare.drain(from..));
        }
        mine.pop()
    });
    mine.ok().flatten().unwrap_or_else(make)
}

/// Gives a slot back that nobody points to any more.
#[cfg(not(any(loom, shuttle)))]
pub(super) fn give_back(slot: &'static Slot) {
    let shared = MINE.try_with(|mine| {
        let mut mine = mine.0.borrow_mut();
        mine.push(slot);
        if mine.len() > limits::THREAD_SLOTS {
            let from = mine.len() - limits::THREAD_SLOTS / 2;
            SPARE.lock().unwrap_or_else(PoisonError::into_inner).extend(mine.drain(from..));
        }
    });
    if shared.is_err() {
        SPARE.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
    }
}

#[cfg(any(loom, shuttle))]
pub(super) fn take() -> &'static Slot {
    make()
}

#[cfg(any(loom, shuttle))]
pub(super) fn give_back(_slot: &'static Slot) {}

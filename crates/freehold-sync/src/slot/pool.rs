//! Where slots come from: they are made in need and never freed, so that a pointer to one is always good.

use super::{Slot, state};
use crate::shim::{Mutex, Ordering, PoisonError, static_of_a_run};
#[cfg(not(any(loom, shuttle)))]
use crate::{limits, shim};
use std::cell::RefCell;

static_of_a_run! {
    /// All slots ever made, for those who walk them.
    static ALL: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());
}

fn make() -> &'static Slot {
    let slot: &'static Slot = Box::leak(Box::new(Slot::new()));
    slot.adopt();
    ALL.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
    #[cfg(any(loom, shuttle))]
    model::made(slot);
    slot
}

/// Calls `visit` with every slot ever made, those not in use included. Slots made meanwhile may be left out.
pub(crate) fn for_each(mut visit: impl FnMut(&'static Slot)) {
    let mut next = 0;
    let mut batch: Vec<&'static Slot> = Vec::new();
    loop {
        batch.clear();
        batch
            .extend(ALL.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().skip(next).take(1024));
        if batch.is_empty() {
            return;
        }
        next += batch.len();
        for slot in &batch {
            // SeqCst: see `driver::waits_visibly`.
            if slot.state.load(Ordering::SeqCst) & state::FREE == 0 {
                visit(slot);
            }
        }
    }
}

/// As [`for_each`], those only whose times are of this thread's clock: that of the system, or a simulated one. In a
/// simulation in the order in which they were taken into use, which is the same in each run.
#[cfg(all(feature = "simulation", not(any(loom, shuttle))))]
pub(crate) fn for_each_here(mut visit: impl FnMut(&'static Slot)) {
    let here = crate::simulation::here();
    let mine = |slot: &'static Slot| slot.clock.load(Ordering::Relaxed) == here;
    if here == crate::simulation::NONE {
        return for_each(|slot| {
            if mine(slot) {
                visit(slot);
            }
        });
    }
    let mut all = Vec::new();
    for_each(|slot| {
        if mine(slot) {
            all.push(slot);
        }
    });
    all.sort_by_key(|slot| slot.begun.load(Ordering::Relaxed));
    all.into_iter().for_each(visit);
}

#[cfg(not(all(feature = "simulation", not(any(loom, shuttle)))))]
pub(crate) use for_each as for_each_here;

static_of_a_run! {
    static SPARE: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());
}

/// Those that a thread keeps for itself, so that most of the time nobody else is asked.
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
    let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    spare.unwrap_or_else(make)
}

#[cfg(any(loom, shuttle))]
pub(super) fn give_back(slot: &'static Slot) {
    let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(!spare.iter().any(|other| other.is(slot)), "a slot was returned twice");
    spare.push(slot);
}

#[cfg(any(loom, shuttle))]
pub(crate) mod model {
    use super::{RefCell, Slot};

    std::thread_local!(
        /// The slots of this run. loom and shuttle run all threads of a model on one.
        static MADE: RefCell<Vec<*mut Slot>> = const { RefCell::new(Vec::new()) }
    );

    pub(super) fn made(slot: &'static Slot) {
        MADE.with_borrow_mut(|made| made.push(std::ptr::from_ref(slot).cast_mut()));
    }

    /// Frees the slots of the run before: "never" is one run long in a model.
    #[cfg(any(test, shuttle))]
    pub(crate) fn begin_run() {
        for slot in MADE.take() {
            // SAFETY: made by `Box::leak`, and nothing of the run that used it is left.
            drop(unsafe { Box::from_raw(slot) });
        }
    }

    /// How many slots are not in the pool.
    #[cfg(any(test, shuttle))]
    pub(crate) fn in_use() -> usize {
        let spare = super::SPARE.lock().unwrap_or_else(super::PoisonError::into_inner).len();
        MADE.with_borrow(Vec::len) - spare
    }
}

//! One thread of this crate that looks at deadlines and sweeps the graph while somebody waits, and sleeps otherwise.
//!
//! It is a thread and not a task, so that deadlines pass on time although every worker of a runtime is blocked, and so
//! that no runtime is needed.
//!
//! # Invariant
//!
//! While a wait exists the driver runs, or is about to: it goes idle by setting `IDLE` and then looking once more; who
//! waits has made its wait visible before it looks at `STATE`. One of the two sees the other.

#[cfg(not(any(loom, shuttle)))]
use crate::clock;
use crate::{
    clock::{NEVER, Ticks},
    graph::sweep,
    limits,
    raw::{RawLock, wakes::Wakes},
    signal_cell,
    slot::{
        Slot,
        cell::{self, Source},
        pool,
    },
};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
#[cfg(not(any(loom, shuttle)))]
use std::{
    sync::{Mutex, OnceLock, PoisonError},
    thread::{self, Thread},
    time::Duration,
};

const IDLE: u8 = 0;
#[cfg(not(any(loom, shuttle)))]
const RUNNING: u8 = 1;

static STATE: AtomicU8 = AtomicU8::new(IDLE);
/// When the driver means to look at deadlines next.
static PLANNED: AtomicU64 = AtomicU64::new(NEVER);

/// When the driver looked last. It looks every [`TICK`](limits::TICK) while somebody waits.
static LOOKED: AtomicU64 = AtomicU64::new(0);

/// A time in the past that costs nothing to ask for: a little ago while somebody waits.
#[inline]
pub(crate) fn last_look() -> Ticks {
    #[cfg(all(feature = "simulation", not(any(loom, shuttle))))]
    if crate::simulation::is_here() {
        return clock::now();
    }
    LOOKED.load(Ordering::Relaxed)
}

/// Tells the driver that `slot` has a wait.
#[inline]
pub(crate) fn somebody_waits(slot: &'static Slot) {
    // Pairs with the fence in `go_idle`.
    fence(Ordering::SeqCst);
    waits_visibly(slot);
}

/// As [`somebody_waits`], for a caller that has just ended a poll of `slot`, by a SeqCst exchange of its state.
///
/// That is half of the invariant's proof: of all SeqCst operations, if this look at `STATE` comes before it is set to
/// `IDLE`, then that exchange comes before the driver's last look at the slot's state, which so sees the wait.
#[inline]
pub(crate) fn waits_visibly(slot: &'static Slot) {
    if STATE.load(Ordering::SeqCst) == IDLE || slot.due.get() < PLANNED.load(Ordering::Relaxed) {
        call(slot.due.get());
    }
}

/// Ends the waits whose deadline has passed. Returns whether anybody waits, and when the next deadline is.
pub(crate) fn expire(now: Ticks) -> (bool, Ticks) {
    let mut waiting = false;
    let mut next = NEVER;
    let mut wakes = Wakes::new();
    pool::for_each_here(|slot| {
        if !slot.has_waits() {
            return;
        }
        waiting = true;
        if slot.due.get() <= now {
            expire_slot(slot, now, &mut wakes);
        }
        next = next.min(slot.due.get());
    });
    wakes.wake();
    (waiting, next)
}

fn expire_slot(slot: &'static Slot, now: Ticks, wakes: &mut Wakes) {
    // In the middle of a poll: at the next look.
    if slot.freeze_if_not_polling().is_err() {
        return;
    }
    // First, so that a wait outside of activities (which a freeze does not stop) cannot note its deadline in between and
    // have it overwritten.
    slot.due.set(NEVER);
    // Pairs with the fence of who waits outside of a poll: either the wait is seen here, or its deadline is noted after.
    fence(Ordering::SeqCst);
    for wait in slot.waits().filter(|wait| wait.phase() == cell::WAITING) {
        if wait.deadline.get() > now {
            slot.due.lower(wait.deadline.get());
            continue;
        }
        match wait.kind() {
            Source::Signal => signal_cell::fire(wait, wakes),
            // SAFETY: the owner is frozen.
            Source::Lock => unsafe { RawLock::of_cell(wait) }.into_iter().for_each(|lock| {
                lock.end_wait(wait, cell::EXPIRED, wakes);
            }),
            Source::Child => {}
        }
    }
    slot.unfreeze();
}

#[cfg(any(loom, shuttle))]
fn call(_due: Ticks) {
    // Models have no time: they call `expire` and `sweep` themselves.
    let _ = (sweep::sweep, expire, limits::TICK);
}

#[cfg(not(any(loom, shuttle)))]
static THREAD: OnceLock<Thread> = OnceLock::new();

/// Starts the driver, or wakes it for a deadline before the one it sleeps until.
#[cfg(not(any(loom, shuttle)))]
#[cold]
fn call(due: Ticks) {
    static STARTING: Mutex<()> = Mutex::new(());
    // Whoever simulates time looks at deadlines and sweeps.
    #[cfg(feature = "simulation")]
    if crate::simulation::is_here() {
        return;
    }
    let before = PLANNED.fetch_min(due, Ordering::AcqRel);
    let idle = STATE.swap(RUNNING, Ordering::AcqRel) == IDLE;
    if let Some(thread) = THREAD.get() {
        if idle || due < before {
            thread.unpark();
        }
        return;
    }
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if THREAD.get().is_none() {
        let started = thread::Builder::new().name("freehold-sync".into()).spawn(run);
        match started {
            Ok(handle) => {
                let _ = THREAD.set(handle.thread().clone());
            }
            // Without threads there are no deadlines; the next wait tries again.
            Err(_) => STATE.store(IDLE, Ordering::Release),
        }
    }
}

#[cfg(not(any(loom, shuttle)))]
fn run() {
    let mut swept = 0;
    let mut waited = clock::now();
    loop {
        let now = clock::now();
        LOOKED.store(now, Ordering::Relaxed);
        let (waiting, next) = expire_guarded(now);
        if waiting {
            waited = now;
            if now.saturating_sub(swept) >= limits::SWEEP_EVERY.as_nanos() as u64 {
                // A subscriber or a hook of a user runs in there; its panic ends one sweep, not all.
                let _ = std::panic::catch_unwind(|| sweep::sweep(now));
                // From its end: a sweep that takes long is not followed by the next one at once.
                swept = clock::now();
            }
        } else if clock::between(waited, now) >= limits::DRIVER_IDLE {
            go_idle();
            waited = clock::now();
            continue;
        }
        let soonest = clock::after(now, limits::SHORTEST_TICK);
        let planned = next.max(soonest).min(clock::after(now, limits::TICK));
        PLANNED.store(planned, Ordering::Release);
        thread::park_timeout(Duration::from_nanos(planned.saturating_sub(clock::now())));
    }
}

/// A waker of a user that panics ends one look, not all.
#[cfg(not(any(loom, shuttle)))]
fn expire_guarded(now: Ticks) -> (bool, Ticks) {
    std::panic::catch_unwind(|| expire(now)).unwrap_or((true, now))
}

/// Sleeps until somebody waits.
#[cfg(not(any(loom, shuttle)))]
fn go_idle() {
    PLANNED.store(NEVER, Ordering::Relaxed);
    STATE.store(IDLE, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    let (waiting, _) = expire_guarded(clock::now());
    if waiting {
        STATE.store(RUNNING, Ordering::Relaxed);
        return;
    }
    while STATE.load(Ordering::Acquire) == IDLE {
        thread::park();
    }
}

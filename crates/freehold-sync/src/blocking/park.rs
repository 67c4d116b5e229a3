//! Waiting with the thread.

use super::thread::{Parked, current};
use crate::{
    clock,
    deadline::Limit,
    driver,
    error::LockError,
    graph::{self, Findings},
    limits,
    measure::Waited,
    raw::{QUEUED, Queued, RawLock, mutex, wakes::Wakes},
    report::Deadlock,
    shim::{Ordering, fence, thread, yield_now},
    slot::{
        Slot,
        cell::{self, Parked as Sleeper, Source, WaitCell},
        poll, state,
    },
};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind},
    sync::Arc,
    time::Duration,
};

/// How a wait ended.
pub(super) enum Parking {
    /// The place, and what is measured of it.
    Taken(u32, Waited),
    Expired(Duration),
    Victim(Option<Arc<Deadlock>>),
    Closed,
}

enum Ended {
    Taken(u32),
    Failed(u8),
    Shut,
    /// What was told in the middle of it panicked.
    Panicked(Box<dyn Any + Send>),
}

/// Tries again for a moment, as long as nobody is queued: most sections are shorter than it takes to park a thread.
pub(super) fn spin(lock: &RawLock, need: u32, holder: *mut Slot) -> Option<u32> {
    for turn in 0..limits::TURNS_BEFORE_PARK {
        if lock.word.load(Ordering::Relaxed) & QUEUED != 0 {
            return None;
        }
        wait_a_little(turn);
        if let Some(place) = lock.try_take(need, holder) {
            return Some(place);
        }
    }
    None
}

/// Twice as long each time, and then long enough for others to run.
fn wait_a_little(turn: u32) {
    if turn < limits::TURNS_BEFORE_PARK / 2 {
        (0..2_u32 << turn).for_each(|_| std::hint::spin_loop());
    } else {
        yield_now();
    }
}

/// Queues for `lock` and parks the thread until the wait has ended. `holder` is who the lock is booked to.
#[cold]
pub(super) fn wait(
    lock: &RawLock,
    need: u32,
    holder: Option<&'static Slot>,
    limit: Limit,
    site: &'static Location<'static>,
) -> Result<Parking, LockError> {
    // A thread that is ending has no slot of its own any more.
    let lasting = current();
    let now = clock::now();
    let activity = poll::current();
    if let Some(activity) = activity
        && activity.doomed.load(Ordering::Acquire)
        && let Some(report) = activity.doom_of()
    {
        return Err(LockError::Deadlock(report));
    }
    let owner = lasting.unwrap_or_else(|| Slot::acquire_outside(state::THREAD, site));
    let deadline = limit.deadline(now, activity);
    let wait = owner.claim_cell();
    wait.kind.store(Source::Lock as u8, Ordering::Relaxed);
    wait.need.store(need, Ordering::Relaxed);
    wait.overtaken.store(0, Ordering::Relaxed);
    wait.passed.store(0, Ordering::Relaxed);
    wait.patient.store(false, Ordering::Relaxed);
    wait.polled.store(0, Ordering::Relaxed);
    wait.set_site(site);
    wait.since.set(now);
    wait.deadline.set(deadline);
    wait.book(holder);
    let ended = park(lock, owner, wait);
    let waited = wait.waited();
    let mut wakes = Wakes::new();
    let mut verdict = None;
    match ended {
        Ended::Panicked(_) => drop(lock.withdraw(wait, &mut wakes)),
        // While the slot is ours: that of a thread that is ending is not.
        Ended::Failed(cell::VICTIM) => verdict = owner.verdict(),
        _ => {}
    }
    // While the lock is there, and nobody reads it any more; see `acquire::give_cell_back`.
    wait.source.store(std::ptr::null_mut(), Ordering::SeqCst);
    owner.wait_thawed();
    owner.free_cell(wait);
    if lasting.is_none() {
        owner.release_outside();
    }
    Ok(match ended {
        Ended::Taken(place) => Parking::Taken(place, waited),
        Ended::Failed(cell::EXPIRED) => Parking::Expired(clock::between(now, clock::now())),
        Ended::Failed(cell::VICTIM) => Parking::Victim(verdict),
        Ended::Failed(_) | Ended::Shut => Parking::Closed,
        Ended::Panicked(panic) => {
            wakes.wake();
            resume_unwind(panic)
        }
    })
}

fn park(lock: &RawLock, owner: &'static Slot, wait: &'static WaitCell) -> Ended {
    let mut front = false;
    loop {
        match lock.enqueue(wait, front, Sleeper::Thread(thread::current())) {
            Queued::Taken(place) => return Ended::Taken(place),
            Queued::Shut => return Ended::Shut,
            Queued::Waiting => {}
        }
        if let Err(panic) = sleep(owner, wait) {
            return Ended::Panicked(panic);
        }
        match wait.phase() {
            // A freeze does not stop a thread: a sweep may pass it on at this moment.
            cell::GRANTED if wait.leave(cell::GRANTED, cell::UNUSED) => {
                return Ended::Taken(wait.place.load(Ordering::Relaxed));
            }
            cell::NOTIFIED if mutex::take_notified(lock, wait.holder()) => return Ended::Taken(0),
            cell::NOTIFIED => {
                wait.overtaken.store(1, Ordering::Relaxed);
                front = true;
            }
            cell::GRANTED | cell::DORMANT => front = true,
            phase => return Ended::Failed(phase),
        }
    }
}

/// Parks until the wait is over, or what is told meanwhile panics.
fn sleep(owner: &'static Slot, wait: &'static WaitCell) -> Result<(), Box<dyn Any + Send>> {
    // Pairs with the fence in the driver's look at the deadlines.
    fence(Ordering::SeqCst);
    owner.due.lower(wait.deadline.get());
    driver::somebody_waits(owner);
    let mut told = Ok(());
    while told.is_ok() && wait.phase() == cell::WAITING {
        told = catch_unwind(AssertUnwindSafe(|| find_or_park(owner, wait).tell()));
    }
    // What woke the thread may have been meant for whoever polls here: an executor that parks the same way.
    thread::current().unpark();
    told
}

/// Parks until the wait is over; or does not, and returns what was found. That is told by a thread that is not parked: it runs
/// wakers, which may lock, and give back what the thread holds.
fn find_or_park(owner: &'static Slot, wait: &'static WaitCell) -> Findings {
    let _parked = Parked::new(poll::stack().chain([owner]).collect(), wait);
    let found = if graph::enabled() { graph::look(owner) } else { Findings::default() };
    while found.are_none() && wait.phase() == cell::WAITING {
        thread::park();
    }
    found
}

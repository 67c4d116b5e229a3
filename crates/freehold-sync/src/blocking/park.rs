//! Waiting with the thread.

use super::thread::{self, Parked};
use crate::{
    clock,
    deadline::Limit,
    driver,
    error::LockError,
    graph, limits,
    measure::Waited,
    raw::{QUEUED, Queued, RawLock, mutex},
    shim::{Ordering, fence, yield_now},
    slot::{
        Slot,
        cell::{self, Parked as Sleeper, Source, WaitCell},
        poll, state,
    },
};
use std::{panic::Location, time::Duration};

/// How a wait ended.
pub(super) enum Parking {
    /// The place, and what is measured of it.
    Taken(u32, Waited),
    Failed(u8, Duration),
    Shut,
}

enum Ended {
    Taken(u32),
    Failed(u8),
    Shut,
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
    let lasting = thread::current();
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
    // While the lock is there, and nobody reads it any more; see `acquire::give_cell_back`.
    wait.source.store(std::ptr::null_mut(), Ordering::SeqCst);
    owner.wait_thawed();
    owner.free_cell(wait);
    if lasting.is_none() {
        owner.release_outside();
    }
    Ok(match ended {
        Ended::Taken(place) => Parking::Taken(place, waited),
        Ended::Shut => Parking::Shut,
        Ended::Failed(phase) => Parking::Failed(phase, clock::between(now, clock::now())),
    })
}

fn park(lock: &RawLock, owner: &'static Slot, wait: &'static WaitCell) -> Ended {
    let mut front = false;
    loop {
        match lock.enqueue(wait, front, Sleeper::Thread(std::thread::current())) {
            Queued::Taken(place) => return Ended::Taken(place),
            Queued::Shut => return Ended::Shut,
            Queued::Waiting => {}
        }
        sleep(owner, wait);
        match wait.phase() {
            cell::GRANTED => return Ended::Taken(wait.place.load(Ordering::Relaxed)),
            cell::NOTIFIED if mutex::take_notified(lock, wait.holder()) => return Ended::Taken(0),
            cell::NOTIFIED => {
                wait.overtaken.store(1, Ordering::Relaxed);
                front = true;
            }
            cell::DORMANT => front = true,
            phase => return Ended::Failed(phase),
        }
    }
}

/// Parks until the wait is over.
fn sleep(owner: &'static Slot, wait: &'static WaitCell) {
    // Pairs with the fence in the driver's look at the deadlines.
    fence(Ordering::SeqCst);
    owner.due.lower(wait.deadline.get());
    let _parked = Parked::new(poll::stack().chain([owner]).collect(), wait);
    driver::somebody_waits(owner);
    if graph::enabled() {
        graph::detect(owner);
    }
    while wait.phase() == cell::WAITING {
        std::thread::park();
    }
    // What woke the thread may have been meant for whoever polls here: an executor that parks the same way.
    std::thread::current().unpark();
}

//! Taking a lock with the thread: at once, after a short spin, or parked.

use super::{park, thread};
use crate::{
    acquire::{self, Acquired},
    deadline::Limit,
    error::LockError,
    order,
    raw::RawLock,
    slot::Slot,
};
use std::panic::Location;

/// Takes `need` of `lock` for the thread, blocking it.
#[cold]
#[inline(never)]
pub(super) fn lock_slowly(
    lock: &RawLock,
    need: u32,
    limit: Limit,
    site: &'static Location<'static>,
) -> Result<Acquired, LockError> {
    lock_in(lock, need, thread::current(), limit, site)
}

/// Takes `need` of `lock` for `holder`, blocking the thread.
#[inline(never)]
pub(crate) fn lock_in(
    lock: &RawLock,
    need: u32,
    holder: Option<&'static Slot>,
    limit: Limit,
    site: &'static Location<'static>,
) -> Result<Acquired, LockError> {
    if let Some(holder) = holder {
        order::check(holder, lock, site, false)?;
    }
    let pointer = acquire::pointer(holder);
    match lock.try_take(need, pointer).or_else(|| park::spin(lock, need, pointer)) {
        Some(place) => acquire::book(lock, need, site, holder, place, None),
        None => lock_parked(lock, need, holder, limit, site),
    }
}

#[cold]
fn lock_parked(
    lock: &RawLock,
    need: u32,
    holder: Option<&'static Slot>,
    limit: Limit,
    site: &'static Location<'static>,
) -> Result<Acquired, LockError> {
    match park::wait(lock, need, holder, limit, site)? {
        park::Parking::Taken(place, waited) => acquire::book(lock, need, site, holder, place, Some(waited)),
        park::Parking::Expired(waited) => Err(acquire::timed_out(lock, holder, waited)),
        park::Parking::Victim(Some(report)) => Err(LockError::Deadlock(report)),
        park::Parking::Victim(None) | park::Parking::Closed => Err(acquire::closed(lock)),
    }
}

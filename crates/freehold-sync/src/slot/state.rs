//! The state word of a slot: flags, the number of wakes in progress, and the epoch.
//!
//! ```text
//! 63            32 31        16 15           0
//! [    epoch     ] [  wakers  ] [   flags    ]
//! ```

/// A poll runs. Only the thread inside it, and code that borrows from its context, touches what the poller owns.
pub(crate) const POLLING: u64 = 1;
/// Somebody woke the activity since its last poll began. A fresh activity starts with it.
pub(crate) const WOKEN: u64 = 1 << 1;
/// The body is gone. What is left to do is to wait for stale wakers and forgotten guards.
pub(crate) const DONE: u64 = 1 << 2;
/// A detector (or the end of the poll itself) reads the poller's tables. Who wants to poll comes back later.
pub(crate) const FROZEN: u64 = 1 << 3;
/// Which of the two waker identities is handed out now.
pub(crate) const IDENTITY: u64 = 1 << 4;
/// The next poll hands out the other identity.
pub(crate) const PROBE: u64 = 1 << 5;
/// The waker to pass wakes on to is being replaced. Wakes in between are passed on by the one who replaces it.
pub(crate) const PARENT_BUSY: u64 = 1 << 6;
/// The slot stands for a wait outside of any activity: it can always be woken, so it is never stuck.
pub(crate) const OUTSIDER: u64 = 1 << 7;
/// The thread that polls is parked in a blocking lock: that one wait decides.
pub(crate) const PARKED: u64 = 1 << 8;
/// The slot stands for a thread.
pub(crate) const THREAD: u64 = 1 << 9;
/// The next poll drops the body: proven to hold what others wait for, with nobody left to wake it.
pub(crate) const END: u64 = 1 << 10;
/// Nobody uses the slot; it is in the pool.
pub(crate) const FREE: u64 = 1 << 11;

/// One wake in progress that may read the parent's waker.
pub(crate) const WAKER: u64 = 1 << 16;
pub(crate) const WAKERS: u64 = 0xffff << 16;

pub(crate) const EPOCH: u64 = 1 << 32;

/// The epoch in `state`: it changes with every poll and every new use of the slot.
#[inline]
pub(crate) fn epoch(state: u64) -> u32 {
    (state >> 32) as u32
}

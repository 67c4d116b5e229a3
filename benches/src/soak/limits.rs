//! The bounds that the server under test is given, and what follows from them. Every verdict is about one of these, or
//! about counts that must be equal; none is about how fast the machine is.

use std::time::Duration;

/// `--timeout` and `--timeout-cap`: no call takes longer from its arrival to its outcome, progress or not.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// `--session-ttl`. Far above what passes between two steps of a client that goes on.
pub const SESSION_TTL: Duration = Duration::from_secs(5);
/// `--max-calls`: calls of all sessions that run or wait.
pub const CALLS: u32 = 256;
/// `--max-calls-per-session`: calls of one session that run.
pub const RUNNING: u32 = 16;
/// `--max-queued-per-session`: calls of one session that wait for one of those slots.
pub const QUEUED: u32 = 32;

/// How long a handler takes that takes long, and pauses instead of computing, so that two cores can be overloaded by slots.
pub const SERVICE: Duration = Duration::from_millis(100);
/// Sessions that half of the load shares.
pub const BUSY_SESSIONS: u32 = 4;
/// Places that are left to the other half, which is stateless and has no session to queue in, when the busy sessions have
/// all of theirs.
pub const STATELESS: u32 = CALLS - BUSY_SESSIONS * (RUNNING + QUEUED);

/// What an admitted call may have to wait for if each handler takes no longer than [`SERVICE`]: a full queue ahead of it,
/// which leaves by [`RUNNING`] at a time, and its own handler. A figure to compare with: on a busy machine handlers take longer.
pub const IN_TURN: Duration = SERVICE.saturating_mul(QUEUED.div_ceil(RUNNING) + 1);
/// An answer that comes later than this was not bounded: the deadline, and a second for the way there and back.
pub const ANSWERED_WITHIN: Duration = DEADLINE.saturating_add(Duration::from_secs(1));
/// One that has not come by then never comes.
pub const LOST_AFTER: Duration = Duration::from_secs(20);

/// The load is this many times the capacity.
pub const OVERLOAD: f64 = 2.0;
/// Less than this is not the load that was wanted.
pub const OVERLOAD_LEAST: f64 = 1.9;
/// The stretches of the load, in each of which something must have been refused: it was an overload throughout.
pub const STRETCHES: usize = 10;

/// Connections of the generator. Those in use are about [`CALLS`], the sessions that have one of their own, and the refused ones
/// under way; more only after the generator was held up. Each takes 15 KiB of the server's memory, which malloc keeps.
pub const CONNECTIONS: u32 = 768;
/// So many times all of them are open together before the base line is taken: malloc gives nothing back of what a rush took, and
/// takes more for each of the first ones.
pub const RUSHES: u32 = 8;
/// Open files of the generator beside those.
pub const OTHER_FILES: u64 = 200;
/// A connection that was unused for longer is given up rather than used again: the server closes it after 10 s, perhaps while
/// the next request is on its way.
pub const UNUSED_MOST: Duration = Duration::from_secs(4);
/// Requests that wait for their turn in the generator; more means that nothing is answered any more.
pub const UNDER_WAY: usize = 100_000;

/// Closed loop: before the window, and the window.
pub const CAPACITY_WARM_UP: Duration = Duration::from_secs(1);
/// The window.
pub const CAPACITY_WINDOW: Duration = Duration::from_secs(4);
/// Load and churn before the base line is taken: until the sessions that nobody ends have begun to expire, so that all
/// tables have been as full as they get.
pub const WARM_UP: Duration = SESSION_TTL.saturating_mul(2);
/// After the load all must be as before within this: sessions expire, which the sweep sees within a tenth of their time;
/// connections that a client left without a word are found by their heads' timeout, 10 s. The rest is for a busy machine.
pub const AT_REST_WITHIN: Duration = Duration::from_secs(60);
/// How long the server may take to end: its drain's grace is 10 s, and nothing runs.
pub const END_WITHIN: Duration = Duration::from_secs(15);

/// Memory may grow by a tenth, or by this, whichever is more. What is live is the same before and after, but not what malloc
/// keeps: pages because of a part that is used, and the free end of each arena, of which every thread has one; in ten minutes
/// each of those comes nearer to its most than while warming up (3 MiB in all). A leak is far above it: the smallest piece that
/// malloc hands out has 32 bytes, so one a call would be 75 MiB.
pub const MEMORY_SLACK: u64 = 8 << 20;

/// The bound of memory that was `before`.
#[must_use]
pub fn memory_bound(before: u64) -> u64 {
    before + MEMORY_SLACK.max(before / 10)
}

/// Accounts of the ledger, opened before the base line.
pub const ACCOUNTS: u32 = 16;
/// What each holds, in cents; far more than can be under way.
pub const BALANCE: u64 = 1_000_000;

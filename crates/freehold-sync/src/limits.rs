//! Every bound of this crate, with its unit and the reason for its size.

use std::time::Duration;

/// The longest time a wait for a lock lasts unless its caller says otherwise. Long enough for a slow disk, short enough
/// that a person still connects the error with what they did.
pub const WAIT: Duration = Duration::from_secs(5);

/// A wait older than this is reported as suspected, once, with its chain.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(1);

/// A wait older than this may be probed for stale wakers: longer than healthy waits, shorter than anybody notices.
pub const PROBE_AFTER: Duration = Duration::from_millis(10);

/// While somebody waits a sweep of the graph begins this long after the last one ended, or up to 10 ms later. It starts from
/// waits older than [`PROBE_AFTER`].
pub const SWEEP_EVERY: Duration = Duration::from_millis(50);

/// How often deadlines are looked at while somebody waits. Waits with an earlier deadline ask for an earlier look.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Two looks at the deadlines are at least this far apart, so that ten thousand short deadlines cannot keep a core busy.
#[cfg_attr(any(loom, shuttle), expect(dead_code, reason = "models have no time"))]
pub(crate) const SHORTEST_TICK: Duration = Duration::from_millis(1);

/// The driver sleeps until it is called after this long without any wait.
#[cfg_attr(any(loom, shuttle), expect(dead_code, reason = "models have no driver"))]
pub(crate) const DRIVER_IDLE: Duration = Duration::from_secs(1);

/// A grant that a wait outside of activities has not picked up for at least this long goes to the next waiter.
pub(crate) const FUTURELOCK_OUTSIDE: Duration = Duration::from_millis(100);

/// The same of an activity that was woken and is not polled. Longer, because in an overloaded runtime a task that was
/// woken may wait for long, and its turn should not go round among such.
pub(crate) const FUTURELOCK_OF_AN_ACTIVITY: Duration = Duration::from_millis(500);

/// Activities visited by the walk at the end of a poll; longer rings are found by the next sweep. A chain of waiters
/// that grows by one at a time would otherwise cost the square of its length.
pub(crate) const EAGER_WALK: usize = 64;

/// How often others are moved before one wait in its queue; then the ring has a victim.
pub(crate) const OVERTAKES: u8 = 16;

/// Waiters ahead of a node that are looked at; those behind that many are not used as evidence.
pub(crate) const AHEAD: usize = 64;

/// Members of a chain named in a timeout or a suspicion.
pub(crate) const CHAIN: usize = 16;

/// Turns of a spin before the thread is given up, for sections of a few hundred nanoseconds.
#[cfg_attr(any(loom, shuttle), expect(dead_code, reason = "models yield at once"))]
pub(crate) const SPINS_BEFORE_YIELD: u32 = 64;

/// Tries for a blocking lock before the thread is parked. The first half spins, 2 turns, 4, 8 and so on; the others give
/// the processor away.
pub(crate) const TURNS_BEFORE_PARK: u32 = 8;

/// Wait cells inside a slot; more are added in blocks.
pub(crate) const INLINE_CELLS: usize = 2;

/// Held entries inside a slot; more are added in blocks.
pub(crate) const INLINE_HOLDS: usize = 4;

/// Readers of one read-write lock that are named in place; more are named in a list.
pub(crate) const INLINE_READERS: usize = 8;

/// Slots a thread keeps for itself before it shares them.
#[cfg_attr(any(loom, shuttle), expect(dead_code, reason = "the slots of a model are in one pool"))]
pub(crate) const THREAD_SLOTS: usize = 64;

/// Every how many acquisitions of a lock its hold is timed and its count is added to its class.
pub(crate) const SAMPLE: u32 = 64;

/// Those samples of a mutex that are all timed.
pub(crate) const TIMED_SAMPLES: u32 = 64;

/// Beyond those every how many are timed.
pub(crate) const THINNED_SAMPLES: u8 = 8;

/// Waits of a lock that are all measured.
pub(crate) const MEASURED_WAITS: u8 = 64;

/// Beyond those every how many are measured.
pub(crate) const SAMPLED_WAITS: u8 = 8;

/// A wait or a hold that lasts so long is measured in any case: two looks of the driver, which tell it without a clock.
pub(crate) const LONG: Duration = Duration::from_millis(20);

/// Deadlock reports kept for inspection; the oldest go first.
pub const KEPT_REPORTS: usize = 64;

/// Pairs of classes that the learned order remembers. Beyond it nothing new is learned, and an event says so.
pub const LEARNED_PAIRS: usize = 65_536;

/// Bytes of an activity's name that are kept.
pub const NAME_BYTES: usize = 256;

/// Deadlocks broken in one walk; what is left is found by the next sweep.
pub(crate) const ROUNDS: usize = 256;

/// Suspicions told in one sweep; those left are told by the next ones. Thousands that wait behind one holder are not
/// told at once, and their chains not walked at once.
pub(crate) const SUSPICIONS: usize = 64;

/// How often [`Context::retry`](crate::Context::retry) runs something unless told otherwise, the first time included. Who is
/// a victim three times meets a conflict that is a bug.
pub const RETRY_ATTEMPTS: u32 = 3;

/// The bound of the first pause before something is run again: about what a critical section lasts.
pub const RETRY_FIRST_PAUSE: Duration = Duration::from_millis(2);

/// The longest pause before something is run again, short beside the patience of a caller.
pub const RETRY_LONGEST_PAUSE: Duration = Duration::from_millis(100);

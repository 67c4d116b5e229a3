//! Every bound of the engine, with its unit and its reason, in one place.

use std::time::Duration;

/// The watchdog looks at threads twice in [`Limits::blocked_after`], within these bounds: a core must not be busy with it,
/// and deadlines hang on it when all threads are blocked.
pub(crate) const BLOCKED_LOOK_SHORTEST: Duration = Duration::from_millis(1);
pub(crate) const BLOCKED_LOOK_LONGEST: Duration = Duration::from_millis(250);
/// It looks at all calls this often at the least; oftener for shorter soft limits, and at each look while a thread is blocked.
pub(crate) const CALL_LOOK_LONGEST: Duration = Duration::from_secs(1);
/// Slow calls that are listed as standing; each is told when it is found, listed or not.
pub(crate) const STANDING_FINDINGS: usize = 1_024;
/// The watchdog rests after so long without a call.
pub(crate) const WATCHDOG_IDLE: Duration = Duration::from_secs(1);
/// A thread keeps so much memory, in bytes, for writing results: more than nearly all of them need.
pub(crate) const KEPT_WRITE_BYTES: usize = 16 * 1_024;

/// The bounds of an [`Engine`](crate::Engine). Whatever exceeds one gets a typed error at once; nothing waits for room
/// without a deadline.
///
/// # Examples
///
/// ```
/// use freehold::Limits;
/// use std::time::Duration;
///
/// let limits = Limits { deadline: Duration::from_secs(5), ..Limits::default() };
/// assert!(limits.deadline < limits.deadline_cap);
/// ```
// Exhaustive, so that the update syntax of the example works outside of this crate too.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one incoming message (or batch). A peer must not make us buffer without end.
    pub message_bytes: usize,
    /// Messages in one batch. A batch of a million pings is an attack, not a request.
    pub batch_messages: usize,
    /// Bytes of a request id that is a string; ids are kept while the call runs.
    pub id_bytes: usize,
    /// Bytes of a method name.
    pub method_bytes: usize,

    /// Calls of one session that may run at the same time.
    pub running_per_session: usize,
    /// Calls of one session that may wait for one of those slots; one more is told `overloaded` at once.
    pub queued_per_session: usize,
    /// Calls that may be above a call: handlers that call handlers, and so on.
    pub nesting: usize,
    /// Calls that one handler may have open at the same time.
    pub calls_per_call: usize,
    /// Of a fan-out, calls that run at the same time; the others follow as these end.
    pub fan_out: usize,
    /// Calls, running and waiting, of all sessions together.
    pub calls_total: usize,
    /// What an overloaded answer tells the client to wait before it tries again.
    pub retry_after: Duration,

    /// How long a call may take, from its arrival to its answer, unless its method says otherwise. Its clock stands still while the
    /// client is asked.
    pub deadline: Duration,
    /// How long a call may take at the most, however much progress it makes, by the same clock.
    pub deadline_cap: Duration,
    /// How long a cancelled handler may go on (to clean up) before its future is dropped.
    pub cancel_grace: Duration,
    /// How long a call may run, or run on after it told progress, before it is reported as slow, with what it holds and waits
    /// for, unless its method says otherwise. Below the deadline, so that the report comes while there is something to see.
    pub soft_limit: Duration,
    /// How long one poll of a handler may last before its thread counts as blocked; this is found within twice that time.
    /// Far above what a handler computes between two awaits, far below what a person notices.
    pub blocked_after: Duration,

    /// Bytes of one answer; a larger one is replaced by an error.
    pub answer_bytes: usize,
    /// Notifications and questions that may wait in one outgoing stream; the oldest droppable one goes first.
    pub stream_messages: usize,
    /// Bytes of those.
    pub stream_bytes: usize,
    /// Bytes of answers that may wait in one outgoing stream; beyond, the stream is closed, since answers are never
    /// dropped silently.
    pub stream_answer_bytes: usize,

    /// Questions (requests from server to client) of one session that may be open at the same time.
    pub questions_per_session: usize,
    /// How long one question may stay unanswered: a person may be thinking, and the call's own clock stands still.
    pub question_timeout: Duration,
    /// How long a call's clock may stand still for questions altogether, lest one that asks for ever never ends.
    pub question_total: Duration,

    /// Sessions that may exist at the same time.
    pub sessions: usize,
    /// How long a session may be idle (no call running, no stream open) before it is closed.
    pub session_ttl: Duration,
    /// How long a session may exist without having been initialized.
    pub initialize_window: Duration,
    /// Topics one session may subscribe to.
    pub topics_per_session: usize,

    /// How long the store may take to load the state of a session that is resumed, or to forget that of one that ended.
    pub store_wait: Duration,
    /// How often `update` re-runs its closure when others commit in between.
    pub update_attempts: u32,
    /// How often `transact` runs its body at most.
    pub transact_attempts: u32,
    /// How long a transaction that met a conflict lets others that had one go first before it runs again.
    pub transact_turn: Duration,
    /// How many re-runs each hundred calls that end add to the engine's budget: re-runs must not multiply an overload.
    pub retry_percent: u32,
    /// How many re-runs each second adds to it, so that an engine with few calls can recover, too.
    pub retries_per_second: u32,
    /// How many re-runs it holds at most, and at first.
    pub retry_burst: u32,
    /// How long `drain` lets running calls finish when asked without a figure of its own.
    pub drain_grace: Duration,
}

/// Bounds that are the same for all engines.
impl Limits {
    /// How long a circuit breaker refuses before it probes, at most: what is off for longer should be taken out.
    pub const BREAKER_OPEN_MOST: Duration = Duration::from_secs(3_600);
    /// Probes of a circuit breaker, at most: more are no probe but the load.
    pub const BREAKER_PROBES_MOST: u32 = 1_024;
    /// How often a call is run at most, the first time included, unless its policy says otherwise. Who is older wins, so
    /// the second attempt mostly does.
    pub const RETRY_ATTEMPTS: u32 = 4;
    /// The same, whatever its policy says.
    pub const RETRY_ATTEMPTS_MOST: u32 = 32;
    /// The bound of the first pause before a re-run, unless its policy says otherwise: as long as a few handlers take.
    pub const RETRY_FIRST_PAUSE: Duration = Duration::from_millis(2);
    /// The bound of all pauses before re-runs, unless its policy says otherwise.
    pub const RETRY_LONGEST_PAUSE: Duration = Duration::from_millis(100);
    /// The same, whatever its policy says: a call that pauses keeps its slot.
    pub const RETRY_PAUSE_MOST: Duration = Duration::from_secs(60);
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 4 << 20,
            batch_messages: 100,
            id_bytes: 256,
            method_bytes: 256,
            running_per_session: 16_384,
            queued_per_session: 1_024,
            nesting: 16,
            calls_per_call: 1_024,
            fan_out: 32,
            calls_total: 65_536,
            retry_after: Duration::from_millis(500),
            deadline: Duration::from_secs(30),
            deadline_cap: Duration::from_secs(600),
            cancel_grace: Duration::from_secs(1),
            soft_limit: Duration::from_secs(10),
            blocked_after: Duration::from_millis(50),
            answer_bytes: 16 << 20,
            stream_messages: 1_024,
            stream_bytes: 1 << 20,
            stream_answer_bytes: 64 << 20,
            questions_per_session: 64,
            question_timeout: Duration::from_secs(600),
            question_total: Duration::from_secs(3_600),
            sessions: 262_144,
            session_ttl: Duration::from_secs(1_800),
            initialize_window: Duration::from_secs(60),
            topics_per_session: 1_024,
            store_wait: Duration::from_secs(10),
            update_attempts: 1_024,
            transact_attempts: 16,
            transact_turn: Duration::from_secs(1),
            retry_percent: 10,
            retries_per_second: 10,
            retry_burst: 100,
            drain_grace: Duration::from_secs(10),
        }
    }
}

//! What happens inside, declared once. Counters, logs and whoever observes the engine all read these.

use crate::{
    call::{CancelReason, Stage},
    contain::{Panicked, contain},
    message::{MalformedKind, RequestId},
    recovery::{BreakerState, DegradeReason},
    session::{CloseReason, SessionId},
    watchdog::{Awaited, Held},
};
use freehold_sync::{Holding, Waiting};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How a call ended. Every admitted or refused call ends in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutcomeKind {
    /// The handler returned a result.
    Answered,
    /// The handler returned an error, or nobody handles the method, or the parameters did not fit.
    Failed,
    /// The handler panicked.
    Panicked,
    /// Its handler held what others waited for, and nothing was left that could have woken it; it was dropped.
    Deadlocked,
    /// The deadline passed.
    DeadlineExceeded,
    /// It was cancelled: by the client, by its disconnect, with its session or at shutdown.
    Cancelled,
    /// Refused at admission: too many calls.
    Overloaded,
    /// Refused: the engine is draining or the session is closed.
    Stopping,
    /// Refused: a call with this id is in flight.
    DuplicateId,
    /// Refused: the circuit breaker of its method or its subject is open.
    CircuitOpen,
    /// Its fallback answered for its handler; the answer is marked.
    Degraded,
}

impl OutcomeKind {
    /// All of them, in the order of their numbers (`outcome as usize`).
    pub const ALL: [Self; 11] = [
        Self::Answered,
        Self::Failed,
        Self::Panicked,
        Self::Deadlocked,
        Self::DeadlineExceeded,
        Self::Cancelled,
        Self::Overloaded,
        Self::Stopping,
        Self::DuplicateId,
        Self::CircuitOpen,
        Self::Degraded,
    ];

    /// Its name in metrics; that of its counter in [`Counters`].
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Deadlocked => "deadlocked",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Cancelled => "cancelled",
            Self::Overloaded => "overloaded",
            Self::Stopping => "stopping",
            Self::DuplicateId => "duplicate_id",
            Self::CircuitOpen => "circuit_open",
            Self::Degraded => "degraded",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A session was opened.
    SessionOpened {
        /// Which.
        session: SessionId,
    },
    /// A session was closed.
    SessionClosed {
        /// Which.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// A call reached its one outcome.
    CallEnded {
        /// In which session.
        session: SessionId,
        /// The request's id; none for a notification.
        id: Option<&'a RequestId>,
        /// Its method.
        method: &'a str,
        /// What it was about, if its method does not say: the tool of a `tools/call`.
        subject: Option<&'a str>,
        /// The outcome.
        outcome: OutcomeKind,
        /// Where the call was when it ended.
        stage: Stage,
        /// From arrival to outcome.
        took: Duration,
    },
    /// A handler's future was dropped because it went on after it was cancelled and its grace ended.
    HandlerAbandoned {
        /// In which session.
        session: SessionId,
        /// Its method.
        method: &'a str,
        /// What it was about, if its method does not say: the tool of a `tools/call`.
        subject: Option<&'a str>,
        /// Why it had been cancelled.
        reason: CancelReason,
    },
    /// A handler was ended to break a deadlock, or could not have a lock in time; it will be run again after a pause.
    CallRetried {
        /// In which session.
        session: SessionId,
        /// The request's id; none for a notification.
        id: Option<&'a RequestId>,
        /// Its method.
        method: &'a str,
        /// What it is about, if its method does not say: the tool of a `tools/call`.
        subject: Option<&'a str>,
        /// The number of the attempt to come; the first re-run is the second attempt.
        attempt: u32,
        /// How long until then.
        pause: Duration,
        /// Why the last one had no success.
        reason: DegradeReason,
    },
    /// A handler would have been run again, but the engine's budget for that is spent.
    RetryRefused {
        /// In which session.
        session: SessionId,
        /// Its method.
        method: &'a str,
        /// What it is about, if its method does not say: the tool of a `tools/call`.
        subject: Option<&'a str>,
        /// Why the attempt had no success.
        reason: DegradeReason,
    },
    /// A circuit breaker opened, began to probe, or closed.
    BreakerChanged {
        /// Whose method.
        method: &'a str,
        /// Of which subject, if it is not the method's own.
        subject: Option<&'a str>,
        /// What it was.
        from: BreakerState,
        /// What it is.
        to: BreakerState,
    },
    /// A call is past its soft limit. Told once a call; it is not ended for it.
    CallSlow {
        /// In which session.
        session: SessionId,
        /// The request's id; none for a notification.
        id: Option<&'a RequestId>,
        /// Its method.
        method: &'a str,
        /// What it was about, if its method does not say: the tool of a `tools/call`.
        subject: Option<&'a str>,
        /// Where it is.
        stage: Stage,
        /// Since its arrival.
        age: Duration,
        /// The limit.
        limit: Duration,
        /// Since its handler was polled last, to the interval between two looks; none if it never was.
        last_polled: Option<Duration>,
        /// What it holds.
        holds: &'a [Holding],
        /// What it waits for.
        waits: &'a [Waiting],
    },
    /// A handler blocks its thread: one poll of it lasts longer than [`Limits::blocked_after`](crate::Limits::blocked_after).
    /// Told by the watchdog's thread, once a poll.
    ThreadBlocked {
        /// In which session.
        session: SessionId,
        /// The request's id; none for a notification.
        id: Option<&'a RequestId>,
        /// Its method.
        method: &'a str,
        /// What it is about, if its method does not say: the tool of a `tools/call`.
        subject: Option<&'a str>,
        /// The thread's name; on Linux with its number.
        thread: &'a str,
        /// For how long already, to the interval between two looks.
        lasts: Duration,
    },
    /// A thread that a handler blocked goes on.
    ThreadUnblocked {
        /// In which session.
        session: SessionId,
        /// The request's id; none for a notification.
        id: Option<&'a RequestId>,
        /// Its method.
        method: &'a str,
        /// What it is about, if its method does not say: the tool of a `tools/call`.
        subject: Option<&'a str>,
        /// The thread's name; on Linux with its number.
        thread: &'a str,
        /// For how long it was blocked, to the interval between two looks.
        lasted: Duration,
    },
    /// Input that is no message was answered with an error.
    Malformed {
        /// What was wrong.
        kind: MalformedKind,
    },
    /// An answer of the peer's to no question of ours was ignored.
    UnknownAnswer {
        /// From which session.
        session: SessionId,
    },
    /// A notification that nobody handles was ignored: JSON-RPC answers none, not even with an error.
    UnknownNotification {
        /// From which session.
        session: SessionId,
        /// Its method.
        method: &'a str,
    },
    /// Outgoing notifications were dropped because a stream was full.
    NotificationsDropped {
        /// How many.
        count: u64,
    },
    /// An outgoing stream was closed because answers alone exceeded its bound.
    StreamOverflowed,
    /// A handler made a call while it held locks: whoever wants them waits for the callee, too.
    CalledWhileHolding {
        /// The caller's session.
        session: SessionId,
        /// The caller: its method, and its subject if it has one.
        caller: &'a str,
        /// The method it called.
        method: &'a str,
        /// How many locks and permits it held.
        held: usize,
        /// Whether the engine is to warn of it.
        warn: bool,
    },
    /// A hook of the application panicked.
    HookPanicked {
        /// Which hook.
        hook: &'static str,
    },
}

/// Receives every [`Event`], synchronously, where it happens, under no lock; it must be quick. An engine may have several,
/// which are called in the order in which they were added; the panic of one keeps nothing from the next.
pub trait Observer: Send + Sync + 'static {
    /// Called for each event.
    fn event(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync + 'static> Observer for F {
    fn event(&self, event: &Event<'_>) {
        self(event);
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        #[derive(Default)]
        struct Cells { $($name: AtomicU64,)* }

        /// A snapshot of the engine's counters; each only grows.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            /// Each counter with its name.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }

        impl Cells {
            fn snapshot(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Sessions opened.
    sessions_opened,
    /// Sessions closed, for whatever reason.
    sessions_closed,
    /// Sessions closed because they were idle for too long or never initialized.
    sessions_expired,
    /// Calls that ended with a result.
    answered,
    /// Calls that ended with an error of their handler's or the dispatcher's.
    failed,
    /// Calls whose handler panicked.
    panicked,
    /// Calls whose handler was dropped to end a deadlock.
    deadlocked,
    /// Calls whose deadline passed.
    deadline_exceeded,
    /// Calls that were cancelled.
    cancelled,
    /// Calls refused at admission.
    overloaded,
    /// Calls refused because the engine or their session was stopping.
    stopping,
    /// Calls refused because their id was in flight.
    duplicate_id,
    /// Calls refused because a circuit breaker was open.
    circuit_open,
    /// Calls answered by their fallback.
    degraded,
    /// Handlers that were run again.
    retries,
    /// Handlers that were not run again because the budget for it was spent.
    retries_refused,
    /// Times that a circuit breaker opened.
    breakers_opened,
    /// Handlers whose future was dropped after the grace.
    abandoned,
    /// Calls that were reported as slow.
    slow,
    /// Times that a handler blocked its thread.
    threads_blocked,
    /// Inputs that were no message.
    malformed,
    /// Answers to no question of ours.
    unknown_answers,
    /// Notifications dropped at a full stream.
    notifications_dropped,
    /// Streams closed because answers exceeded their bound.
    streams_overflowed,
    /// Notifications that nobody handles.
    unknown_notifications,
    /// Calls that handlers made while they held locks.
    calls_while_holding,
    /// Hooks that panicked.
    hook_panics,
    /// Times that an observer panicked.
    observer_panics,
}

impl Counters {
    /// Calls that reached an outcome.
    #[must_use]
    pub fn calls_ended(&self) -> u64 {
        self.answered
            + self.failed
            + self.panicked
            + self.deadlocked
            + self.deadline_exceeded
            + self.cancelled
            + self.overloaded
            + self.stopping
            + self.duplicate_id
            + self.circuit_open
            + self.degraded
    }
}

/// Where events go: the counters always, the log for what an operator must see, and who observes.
pub(crate) struct Events {
    cells: Cells,
    observers: Vec<Box<dyn Observer>>,
}

impl Events {
    pub(crate) fn new(observers: Vec<Box<dyn Observer>>) -> Self {
        Self { cells: Cells::default(), observers }
    }

    pub(crate) fn counters(&self) -> Counters {
        self.cells.snapshot()
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.count(event);
        // An outcome is delivered after its event: a panic here would leave its caller without an answer.
        self.told(contain(|| log(event)));
        for observer in &self.observers {
            self.told(contain(|| observer.event(event)));
        }
    }

    fn told(&self, told: Result<(), Panicked>) {
        if told.is_err() {
            self.cells.observer_panics.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count(&self, event: &Event<'_>) {
        let cells = &self.cells;
        let add = |cell: &AtomicU64, count| {
            cell.fetch_add(count, Ordering::Relaxed);
        };
        match event {
            Event::SessionOpened { .. } => add(&cells.sessions_opened, 1),
            Event::SessionClosed { reason, .. } => {
                add(&cells.sessions_closed, 1);
                if matches!(reason, CloseReason::Expired | CloseReason::NeverInitialized) {
                    add(&cells.sessions_expired, 1);
                }
            }
            Event::CallEnded { outcome, .. } => add(cells.of(*outcome), 1),
            Event::HandlerAbandoned { .. } => add(&cells.abandoned, 1),
            Event::CallRetried { .. } => add(&cells.retries, 1),
            Event::RetryRefused { .. } => add(&cells.retries_refused, 1),
            Event::BreakerChanged { to: BreakerState::Open, .. } => add(&cells.breakers_opened, 1),
            Event::BreakerChanged { .. } => {}
            Event::CallSlow { .. } => add(&cells.slow, 1),
            Event::ThreadBlocked { .. } => add(&cells.threads_blocked, 1),
            Event::ThreadUnblocked { .. } => {}
            Event::Malformed { .. } => add(&cells.malformed, 1),
            Event::UnknownAnswer { .. } => add(&cells.unknown_answers, 1),
            Event::UnknownNotification { .. } => add(&cells.unknown_notifications, 1),
            Event::NotificationsDropped { count } => add(&cells.notifications_dropped, *count),
            Event::StreamOverflowed => add(&cells.streams_overflowed, 1),
            Event::CalledWhileHolding { .. } => add(&cells.calls_while_holding, 1),
            Event::HookPanicked { .. } => add(&cells.hook_panics, 1),
        }
    }
}

impl Cells {
    fn of(&self, outcome: OutcomeKind) -> &AtomicU64 {
        match outcome {
            OutcomeKind::Answered => &self.answered,
            OutcomeKind::Failed => &self.failed,
            OutcomeKind::Panicked => &self.panicked,
            OutcomeKind::Deadlocked => &self.deadlocked,
            OutcomeKind::DeadlineExceeded => &self.deadline_exceeded,
            OutcomeKind::Cancelled => &self.cancelled,
            OutcomeKind::Overloaded => &self.overloaded,
            OutcomeKind::Stopping => &self.stopping,
            OutcomeKind::DuplicateId => &self.duplicate_id,
            OutcomeKind::CircuitOpen => &self.circuit_open,
            OutcomeKind::Degraded => &self.degraded,
        }
    }
}

fn log(event: &Event<'_>) {
    match event {
        Event::SessionOpened { session } => tracing::debug!(%session, "session opened"),
        Event::SessionClosed { session, reason } => tracing::debug!(%session, ?reason, "session closed"),
        Event::CallEnded { session, id, method, subject, outcome, stage, took } => match outcome {
            OutcomeKind::Answered | OutcomeKind::Failed => {
                tracing::trace!(%session, ?id, method, subject, ?outcome, ?took, "call ended");
            }
            OutcomeKind::Panicked | OutcomeKind::Deadlocked | OutcomeKind::DeadlineExceeded => {
                tracing::warn!(%session, ?id, method, subject, ?outcome, ?stage, ?took, "call ended by force");
            }
            _ => {
                tracing::debug!(%session, ?id, method, subject, ?outcome, ?stage, ?took, "call ended by force");
            }
        },
        Event::HandlerAbandoned { session, method, subject, reason } => {
            tracing::warn!(%session, method, subject, ?reason, "handler ignored its cancel and was dropped");
        }
        Event::CallRetried { session, id, method, subject, attempt, pause, reason } => {
            tracing::debug!(%session, ?id, method, subject, attempt, ?pause, %reason, "handler is run again");
        }
        Event::RetryRefused { session, method, subject, reason } => {
            tracing::warn!(%session, method, subject, %reason, "no budget to run the handler again");
        }
        Event::BreakerChanged { method, subject, from, to: BreakerState::Open } => {
            tracing::warn!(method, subject, %from, "circuit breaker opened");
        }
        Event::BreakerChanged { method, subject, from, to } => {
            tracing::info!(method, subject, %from, %to, "circuit breaker changed");
        }
        Event::CallSlow { session, id, method, subject, stage, age, last_polled, holds, waits, .. } => {
            let (holds, waits) = (Held(holds), Awaited(waits));
            tracing::warn!(
                %session, ?id, method, subject, ?stage, ?age, ?last_polled, %holds, %waits,
                "call is past its soft limit"
            );
        }
        Event::ThreadBlocked { session, id, method, subject, thread, lasts } => {
            tracing::warn!(%session, ?id, method, subject, thread, ?lasts, "handler blocks its thread");
        }
        Event::ThreadUnblocked { session, id, method, subject, thread, lasted } => {
            tracing::warn!(%session, ?id, method, subject, thread, ?lasted, "handler had blocked its thread");
        }
        Event::Malformed { kind } => tracing::debug!(?kind, "malformed message answered with an error"),
        Event::UnknownAnswer { session } => tracing::debug!(%session, "answer to no question ignored"),
        Event::UnknownNotification { session, method } => {
            tracing::debug!(%session, method, "notification that nobody handles ignored");
        }
        Event::NotificationsDropped { count } => {
            tracing::debug!(count, "notifications dropped at a full stream");
        }
        Event::StreamOverflowed => tracing::warn!("stream closed: unread answers exceeded its bound"),
        Event::CalledWhileHolding { session, caller, method, held, warn: true } => {
            tracing::warn!(%session, caller, method, held, "call made while locks are held");
        }
        Event::CalledWhileHolding { session, caller, method, held, warn: false } => {
            tracing::trace!(%session, caller, method, held, "call made while locks are held");
        }
        Event::HookPanicked { hook } => tracing::error!(hook, "hook panicked"),
    }
}

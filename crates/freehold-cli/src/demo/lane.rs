//! What the clients of one server see.

use super::latency::Latencies;
use freehold::runtime::{Runtime, TokioRuntime};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// No call ended for so long, though many wait: it is stuck.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(2);

/// Not waiting for an answer.
const IDLE: u64 = u64::MAX;

/// What the clients of one server see.
pub(super) struct Lane {
    began: Instant,
    answered: AtomicU64,
    failed: AtomicU64,
    /// When the last call ended, in nanoseconds since the beginning.
    last_end: AtomicU64,
    /// When each client's call began that has no answer yet.
    waiting: Box<[AtomicU64]>,
    latencies: Latencies,
    /// Answered before the transfers began.
    answered_before: AtomicU64,
    closed: AtomicBool,
}

/// What there is to say of the whole time.
pub(super) struct Summary {
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) took: Duration,
    /// Before the transfers began.
    pub(super) answered_before: u64,
    pub(super) p50: Option<Duration>,
    pub(super) p99: Option<Duration>,
}

/// What is left when nobody begins anything any more.
pub(super) struct Rest {
    pub(super) stuck_for: Option<Duration>,
    /// Calls that have no answer.
    pub(super) unanswered: usize,
}

impl Lane {
    pub(super) fn new(clients: usize, began: Instant) -> Self {
        Self {
            began,
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_end: AtomicU64::new(0),
            waiting: (0..clients).map(|_| AtomicU64::new(IDLE)).collect(),
            latencies: Latencies::new(),
            answered_before: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// From now on no call begins.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        TokioRuntime.now().saturating_duration_since(self.began).as_nanos() as u64
    }

    /// A client sends a call.
    pub(super) fn begins(&self, client: usize) {
        self.waiting[client].store(self.now(), Ordering::Relaxed);
    }

    /// It has its answer. `early`: the transfers have not begun yet.
    pub(super) fn ends(&self, client: usize, answered: bool, early: bool) {
        let (begun, now) = (self.waiting[client].swap(IDLE, Ordering::Relaxed), self.now());
        self.latencies.record(Duration::from_nanos(now.saturating_sub(begun)));
        self.last_end.fetch_max(now, Ordering::Relaxed);
        let count = if answered { &self.answered } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        self.answered_before.fetch_add(u64::from(early), Ordering::Relaxed);
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// For how long the longest of those waits that have no answer yet.
    pub(super) fn longest_wait(&self) -> Duration {
        let now = self.now();
        let begun = self.waiting.iter().map(|begun| begun.load(Ordering::Relaxed)).min();
        Duration::from_nanos(now.saturating_sub(begun.unwrap_or(IDLE)))
    }

    fn waiting(&self) -> usize {
        self.waiting.iter().filter(|begun| begun.load(Ordering::Relaxed) != IDLE).count()
    }

    /// For how long nothing has ended, if that is too long.
    pub(super) fn stuck_for(&self) -> Option<Duration> {
        let since = Duration::from_nanos(self.now().saturating_sub(self.last_end.load(Ordering::Relaxed)));
        (since >= STUCK_AFTER && self.waiting() > 0).then_some(since)
    }

    pub(super) fn summary(&self) -> Summary {
        Summary {
            answered: self.answered(),
            failed: self.failed.load(Ordering::Relaxed),
            took: Duration::from_nanos(self.now()),
            answered_before: self.answered_before.load(Ordering::Relaxed),
            p50: self.latencies.quantile(0.5),
            p99: self.latencies.quantile(0.99),
        }
    }

    pub(super) fn rest(&self) -> Rest {
        Rest { stuck_for: self.stuck_for(), unanswered: self.waiting() }
    }
}

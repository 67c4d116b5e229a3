//! Every metric that is exported: its name, kind and meaning. Nothing else is.

/// What kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Grows only.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// What it means.
    pub help: &'static str,
}

const fn metric(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric { name, kind, help }
}

use Kind::{Counter, Gauge, Histogram};

/// All metrics.
pub const METRICS: &[Metric] = &[
    metric("freehold_build_info", Gauge, "Always 1; the version is a label."),
    metric("freehold_uptime_seconds", Gauge, "Since the server is watched."),
    metric("freehold_ready", Gauge, "1 while /readyz says ready, else 0."),
    metric("freehold_draining", Gauge, "1 while the server drains, else 0."),
    // Calls.
    metric(
        "freehold_calls_total",
        Counter,
        "Calls that reached their outcome, by outcome; answered over all is the success rate.",
    ),
    metric(
        "freehold_call_duration_seconds",
        Histogram,
        "From a call's arrival to its outcome, by method, subject (the tool of a tools/call) and outcome; without those \
         that were refused or answered on arrival.",
    ),
    metric(
        "freehold_calls",
        Gauge,
        "Calls that have a task of their own, by stage: queue, turn, handler, question, pause.",
    ),
    metric("freehold_calls_in_flight", Gauge, "Calls admitted and not gone."),
    metric(
        "freehold_calls_limit",
        Gauge,
        "Calls that are admitted at the most, beside those that handlers make.",
    ),
    metric(
        "freehold_call_saturation_ratio",
        Gauge,
        "Calls in flight over their limit, without those that handlers made.",
    ),
    metric(
        "freehold_session_slot_saturation_ratio",
        Gauge,
        "Slots in use over their limit, in the session that uses most.",
    ),
    metric("freehold_calls_shed_total", Counter, "Calls refused at once, by reason."),
    metric("freehold_handlers_abandoned_total", Counter, "Handlers that were dropped after their grace."),
    metric("freehold_calls_while_holding_total", Counter, "Calls that handlers made while they held locks."),
    metric("freehold_permits", Gauge, "Permits of a pool that is watched (Telemetry::watch_pool), by pool."),
    metric("freehold_permits_in_use", Gauge, "Those of them that are taken."),
    metric("freehold_permit_saturation_ratio", Gauge, "Permits in use over all, by pool."),
    metric(
        "freehold_queue_saturation_ratio",
        Gauge,
        "Calls that wait for a slot over their limit, in the session with most.",
    ),
    // Sessions and streams.
    metric("freehold_sessions", Gauge, "Sessions by state: initializing, active, idle."),
    metric("freehold_sessions_limit", Gauge, "Sessions that there may be."),
    metric("freehold_sessions_opened_total", Counter, "Sessions opened."),
    metric("freehold_sessions_closed_total", Counter, "Sessions closed, for whatever reason."),
    metric(
        "freehold_sessions_expired_total",
        Counter,
        "Sessions closed because they were idle or never initialized.",
    ),
    metric("freehold_notifications_dropped_total", Counter, "Notifications dropped at a full stream."),
    metric(
        "freehold_streams_overflowed_total",
        Counter,
        "Streams closed because unread answers exceeded their bound.",
    ),
    metric("freehold_malformed_total", Counter, "Inputs that were no message."),
    metric("freehold_unknown_answers_total", Counter, "Answers to no question."),
    metric("freehold_unknown_notifications_total", Counter, "Notifications that nobody handles."),
    // Recovery.
    metric(
        "freehold_recoveries_total",
        Counter,
        "What was done for calls that met a deadlock or could not have a lock: retried, retry_refused, degraded, ended.",
    ),
    metric("freehold_retry_budget", Gauge, "Re-runs that are left in the budget."),
    metric("freehold_breaker_state", Gauge, "1 for the state a circuit breaker is in, by name and state."),
    metric("freehold_breakers_opened_total", Counter, "Times that a circuit breaker opened."),
    // Locks.
    metric(
        "freehold_lock_acquisitions_total",
        Counter,
        "Acquisitions by class, without the last few (fewer than 64) of each lock.",
    ),
    metric(
        "freehold_lock_contended_total",
        Counter,
        "Acquisitions that had to wait, by class; beyond the first, of a sample.",
    ),
    metric(
        "freehold_lock_contention_ratio",
        Gauge,
        "Contended acquisitions over all, since the start, by class.",
    ),
    metric("freehold_lock_wait_seconds", Histogram, "How long contended acquisitions waited, by class."),
    metric(
        "freehold_lock_hold_seconds",
        Histogram,
        "How long holds lasted, by class; of those that began without a wait (contended=false) one of 64 is measured.",
    ),
    metric("freehold_lock_timeouts_total", Counter, "Waits that ended at their deadline, by class."),
    metric("freehold_lock_deadlocks_total", Counter, "Waits that ended as victim of a deadlock, by class."),
    metric(
        "freehold_lock_order_violations_total",
        Counter,
        "Acquisitions against the order of levels, by class.",
    ),
    metric("freehold_lock_passed_on_total", Counter, "Turns that their waiter did not use, by class."),
    metric("freehold_lock_waiters", Gauge, "Who waits at this moment, by class; of a pool, for permits."),
    metric("freehold_lock_holders", Gauge, "Who holds at this moment, by class; of a pool, permits."),
    metric(
        "freehold_guards_forgotten_total",
        Counter,
        "Guards still held, or forgotten, when their activity ended.",
    ),
    // The detector.
    metric(
        "freehold_deadlocks_total",
        Counter,
        "Findings by grade: proven (and broken), suspected, potential.",
    ),
    metric(
        "freehold_deadlock_rings_total",
        Counter,
        "Findings by grade and by the lock classes in them, since the server is watched.",
    ),
    metric(
        "freehold_deadlock_last_number",
        Gauge,
        "The number of the last report, by grade: 7 is FH-7, the id under which the page, the log and /admin/reports/FH-7 have \
         it; 0 while there is none.",
    ),
    metric(
        "freehold_order_violations_total",
        Counter,
        "Order violations that were told, by rule: levels, learned.",
    ),
    metric(
        "freehold_deadlocks_reordered_total",
        Counter,
        "Proven deadlocks that were broken without a victim: a wait was moved up in its queue.",
    ),
    metric("freehold_orphans_ended_total", Counter, "Activities ended because nobody was left to wake them."),
    metric(
        "freehold_detector_seconds_total",
        Counter,
        "Time spent in walks and sweeps of the wait-for graph.",
    ),
    metric("freehold_detector_walks_total", Counter, "Walks at the end of a poll."),
    metric("freehold_detector_sweeps_total", Counter, "Sweeps of the whole graph."),
    metric(
        "freehold_detector_phantoms_total",
        Counter,
        "Rings that a walk saw and the proof did not find any more.",
    ),
    metric("freehold_detector_probes_total", Counter, "Activities that were probed for stale wakers."),
    // The watchdog.
    metric("freehold_watchdog_findings", Gauge, "What stands at this moment, by kind: slow, thread_blocked."),
    metric("freehold_slow_calls_total", Counter, "Calls that were past their soft limit."),
    metric("freehold_threads_blocked_total", Counter, "Times that a handler blocked its thread."),
    metric(
        "freehold_panics_total",
        Counter,
        "Panics that were contained, by place: handler, hook, observer.",
    ),
    // Its own.
    metric("freehold_alerts_total", Counter, "Alerts by result: delivered, failed, lost."),
    metric(
        "freehold_otlp_exports_total",
        Counter,
        "Exports to a collector of OpenTelemetry by result: delivered, rejected (in part), failed, skipped.",
    ),
    metric("freehold_look_seconds", Gauge, "What the last look at sessions, calls and locks took."),
];

//! Metrics of calls, sessions, recovery and the watchdog.

use super::exposition::Exposition;
use crate::{
    limits,
    look::Look,
    source::Source,
    telemetry::{BOUNDS, CallTimes, Gathered},
};
use freehold::{BreakerState, FindingKind, OutcomeKind, Stage};
use freehold_sync::PermitPool;

pub(super) fn write(out: &mut Exposition<'_>, source: &dyn Source, gathered: &Gathered, look: &Look) {
    outcomes(out, look);
    durations(out, &gathered.call_times());
    saturation(out, source, look);
    permits(out, gathered);
    sessions(out, source, look);
    recovery(out, look);
    breakers(out, look);
    watchdog(out, look);
}

fn outcomes(out: &mut Exposition<'_>, look: &Look) {
    let counters = look.counters;
    let count_of = |name: &str| counters.named().find(|(counter, _)| *counter == name).map_or(0, |(_, n)| n);
    let mut family = out.family("freehold_calls_total");
    for outcome in OutcomeKind::ALL {
        family.sample(&[("outcome", outcome.name())], count_of(outcome.name()));
    }
    let mut family = out.family("freehold_calls_shed_total");
    for (reason, count) in [
        ("overloaded", counters.overloaded),
        ("stopping", counters.stopping),
        ("circuit_open", counters.circuit_open),
        ("duplicate_id", counters.duplicate_id),
    ] {
        family.sample(&[("reason", reason)], count);
    }
    out.single("freehold_handlers_abandoned_total", counters.abandoned);
    out.single("freehold_calls_while_holding_total", counters.calls_while_holding);
}

fn durations(out: &mut Exposition<'_>, series: &[CallTimes]) {
    let mut family = out.family("freehold_call_duration_seconds");
    for CallTimes { method, subject, outcome, times } in series {
        let labels = [
            ("method", &**method),
            ("subject", subject.as_deref().unwrap_or("")),
            ("outcome", outcome.name()),
        ];
        let buckets: Vec<_> =
            BOUNDS.iter().zip(times.buckets).map(|(bound, count)| (*bound as f64 / 1e9, count)).collect();
        let beyond = times.buckets[BOUNDS.len()];
        family.histogram(&labels, &buckets, beyond, times.sum_nanos as f64 / 1e9);
    }
}

fn saturation(out: &mut Exposition<'_>, source: &dyn Source, look: &Look) {
    let mut family = out.family("freehold_calls");
    for stage in [Stage::Arrival, Stage::Queue, Stage::Turn, Stage::Handler, Stage::Question, Stage::Pause] {
        let count = look.calls.iter().filter(|call| call.stage == stage).count();
        family.sample(&[("stage", stage.name())], count);
    }
    let limits = source.limits();
    let share = |used: usize, limit: usize| if limit == 0 { 0.0 } else { used as f64 / limit as f64 };
    out.single("freehold_calls_in_flight", look.call_count);
    out.single("freehold_calls_limit", limits.calls_total);
    out.single("freehold_call_saturation_ratio", share(look.places_taken, limits.calls_total));
    let of_session = share(look.most_running, limits.running_per_session);
    out.single("freehold_session_slot_saturation_ratio", of_session);
    out.single("freehold_queue_saturation_ratio", share(look.most_queued, limits.queued_per_session));
}

fn permits(out: &mut Exposition<'_>, gathered: &Gathered) {
    let pools = gathered.pools();
    // Each looked at once, so that the three figures fit each other.
    let figures: Vec<_> = pools.iter().map(|watched| (&*watched.name, used(&watched.pool))).collect();
    let mut family = out.family("freehold_permits");
    for (name, (_, size)) in &figures {
        family.sample(&[("pool", name)], *size);
    }
    let mut family = out.family("freehold_permits_in_use");
    for (name, (used, _)) in &figures {
        family.sample(&[("pool", name)], *used);
    }
    let mut family = out.family("freehold_permit_saturation_ratio");
    for (name, (used, size)) in &figures {
        family.sample(&[("pool", name)], if *size == 0 { 0.0 } else { *used as f64 / *size as f64 });
    }
}

/// How many permits are taken, and how many there are.
fn used(pool: &PermitPool) -> (u64, u64) {
    let size = u64::from(pool.size());
    (size.saturating_sub(pool.available().into()), size)
}

fn sessions(out: &mut Exposition<'_>, source: &dyn Source, look: &Look) {
    let (states, counters) = (look.session_states, look.counters);
    let mut family = out.family("freehold_sessions");
    for (state, count) in
        [("initializing", states.initializing), ("active", states.active), ("idle", states.idle)]
    {
        family.sample(&[("state", state)], count);
    }
    out.single("freehold_sessions_limit", source.limits().sessions);
    out.single("freehold_sessions_opened_total", counters.sessions_opened);
    out.single("freehold_sessions_closed_total", counters.sessions_closed);
    out.single("freehold_sessions_expired_total", counters.sessions_expired);
    out.single("freehold_notifications_dropped_total", counters.notifications_dropped);
    out.single("freehold_streams_overflowed_total", counters.streams_overflowed);
    out.single("freehold_malformed_total", counters.malformed);
    out.single("freehold_unknown_answers_total", counters.unknown_answers);
    out.single("freehold_unknown_notifications_total", counters.unknown_notifications);
}

fn recovery(out: &mut Exposition<'_>, look: &Look) {
    let counters = look.counters;
    let mut family = out.family("freehold_recoveries_total");
    for (outcome, count) in [
        ("retried", counters.retries),
        ("retry_refused", counters.retries_refused),
        ("degraded", counters.degraded),
        ("ended", counters.deadlocked),
    ] {
        family.sample(&[("outcome", outcome)], count);
    }
    out.single("freehold_retry_budget", look.retries_left);
    out.single("freehold_breakers_opened_total", counters.breakers_opened);
}

fn breakers(out: &mut Exposition<'_>, look: &Look) {
    let mut family = out.family("freehold_breaker_state");
    for breaker in look.breakers.iter().take(limits::BREAKERS) {
        let of = if breaker.of_subject { "subject" } else { "method" };
        for (state, name) in [
            (BreakerState::Closed, "closed"),
            (BreakerState::Open, "open"),
            (BreakerState::HalfOpen, "half_open"),
        ] {
            let labels = [("name", &*breaker.name), ("of", of), ("state", name)];
            family.sample(&labels, u64::from(breaker.state == state));
        }
    }
}

fn watchdog(out: &mut Exposition<'_>, look: &Look) {
    let blocked =
        look.findings.iter().filter(|f| matches!(f.kind, FindingKind::ThreadBlocked { .. })).count();
    let slow = look.findings.iter().filter(|f| matches!(f.kind, FindingKind::Slow { .. })).count();
    let mut family = out.family("freehold_watchdog_findings");
    family.sample(&[("kind", "slow")], slow);
    family.sample(&[("kind", "thread_blocked")], blocked);
    let counters = look.counters;
    out.single("freehold_slow_calls_total", counters.slow);
    out.single("freehold_threads_blocked_total", counters.threads_blocked);
    let mut family = out.family("freehold_panics_total");
    for (place, count) in [
        ("handler", counters.panicked),
        ("hook", counters.hook_panics),
        ("observer", counters.observer_panics),
    ] {
        family.sample(&[("place", place)], count);
    }
}

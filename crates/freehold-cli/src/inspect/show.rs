//! An inspection as lines of text.

use freehold_admin::{CallRow, Inspection, LockRow};

/// A time in seconds, for people.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}

/// It in one line.
pub(super) fn line(seen: &Inspection) -> String {
    let count = |name: &str| seen.counters.get(name).copied().unwrap_or(0);
    format!(
        "{}: {} calls running or waiting, {} sessions; {} answered, {} failed, {} past their deadline; {} findings, {} reports",
        if seen.server.ready { "ready" } else { "NOT READY" },
        seen.server.calls,
        seen.sessions.total,
        count("answered"),
        count("failed"),
        count("deadline_exceeded"),
        seen.findings.len(),
        seen.reports.len()
    )
}

/// All of it, with so many rows of each list.
pub(super) fn lines(seen: &Inspection, rows: usize) -> Vec<String> {
    let mut out = vec![line(seen)];
    out.extend(seen.server.not_ready.iter().map(|reason| format!("  not ready: {reason}")));
    list(&mut out, "calls", &seen.calls.groups, rows, |group| {
        let waits = group.waits_for.as_ref().map_or(String::new(), |class| format!(", waiting for {class}"));
        format!(
            "{:>7} x {} ({}{waits}), oldest {}",
            group.count,
            group.label,
            group.stage,
            time(group.oldest)
        )
    });
    let oldest = "the oldest calls";
    list(&mut out, oldest, &seen.calls.listed, rows, call);
    list(&mut out, "locks", &seen.locks, rows, lock);
    list(&mut out, "circuit breakers", &seen.breakers, rows, |breaker| {
        format!("  {}: {} ({} of {} failed)", breaker.name, breaker.state, breaker.failures, breaker.calls)
    });
    list(&mut out, "deadlocks", &seen.reports, rows, |report| {
        format!("  {} {} ago: {}", report.id, time(report.age), report.headline)
    });
    list(&mut out, "locks taken against the order", &seen.violations, rows, |violation| {
        format!("  {} ago: {}", time(violation.age), violation.summary)
    });
    out
}

fn list<T>(out: &mut Vec<String>, title: &str, items: &[T], rows: usize, show: impl Fn(&T) -> String) {
    if items.is_empty() {
        return;
    }
    out.push(String::new());
    out.push(format!("{title}:"));
    out.extend(items.iter().take(rows).map(show));
    if items.len() > rows {
        out.push(format!("  and {} more", items.len() - rows));
    }
}

fn call(call: &CallRow) -> String {
    let name = call.subject.as_ref().unwrap_or(&call.method);
    let id = call.id.as_deref().unwrap_or("-");
    let mut text =
        format!("{:>9} {name} (session {}, id {id}): {}", time(call.age), call.session, call.stage);
    for hold in &call.holds {
        text.push_str(&format!(", has {}", hold.class));
    }
    for wait in &call.waits {
        let waited = time(wait.waited);
        text.push_str(&format!(", waits {waited} for {} ({}) behind {}", wait.class, wait.mode, wait.holder));
    }
    text
}

fn lock(lock: &LockRow) -> String {
    let holders = if lock.holders.is_empty() { "nobody".to_owned() } else { lock.holders.join(", ") };
    format!("  {} {}: held by {holders}; {} wait", lock.class, lock.address, lock.waited_for_by)
}

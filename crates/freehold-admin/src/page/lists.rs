//! The lists of the page.

use super::text;
use crate::{
    inspection::{
        BreakerRow, CallRow, Calls, ClassRow, FindingRow, LockRow, ReportRow, Sessions, ViolationRow, WaitRow,
    },
    limits,
    telemetry::KeptChange,
};
use maud::{Markup, html};
use std::time::Instant;

/// A table that scrolls by itself, also with the keyboard; columns whose name begins with a `#` have figures.
fn table(label: &str, columns: &[&str], rows: &Markup) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(label) {
            table {
                thead { tr {
                    @for column in columns {
                        @match column.strip_prefix('#') {
                            Some(column) => th class="n" scope="col" { (column) },
                            None => th scope="col" { (column) },
                        }
                    }
                } }
                tbody { (rows) }
            }
        }
    }
}

fn nothing(text: &str) -> Markup {
    html! { p class="dim" { (text) } }
}

pub(super) fn findings(findings: &[FindingRow]) -> Markup {
    html! {
        @for finding in findings.iter().take(limits::PAGE_ROWS) {
            p class=(if finding.kind == "slow" { "notice warn" } else { "notice bad" }) { (finding.summary) }
        }
        @if findings.len() > limits::PAGE_ROWS {
            p class="dim" { (text::count((findings.len() - limits::PAGE_ROWS) as u64)) " more findings" }
        }
    }
}

pub(super) fn calls(calls: &Calls) -> Markup {
    let stages: Vec<_> = calls
        .by_stage
        .iter()
        .map(|(stage, count)| format!("{stage} {}", text::count(*count as u64)))
        .collect();
    html! {
        p class="dim" {
            (text::count(calls.total as u64)) " in all"
            @if !stages.is_empty() { ": " (stages.join(", ")) }
            @if calls.matching != calls.total { "; " (text::count(calls.matching as u64)) " fit the search" }
        }
        @if calls.matching == 0 {
            (nothing(if calls.total == 0 { "No handler runs that has not answered at once." } else { "None fits." }))
        } @else {
            (groups(calls))
            h3 { "The oldest" }
            (oldest(calls))
            @if calls.matching > limits::PAGE_CALLS {
                p class="dim" {
                    (text::count((calls.matching - limits::PAGE_CALLS) as u64))
                    " younger ones are not listed; search for them."
                }
            }
        }
    }
}

fn groups(calls: &Calls) -> Markup {
    let shown = &calls.groups[..calls.groups.len().min(limits::PAGE_ROWS)];
    let rows = html! {
        @for group in shown {
            tr {
                td class="what mono" { (group.label) }
                td { (group.stage) }
                td class="what mono" { (group.waits_for.as_deref().unwrap_or("-")) }
                td class="n" { (text::count(group.count as u64)) }
                td class="n" { (text::time(group.oldest)) }
            }
        }
    };
    table("running handlers by method", &["what", "stage", "waits for", "#how many", "#oldest"], &rows)
}

fn oldest(calls: &Calls) -> Markup {
    let rows = html! {
        @for call in calls.listed.iter().take(limits::PAGE_CALLS) {
            tr {
                td class="n" { (text::time(call.age)) }
                td class="what mono" { (call.subject.as_deref().unwrap_or(&call.method)) }
                td class="mono" { (call.session) }
                td class="mono" { (call.id.as_deref().unwrap_or("-")) }
                td { (call.stage) @if call.settled { " (ending)" } }
                td class="what long" { (waits_of(call)) }
                td class="what mono" { (holds_of(call)) }
                td class="n" { (text::time(call.remaining)) }
            }
        }
    };
    let columns = ["#age", "what", "session", "id", "stage", "waits for", "holds", "#deadline in"];
    table("the oldest running handlers", &columns, &rows)
}

fn waits_of(call: &CallRow) -> Markup {
    html! {
        @for wait in &call.waits { div { (wait_text(wait)) } }
        @if call.waits.is_empty() { span class="dim" { "-" } }
    }
}

fn wait_text(wait: &WaitRow) -> Markup {
    html! {
        (wait.mode) " " span class="mono" { (wait.class) } " for " (text::time(wait.waited)) " behind "
        span class="mono" { (wait.holder) }
    }
}

fn holds_of(call: &CallRow) -> String {
    let holds: Vec<_> = call.holds.iter().map(|hold| &*hold.class).collect();
    if holds.is_empty() { "-".to_owned() } else { holds.join(", ") }
}

/// The newest of each shape and grade, and how many more of it are kept.
fn by_shape(reports: &[ReportRow]) -> Vec<(&ReportRow, usize)> {
    let mut shapes: Vec<(&ReportRow, usize)> = Vec::new();
    for report in reports {
        let known = |(first, _): &&mut (&ReportRow, usize)| {
            first.fingerprint == report.fingerprint && first.grade == report.grade
        };
        match shapes.iter_mut().find(known) {
            Some((_, alike)) => *alike += 1,
            None => shapes.push((report, 0)),
        }
    }
    shapes
}

pub(super) fn reports(reports: &[ReportRow], violations: &[ViolationRow]) -> Markup {
    html! {
        @if reports.is_empty() { (nothing("No deadlock was proven or suspected.")) }
        ul class="plain" {
            @for (report, alike) in by_shape(reports).into_iter().take(limits::PAGE_ROWS) {
                li {
                    a id=(format!("to-{}", report.id)) class="mono" href=(format!("/admin/reports/{}", report.id)) {
                        (report.id)
                    }
                    " " small {
                        (text::time(report.age)) " ago"
                        @if alike > 0 { ", " (text::count(alike as u64)) " more like it before" }
                    }
                    " " span class=(if report.grade == "PROVEN" { "bad" } else { "warn" }) { (report.headline) }
                    br; small { (report.advice) }
                }
            }
        }
        @if !violations.is_empty() {
            h3 { "Locks taken against the order" }
            ul class="plain" {
                @for violation in violations.iter().take(limits::PAGE_ROWS) {
                    li class="mono" { (violation.summary) " " small { (text::time(violation.age)) " ago" } }
                }
            }
        }
    }
}

pub(super) fn classes(classes: &[ClassRow]) -> Markup {
    if classes.is_empty() {
        return nothing("No lock class was contended or sampled yet.");
    }
    let rows = html! {
        @for class in classes.iter().take(limits::PAGE_ROWS) {
            tr {
                td class="what mono" { (class.class) }
                td class="n" { (text::count(class.acquisitions)) }
                td class="n" { (format!("{:.1} %", class.ratio * 100.0)) }
                td class="n" { (text::time(class.wait_p99)) }
                td class="n" { (text::time(class.hold_p99)) }
                td class="n" { (text::count(class.deadlocks)) }
                td class="n" { (text::count(class.timeouts)) }
            }
        }
    };
    let columns = ["class", "#taken", "#waited", "#wait p99", "#hold p99", "#victims", "#timeouts"];
    table("contention by lock class", &columns, &rows)
}

pub(super) fn locks(locks: &[LockRow]) -> Markup {
    if locks.is_empty() {
        return nothing("Nobody holds a lock that is seen.");
    }
    let rows = html! {
        @for lock in locks.iter().take(limits::PAGE_ROWS) {
            tr {
                td class="what mono" { (lock.class) br; small { (lock.address) } }
                td class="what long mono" { (some_of(&lock.holders, lock.held_by)) }
                td class="what long mono" { (some_of(&lock.waiters, lock.waited_for_by)) }
            }
        }
    };
    table("locks that are held now", &["lock", "held by", "waited for by"], &rows)
}

/// The first names, and how many more there are.
fn some_of(names: &[String], count: usize) -> String {
    const SHOWN: usize = 3;
    let shown = &names[..names.len().min(SHOWN)];
    match count.saturating_sub(shown.len()) {
        _ if count == 0 => "-".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {} more", shown.join(", "), text::count(more as u64)),
    }
}

pub(super) fn breakers(breakers: &[BreakerRow], changes: &[KeptChange], now: Instant) -> Markup {
    if breakers.is_empty() {
        return nothing("No method and no tool has a circuit breaker that was called.");
    }
    let class = |state: &str| match state {
        "closed" => "good",
        "open" => "bad",
        _ => "warn",
    };
    let rows = html! {
        @for breaker in breakers.iter().take(limits::PAGE_ROWS) {
            tr {
                td class="what mono" { (breaker.name) }
                td class=(class(&breaker.state)) { (breaker.state) }
                td class="n" { (text::count(breaker.calls)) }
                td class="n" { (text::count(breaker.failures)) }
            }
        }
    };
    html! {
        (table("circuit breakers", &["of", "state", "#calls", "#failures"], &rows))
        @if breakers.len() > limits::PAGE_ROWS {
            p class="dim" { (text::count((breakers.len() - limits::PAGE_ROWS) as u64)) " more are not listed" }
        }
        ul class="plain" {
            @for change in changes.iter().take(5) {
                li {
                    span class="mono" { (change.name) } ": " (change.from) " to " (change.to) " "
                    small { (text::time(now.saturating_duration_since(change.at).as_secs_f64())) " ago" }
                }
            }
        }
    }
}

pub(super) fn sessions(sessions: &Sessions) -> Markup {
    let states: Vec<_> = sessions
        .by_state
        .iter()
        .map(|(state, count)| format!("{} {state}", text::count(*count as u64)))
        .collect();
    let rows = html! {
        @for session in sessions.listed.iter().take(limits::PAGE_SESSIONS) {
            tr {
                td class="mono" { (session.session) }
                td { (session.state) @if let Some(idle) = session.idle { " for " (text::time(idle)) } }
                td class="n" { (text::count(session.running as u64)) }
                td class="n" { (text::count(session.in_flight as u64)) }
                td class="n" { (text::count(session.questions as u64)) }
                td class="n" { (text::count(session.unread as u64)) }
                td class="n" { (text::count(session.dropped)) }
            }
        }
    };
    let columns = ["session", "state", "#running", "#in flight", "#questions", "#unread", "#dropped"];
    html! {
        p class="dim" { (text::count(sessions.total as u64)) " in all: " (states.join(", ")) }
        @if !sessions.listed.is_empty() { (table("sessions", &columns, &rows)) }
        @if sessions.total > limits::PAGE_SESSIONS {
            p class="dim" { "The busiest are listed." }
        }
    }
}

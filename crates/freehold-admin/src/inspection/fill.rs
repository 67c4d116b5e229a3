//! From a look to what is told of it.

use super::{
    ActivityRow, BreakerRow, CallGroup, CallRow, Calls, ClassRow, FindingRow, HoldRow, Inspection, LockRow,
    ReportRow, ServerRow, SessionRow, Sessions, ViolationRow, WaitRow,
};
use crate::{
    health::Readiness,
    limits,
    look::Look,
    source::{SessionSnapshot, Source},
    telemetry::{Gathered, KeptReport},
};
use freehold::{CallSnapshot, Finding, FindingKind};
use freehold_sync::{Actor, Holding, Observed, Waiting, lock_classes};
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

/// Of a lock's holders and waiters so many are named.
const NAMED: usize = 8;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// In lower case; what does not contain it is not listed.
    pub(crate) search: String,
    /// Items of each list.
    pub(crate) most: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self { search: String::new(), most: limits::LISTED }
    }
}

pub(crate) fn seconds(time: Duration) -> f64 {
    // To the microsecond: more digits are noise.
    (time.as_secs_f64() * 1e6).round() / 1e6
}

fn since(now: Instant, at: Instant) -> f64 {
    seconds(now.saturating_duration_since(at))
}

/// A call by its method and what it is about.
pub(crate) fn labelled(method: &str, subject: Option<&str>) -> String {
    match subject {
        Some(subject) => format!("{method} {subject}"),
        None => method.to_owned(),
    }
}

impl Inspection {
    /// What is told of a look.
    pub(crate) fn of(look: &Look, source: &dyn Source, gathered: &Gathered, query: &Query) -> Self {
        let now = look.at;
        let reports = gathered.reports().iter().map(|kept| report_row(kept, now)).take(query.most).collect();
        let violations = gathered.violations();
        let violations = violations
            .iter()
            .take(query.most)
            .map(|kept| ViolationRow { summary: kept.violation.to_string(), age: since(now, kept.at) });
        Self {
            server: server_row(look, source, gathered),
            sessions: sessions(look, query),
            calls: calls(look, query),
            others: others(look, query),
            locks: lock_rows(look, query.most),
            classes: class_rows(query.most),
            breakers: breakers(look, query.most),
            findings: look.findings.iter().take(query.most).map(finding_row).collect(),
            reports,
            violations: violations.collect(),
            counters: look.counters.named().map(|(name, count)| (name.to_owned(), count)).collect(),
        }
    }
}

fn server_row(look: &Look, source: &dyn Source, gathered: &Gathered) -> ServerRow {
    let readiness = Readiness::of(look.draining, &look.findings);
    ServerRow {
        ready: readiness.is_ready(),
        not_ready: readiness.reasons().to_vec(),
        draining: look.draining,
        uptime: since(look.at, gathered.started()),
        calls: look.call_count,
        calls_limit: source.limits().calls_total,
        sessions_limit: source.limits().sessions,
        retries_left: look.retries_left,
        look: seconds(look.took),
    }
}

fn session_row(session: &SessionSnapshot) -> SessionRow {
    let state = match (session.initialized, session.idle_for) {
        (false, _) => "initializing",
        (true, None) => "active",
        (true, Some(_)) => "idle",
    };
    SessionRow {
        session: session.id.abbreviated(),
        state: state.to_owned(),
        running: session.gauges.running,
        in_flight: session.gauges.in_flight,
        questions: session.gauges.questions,
        unread: session.lag.waiting,
        dropped: session.lag.dropped,
        idle: session.idle_for.map(seconds),
    }
}

fn sessions(look: &Look, query: &Query) -> Sessions {
    let states = look.session_states;
    let by_state = [("initializing", states.initializing), ("active", states.active), ("idle", states.idle)];
    let total: usize = by_state.iter().map(|(_, count)| count).sum();
    let mut listed: Vec<_> = look.sessions.iter().map(session_row).collect();
    let beyond = total - total.min(listed.len());
    listed.retain(|row| query.search.is_empty() || row.session.contains(&query.search));
    let omitted = listed.len().saturating_sub(query.most) + if query.search.is_empty() { beyond } else { 0 };
    listed.truncate(query.most);
    Sessions {
        total,
        by_state: by_state.map(|(state, count)| (state.to_owned(), count)).into(),
        listed,
        omitted,
    }
}

/// Method, subject, stage and awaited class.
type Alike<'a> = (&'a str, Option<&'a str>, &'a str, Option<&'a str>);
/// How many do the same, and the age of the oldest.
type Groups<'a> = HashMap<Alike<'a>, (usize, Duration)>;

fn calls(look: &Look, query: &Query) -> Calls {
    let mut by_stage = BTreeMap::new();
    let mut groups = Groups::new();
    let mut listed = Vec::new();
    let mut matching = 0;
    for call in &look.calls {
        *by_stage.entry(call.stage.name().to_owned()).or_default() += 1;
        let member = look.member_of(call);
        if !fits(look, call, member, &query.search) {
            continue;
        }
        matching += 1;
        let awaited = member.and_then(|member| member.waits.first()).map(|wait| wait.lock.class);
        let group = groups.entry((&*call.method, call.subject.as_deref(), call.stage.name(), awaited));
        let (count, oldest) = group.or_default();
        *count += 1;
        *oldest = (*oldest).max(call.age);
        if listed.len() < query.most {
            listed.push(call_row(look, call, member));
        }
    }
    Calls {
        total: look.calls.len(),
        by_stage,
        matching,
        groups: sorted_groups(groups, query.most),
        omitted: matching - listed.len(),
        listed,
    }
}

fn sorted_groups(groups: Groups<'_>, most: usize) -> Vec<CallGroup> {
    let group =
        |((method, subject, stage, awaited), (count, oldest)): (Alike<'_>, (usize, Duration))| CallGroup {
            label: labelled(method, subject),
            stage: stage.to_owned(),
            waits_for: awaited.map(ToOwned::to_owned),
            count,
            oldest: seconds(oldest),
        };
    let mut groups: Vec<_> = groups.into_iter().map(group).collect();
    groups.sort_by(|a, b| (b.count, &a.label, &a.stage).cmp(&(a.count, &b.label, &b.stage)));
    groups.truncate(most);
    groups
}

/// Whether what is searched for stands in what is told of a call.
fn fits(look: &Look, call: &CallSnapshot, member: Option<&Observed>, search: &str) -> bool {
    if search.is_empty() {
        return true;
    }
    let has = |text: &str| text.to_lowercase().contains(search);
    has(&call.method)
        || call.subject.as_deref().is_some_and(has)
        || has(call.stage.name())
        || has(&call.session.abbreviated())
        || call.id.as_ref().is_some_and(|id| has(&id.to_string()))
        || member.is_some_and(|member| {
            member.holds.iter().any(|hold| has(hold.lock.class))
                || member.waits.iter().any(|wait| has(wait.lock.class) || has(&named(look, &wait.holder)))
        })
}

fn call_row(look: &Look, call: &CallSnapshot, member: Option<&Observed>) -> CallRow {
    CallRow {
        session: call.session.abbreviated(),
        id: call.id.as_ref().map(ToString::to_string),
        method: call.method.clone(),
        subject: call.subject.as_deref().map(ToOwned::to_owned),
        stage: call.stage.name().to_owned(),
        age: seconds(call.age),
        remaining: seconds(call.remaining),
        settled: call.settled,
        activity: member.map(|member| member.actor.number),
        holds: member.map_or_else(Vec::new, |member| member.holds.iter().map(hold_row).collect()),
        waits: member
            .map_or_else(Vec::new, |member| member.waits.iter().map(|wait| wait_row(look, wait)).collect()),
    }
}

/// Somebody by the call it runs, or its own name.
fn named(look: &Look, actor: &Actor) -> String {
    let name = match (actor.name.is_empty(), actor.number) {
        (true, number) => format!("activity #{number}"),
        (false, 0) => actor.name.to_string(),
        (false, number) => format!("{} (#{number})", actor.name),
    };
    match look.call_of(actor) {
        Some(call) => format!("{name} in {}", call.session.abbreviated()),
        None => name,
    }
}

fn hold_row(hold: &Holding) -> HoldRow {
    HoldRow {
        class: hold.lock.class.to_owned(),
        address: format!("{:#x}", hold.lock.address),
        at: hold.site.map(ToString::to_string),
        held: hold.held_for.map(seconds),
    }
}

fn wait_row(look: &Look, wait: &Waiting) -> WaitRow {
    WaitRow {
        class: wait.lock.class.to_owned(),
        address: format!("{:#x}", wait.lock.address),
        mode: wait.mode.to_string(),
        at: wait.site.map(ToString::to_string),
        waited: seconds(wait.waited),
        holder: named(look, &wait.holder),
    }
}

fn others(look: &Look, query: &Query) -> Vec<ActivityRow> {
    let members = look.observation.members.iter().filter(|member| look.call_of(&member.actor).is_none());
    let rows = members.map(|member| ActivityRow {
        name: named(look, &member.actor),
        holds: member.holds.iter().map(hold_row).collect(),
        waits: member.waits.iter().map(|wait| wait_row(look, wait)).collect(),
    });
    let found =
        |row: &ActivityRow| query.search.is_empty() || row.name.to_lowercase().contains(&query.search);
    rows.filter(found).take(query.most).collect()
}

/// Who holds and who waits, by lock.
pub(crate) fn lock_rows(look: &Look, most: usize) -> Vec<LockRow> {
    let mut locks: BTreeMap<usize, LockRow> = BTreeMap::new();
    let mut row_of = |class: &str, address: usize, note: &dyn Fn(&mut LockRow)| {
        note(locks.entry(address).or_insert_with(|| LockRow {
            class: class.to_owned(),
            address: format!("{address:#x}"),
            ..LockRow::default()
        }));
    };
    for member in &look.observation.members {
        for hold in &member.holds {
            row_of(hold.lock.class, hold.lock.address, &|row| {
                row.held_by += 1;
                if row.holders.len() < NAMED {
                    row.holders.push(named(look, &member.actor));
                }
            });
        }
    }
    for member in &look.observation.members {
        for wait in &member.waits {
            row_of(wait.lock.class, wait.lock.address, &|row| {
                row.waited_for_by += 1;
                if row.waiters.len() < NAMED {
                    row.waiters.push(named(look, &member.actor));
                }
                // Of plain guards only this is known.
                if row.held_by == 0 && row.holders.is_empty() {
                    row.holders.push(named(look, &wait.holder));
                }
            });
        }
    }
    let mut rows: Vec<_> = locks.into_values().collect();
    for row in &mut rows {
        row.held_by = row.held_by.max(row.holders.len());
    }
    rows.sort_by(|a, b| (b.waited_for_by, b.held_by, &a.class).cmp(&(a.waited_for_by, a.held_by, &b.class)));
    rows.truncate(most);
    rows
}

fn class_rows(most: usize) -> Vec<ClassRow> {
    let rows = lock_classes().into_iter().map(|class| {
        let metrics = class.metrics();
        ClassRow {
            class: class.name().to_owned(),
            // They are counted a little later than the waits.
            acquisitions: metrics.acquisitions.max(metrics.contended),
            contended: metrics.contended,
            ratio: ratio(metrics.contended, metrics.acquisitions),
            wait_p50: seconds(metrics.wait.quantile(0.5)),
            wait_p99: seconds(metrics.wait.quantile(0.99)),
            hold_p99: seconds(metrics.hold_contended.quantile(0.99)),
            timeouts: metrics.timeouts,
            deadlocks: metrics.deadlocks,
        }
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|a, b| (b.contended, &a.class).cmp(&(a.contended, &b.class)));
    rows.truncate(most);
    rows
}

/// The share of acquisitions that waited. They are counted a little later than the waits, so it is cut at one.
pub(crate) fn ratio(contended: u64, acquisitions: u64) -> f64 {
    if acquisitions == 0 {
        return if contended == 0 { 0.0 } else { 1.0 };
    }
    (contended as f64 / acquisitions as f64).min(1.0)
}

fn breakers(look: &Look, most: usize) -> Vec<BreakerRow> {
    let mut rows: Vec<_> = look.breakers.iter().collect();
    let closed = |state| state == freehold::BreakerState::Closed;
    rows.sort_by(|a, b| (closed(a.state), &a.name).cmp(&(closed(b.state), &b.name)));
    let row = |breaker: &&freehold::BreakerSnapshot| BreakerRow {
        name: breaker.name.to_string(),
        state: breaker.state.to_string(),
        calls: breaker.calls,
        failures: breaker.failures,
    };
    rows.iter().take(most).map(row).collect()
}

/// A finding in one line.
pub(crate) fn finding_row(finding: &Finding) -> FindingRow {
    let label = labelled(&finding.method, finding.subject.as_deref());
    let session = finding.session.abbreviated();
    let (kind, summary) = match &finding.kind {
        FindingKind::ThreadBlocked { thread, lasts, .. } => (
            "thread_blocked",
            format!("{label} in session {session} blocks the thread {thread} for {lasts:.1?} already"),
        ),
        FindingKind::Slow { stage, age, limit, holds, waits, .. } => {
            let mut summary = format!(
                "{label} in session {session} is past its soft limit of {limit:?}: {age:.1?} old, stage {}",
                stage.name()
            );
            for hold in holds {
                summary.push_str(&format!("; holds {}", hold.lock.class));
            }
            for wait in waits {
                summary.push_str(&format!("; waits for {} behind {}", wait.lock.class, wait.holder.name));
            }
            ("slow", summary)
        }
        _ => ("other", format!("{label} in session {session}")),
    };
    FindingRow { kind: kind.to_owned(), label, session, summary }
}

fn report_row(kept: &KeptReport, now: Instant) -> ReportRow {
    let report = &kept.report;
    ReportRow {
        id: report.id.clone(),
        fingerprint: format!("{:016x}", report.fingerprint),
        grade: report.grade.to_string(),
        headline: report.headline(),
        advice: report.advice(),
        age: since(now, kept.at),
    }
}

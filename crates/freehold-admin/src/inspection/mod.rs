//! Everything that is seen at one moment, as it is written to JSON and read back.

mod fill;

pub(crate) use fill::{Query, finding_row, ratio};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What `/admin/inspect` answers. Times are in seconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Inspection {
    /// The server as a whole.
    pub server: ServerRow,
    /// Its sessions.
    pub sessions: Sessions,
    /// Calls that run or wait, with what they hold and wait for.
    pub calls: Calls,
    /// Activities, threads and waits that are no calls and hold or wait for something.
    pub others: Vec<ActivityRow>,
    /// Locks that somebody holds or waits for, those with most who wait first.
    pub locks: Vec<LockRow>,
    /// Lock classes with their contention since the start, the most contended first.
    pub classes: Vec<ClassRow>,
    /// Circuit breakers.
    pub breakers: Vec<BreakerRow>,
    /// What the watchdog found and still stands.
    pub findings: Vec<FindingRow>,
    /// Deadlocks, proven and suspected, the newest first.
    pub reports: Vec<ReportRow>,
    /// Locks taken against the order, the newest first.
    pub violations: Vec<ViolationRow>,
    /// The engine's counters.
    pub counters: BTreeMap<String, u64>,
}

/// The server as a whole.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ServerRow {
    /// Whether it should get requests.
    pub ready: bool,
    /// Why not.
    pub not_ready: Vec<String>,
    /// Whether it ends.
    pub draining: bool,
    /// Since it is watched.
    pub uptime: f64,
    /// Calls admitted and not gone.
    pub calls: usize,
    /// How many there may be.
    pub calls_limit: usize,
    /// How many sessions there may be.
    pub sessions_limit: usize,
    /// Re-runs that are left in the budget.
    pub retries_left: u64,
    /// What looking at all this took.
    pub look: f64,
}

/// Sessions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Sessions {
    /// All of them.
    pub total: usize,
    /// By `initializing`, `active` and `idle`.
    pub by_state: BTreeMap<String, usize>,
    /// Those with most calls first.
    pub listed: Vec<SessionRow>,
    /// How many that fit the search are not listed.
    pub omitted: usize,
}

/// One session.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SessionRow {
    /// The beginning of its id; all of it would let its reader in.
    pub session: String,
    /// `initializing`, `active` or `idle`.
    pub state: String,
    /// Calls that hold a slot.
    pub running: usize,
    /// Calls without an outcome.
    pub in_flight: usize,
    /// Open questions to its client.
    pub questions: usize,
    /// Messages that its client has not read.
    pub unread: usize,
    /// Notifications that were dropped because its client was too slow.
    pub dropped: u64,
    /// How long it has been idle, if it is.
    pub idle: Option<f64>,
}

/// Calls.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Calls {
    /// All that have a task of their own.
    pub total: usize,
    /// By their stage.
    pub by_stage: BTreeMap<String, usize>,
    /// How many fit the search.
    pub matching: usize,
    /// Those that fit, put together where they do the same, the largest first.
    pub groups: Vec<CallGroup>,
    /// Those that fit, oldest first.
    pub listed: Vec<CallRow>,
    /// How many of those are not listed.
    pub omitted: usize,
}

/// Calls of one method that are at one stage and wait for the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CallGroup {
    /// The method, and what it is about.
    pub label: String,
    /// Where they are.
    pub stage: String,
    /// The class that they wait for.
    pub waits_for: Option<String>,
    /// How many.
    pub count: usize,
    /// The age of the oldest.
    pub oldest: f64,
}

/// One call.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CallRow {
    /// The beginning of its session's id.
    pub session: String,
    /// Its request's id.
    pub id: Option<String>,
    /// Its method.
    pub method: String,
    /// What it is about: the tool of a `tools/call`.
    pub subject: Option<String>,
    /// Where it is.
    pub stage: String,
    /// Since its arrival.
    pub age: f64,
    /// Until its deadline.
    pub remaining: f64,
    /// Whether its outcome is decided, and only its handler goes on.
    pub settled: bool,
    /// The number of its activity, as in reports; nothing if it neither holds nor waits for anything.
    pub activity: Option<u64>,
    /// What it holds.
    pub holds: Vec<HoldRow>,
    /// What it waits for.
    pub waits: Vec<WaitRow>,
}

/// Who holds or waits and is no call.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ActivityRow {
    /// Its name, with its number.
    pub name: String,
    /// What it holds.
    pub holds: Vec<HoldRow>,
    /// What it waits for.
    pub waits: Vec<WaitRow>,
}

/// One hold.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HoldRow {
    /// The class of the lock.
    pub class: String,
    /// Tells it from others of its class.
    pub address: String,
    /// Where in the source it was acquired.
    pub at: Option<String>,
    /// For how long, where somebody looked at the clock.
    pub held: Option<f64>,
}

/// One wait.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WaitRow {
    /// The class of the lock.
    pub class: String,
    /// Tells it from others of its class.
    pub address: String,
    /// How: `lock`, `read`, `write`, ...
    pub mode: String,
    /// Where in the source.
    pub at: Option<String>,
    /// For how long.
    pub waited: f64,
    /// Who has it, or stands for those who do.
    pub holder: String,
}

/// A lock that somebody holds or waits for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LockRow {
    /// Its class.
    pub class: String,
    /// Tells it from others of its class.
    pub address: String,
    /// Some of those who hold it.
    pub holders: Vec<String>,
    /// How many hold it.
    pub held_by: usize,
    /// Some of those who wait for it.
    pub waiters: Vec<String>,
    /// How many wait for it.
    pub waited_for_by: usize,
}

/// The measurements of a lock class.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ClassRow {
    /// Its name.
    pub class: String,
    /// Acquisitions.
    pub acquisitions: u64,
    /// Those that had to wait.
    pub contended: u64,
    /// Their share.
    pub ratio: f64,
    /// How long half of those that waited did at most.
    pub wait_p50: f64,
    /// The same of 99 of 100.
    pub wait_p99: f64,
    /// How long 99 of 100 holds that began with a wait lasted at most.
    pub hold_p99: f64,
    /// Waits that ended at their deadline.
    pub timeouts: u64,
    /// Waits that ended as victim of a deadlock.
    pub deadlocks: u64,
}

/// A circuit breaker.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct BreakerRow {
    /// Of which method or tool.
    pub name: String,
    /// `closed`, `open` or `half-open`.
    pub state: String,
    /// Calls of its window.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
}

/// What the watchdog found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FindingRow {
    /// `slow` or `thread_blocked`.
    pub kind: String,
    /// The method, and what it is about.
    pub label: String,
    /// The beginning of its session's id.
    pub session: String,
    /// It in one line.
    pub summary: String,
}

/// A report.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ReportRow {
    /// Its id.
    pub id: String,
    /// The same for deadlocks of one shape.
    pub fingerprint: String,
    /// `PROVEN` or `SUSPECTED`.
    pub grade: String,
    /// It in one line.
    pub headline: String,
    /// What to do about it.
    pub advice: String,
    /// Since it came.
    pub age: f64,
}

/// A lock taken against the order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ViolationRow {
    /// It in one line.
    pub summary: String,
    /// Since it came.
    pub age: f64,
}

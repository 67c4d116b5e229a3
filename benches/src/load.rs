//! Load in a closed loop: every connection sends its next call as soon as the last one was answered and checked.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::cpu_time::CpuClock;
use crate::mcp_connection::McpConnection;
use crate::mcp_requests::Era;
use crate::stats::Latency;

/// A call that takes longer than this after the end of the window counts as never answered.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(10);
const LATENCIES_AT_FIRST: usize = 16 * 1024;

/// Which sessions the connections speak for.
#[derive(Debug, Clone)]
pub enum Sessions {
    /// Each opens one of its own, and ends it afterwards.
    Own,
    /// All share this one.
    Joined(String),
    /// Each initializes with a server that gives no session id.
    WithoutId,
    /// None: stateless.
    None,
}

impl Sessions {
    fn era(&self) -> Era {
        match self {
            Self::Own | Self::Joined(_) => Era::Session,
            Self::WithoutId => Era::NoSessionId,
            Self::None => Era::Stateless,
        }
    }
}

/// One measured stretch of load.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// Where the server listens.
    pub port: u16,
    /// How many connections, each with one call in flight.
    pub connections: u32,
    /// Numbers of the connections begin here.
    pub first_number: u32,
    /// Which sessions they speak for.
    pub sessions: Sessions,
    /// Load before the window opens.
    pub warm_up: Duration,
    /// Length of the window.
    pub measure: Duration,
    /// What is asked for.
    pub answers: Answers,
}

/// How calls are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Answers {
    /// An echo alone: JSON, but for servers that always answer with event streams.
    Plain,
    /// Progress, then the answer: an event stream.
    Streamed,
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Plain => "plain",
            Self::Streamed => "streamed",
        })
    }
}

/// What was seen in the window.
#[derive(Debug, Clone, Copy)]
pub struct LoadReport {
    /// Calls answered, every one of them checked.
    pub requests: u64,
    /// How long the window really was.
    pub elapsed: Duration,
    /// CPU time that the server spent in the window.
    pub server_cpu: Duration,
    /// How long the server was kept waiting for its core in the window.
    pub server_waited: Duration,
    /// Time from sending a call to the end of its answer.
    pub latency: Latency,
}

#[expect(clippy::cast_precision_loss, reason = "counts of one short run")]
impl LoadReport {
    /// Server CPU per request, in microseconds.
    #[must_use]
    pub fn cpu_us_per_request(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.requests as f64
    }

    /// Share of the window in which the server waited for its core, in percent.
    #[must_use]
    pub fn waited_percent(&self) -> f64 {
        100.0 * self.server_waited.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// Requests per second.
    #[must_use]
    pub fn requests_per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }
}

/// Runs the plan against a server whose CPU clock is given.
///
/// # Errors
///
/// When a single answer is wrong or missing.
pub async fn run(plan: &LoadPlan, server: CpuClock) -> Result<LoadReport> {
    let phase = Arc::new(Phase::default());
    let mut workers = start_workers(plan, &phase).await?;
    sleep(plan.warm_up).await;
    phase.set(Phase::MEASURE);
    let waited_before = server.waited_for_core()?;
    let (began, cpu_before) = (Instant::now(), server.read()?);
    sleep(plan.measure).await;
    let (elapsed, cpu_after) = (began.elapsed(), server.read()?);
    let waited_after = server.waited_for_core()?;
    phase.set(Phase::STOP);
    let latencies = timeout(LAST_ANSWER_WITHIN, collect(&mut workers))
        .await
        .with_context(|| format!("a call was not answered within {LAST_ANSWER_WITHIN:?}"))??;
    ensure!(!latencies.is_empty(), "no call was answered in the window");
    Ok(LoadReport {
        requests: latencies.len() as u64,
        elapsed,
        server_cpu: cpu_after.saturating_sub(cpu_before),
        server_waited: waited_after.saturating_sub(waited_before),
        latency: Latency::of(latencies),
    })
}

async fn start_workers(plan: &LoadPlan, phase: &Arc<Phase>) -> Result<JoinSet<WorkerReport>> {
    let mut workers = JoinSet::new();
    for number in plan.first_number..plan.first_number + plan.connections {
        let connection = connect(plan, number).await?;
        workers.spawn(work(connection, number, plan.clone(), Arc::clone(phase)));
    }
    Ok(workers)
}

async fn connect(plan: &LoadPlan, number: u32) -> Result<McpConnection> {
    let mut connection = McpConnection::connect(plan.port, plan.sessions.era(), number).await?;
    match &plan.sessions {
        Sessions::Own => drop(connection.open_session().await?),
        Sessions::Joined(session) => connection.join_session(session.clone()),
        Sessions::WithoutId => connection.open_without_id().await?,
        Sessions::None => {}
    }
    Ok(connection)
}

struct WorkerReport {
    latencies: Vec<Duration>,
    failure: Option<anyhow::Error>,
}

async fn work(mut connection: McpConnection, number: u32, plan: LoadPlan, phase: Arc<Phase>) -> WorkerReport {
    let mut latencies = Vec::with_capacity(LATENCIES_AT_FIRST);
    let mut failure =
        call_until_stopped(&mut connection, number, plan.answers, &phase, &mut latencies).await.err();
    if failure.is_none() && matches!(plan.sessions, Sessions::Own) {
        failure = connection.end_session().await.err();
    }
    WorkerReport { latencies, failure }
}

async fn call_until_stopped(
    connection: &mut McpConnection,
    number: u32,
    answers: Answers,
    phase: &Phase,
    latencies: &mut Vec<Duration>,
) -> Result<()> {
    let mut text = String::new();
    for sequence in 0_u64.. {
        if phase.get() == Phase::STOP {
            break;
        }
        text.clear();
        write!(text, "connection {number:05} echo {sequence:08}")?;
        let sent = Instant::now();
        match answers {
            Answers::Plain => connection.echo(&text).await?,
            Answers::Streamed => connection.progress().await?,
        }
        if phase.get() == Phase::MEASURE {
            latencies.push(sent.elapsed());
        }
    }
    Ok(())
}

async fn collect(workers: &mut JoinSet<WorkerReport>) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let (mut failures, mut first_failure) = (0_u32, None);
    while let Some(worker) = workers.join_next().await {
        let worker = worker?;
        latencies.extend(worker.latencies);
        failures += u32::from(worker.failure.is_some());
        first_failure = first_failure.or(worker.failure);
    }
    match first_failure {
        None => Ok(latencies),
        Some(failure) => {
            Err(failure.context(format!("{failures} connections saw a failure, the first one was")))
        }
    }
}

/// Warm-up, window or end. Relaxed is enough: nothing else is published through it, and a request more or less on a
/// border of the window does not matter.
#[derive(Debug, Default)]
struct Phase(AtomicU8);

impl Phase {
    const MEASURE: u8 = 1;
    const STOP: u8 = 2;

    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

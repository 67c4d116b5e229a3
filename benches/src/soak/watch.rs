//! What the server has while it is loaded, looked at once a second; and how it comes to rest afterwards.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::limits;
use super::metrics::Metrics;
use super::server::{Handles, Served};

const EVERY: Duration = Duration::from_secs(1);
const REST_POLL: Duration = Duration::from_millis(200);

/// One look.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Resident bytes.
    pub resident: u64,
    /// Files and threads.
    pub handles: Handles,
    /// Calls that run or wait.
    pub calls: f64,
    /// Sessions.
    pub sessions: f64,
    /// Slots in use over their limit, in the session that uses most.
    pub slots: f64,
    /// Waiting calls over their limit, in the session with most.
    pub queue: f64,
}

/// All looks of a cycle.
#[derive(Debug, Default)]
pub struct Samples {
    /// Those that were answered, in order.
    pub taken: Vec<Sample>,
    /// Those that were not.
    pub missed: u64,
}

impl Samples {
    /// The largest of a figure.
    pub fn most(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        self.taken.iter().map(figure).fold(0.0, f64::max)
    }

    /// The most resident bytes in the middle third and in the last one.
    #[must_use]
    pub fn resident_by_third(&self) -> (u64, u64) {
        let third = self.taken.len() / 3;
        let most = |samples: &[Sample]| samples.iter().map(|sample| sample.resident).max().unwrap_or(0);
        (most(&self.taken[third..2 * third]), most(&self.taken[2 * third..]))
    }
}

/// Looks once a second, for as long as it is polled.
pub async fn watch(server: &Served, samples: &mut Samples) -> Infallible {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match look(server).await {
            Ok(sample) => samples.taken.push(sample),
            Err(failure) => {
                eprintln!("a look at the server failed: {failure:#}");
                samples.missed += 1;
            }
        }
    }
}

async fn look(server: &Served) -> Result<Sample> {
    let metrics = server.scrape().await?;
    Ok(Sample {
        resident: server.resident_bytes()?,
        handles: server.handles()?,
        calls: metrics.total("freehold_calls_in_flight", &[])?,
        sessions: metrics.total("freehold_sessions", &[])?,
        slots: metrics.total("freehold_session_slot_saturation_ratio", &[])?,
        queue: metrics.total("freehold_queue_saturation_ratio", &[])?,
    })
}

/// What is there once nobody uses the server.
#[derive(Debug, Clone)]
pub struct Rest {
    /// How long it took until all was as before; if it never was, how long that was waited for.
    pub took: Duration,
    /// Sessions.
    pub sessions: f64,
    /// Calls.
    pub calls: f64,
    /// Locks that are held or waited for, holders and waiters together.
    pub locks: f64,
    /// Files and threads.
    pub handles: Handles,
    /// Resident bytes.
    pub resident: u64,
    /// All that the server says.
    pub metrics: Metrics,
}

impl Rest {
    async fn look(server: &Served, took: Duration) -> Result<Self> {
        // Before the scrape, whose connection may not be closed at once.
        let handles = server.handles()?;
        let metrics = server.scrape().await?;
        Ok(Self {
            took,
            sessions: metrics.total("freehold_sessions", &[])?,
            calls: metrics.total("freehold_calls_in_flight", &[])?,
            locks: metrics.sum("freehold_lock_holders", &[]) + metrics.sum("freehold_lock_waiters", &[]),
            handles,
            resident: server.resident_bytes()?,
            metrics,
        })
    }

    /// Whether its tables are empty, and it has no more open files than at first. Threads that the first call of some kind
    /// starts stay.
    #[must_use]
    pub fn is_as_before(&self, first: Handles) -> bool {
        self.sessions + self.calls + self.locks == 0.0 && self.handles.files <= first.files
    }
}

/// Waits until all is as it was `first`; what is there then, or when that was waited for long enough.
///
/// # Errors
///
/// When the server does not answer.
pub async fn rest(server: &Served, first: Handles) -> Result<Rest> {
    let began = Instant::now();
    loop {
        let rest = Rest::look(server, began.elapsed()).await?;
        if rest.is_as_before(first) || rest.took >= limits::AT_REST_WITHIN {
            return Ok(rest);
        }
        sleep(REST_POLL).await;
    }
}

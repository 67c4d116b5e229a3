//! Many callers, each of which sends its next request when its last one was answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use freehold::{Request, Response};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::Server;
use super::handlers::{Echo, Slow};
use super::times::request_id;
use crate::stats::Latency;

/// Who calls, and what.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Callers; the first belongs to the first session, the second to the second, and so on around.
    pub callers: usize,
    /// Sessions.
    pub sessions: usize,
    /// How many of a hundred calls are slow.
    pub slow_percent: u32,
    /// How long a slow one takes.
    pub slow_ms: u64,
    /// Load before the window opens.
    pub warm_up: Duration,
    /// Length of the window.
    pub measure: Duration,
}

/// What one server did in one window.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct LoadFigures {
    /// Calls that ended in the window, per second.
    pub calls_per_second: f64,
    /// From sending to the answer, of the calls that began and ended in it.
    pub latency: Latency,
}

/// Draws numbers that are the same in every run.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// Those of one caller.
    #[must_use]
    pub fn of(caller: usize) -> Self {
        Self(caller as u64)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % u64::from(bound)) as u32
    }
}

/// What a caller saw in the window.
#[derive(Debug, Default)]
struct Seen {
    ended: u32,
    latencies: Vec<Duration>,
}

struct Window {
    opens: Instant,
    closes: Instant,
}

impl Seen {
    fn call(&mut self, window: &Window, begun: Instant, ended: Instant) {
        if ended < window.opens || ended > window.closes {
            return;
        }
        self.ended += 1;
        if begun >= window.opens {
            self.latencies.push(ended - begun);
        }
    }
}

/// Puts the load on the server and returns what it did; also checks every answer, and that each call was counted.
///
/// # Errors
///
/// When an answer is wrong, or a call was not counted, or twice.
pub async fn run<S: Server>(server: &Arc<S>, plan: Plan) -> Result<LoadFigures> {
    let before = server.tally().await;
    let opens = Instant::now() + plan.warm_up;
    let window = Arc::new(Window { opens, closes: opens + plan.measure });
    let mut callers = JoinSet::new();
    for caller in 0..plan.callers {
        callers.spawn(call_until_closed(server.clone(), plan, window.clone(), caller));
    }
    let (mut ended, mut sent, mut latencies) = (0, 0, Vec::new());
    while let Some(caller) = callers.join_next().await {
        let (seen, calls) = caller??;
        ended += seen.ended;
        sent += u64::from(calls);
        latencies.extend(seen.latencies);
    }
    let counted = server.tally().await - before;
    ensure!(counted == sent, "{sent} calls, and the sessions counted {counted}");
    let calls_per_second = f64::from(ended) / plan.measure.as_secs_f64();
    Ok(LoadFigures { calls_per_second, latency: Latency::of(latencies) })
}

async fn call_until_closed<S: Server>(
    server: Arc<S>,
    plan: Plan,
    window: Arc<Window>,
    caller: usize,
) -> Result<(Seen, u32)> {
    let (mut seen, mut dice) = (Seen::default(), Dice::of(caller));
    let session = caller % plan.sessions;
    let mut number = 0;
    let mut begun = Instant::now();
    while begun < window.closes {
        number += 1;
        if dice.below(100) < plan.slow_percent {
            call_slow(&*server, session, request_id(caller, number), plan.slow_ms).await?;
        } else {
            call_echo(&*server, session, request_id(caller, number)).await?;
        }
        let ended = Instant::now();
        seen.call(&window, begun, ended);
        begun = ended;
        // A server that answers without ever waiting must not keep the other callers out.
        tokio::task::consume_budget().await;
    }
    Ok((seen, number))
}

/// Calls `echo` and checks the answer.
///
/// # Errors
///
/// When it is wrong.
pub async fn call_echo(server: &impl Server, session: usize, id: i64) -> Result<()> {
    let echo = Echo { text: format!("the quick brown fox number {id}") };
    let answer = server.process(session, Request::new(id, "echo", &echo)?).await?;
    let echoed: Echo = result_of(&answer, id)?;
    ensure!(echoed == echo, "a wrong answer: {echoed:?}");
    Ok(())
}

/// Calls `slow` and checks the answer.
///
/// # Errors
///
/// When it is wrong.
pub async fn call_slow(server: &impl Server, session: usize, id: i64, ms: u64) -> Result<()> {
    let answer = server.process(session, Request::new(id, "slow", &Slow { ms })?).await?;
    let slow: Slow = result_of(&answer, id)?;
    ensure!(slow.ms == ms, "a wrong answer: {slow:?}");
    Ok(())
}

/// Reads the result of an answer.
///
/// # Errors
///
/// When it is an error, or somebody else's.
pub fn result_of<T: serde::de::DeserializeOwned>(answer: &Response<'_>, id: i64) -> Result<T> {
    ensure!(answer.id == Some(id.into()), "the answer to {:?} instead of {id}", answer.id);
    let result = answer.result.as_ref().map_err(Clone::clone).context("an error for an answer")?;
    Ok(serde_json::from_str(result.get())?)
}

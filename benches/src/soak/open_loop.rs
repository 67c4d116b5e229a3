//! The load: calls at a fixed rate, whether the server keeps up or not.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::client::Clients;
use super::limits;
use super::mixture::Mixture;

const TICK: Duration = Duration::from_millis(1);

/// What was sent.
#[derive(Debug, Clone, Copy)]
pub struct Offered {
    /// Calls.
    pub calls: u64,
    /// From the first to the last.
    pub sending: Duration,
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
impl Offered {
    /// Calls a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.calls as f64 / self.sending.as_secs_f64()
    }
}

/// Sends `rate` calls a second for `span`, each when its time has come, and waits until each has its outcome. Who is late
/// catches up: all are sent.
///
/// # Errors
///
/// When nothing is answered any more, or a client panics.
pub async fn offer(clients: &Clients, mixture: &Mixture, rate: f64, span: Duration) -> Result<Offered> {
    let (began, calls) = (Instant::now(), count(rate, span));
    let mut running = JoinSet::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut sent = 0;
    while sent < calls {
        ticks.tick().await;
        let due = count(rate, began.elapsed()).min(calls);
        for number in sent..due {
            let planned = began + time_of(number, rate);
            running.spawn(send(clients.clone(), mixture.clone(), number, planned));
        }
        sent = due;
        while let Some(ended) = running.try_join_next() {
            ended?;
        }
        ensure!(running.len() <= limits::UNDER_WAY, "{} calls wait for an answer", running.len());
    }
    let sending = began.elapsed();
    while let Some(ended) = running.join_next().await {
        ended?;
    }
    Ok(Offered { calls, sending })
}

async fn send(clients: Clients, mixture: Mixture, number: u64, planned: Instant) {
    clients.tally.late(planned.elapsed());
    let call = mixture.call(number);
    clients.call(&call.speaker, call.tool_call(), call.manner).await;
}

/// How many are due after so long.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "far below 2^52, and positive")]
pub fn count(rate: f64, after: Duration) -> u64 {
    (rate * after.as_secs_f64()) as u64
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn time_of(number: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(number as f64 / rate)
}

//! What the server can do, in a closed loop: as many patient clients as there are slots, so that all are busy and nobody is
//! refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::client::{Clients, Speaker};
use super::limits;
use super::mixture::{HOLDING, Mixture};
use super::tally::Outcome;

/// Slots of the busy sessions, and places for stateless calls.
const SLOTS: u32 = limits::BUSY_SESSIONS * limits::RUNNING + limits::STATELESS;

/// Results a second that the limits allow, if a handler takes no longer than it says.
#[must_use]
pub fn by_limits() -> f64 {
    f64::from(SLOTS) / (HOLDING * limits::SERVICE.as_secs_f64())
}

/// Counted without an order: nothing else is published through these, and a call more or less on a border of the window does
/// not matter.
#[derive(Debug, Default)]
struct Loop {
    next: AtomicU64,
    answered: AtomicU64,
    over: AtomicBool,
}

/// Results a second.
///
/// # Errors
///
/// When a client panics.
#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
pub async fn measure(clients: &Clients, mixture: &Mixture) -> Result<f64> {
    let all = Arc::new(Loop::default());
    let mut workers = JoinSet::new();
    for slot in 0..SLOTS {
        let busy = (slot / limits::RUNNING) as usize;
        let speaker =
            mixture.busy.get(busy).map_or(Speaker::Stateless, |id| Speaker::Session(Arc::clone(id)));
        workers.spawn(call_until_over(clients.clone(), mixture.clone(), speaker, Arc::clone(&all)));
    }
    sleep(limits::CAPACITY_WARM_UP).await;
    let (began, before) = (Instant::now(), all.answered.load(Ordering::Relaxed));
    sleep(limits::CAPACITY_WINDOW).await;
    let answered = all.answered.load(Ordering::Relaxed) - before;
    let rate = answered as f64 / began.elapsed().as_secs_f64();
    all.over.store(true, Ordering::Relaxed);
    while let Some(worker) = workers.join_next().await {
        worker?;
    }
    Ok(rate)
}

async fn call_until_over(clients: Clients, mixture: Mixture, speaker: Speaker, all: Arc<Loop>) {
    while !all.over.load(Ordering::Relaxed) {
        let number = all.next.fetch_add(1, Ordering::Relaxed);
        let call = mixture.patient_call(number, speaker.clone());
        if clients.call(&call.speaker, call.tool_call(), call.manner).await == Outcome::Result {
            all.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

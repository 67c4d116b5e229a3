//! The periods of the scenarios. None of them is waited for when all is well.

use freehold_mcp::{HttpOptions, freehold::Limits};
use std::{future::Future, time::Duration};

/// The deadline of a wait under test (D), unless the scenario sets a shorter one to save time.
pub const DEADLINE: Duration = Duration::from_secs(2);
/// Reaching this is always a failure: 5 x D.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The same for scenarios of some hundred thousand messages or ten thousand sessions, whose work alone takes seconds.
pub const LARGE_TIME_LIMIT: Duration = Duration::from_secs(60);
/// What the scenarios want within 100 ms to 1 s must come within this; generous, since machines are noisy.
pub const PROMPT: Duration = Duration::from_secs(4);
/// A deadline that no scenario lives to see: what ends, ends for another reason.
pub const FAR: Duration = Duration::from_secs(120);

/// The engine's limits, with deadlines that are never the reason why something ends.
#[must_use]
pub fn patient() -> Limits {
    Limits {
        deadline: FAR,
        cancel_grace: Duration::from_millis(200),
        drain_grace: Duration::from_millis(500),
        ..Limits::default()
    }
}

/// The HTTP face, with a keep-alive that shows a quiet call's stream soon.
#[must_use]
pub fn lively() -> HttpOptions {
    HttpOptions { keep_alive: Duration::from_millis(100), ..HttpOptions::default() }
}

/// Runs a scenario within its time limit.
///
/// # Panics
///
/// At the limit.
pub async fn limited(scenario: impl Future<Output = ()>) {
    within(TIME_LIMIT, scenario).await;
}

/// Runs a large scenario within its time limit.
///
/// # Panics
///
/// At the limit.
pub async fn large(scenario: impl Future<Output = ()>) {
    within(LARGE_TIME_LIMIT, scenario).await;
}

async fn within(limit: Duration, scenario: impl Future<Output = ()>) {
    let scenario = Box::pin(scenario);
    tokio::time::timeout(limit, scenario).await.expect("the scenario reached its time limit");
}

/// Waits for what must come soon.
///
/// # Panics
///
/// If it does not come within [`PROMPT`].
pub async fn prompt<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PROMPT, future).await {
        Ok(output) => output,
        Err(_) => panic!("not within {PROMPT:?}: {what}"),
    }
}

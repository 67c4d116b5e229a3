//! An echo while a slow tool runs, in another session and in its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::times::request_id;
use super::{Design, Server, load};

/// How long an echo took beside a slow tool.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct HangFigures {
    /// Which design.
    pub design: Design,
    /// In another session.
    pub other_session: Duration,
    /// In the session of the slow tool.
    pub same_session: Duration,
}

/// The session of the slow tool, and another one.
const SLOW: usize = 0;
const OTHER: usize = 1;

/// Starts the slow tool, waits until it runs, and sends both echoes at once.
///
/// # Errors
///
/// When an answer is wrong.
pub async fn run<S: Server>(server: Arc<S>, slow_ms: u64) -> Result<HangFigures> {
    let slow = tokio::spawn({
        let server = server.clone();
        async move { load::call_slow(&*server, SLOW, request_id(0, 1), slow_ms).await }
    });
    server.app().slow_begun.notified().await;
    let (other, same) =
        tokio::join!(echo(&*server, OTHER, request_id(1, 1)), echo(&*server, SLOW, request_id(2, 1)));
    slow.await??;
    Ok(HangFigures { design: S::DESIGN, other_session: other?, same_session: same? })
}

async fn echo(server: &impl Server, session: usize, id: i64) -> Result<Duration> {
    let begun = Instant::now();
    load::call_echo(server, session, id).await?;
    Ok(begun.elapsed())
}

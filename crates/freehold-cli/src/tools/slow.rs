use freehold::CancelReason;
use freehold_mcp::{Tool, ToolContext, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

#[derive(Deserialize, JsonSchema)]
struct Slow {
    /// How long it takes, in milliseconds.
    ms: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("stopped before its time: {0:?}")]
struct Stopped(CancelReason);

/// Progress is reported ten times, but neither more often nor more seldom than this.
const SHORTEST_STEP: Duration = Duration::from_millis(100);
const LONGEST_STEP: Duration = Duration::from_secs(1);

async fn slow(ctx: &ToolContext<()>, args: Slow) -> Result<String, ToolError> {
    let total = Duration::from_millis(args.ms);
    tokio::select! {
        reason = ctx.cancelled() => Err(Stopped(reason).into()),
        () = take_time(ctx, total) => Ok(format!("took {} ms", args.ms)),
    }
}

/// Reports progress in milliseconds, from 0 on. The end is told by the answer, not by progress.
async fn take_time(ctx: &ToolContext<()>, total: Duration) {
    let engine = ctx.engine();
    let runtime = engine.runtime();
    let started = runtime.now();
    let step = (total / 10).clamp(SHORTEST_STEP, LONGEST_STEP);
    let mut done = Duration::ZERO;
    while done < total {
        ctx.progress(milliseconds(done), Some(milliseconds(total)), None);
        done = (done + step).min(total);
        runtime.timer(started + done).await;
    }
}

fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}

pub(super) fn tool() -> Tool<()> {
    let description = "Takes as long as it is told and reports its progress on the way. Every step of progress \
                       begins its timeout anew, up to the server's cap.";
    Tool::new("slow", description, slow).read_only()
}

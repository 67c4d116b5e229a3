//! The server that is measured beside the example `peer` of `freehold-mcp`: `peer_watched PORT [--workers N]`, with the same tools
//! `echo` and `flood` and all that watches: telemetry, and an admin server on a free port of loopback.

use freehold_admin::{AdminOptions, AdminServer, Telemetry};
use freehold_mcp::{HttpOptions, McpServer, Tool, ToolContext, ToolError, freehold::Limits};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{error::Error, time::Duration};

#[derive(Deserialize, JsonSchema)]
struct Echo {
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct Flood {
    /// How many progress notifications.
    n: u32,
    /// How long the message of each is.
    bytes: usize,
}

async fn echo(_ctx: &ToolContext, args: Echo) -> Result<String, ToolError> {
    Ok(args.text)
}

async fn flood(ctx: &ToolContext, args: Flood) -> Result<String, ToolError> {
    /// Others get their turn after so many.
    const BURST: u32 = 16;
    let message = "x".repeat(args.bytes);
    for sent in 1..=args.n {
        ctx.progress(f64::from(sent), Some(f64::from(args.n)), Some(&message));
        if sent % BURST == 0 {
            tokio::task::yield_now().await;
        }
    }
    Ok(format!("{} notifications", args.n))
}

fn arguments() -> Result<(u16, usize), Box<dyn Error>> {
    let usage = "usage: peer_watched PORT [--workers N]";
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().ok_or(usage)?.parse()?;
    let workers = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => 1,
        (Some("--workers"), Some(workers)) => workers.parse()?,
        _ => return Err(usage.into()),
    };
    Ok((port, workers))
}

async fn serve(port: u16) -> Result<(), Box<dyn Error>> {
    let telemetry = Telemetry::new();
    let limits =
        Limits { calls_total: 200_000, session_ttl: Duration::from_secs(3_600), ..Limits::default() };
    let limits = Limits { initialize_window: limits.session_ttl, ..limits };
    let server = McpServer::builder("peer_watched", env!("CARGO_PKG_VERSION"))
        .tool(Tool::new("echo", "Returns its text.", echo).read_only())
        .tool(Tool::new("flood", "Sends many notifications.", flood).read_only())
        .limits(limits)
        .engine(|engine| engine.observer(telemetry.clone()))
        .build()?;
    let _admin =
        AdminServer::bind("127.0.0.1:0", AdminOptions::default())?.start(server.engine(), &telemetry)?;
    server.bind_http(("127.0.0.1", port), HttpOptions::default()).await?.serve().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (port, workers) = arguments()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    runtime.block_on(serve(port))
}

//! The server that is measured beside others: `peer PORT [--workers N] [--watched]`, with the tools `echo`, `slow` and `flood`.
//! Its limits are raised to what the measurements need. Watched, it has telemetry, and an admin server on a free port of loopback.

use freehold_admin::{AdminOptions, AdminServer, Telemetry};
use freehold_mcp::{
    HttpOptions, McpServer, Tool, ToolContext, ToolError,
    freehold::{Limits, runtime},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{error::Error, time::Duration};

#[derive(Deserialize, JsonSchema)]
struct Echo {
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct Slow {
    /// How long it takes, in milliseconds.
    ms: u64,
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

async fn slow(ctx: &ToolContext, args: Slow) -> Result<String, ToolError> {
    runtime::pause(&**ctx.engine().runtime(), Duration::from_millis(args.ms)).await;
    Ok(format!("{} ms", args.ms))
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

struct Arguments {
    port: u16,
    workers: usize,
    watched: bool,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let usage = "usage: peer PORT [--workers N] [--watched]";
    let mut told = std::env::args().skip(1);
    let port = told.next().ok_or(usage)?.parse()?;
    let mut arguments = Arguments { port, workers: 1, watched: false };
    while let Some(argument) = told.next() {
        match &*argument {
            "--workers" => arguments.workers = told.next().ok_or(usage)?.parse()?,
            "--watched" => arguments.watched = true,
            _ => return Err(usage.into()),
        }
    }
    Ok(arguments)
}

async fn serve(port: u16, watched: bool) -> Result<(), Box<dyn Error>> {
    let limits =
        Limits { calls_total: 200_000, session_ttl: Duration::from_secs(3_600), ..Limits::default() };
    let limits = Limits { initialize_window: limits.session_ttl, ..limits };
    let mut server = McpServer::builder("peer", env!("CARGO_PKG_VERSION"))
        .tool(Tool::new("echo", "Returns its text.", echo).read_only())
        .tool(Tool::new("slow", "Takes its time.", slow).read_only())
        .tool(Tool::new("flood", "Sends many notifications.", flood).read_only())
        .limits(limits);
    let telemetry = watched.then(Telemetry::new);
    if let Some(telemetry) = telemetry.clone() {
        server = server.engine(|engine| engine.observer(telemetry));
    }
    let server = server.build()?;
    let _admin = match &telemetry {
        Some(telemetry) => Some(
            AdminServer::bind("127.0.0.1:0", AdminOptions::default())?.start(server.engine(), telemetry)?,
        ),
        None => None,
    };
    server.bind_http(("127.0.0.1", port), HttpOptions::default()).await?.serve().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { port, workers, watched } = arguments()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    runtime.block_on(serve(port, watched))
}

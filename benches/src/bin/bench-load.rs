//! The load generator alone, against a server that is already running.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use freehold_benches::cpu_time::CpuClock;
use freehold_benches::load::{self, Answers, LoadPlan, LoadReport, Sessions};
use freehold_benches::mcp_connection::McpConnection;
use freehold_benches::mcp_requests::Era;
use freehold_benches::run;

/// Echo load in a closed loop on a server at 127.0.0.1:PORT/mcp; every answer is checked.
#[derive(Debug, Parser)]
struct Options {
    /// Port of the server
    port: u16,
    /// Process id of the server, whose CPU time is to be measured [default: this program's own]
    #[arg(long)]
    pid: Option<u32>,
    /// Which way of speaking MCP
    #[arg(long, value_enum, default_value_t = Era::Session)]
    mode: Era,
    /// One session for all connections instead of one each
    #[arg(long)]
    shared_session: bool,
    /// Connections, each with one echo in flight
    #[arg(long, default_value_t = 16)]
    connections: u32,
    /// Length of the measured window
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Load before the window opens, in seconds
    #[arg(long, default_value_t = 0.3)]
    warm_up: f64,
    /// Threads of the generator
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn main() -> ExitCode {
    run::exit_code(print_report(Options::parse()))
}

fn print_report(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.threads.max(1))
        .enable_all()
        .build()?;
    let report = runtime.block_on(async { tokio::spawn(generate(options)).await })??;
    println!("requests        {}", report.requests);
    println!("requests/s      {:.0}", report.requests_per_second());
    println!("CPU µs/request  {:.2}", report.cpu_us_per_request());
    println!("latency µs      p50 {:.0}, p99 {:.0}", report.latency.p50_us, report.latency.p99_us);
    Ok(())
}

async fn generate(options: Options) -> Result<LoadReport> {
    let plan = LoadPlan {
        port: options.port,
        connections: options.connections,
        first_number: 1,
        sessions: sessions(&options).await?,
        warm_up: Duration::try_from_secs_f64(options.warm_up)?,
        measure: Duration::try_from_secs_f64(options.seconds)?,
        answers: Answers::Plain,
    };
    let clock = CpuClock::of(options.pid.unwrap_or_else(std::process::id))?;
    load::run(&plan, clock).await
}

async fn sessions(options: &Options) -> Result<Sessions> {
    Ok(match (options.mode, options.shared_session) {
        (Era::Stateless, _) => Sessions::None,
        (Era::NoSessionId, _) => Sessions::WithoutId,
        (Era::Session, false) => Sessions::Own,
        (Era::Session, true) => {
            let mut connection = McpConnection::connect(options.port, Era::Session, 0).await?;
            Sessions::Joined(connection.open_session().await?)
        }
    })
}

//! Echo latency next to thousands of running slow calls, against the same echo while nothing else runs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use freehold_benches::figures::slow::{Round, Setting, Subject, table};
use freehold_benches::load::{self, Answers, LoadPlan, LoadReport, Sessions};
use freehold_benches::mcp_connection::McpConnection;
use freehold_benches::mcp_requests::Era;
use freehold_benches::server_binaries::{Server, ServerOptions};
use freehold_benches::server_process::ServerProcess;
use freehold_benches::{open_files, report, run};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Open files beside one for each slow call.
const OTHER_FILES: u64 = 200;
/// Slow calls must be answered within this time after they should have been.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// Echo latency next to thousands of running slow calls, in another session and in the same one, against idle.
#[derive(Debug, Parser)]
struct Options {
    /// Measured rounds, each of which visits idle, other session and same session once
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Slow calls that run at the same time, each on a connection of its own
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    calls: u32,
    /// How long each slow call takes; it must outlast starting them all and the window
    #[arg(long, default_value_t = 6000)]
    slow_ms: u64,
    /// Length of each measured window
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Connections that echo
    #[arg(long, default_value_t = 4)]
    connections: u32,
    /// Servers to measure
    #[arg(long, value_enum, value_delimiter = ',', default_value = "freehold")]
    servers: Vec<Server>,
    /// Also write all figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    server: ServerOptions,
}

fn main() -> ExitCode {
    let options = Options::parse();
    run::exit_code(raise_limit_and_measure(&options))
}

fn raise_limit_and_measure(options: &Options) -> Result<()> {
    let needed = u64::from(options.calls) + OTHER_FILES;
    let limit = open_files::raise_limit(needed)?;
    println!("needs ulimit -n {needed} in generator and server; raised to {limit} for both\n");
    run::on_one_core(options.server.generator_core, measure(options))
}

async fn measure(options: &Options) -> Result<()> {
    let mut subjects = Vec::new();
    for &server in &options.servers {
        subjects.extend(measure_server(options, server).await.with_context(|| server.to_string())?);
    }
    println!("{}", table(&subjects));
    report::write_json(options.json.as_deref(), &subjects)
}

async fn measure_server(options: &Options, server: Server) -> Result<[Subject; 3]> {
    let settings = [Setting::Idle, Setting::OtherSession, Setting::SameSession];
    let mut subjects = settings.map(|setting| Subject { server, setting, rounds: Vec::new() });
    let mut bench = Bench::start(options, server).await?;
    for round in 0..=options.rounds as usize {
        for turn in 0..settings.len() {
            // Each round begins with another setting, so that none always profits from the one before it.
            let subject = &mut subjects[(round + turn) % settings.len()];
            let figures =
                bench.measure(subject.setting).await.with_context(|| subject.setting.to_string())?;
            // The first round warms everything up.
            if round > 0 {
                subject.rounds.push(figures);
            }
        }
        eprintln!("{server}: round {round} of {} done", options.rounds);
    }
    Ok(subjects)
}

/// A server with an open connection for every slow call, and two sessions.
struct Bench<'a> {
    options: &'a Options,
    server: ServerProcess,
    crowd: Vec<McpConnection>,
    echo_session: String,
    other_session: String,
}

impl<'a> Bench<'a> {
    async fn start(options: &'a Options, server: Server) -> Result<Self> {
        let server = ServerProcess::start(server, &options.server).await?;
        let mut crowd = Vec::new();
        for number in 0..options.calls {
            crowd.push(McpConnection::connect(server.port(), Era::Session, number).await?);
        }
        let mut first = crowd.pop().context("at least one slow call")?;
        let echo_session = first.open_session().await?;
        let other_session = first.open_session().await?;
        crowd.push(first);
        Ok(Self { options, server, crowd, echo_session, other_session })
    }

    async fn measure(&mut self, setting: Setting) -> Result<Round> {
        let session = match setting {
            Setting::Idle => return Ok(Round::new(&self.echo_load().await?, None)),
            Setting::OtherSession => self.other_session.clone(),
            Setting::SameSession => self.echo_session.clone(),
        };
        let mut slow = self.start_slow_calls(&session);
        self.server.wait_until_quiet().await?;
        let load = self.echo_load().await?;
        let promised = Duration::from_millis(self.options.slow_ms);
        ensure!(
            slow.began.elapsed() < promised && slow.calls.len() == self.options.calls as usize,
            "slow calls ended before the window did: give a larger --slow-ms"
        );
        self.crowd = timeout(promised + ANSWERS_WITHIN, slow.finish())
            .await
            .context("slow calls were not all answered")??;
        self.server.wait_until_quiet().await?;
        Ok(Round::new(&load, Some(slow.began.elapsed().saturating_sub(promised))))
    }

    fn start_slow_calls(&mut self, session: &str) -> SlowCalls {
        let began = Instant::now();
        let mut calls = JoinSet::new();
        let ms = self.options.slow_ms;
        for mut connection in self.crowd.drain(..) {
            connection.join_session(session.to_owned());
            calls.spawn(async move { connection.slow(ms).await.map(|()| connection) });
        }
        SlowCalls { began, calls }
    }

    async fn echo_load(&self) -> Result<LoadReport> {
        let plan = LoadPlan {
            port: self.server.port(),
            connections: self.options.connections,
            first_number: self.options.calls,
            sessions: Sessions::Joined(self.echo_session.clone()),
            warm_up: Duration::from_millis(200),
            measure: Duration::try_from_secs_f64(self.options.seconds)?,
            answers: Answers::Plain,
        };
        load::run(&plan, self.server.cpu()).await
    }
}

struct SlowCalls {
    began: Instant,
    calls: JoinSet<Result<McpConnection>>,
}

impl SlowCalls {
    async fn finish(&mut self) -> Result<Vec<McpConnection>> {
        let mut connections = Vec::with_capacity(self.calls.len());
        while let Some(call) = self.calls.join_next().await {
            connections.push(call?.context("a slow call")?);
        }
        Ok(connections)
    }
}

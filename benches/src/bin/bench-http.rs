//! Server CPU per `tools/call` over HTTP, next to the floor and to the official SDK.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use freehold_benches::load::{self, Answers, LoadPlan, LoadReport, Sessions};
use freehold_benches::mcp_requests::Era;
use freehold_benches::server_binaries::{Server, ServerOptions};
use freehold_benches::server_process::ServerProcess;
use freehold_benches::stats::{median, range};
use freehold_benches::table::Table;
use freehold_benches::{report, run};
use serde::Serialize;

/// Server CPU per tools/call over HTTP: every server on a core of its own, rounds interleaved, every answer checked.
#[derive(Debug, Parser)]
struct Options {
    /// Measured rounds, each of which visits every server once
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Length of each measured window
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Load before each window, in seconds
    #[arg(long, default_value_t = 0.3)]
    warm_up: f64,
    /// Numbers of connections to measure with
    #[arg(long, value_delimiter = ',', default_value = "16,64")]
    connections: Vec<u32>,
    /// How calls are answered: an echo alone, or after one notification of progress, in an event stream
    #[arg(long, value_enum, value_delimiter = ',', default_value = "plain,streamed")]
    answers: Vec<Answers>,
    /// Servers to measure
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "floor,freehold,freehold-rmcp,rmcp-stateful,rmcp-stateless"
    )]
    servers: Vec<Server>,
    /// Also write all figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    server: ServerOptions,
}

/// One server in one way of speaking MCP and of answering, at one number of connections, with all its rounds.
#[derive(Debug, Serialize)]
struct Subject {
    server: Server,
    era: Era,
    answers: Answers,
    connections: u32,
    rounds: Vec<Round>,
}

#[derive(Debug, Serialize)]
struct Round {
    requests: u64,
    cpu_us_per_request: f64,
    waited_percent: f64,
    requests_per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

impl From<LoadReport> for Round {
    fn from(load: LoadReport) -> Self {
        Self {
            requests: load.requests,
            cpu_us_per_request: load.cpu_us_per_request(),
            waited_percent: load.waited_percent(),
            requests_per_second: load.requests_per_second(),
            p50_us: load.latency.p50_us,
            p99_us: load.latency.p99_us,
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    run::exit_code(run::on_one_core(options.server.generator_core, measure(&options)))
}

async fn measure(options: &Options) -> Result<()> {
    let servers = start_servers(options).await?;
    let mut subjects = subjects(options);
    for round in 0..=options.rounds {
        for subject in &mut subjects {
            let load = measure_once(options, &servers, subject).await?;
            // The first round warms everything up.
            if round > 0 {
                subject.rounds.push(load.into());
            }
        }
        eprintln!("round {round} of {} done", options.rounds);
    }
    println!("{}", table(&subjects));
    report::write_json(options.json.as_deref(), &subjects)
}

async fn start_servers(options: &Options) -> Result<Vec<ServerProcess>> {
    let mut servers = Vec::new();
    for &server in &options.servers {
        servers.push(ServerProcess::start(server, &options.server).await?);
    }
    Ok(servers)
}

fn subjects(options: &Options) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for &connections in &options.connections {
        for &answers in &options.answers {
            for era in [Era::Session, Era::Stateless] {
                for &server in options.servers.iter().filter(|&&server| speaks(server, era, answers)) {
                    subjects.push(Subject { server, era, answers, connections, rounds: Vec::new() });
                }
            }
        }
    }
    subjects
}

fn speaks(server: Server, era: Era, answers: Answers) -> bool {
    match server {
        Server::Floor | Server::Freehold | Server::FreeholdWatched | Server::FreeholdRmcp => true,
        Server::RmcpStateful => era == Era::Session,
        // It is told to answer JSON.
        Server::RmcpStateless => era == Era::Stateless && answers == Answers::Plain,
    }
}

async fn measure_once(options: &Options, servers: &[ServerProcess], subject: &Subject) -> Result<LoadReport> {
    let server =
        servers.iter().find(|process| process.server() == subject.server).context("no such server")?;
    let plan = LoadPlan {
        port: server.port(),
        connections: subject.connections,
        first_number: 1,
        sessions: if subject.era == Era::Session { Sessions::Own } else { Sessions::None },
        warm_up: Duration::try_from_secs_f64(options.warm_up)?,
        measure: Duration::try_from_secs_f64(options.seconds)?,
        answers: subject.answers,
    };
    load::run(&plan, server.cpu()).await.with_context(|| {
        let Subject { server, era, answers, connections, .. } = subject;
        format!("{server} ({era}, {answers}, {connections} connections)")
    })
}

fn table(subjects: &[Subject]) -> Table {
    let mut table = Table::new(
        3,
        [
            "server",
            "form",
            "answers",
            "connections",
            "CPU µs/request",
            "min",
            "max",
            "x floor",
            "waited %",
            "requests/s",
            "p50 µs",
            "p99 µs",
        ],
    );
    for subject in subjects {
        let of = |figure: fn(&Round) -> f64| subject.rounds.iter().map(figure);
        let (low, high) = range(of(|round| round.cpu_us_per_request));
        table.push([
            subject.server.to_string(),
            subject.era.to_string(),
            subject.answers.to_string(),
            subject.connections.to_string(),
            format!("{:.2}", median(of(|round| round.cpu_us_per_request))),
            format!("{low:.2}"),
            format!("{high:.2}"),
            ratio_to_floor(subject, subjects).map_or("".to_owned(), |ratio| format!("{ratio:.2}")),
            format!("{:.1}", range(of(|round| round.waited_percent)).1),
            format!("{:.0}", median(of(|round| round.requests_per_second))),
            format!("{:.0}", median(of(|round| round.p50_us))),
            format!("{:.0}", median(of(|round| round.p99_us))),
        ]);
    }
    table
}

/// The median of the ratios within each round, so that what disturbs a whole round cancels out.
fn ratio_to_floor(subject: &Subject, subjects: &[Subject]) -> Option<f64> {
    let floor = subjects.iter().find(|other| {
        let alike = |subject: &Subject| (subject.era, subject.answers, subject.connections);
        other.server == Server::Floor && alike(other) == alike(subject)
    })?;
    let pairs = subject.rounds.iter().zip(&floor.rounds);
    Some(median(pairs.map(|(own, floor)| own.cpu_us_per_request / floor.cpu_us_per_request)))
}

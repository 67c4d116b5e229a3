//! Server CPU per `tools/call` over HTTP, next to the floor, to the official SDK and to other servers.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use freehold_benches::figures::http::{Subject, speaks, table};
use freehold_benches::load::{self, Answers, LoadPlan, LoadReport, Sessions};
use freehold_benches::mcp_requests::Era;
use freehold_benches::server_binaries::{Server, ServerOptions};
use freehold_benches::server_process::ServerProcess;
use freehold_benches::{report, run};

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
        default_value = "floor,freehold,freehold-watched,freehold-rmcp,rmcp-stateful,rmcp-stateless,jsonrpsee,solidmcp"
    )]
    servers: Vec<Server>,
    /// Also write all figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    server: ServerOptions,
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
    // The floor answers in every form; alone in one it is next to nobody.
    let others = |era| {
        options.servers.iter().any(|&server| server != Server::Floor && speaks(server, era, Answers::Plain))
    };
    let eras = [Era::Session, Era::NoSessionId, Era::Stateless];
    let eras = eras.into_iter().filter(|&era| others(era) || options.servers == [Server::Floor]);
    let mut subjects = Vec::new();
    for &connections in &options.connections {
        for &answers in &options.answers {
            for era in eras.clone() {
                for &server in options.servers.iter().filter(|&&server| speaks(server, era, answers)) {
                    subjects.push(Subject { server, era, answers, connections, rounds: Vec::new() });
                }
            }
        }
    }
    subjects
}

async fn measure_once(options: &Options, servers: &[ServerProcess], subject: &Subject) -> Result<LoadReport> {
    let server =
        servers.iter().find(|process| process.server() == subject.server).context("no such server")?;
    let plan = LoadPlan {
        port: server.port(),
        connections: subject.connections,
        first_number: 1,
        sessions: match subject.era {
            Era::Session => Sessions::Own,
            Era::NoSessionId => Sessions::WithoutId,
            Era::Stateless => Sessions::None,
        },
        warm_up: Duration::try_from_secs_f64(options.warm_up)?,
        measure: Duration::try_from_secs_f64(options.seconds)?,
        answers: subject.answers,
    };
    load::run(&plan, server.cpu()).await.with_context(|| {
        let Subject { server, era, answers, connections, .. } = subject;
        format!("{server} ({era}, {answers}, {connections} connections)")
    })
}

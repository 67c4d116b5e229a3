//! What an idle session costs: memory, and the CPU time to open it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use freehold_benches::figures::idle::{Figures, table};
use freehold_benches::mcp_connection::McpConnection;
use freehold_benches::mcp_requests::Era;
use freehold_benches::server_binaries::{Server, ServerOptions};
use freehold_benches::server_process::ServerProcess;
use freehold_benches::{report, run};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Sessions opened before memory is measured, so that what a server allocates once is not counted.
const WARM_UP_SESSIONS: u32 = 200;
/// A phase that takes longer than this has hung.
const PHASE_WITHIN: Duration = Duration::from_secs(300);

/// Opens many sessions over few connections, measures what they cost, then makes each of them answer an echo.
#[derive(Debug, Parser)]
struct Options {
    /// Sessions to open on Freehold
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    sessions: u32,
    /// Sessions to open on the official SDK
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rmcp_sessions: u32,
    /// Connections that the sessions are opened over
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// Servers to measure: freehold, rmcp-stateful
    #[arg(long, value_enum, value_delimiter = ',', default_value = "freehold,rmcp-stateful")]
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
    let mut all = Vec::new();
    for &server in &options.servers {
        all.push(measure_server(options, server).await.with_context(|| server.to_string())?);
        eprintln!("{server} done");
    }
    println!("{}", table(&all));
    report::write_json(options.json.as_deref(), &all)
}

async fn measure_server(options: &Options, server: Server) -> Result<Figures> {
    let sessions = if server == Server::Freehold { options.sessions } else { options.rmcp_sessions };
    let process = ServerProcess::start(server, &options.server).await?;
    let mut clients = connect(&process, options.connections).await?;
    open_sessions(&mut clients, WARM_UP_SESSIONS).await?;
    echo_in_each_session(&mut clients).await?;
    clients.iter_mut().for_each(|client| client.sessions.clear());
    process.wait_until_quiet().await?;

    let resident_bytes_before = process.resident_bytes()?;
    let (began, cpu_before) = (Instant::now(), process.cpu().read()?);
    open_sessions(&mut clients, sessions).await?;
    let opening = began.elapsed();
    process.wait_until_quiet().await?;
    let cpu = process.cpu().read()?.saturating_sub(cpu_before);
    let resident_bytes_after = process.resident_bytes()?;

    let began = Instant::now();
    echo_in_each_session(&mut clients).await?;
    let echoing = began.elapsed();
    process.wait_until_quiet().await?;
    let each = f64::from(sessions);
    Ok(Figures {
        server,
        sessions,
        resident_bytes_before,
        resident_bytes_after,
        resident_bytes_after_echoes: process.resident_bytes()?,
        sessions_per_second: each / opening.as_secs_f64(),
        cpu_us_per_session: cpu.as_secs_f64() * 1e6 / each,
        echoes_per_second: each / echoing.as_secs_f64(),
    })
}

/// A connection and the sessions that were opened over it.
struct Client {
    connection: McpConnection,
    sessions: Vec<String>,
}

async fn connect(process: &ServerProcess, connections: u32) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for number in 0..connections {
        let connection = McpConnection::connect(process.port(), Era::Session, number).await?;
        clients.push(Client { connection, sessions: Vec::new() });
    }
    Ok(clients)
}

async fn open_sessions(clients: &mut Vec<Client>, sessions: u32) -> Result<()> {
    let connections = u32::try_from(clients.len())?;
    let mut number = 0;
    in_parallel(clients, |mut client| {
        let share = sessions / connections + u32::from(number < sessions % connections);
        number += 1;
        async move {
            for _ in 0..share {
                let session = client.connection.open_session().await?;
                client.sessions.push(session);
            }
            Ok(client)
        }
    })
    .await
}

async fn echo_in_each_session(clients: &mut Vec<Client>) -> Result<()> {
    in_parallel(clients, |mut client| async move {
        for session in &client.sessions {
            client.connection.join_session(session.clone());
            client.connection.echo(&format!("still there, {session}?")).await?;
        }
        Ok(client)
    })
    .await
}

async fn in_parallel<F>(clients: &mut Vec<Client>, mut work: impl FnMut(Client) -> F) -> Result<()>
where
    F: Future<Output = Result<Client>> + Send + 'static,
{
    let mut running: JoinSet<Result<Client>> = JoinSet::new();
    for client in clients.drain(..) {
        running.spawn(work(client));
    }
    let all_done = async {
        while let Some(client) = running.join_next().await {
            clients.push(client??);
        }
        Ok(())
    };
    timeout(PHASE_WITHIN, all_done).await.with_context(|| format!("not done within {PHASE_WITHIN:?}"))?
}

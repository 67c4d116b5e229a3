//! A client that asks for a flood of progress and never reads it: what happens to the rest of its session?

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use freehold_benches::figures::flood::{Echoes, Round, Stream, table};
use freehold_benches::http_client::HttpConnection;
use freehold_benches::mcp_connection::McpConnection;
use freehold_benches::mcp_requests::Era;
use freehold_benches::server_binaries::{Server, ServerOptions};
use freehold_benches::server_process::ServerProcess;
use freehold_benches::stats::Latency;
use freehold_benches::{report, run};
use tokio::time::{sleep, timeout};

const READ_BYTES: usize = 64 * 1024;

/// Echo latency and server memory while another connection of the same session floods and never reads.
#[derive(Debug, Parser)]
struct Options {
    /// Measured rounds, each with a fresh server
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Length of each measured window
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Progress notifications in the flood
    #[arg(long, default_value_t = 200_000)]
    notifications: u32,
    /// Bytes in each notification's message
    #[arg(long, default_value_t = 1000)]
    bytes: usize,
    /// Time for the flood to fill every buffer before the window opens
    #[arg(long, default_value_t = 500)]
    settle_ms: u64,
    /// An echo that takes longer is given up
    #[arg(long, default_value_t = 5000)]
    give_up_ms: u64,
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
    let mut rounds = Vec::new();
    for number in 1..=options.rounds {
        for &server in &options.servers {
            rounds.push(measure_round(options, server).await.with_context(|| server.to_string())?);
        }
        eprintln!("round {number} of {} done", options.rounds);
    }
    println!("{}", table(&rounds));
    report::write_json(options.json.as_deref(), &rounds)?;
    let hung = rounds.iter().any(|round| round.server == Server::Freehold && round.flooded.given_up);
    ensure!(!hung, "freehold left an echo unanswered beside the flood");
    Ok(())
}

async fn measure_round(options: &Options, server: Server) -> Result<Round> {
    let process = ServerProcess::start(server, &options.server).await?;
    let mut echo = McpConnection::connect(process.port(), Era::Session, 1).await?;
    let session = echo.open_session().await?;
    let alone = echo_for_a_while(options, &mut echo).await?;
    process.wait_until_quiet().await?;

    let before = process.resident_bytes()?;
    let mut flooding = McpConnection::connect(process.port(), Era::Session, 2).await?;
    flooding.join_session(session);
    let (flood_id, unread) = flooding.start_flood(options.notifications, options.bytes).await?;
    sleep(Duration::from_millis(options.settle_ms)).await;
    let flooded = echo_for_a_while(options, &mut echo).await?;
    let after = process.resident_bytes()?;
    Ok(Round {
        server,
        alone,
        flooded,
        resident_growth_bytes: i64::try_from(after)? - i64::try_from(before)?,
        stream: read_after_all(unread, flood_id).await,
    })
}

async fn echo_for_a_while(options: &Options, connection: &mut McpConnection) -> Result<Echoes> {
    let window = Duration::try_from_secs_f64(options.seconds)?;
    let give_up = Duration::from_millis(options.give_up_ms);
    let (began, mut latencies, mut given_up) = (Instant::now(), Vec::new(), false);
    while began.elapsed() < window && !given_up {
        let sent = Instant::now();
        match timeout(give_up, connection.echo(&format!("echo {}", latencies.len()))).await {
            Ok(answer) => {
                answer?;
                latencies.push(sent.elapsed());
            }
            Err(_) => given_up = true,
        }
    }
    Ok(Echoes { answered: latencies.len(), given_up, latency: Latency::of(latencies) })
}

/// Reads what the flood left behind, until its answer, the end of the connection or two seconds of silence, and for
/// twenty seconds at most.
async fn read_after_all(mut connection: HttpConnection, flood_id: u64) -> Stream {
    let answer = format!("\"id\":{flood_id},").into_bytes();
    let mut stream = Stream { bytes: 0, answered: false, closed: false };
    let (mut buffer, mut tail) = (vec![0; READ_BYTES], Vec::new());
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) && !stream.answered && !stream.closed {
        match timeout(Duration::from_secs(2), connection.receive_raw(&mut buffer)).await {
            Err(_) => break,
            Ok(Err(_) | Ok(0)) => stream.closed = true,
            Ok(Ok(count)) => {
                stream.bytes += count as u64;
                tail.extend_from_slice(&buffer[..count]);
                stream.answered = tail.windows(answer.len()).any(|window| window == answer);
                tail.drain(..tail.len().saturating_sub(answer.len()));
            }
        }
    }
    stream
}

//! The whole run, from the start of the server to its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::books::Books;
use super::client::Clients;
use super::connections::Connections;
use super::cycle::{Bench, Cycle, Load};
use super::money::{self, Audit};
use super::server::{Handles, Served};
use super::tally::{SharedTally, Tally};
use super::watch::{self, Rest};
use super::{capacity, limits};

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How long the load lasts.
    pub span: Duration,
    /// Sessions that come and go in that time.
    pub sessions: u32,
    /// Where all draws begin.
    pub seed: u64,
    /// The server's program; the one beside this program if it is not given.
    pub program: Option<PathBuf>,
}

/// All that was seen, to be judged.
#[derive(Debug)]
pub struct Seen {
    /// Calls a second in a closed loop.
    pub capacity: f64,
    /// What the idle server had of the system's at first.
    pub first: Handles,
    /// What became of requests before the base line.
    pub before: [Tally; 3],
    /// The base line: at rest after the first cycle.
    pub base_line: Rest,
    /// The cycle that counts.
    pub cycle: Cycle,
    /// What the server says that it did in it.
    pub books: Books,
    /// The money, afterwards.
    pub audit: Audit,
    /// Whether the server ended as it should, and how.
    pub ended: (bool, String),
}

/// Runs the plan; tells of its progress on standard error.
///
/// # Errors
///
/// When the server does not start, or does not answer at all.
pub async fn run(plan: &Plan) -> Result<Seen> {
    let mut bench = start(plan).await?;
    eprintln!("idle: {} open files, {} threads", bench.first.files, bench.first.threads);
    let (capacity, calibration) = measure_capacity(&bench).await.context("capacity")?;
    let rushes = rush(&bench).await.context("rush")?;
    let rate = limits::OVERLOAD * capacity;
    eprintln!("capacity: {capacity:.0} calls/s; warming up with {rate:.0}/s for {:?}", limits::WARM_UP);

    let sessions = share(plan.sessions, limits::WARM_UP.min(plan.span), plan.span);
    let warm_up = Load { rate, span: limits::WARM_UP, sessions };
    let warm_up = bench.cycle(warm_up).await.context("warm-up")?;
    let base_line = warm_up.rest;
    eprintln!("base line: {} KiB; load for {:?}", base_line.resident >> 10, plan.span);

    let load = Load { rate, span: plan.span, sessions: plan.sessions };
    let cycle = bench.cycle(load).await.context("load")?;
    let audit = money::audit(&bench.clients).await?;
    let books = Books::of(&cycle.rest.metrics)?.since(&Books::of(&base_line.metrics)?);
    Ok(Seen {
        capacity,
        first: bench.first,
        before: [calibration, rushes, warm_up.tally],
        base_line,
        cycle,
        books,
        audit,
        ended: end(&mut bench.server).await?,
    })
}

/// How many of `all` fall into `part` of `whole`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most all of them")]
fn share(all: u32, part: Duration, whole: Duration) -> u32 {
    (f64::from(all) * part.as_secs_f64() / whole.as_secs_f64()) as u32
}

async fn start(plan: &Plan) -> Result<Bench> {
    let server = Served::start(plan.program.as_deref()).await?;
    let connections = Arc::new(Connections::new(server.port()));
    let clients = Clients::new(connections, SharedTally::new(Duration::ZERO));
    let accounts = money::open_accounts(&clients).await?;
    // After the first calls, which leave files open that stay.
    let first = server.settled_handles().await?;
    Ok(Bench { server, clients, accounts, seed: plan.seed, first })
}

async fn measure_capacity(bench: &Bench) -> Result<(f64, Tally)> {
    let tally = SharedTally::new(limits::CAPACITY_WINDOW);
    let (clients, mixture) = bench.begin(&tally).await?;
    let capacity = capacity::measure(&clients, &mixture).await?;
    bench.end(&clients, &mixture).await;
    watch::rest(&bench.server, bench.first).await?;
    Ok((capacity, tally.take()))
}

async fn rush(bench: &Bench) -> Result<Tally> {
    let tally = SharedTally::new(Duration::ZERO);
    let (clients, mixture) = bench.begin(&tally).await?;
    for _ in 0..limits::RUSHES {
        bench.rush(&clients, &mixture).await?;
    }
    bench.end(&clients, &mixture).await;
    watch::rest(&bench.server, bench.first).await?;
    Ok(tally.take())
}

async fn end(server: &mut Served) -> Result<(bool, String)> {
    Ok(match server.end().await? {
        Some(status) => (status.success(), status.to_string()),
        None => (false, format!("goes on after {:?}", limits::END_WITHIN)),
    })
}

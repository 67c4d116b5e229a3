//! Four designs of a session server side by side, in process, with the same handlers.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use freehold_benches::designs::hang::{self, HangFigures};
use freehold_benches::designs::ledger::{self, LedgerFigures, LedgerPlan};
use freehold_benches::designs::load::{self, LoadFigures, Plan};
use freehold_benches::designs::sections::{self, Sections};
use freehold_benches::designs::times::{CALLERS, WaitAndHold};
use freehold_benches::designs::{Actors, Design, Freehold, Server, SessionLocks, TableLock};
use freehold_benches::figures::designs::{
    Figures, LoadRow, hang_table, ledger_table, load_table, sections_table, times_table,
};
use freehold_benches::table::Table;
use freehold_benches::{report, run};
use tokio::runtime::{Builder, Runtime};

/// The same handlers behind four designs: one lock around the session table held while a handler runs, one lock per
/// session, one actor per session, and Freehold. A closed loop of callers in the same process; rounds interleaved, every
/// answer checked. Then an echo beside a slow tool, and a ledger with transfers in both directions.
#[derive(Debug, Parser)]
struct Options {
    /// Measured rounds of the load, each of which visits every design once
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Length of a window
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Callers, each with one call in flight
    #[arg(long, default_value_t = 64, value_parser = callers)]
    callers: usize,
    /// Sessions that the callers share
    #[arg(long, default_value_t = 16, value_parser = callers)]
    sessions: usize,
    /// Shares of slow calls, in percent
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 10], value_parser = clap::value_parser!(u32).range(0..=100))]
    slow_percent: Vec<u32>,
    /// How long a slow call takes
    #[arg(long, default_value_t = 10)]
    slow_ms: u64,
    /// Numbers of runtime threads
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2], value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: Vec<u32>,
    /// How long the slow tool takes beside which an echo is sent
    #[arg(long, default_value_t = 3_000)]
    tool_ms: u64,
    /// Transfers of each caller, and of each standing order
    #[arg(long, default_value_t = 100)]
    transfers: u32,
    /// The ledger hangs if no transfer ends for so many seconds
    #[arg(long, default_value_t = 2.0)]
    hangs_after: f64,
    /// Also write all figures of all rounds to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Standing orders of the second ledger.
const STANDING_ORDERS: usize = 4;

/// Load before a window opens.
const WARM_UP: Duration = Duration::from_millis(200);

fn callers(text: &str) -> Result<usize, String> {
    let number = text.parse().map_err(|error| format!("{error}"))?;
    if (1..=CALLERS).contains(&number) { Ok(number) } else { Err(format!("from 1 to {CALLERS}")) }
}

fn main() -> ExitCode {
    run::exit_code(start(&Options::parse()))
}

fn start(options: &Options) -> Result<()> {
    let mut figures = Figures { tool_ms: options.tool_ms, ..Figures::default() };
    for &workers in &options.workers {
        let runtime = runtime(workers)?;
        for &slow_percent in &options.slow_percent {
            let rows = runtime.block_on(loads(options, workers, slow_percent))?;
            println!("{}", load_table(&rows));
            println!("{}", times_table(&rows));
            if let Some(sections) = rows.iter().find_map(|row| row.sections) {
                println!("{}", sections_table(&sections));
            }
            figures.load.extend(rows);
        }
    }
    let runtime = runtime(2)?;
    figures.hang = runtime.block_on(hangs(options))?;
    println!("{}", hang_table(&figures.hang, options.tool_ms));
    figures.ledger = runtime.block_on(ledgers(options))?;
    println!("{}", ledger_table(&figures.ledger));
    println!("{}", accounts_table());
    report::write_json(options.json.as_deref(), &figures)
}

fn runtime(workers: u32) -> Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(workers as usize).enable_all().build()?)
}

/// One server of each design, all of which exist throughout.
struct Servers {
    table_lock: Arc<TableLock>,
    session_locks: Arc<SessionLocks>,
    actors: Arc<Actors>,
    freehold: Arc<Freehold>,
}

impl Servers {
    fn new(sessions: usize) -> Result<Self> {
        fn server<S: Server>(sessions: usize) -> Result<Arc<S>> {
            Ok(Arc::new(S::new(sessions, Arc::default())?))
        }
        Ok(Self {
            table_lock: server(sessions)?,
            session_locks: server(sessions)?,
            actors: server(sessions)?,
            freehold: server(sessions)?,
        })
    }

    /// One window of each, one after the other.
    async fn load(&self, plan: Plan) -> Result<[LoadFigures; 4]> {
        Ok([
            load::run(&self.table_lock, plan).await?,
            load::run(&self.session_locks, plan).await?,
            load::run(&self.actors, plan).await?,
            load::run(&self.freehold, plan).await?,
        ])
    }

    /// The same with the clocks for waits and holds running, which is why its load is not looked at.
    async fn times(&self, plan: Plan) -> Result<[(WaitAndHold, Option<Sections>); 4]> {
        async fn times<S: Server>(server: &Arc<S>, plan: Plan) -> Result<(WaitAndHold, Option<Sections>)> {
            let (before, calls) = (sections::seen(), server.tally().await);
            server.app().times.start();
            load::run(server, plan).await?;
            let times = server.app().times.take();
            let calls = server.tally().await - calls;
            let seen = sections::seen().zip(before).filter(|_| S::DESIGN == Design::Freehold);
            Ok((times, seen.map(|(after, before)| after.since(&before, calls))))
        }
        Ok([
            times(&self.table_lock, plan).await?,
            times(&self.session_locks, plan).await?,
            times(&self.actors, plan).await?,
            times(&self.freehold, plan).await?,
        ])
    }

    async fn stop(&self) {
        self.actors.stop().await;
    }
}

const DESIGNS: [Design; 4] = [Design::TableLock, Design::SessionLocks, Design::Actors, Design::Freehold];

async fn loads(options: &Options, workers: u32, slow_percent: u32) -> Result<Vec<LoadRow>> {
    let plan = Plan {
        callers: options.callers,
        sessions: options.sessions,
        slow_percent,
        slow_ms: options.slow_ms,
        warm_up: WARM_UP,
        measure: Duration::try_from_secs_f64(options.seconds)?,
    };
    let servers = Servers::new(options.sessions)?;
    let mut rounds: [Vec<LoadFigures>; 4] = Default::default();
    for _ in 0..options.rounds {
        for (rounds, figures) in rounds.iter_mut().zip(servers.load(plan).await?) {
            rounds.push(figures);
        }
    }
    let times = servers.times(plan).await?;
    servers.stop().await;
    let rows = DESIGNS.into_iter().zip(rounds).zip(times);
    Ok(rows
        .map(|((design, rounds), (times, sections))| LoadRow {
            workers,
            slow_percent,
            slow_ms: options.slow_ms,
            design,
            rounds,
            times,
            sections,
        })
        .collect())
}

/// All designs at once: they hardly need the processor, and it takes as long as one of them.
async fn hangs(options: &Options) -> Result<Vec<HangFigures>> {
    let servers = Servers::new(2)?;
    let ms = options.tool_ms;
    let (table_lock, session_locks, actors, freehold) = tokio::try_join!(
        hang::run(servers.table_lock.clone(), ms),
        hang::run(servers.session_locks.clone(), ms),
        hang::run(servers.actors.clone(), ms),
        hang::run(servers.freehold.clone(), ms),
    )?;
    servers.stop().await;
    Ok(vec![table_lock, session_locks, actors, freehold])
}

async fn ledgers(options: &Options) -> Result<Vec<LedgerFigures>> {
    let mut figures = Vec::new();
    for standing_orders in [0, STANDING_ORDERS] {
        let plan = LedgerPlan {
            callers: options.callers,
            sessions: options.sessions,
            standing_orders,
            transfers: options.transfers,
            hangs_after: Duration::try_from_secs_f64(options.hangs_after)?,
        };
        figures.push(ledger::run::<TableLock>(plan).await?);
        figures.push(ledger::run::<SessionLocks>(plan).await?);
        figures.push(ledger::run::<Actors>(plan).await?);
        figures.push(ledger::run::<Freehold>(plan).await?);
    }
    Ok(figures)
}

/// What the metrics of the class say of Freehold's accounts; in buckets of powers of two.
fn accounts_table() -> Table {
    let mut table =
        Table::new(1, ["the locks of Freehold's accounts, µs", "times", "p50 <", "p99 <", "max <"]);
    for (what, times) in ["waits", "holds after a wait"].into_iter().zip(ledger::account_times()) {
        let us = |quantile| format!("{:.0}", times.quantile(quantile).as_secs_f64() * 1e6);
        table.push([what.to_owned(), times.count().to_string(), us(0.5), us(0.99), us(1.0)]);
    }
    table
}

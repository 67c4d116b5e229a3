//! A load on the engine in this process, to be profiled: by itself, where calls wait for locks; by others, where processor time
//! goes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use freehold_benches::designs::ledger::{self, LedgerPlan};
use freehold_benches::designs::load::{self, Plan};
use freehold_benches::designs::{Freehold, Server as _};
use freehold_benches::wait_profile::WaitProfile;
use freehold_benches::{flame_graph, run};
use tokio::runtime::{Builder, Runtime};

/// A load on the engine in this process, for a profiler that samples; with --waits it samples itself, where calls wait for
/// locks.
#[derive(Debug, Parser)]
struct Options {
    /// What is done
    #[arg(long, value_enum, default_value_t = Workload::Calls)]
    workload: Workload,
    /// For how long
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Callers, each with one call in flight
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// Sessions that the callers share
    #[arg(long, default_value_t = 16)]
    sessions: usize,
    /// Runtime threads
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Write where calls waited for locks, as folded stacks, and a flame graph of them beside it
    #[arg(long, value_name = "FILE")]
    waits: Option<PathBuf>,
    /// How often is looked at who waits, in microseconds
    #[arg(long, default_value_t = 1_000)]
    every_us: u64,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Echoes, and one slow call in a hundred: no lock is waited for
    Calls,
    /// Transfers over four locked accounts, in both directions, beside standing orders
    Ledger,
}

/// Standing orders of the ledger, and transfers of each and of each caller in one run of it.
const STANDING_ORDERS: usize = 4;
const TRANSFERS: u32 = 200;
/// No transfer of Freehold's takes so long, unless it hangs.
const HANGS_AFTER: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    run::exit_code(start(&Options::parse()))
}

fn start(options: &Options) -> Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(options.workers).enable_all().build()?;
    let Some(file) = options.waits.as_deref() else {
        return work(&runtime, options);
    };
    let counted = || ledger::account_times()[0].sum;
    let before = counted();
    let every = Duration::from_micros(options.every_us);
    let (done, waits) = WaitProfile::during(every, || work(&runtime, options));
    done?;
    println!(
        "{} looks found {:.3} s of waiting for accounts, of everybody together; their class itself counted {:.3} s",
        waits.looks(),
        waits.waited_for(ledger::ACCOUNT.name()).as_secs_f64(),
        (counted() - before).as_secs_f64()
    );
    flame_graph::write(file, &waits.folded(), "Waits for locks", "µs")
}

fn work(runtime: &Runtime, options: &Options) -> Result<()> {
    match options.workload {
        Workload::Calls => runtime.block_on(calls(options)),
        Workload::Ledger => runtime.block_on(transfers(options)),
    }
}

async fn calls(options: &Options) -> Result<()> {
    let server = Arc::new(Freehold::new(options.sessions, Arc::default())?);
    let plan = Plan {
        callers: options.callers,
        sessions: options.sessions,
        slow_percent: 1,
        slow_ms: 10,
        warm_up: Duration::ZERO,
        measure: Duration::try_from_secs_f64(options.seconds)?,
    };
    let figures = load::run(&server, plan).await?;
    println!("{:.0} calls a second", figures.calls_per_second);
    Ok(())
}

async fn transfers(options: &Options) -> Result<()> {
    let (begun, mut done) = (Instant::now(), 0);
    while begun.elapsed().as_secs_f64() < options.seconds {
        let plan = LedgerPlan {
            callers: options.callers,
            sessions: options.sessions,
            standing_orders: STANDING_ORDERS,
            transfers: TRANSFERS,
            hangs_after: HANGS_AFTER,
        };
        let figures = ledger::run::<Freehold>(plan).await?;
        ensure!(!figures.hung, "the ledger hangs: {figures:?}");
        done += figures.done;
    }
    println!("{:.0} transfers a second", done as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}

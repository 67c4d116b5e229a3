//! CPU of the engine alone, in this process, next to serde_json doing the same work without an engine.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use freehold::message::Message;
use freehold_benches::echo_engine::{EchoEngine, Exchange, exchanges, parse_and_serialize};
use freehold_benches::figures::process::{Figures, SUBJECTS, Subject, table};
use freehold_benches::{cpu_time, pinning, report, run};
use tokio::runtime::Runtime;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

/// CPU per operation of Engine::process and Engine::process_bytes, next to parsing and serialising the same with
/// serde_json alone: one thread, rounds interleaved, every answer checked.
#[derive(Debug, Parser)]
struct Options {
    /// Measured rounds, each of which visits every subject once
    #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Operations of each subject in a round
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    operations: u32,
    /// The core to run on
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Measure nothing: run one subject so many times, for a tool that counts instructions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    instructions_once: Option<u32>,
    /// The subject of --instructions-once
    #[arg(long, value_enum, default_value_t = Subject::ProcessBytes)]
    subject: Subject,
    /// Also write all figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What `block_on` runs at a time.
const BATCH: u32 = 1_000;

struct Bench {
    runtime: Runtime,
    engine: EchoEngine,
    recovering: EchoEngine,
    watched: EchoEngine,
    exchanges: Vec<Exchange>,
}

impl Bench {
    fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let engine = runtime.block_on(async { EchoEngine::new() })?;
        let recovering = runtime.block_on(async { EchoEngine::recovering() })?;
        let watched = runtime.block_on(async { EchoEngine::watched() })?;
        Ok(Self { runtime, engine, recovering, watched, exchanges: exchanges(BATCH) })
    }

    /// Runs `subject` so many times; the CPU time per operation in nanoseconds.
    fn run(&self, subject: Subject, operations: u32) -> Result<f64> {
        if subject != Subject::Traced {
            return self.run_here(subject, operations);
        }
        let subscriber = tracing_subscriber::registry().with(LevelFilter::DEBUG);
        let ran = tracing::subscriber::with_default(subscriber, || self.run_here(subject, operations));
        // Else all others would be asked whether somebody listens.
        tracing::callsite::rebuild_interest_cache();
        ran
    }

    fn run_here(&self, subject: Subject, operations: u32) -> Result<f64> {
        let mut nanoseconds = 0.0;
        let mut left = operations;
        while left > 0 {
            let exchanges = &self.exchanges[..left.min(BATCH) as usize];
            let messages = match subject {
                Subject::Process | Subject::Watched | Subject::Traced | Subject::Recovering => {
                    exchanges.iter().map(Exchange::message).collect::<Result<_>>()?
                }
                _ => Vec::new(),
            };
            let before = cpu_time::of_this_thread()?;
            self.measured(subject, messages, exchanges)?;
            nanoseconds += (cpu_time::of_this_thread()? - before).as_secs_f64() * 1e9;
            left -= left.min(BATCH);
        }
        Ok(nanoseconds / f64::from(operations))
    }

    /// What is measured, and nothing else: a function of its own, so that a profiler can be told to watch it.
    #[inline(never)]
    fn measured(&self, subject: Subject, messages: Vec<Message<'_>>, exchanges: &[Exchange]) -> Result<()> {
        match subject {
            Subject::Floor => parse_and_serialize(exchanges),
            Subject::Process | Subject::Traced => {
                self.runtime.block_on(self.engine.process(messages, exchanges))
            }
            Subject::Watched => self.runtime.block_on(self.watched.process(messages, exchanges)),
            Subject::Recovering => self.runtime.block_on(self.recovering.process(messages, exchanges)),
            Subject::ProcessBytes => self.runtime.block_on(self.engine.process_bytes(exchanges)),
        }
    }
}

fn main() -> ExitCode {
    run::exit_code(start(&Options::parse()))
}

fn start(options: &Options) -> Result<()> {
    let bench = Bench::new()?;
    if let Some(operations) = options.instructions_once {
        bench.run(options.subject, operations)?;
        return Ok(());
    }
    pinning::pin_to(options.core)?;
    let figures = measure(&bench, options)?;
    println!("{}", table(&figures));
    report::write_json(options.json.as_deref(), &figures)
}

fn measure(bench: &Bench, options: &Options) -> Result<Vec<Figures>> {
    let mut figures: Vec<_> =
        SUBJECTS.into_iter().map(|subject| Figures { subject, cpu_ns: Vec::new() }).collect();
    for round in 0..=options.rounds {
        for Figures { subject, cpu_ns } in &mut figures {
            let nanoseconds = bench.run(*subject, options.operations)?;
            // The first round warms everything up.
            if round > 0 {
                cpu_ns.push(nanoseconds);
            }
        }
    }
    Ok(figures)
}

//! CPU of the engine in this process with nothing watched, with all that watches, and with a page open that shows it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use freehold_admin::{AdminOptions, AdminServer, RunningAdmin, Telemetry};
use freehold_benches::cpu_time::{self, CpuClock};
use freehold_benches::echo_engine::{EchoEngine, Exchange, exchanges};
use freehold_benches::figures::page::{Figures, SUBJECTS, Subject, table};
use freehold_benches::{report, run};
use tokio::runtime::Runtime;

/// CPU per operation of Engine::process, with that of all threads that watch it: rounds interleaved, every answer checked.
#[derive(Debug, Parser)]
struct Options {
    /// Measured rounds, each of which visits every subject once
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Operations of each subject in a round: several seconds, since a page is brought up to date once a second
    #[arg(long, default_value_t = 3_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    operations: u32,
    /// Also write all figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What `block_on` runs at a time.
const BATCH: u32 = 1_000;

/// A page that is open: reads what it is sent. Its own CPU time is what the browser would spend.
struct Page {
    stream: TcpStream,
    reader: JoinHandle<Result<Duration>>,
}

impl Page {
    fn open(admin: &RunningAdmin) -> Result<Self> {
        let address = admin.address();
        let mut stream = TcpStream::connect(address)?;
        write!(stream, "GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
        let mut events = stream.try_clone()?;
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 1 << 16];
            while events.read(&mut bytes)? > 0 {}
            cpu_time::of_this_thread()
        });
        Ok(Self { stream, reader })
    }

    /// The CPU time of its reader.
    fn close(self) -> Result<Duration> {
        self.stream.shutdown(Shutdown::Both)?;
        self.reader.join().map_err(|_| anyhow!("the reader of the page panicked"))?
    }
}

struct Bench {
    runtime: Runtime,
    bare: EchoEngine,
    watched: EchoEngine,
    telemetry: Telemetry,
    exchanges: Vec<Exchange>,
    process: CpuClock,
}

impl Bench {
    fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let telemetry = Telemetry::new();
        let bare = runtime.block_on(async { EchoEngine::new() })?;
        let watched = runtime.block_on(async { EchoEngine::watched_by(telemetry.clone()) })?;
        let process = CpuClock::of(std::process::id())?;
        Ok(Self { runtime, bare, watched, telemetry, exchanges: exchanges(BATCH), process })
    }

    /// The CPU time per operation in nanoseconds, of the thread that operates and of all that watch it.
    fn run(&self, subject: Subject, operations: u32) -> Result<f64> {
        let before = self.of_others(Duration::ZERO)?;
        let admin = match subject {
            Subject::Bare => None,
            _ => Some(
                AdminServer::bind("127.0.0.1:0", AdminOptions::default())?
                    .start(self.watched.engine(), &self.telemetry)?,
            ),
        };
        let page = match (&admin, subject) {
            (Some(admin), Subject::Page) => Some(Page::open(admin)?),
            _ => None,
        };
        let engine = if subject == Subject::Bare { &self.bare } else { &self.watched };
        let own = self.operate(engine, operations)?;
        let of_page = page.map(Page::close).transpose()?.unwrap_or_default();
        drop(admin);
        let others = self.of_others(of_page)?.saturating_sub(before);
        Ok((own + others).as_secs_f64() * 1e9 / f64::from(operations))
    }

    /// The CPU time of all threads but this one, without `page`.
    fn of_others(&self, page: Duration) -> Result<Duration> {
        let own = cpu_time::of_this_thread()?;
        Ok(self.process.read()?.saturating_sub(own).saturating_sub(page))
    }

    fn operate(&self, engine: &EchoEngine, operations: u32) -> Result<Duration> {
        let (mut own, mut left) = (Duration::ZERO, operations);
        while left > 0 {
            let exchanges = &self.exchanges[..left.min(BATCH) as usize];
            let messages = exchanges.iter().map(Exchange::message).collect::<Result<_>>()?;
            let before = cpu_time::of_this_thread()?;
            self.runtime.block_on(engine.process(messages, exchanges))?;
            own += cpu_time::of_this_thread()?.saturating_sub(before);
            left -= left.min(BATCH);
        }
        Ok(own)
    }
}

fn main() -> ExitCode {
    run::exit_code(start(&Options::parse()))
}

fn start(options: &Options) -> Result<()> {
    let bench = Bench::new()?;
    let mut figures = SUBJECTS.map(|subject| Figures { subject, cpu_ns: Vec::new() });
    for round in 0..=options.rounds {
        for Figures { subject, cpu_ns } in &mut figures {
            let nanoseconds = bench.run(*subject, options.operations).with_context(|| subject.to_string())?;
            // The first round warms everything up.
            if round > 0 {
                cpu_ns.push(nanoseconds);
            }
        }
    }
    println!("{}", table(&figures));
    report::write_json(options.json.as_deref(), &figures)
}

//! What the locks and activities of freehold-sync cost, next to the locks they are compared with.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use freehold_benches::cpu_time::{self, CpuClock};
use freehold_benches::figures::sync::Results;
use freehold_benches::stats::Latency;
use freehold_benches::sync::blocking::{self, LockProcess, peer_program};
use freehold_benches::sync::chain::{self, ChainCost, Shape};
use freehold_benches::sync::comparison::{Cost, Figures, Subject, Target, compare, per_operation, table};
use freehold_benches::sync::contended::Section;
use freehold_benches::sync::latency::{self, Crowd, RingFigures, Victim};
use freehold_benches::sync::lock_child::Load;
use freehold_benches::sync::sizes;
use freehold_benches::sync::{activities, contended, uncontended};
use freehold_benches::{pinning, report, run};
use tokio::runtime::{Builder, Runtime};

/// What the locks and activities of freehold-sync cost, next to tokio's and to the blocking locks of others: rounds
/// interleaved, every figure beside its target.
#[derive(Debug, Parser)]
struct Options {
    /// The rows to measure; all of them if none is named. See benches/README.md
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=10))]
    rows: Vec<u8>,
    /// Measured rounds, each of which visits every subject once
    #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Operations of each subject in a round
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    operations: u32,
    /// The core on which everything with one thread runs
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Measure nothing: run one subject with so many operations, for a tool that counts instructions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    instructions_once: Option<u32>,
    /// The subject of --instructions-once
    #[arg(long, value_enum, default_value_t = Work::Mutex)]
    subject: Work,
    /// Switch the detection of deadlocks off for --instructions-once
    #[arg(long)]
    without_detection: bool,
    /// Run --instructions-once on two workers instead of one thread, for a profiler that samples
    #[arg(long)]
    on_two_workers: bool,
    /// Folder of the programs with the locks of others [default: beside this program, or benches/peers/target/release]
    #[arg(long, value_name = "DIR")]
    peers: Option<PathBuf>,
    /// Answer commands on standard input for Freehold's blocking lock, as the programs with the locks of others do
    #[arg(long, hide = true)]
    as_lock_process: bool,
    /// Also write all figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What runs on one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Work {
    /// Freehold's mutex in an activity
    Mutex,
    /// Freehold's mutex in a plain task
    MutexPlain,
    /// Tokio's mutex
    MutexTokio,
    /// Reading Freehold's read-write lock in an activity
    Read,
    /// Reading Freehold's read-write lock in a plain task
    ReadPlain,
    /// Reading tokio's read-write lock
    ReadTokio,
    /// Polls of an activity
    Polls,
    /// Polls of a plain future
    PollsPlain,
    /// Starts of activities
    Spawns,
    /// Starts of plain tasks
    SpawnsPlain,
    /// Starts of activities, 1,000 at a time
    ManySpawns,
    /// Starts of plain tasks, 1,000 at a time
    ManySpawnsPlain,
    /// Freehold's mutex held across a suspension by each of 8 activities
    Held,
    /// Freehold's mutex held across a suspension by each of 8 plain tasks
    HeldPlain,
    /// Tokio's mutex held across a suspension by each of 8 tasks
    HeldTokio,
}

/// How many tasks share the mutex of `held`, on one thread.
const HELD_TASKS: u32 = 8;

/// Rings of each kind in a round of row 7.
const RINGS: u32 = 100;

/// Who waits elsewhere in the second half of row 7.
const CROWD: usize = 10_000;

/// Row 8: a waiter of a long chain may cost so many times as much as one of a short chain, for the caches' sake.
const LINEAR: f64 = 2.0;

/// Rounds of row 8, at most: each has 51,000 waiters.
const CHAIN_ROUNDS: u32 = 7;

impl Work {
    fn start(self, operations: u32) -> Pin<Box<dyn Future<Output = Result<()>>>> {
        let sections = operations / HELD_TASKS;
        match self {
            Self::Mutex => Box::pin(uncontended::mutex_in_activity(operations)),
            Self::MutexPlain => Box::pin(uncontended::mutex_plainly(operations)),
            Self::MutexTokio => Box::pin(uncontended::mutex_of_tokio(operations)),
            Self::Read => Box::pin(uncontended::read_in_activity(operations)),
            Self::ReadPlain => Box::pin(uncontended::read_plainly(operations)),
            Self::ReadTokio => Box::pin(uncontended::read_of_tokio(operations)),
            Self::Polls => Box::pin(activities::polls_of_activity(operations)),
            Self::PollsPlain => Box::pin(activities::polls_plainly(operations)),
            Self::Spawns => Box::pin(activities::spawns_of_activities(operations, 50)),
            Self::SpawnsPlain => Box::pin(activities::spawns_plainly(operations, 50)),
            Self::ManySpawns => Box::pin(activities::spawns_of_activities(operations, 1_000)),
            Self::ManySpawnsPlain => Box::pin(activities::spawns_plainly(operations, 1_000)),
            Self::Held => Box::pin(contended::activities(HELD_TASKS, sections, Section::AcrossYield)),
            Self::HeldPlain => Box::pin(contended::plain_tasks(HELD_TASKS, sections, Section::AcrossYield)),
            Self::HeldTokio => {
                Box::pin(contended::tasks_of_tokio(HELD_TASKS, sections, Section::AcrossYield))
            }
        }
    }
}

/// What building a chain of waiters costs, or dissolving it.
type PartOfChain = fn(ChainCost) -> Cost;

struct Bench {
    one_thread: Runtime,
    two_workers: Runtime,
    options: Options,
}

impl Bench {
    fn new(options: Options) -> Result<Self> {
        let one_thread = Builder::new_current_thread().enable_all().build()?;
        let two_workers = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        Ok(Self { one_thread, two_workers, options })
    }

    /// What is measured on one thread, and nothing else: a function of its own, so that a profiler can be told to watch
    /// it.
    #[inline(never)]
    fn measured(&self, work: Work, operations: u32) -> Result<()> {
        self.one_thread.block_on(work.start(operations))
    }

    fn on_one_thread(&self, work: Work) -> Result<Cost> {
        let operations = self.options.operations;
        let (begun, cpu_before) = (Instant::now(), cpu_time::of_this_thread()?);
        self.measured(work, operations)?;
        let cpu = cpu_time::of_this_thread()? - cpu_before;
        Ok(per_operation(cpu, begun.elapsed(), operations))
    }

    fn on_two_workers(&self, operations: u32, work: impl Future<Output = Result<()>>) -> Result<Cost> {
        let clock = CpuClock::of(std::process::id())?;
        let (begun, cpu_before) = (Instant::now(), clock.read()?);
        self.two_workers.block_on(work)?;
        let cpu = clock.read()? - cpu_before;
        Ok(per_operation(cpu, begun.elapsed(), operations))
    }

    fn row(&self, row: u8, results: &mut Results) -> Result<()> {
        match row {
            5 => results.compared.extend(self.blocking()?),
            7 => results.rings.extend(self.rings()?),
            8 => results.compared.extend(self.chains()?),
            9 => {
                results.sizes = sizes::sizes()?;
                println!("{}", sizes::table(&results.sizes));
            }
            10 => results.compared.extend(self.without_detection()?),
            row => results.compared.extend(self.detected(row)?),
        }
        Ok(())
    }

    /// The rows that are measured with detection and without.
    fn detected(&self, row: u8) -> Result<Vec<Figures>> {
        match row {
            1 => {
                let works = [Work::MutexTokio, Work::Mutex, Work::MutexPlain];
                self.uncontended("1 mutex, uncontended", 0.55, works, "async-lock")
            }
            2 => {
                let works = [Work::ReadTokio, Work::Read, Work::ReadPlain];
                self.uncontended("2 read, uncontended", 0.65, works, "async-lock-read")
            }
            3 => self.contended("3 tiny sections", Section::Tiny, 0.6),
            4 => self.contended("4 held across yield", Section::AcrossYield, 1.05),
            _ => self.overhead(),
        }
    }

    /// Tokio's lock, Freehold's in an activity and in a task, and async-lock's if its program is there.
    fn uncontended(&self, row: &str, times: f64, works: [Work; 3], other: &str) -> Result<Vec<Figures>> {
        let [tokio, activity, task] = works;
        let mut subjects = vec![
            Subject::peer("tokio, task", || self.on_one_thread(tokio)),
            Subject::new("freehold, activity", Target::Times(times), || self.on_one_thread(activity)),
            Subject::new("freehold, task", Target::None, || self.on_one_thread(task)),
        ];
        let all = pinning::start_pinned(self.options.core, || {
            match peer_program("peer-locks", self.options.peers.as_deref()) {
                Ok(program) => {
                    let process = LockProcess::start(&program, &[other])?;
                    subjects
                        .push(Subject::peer("async-lock, task", self.in_process(process, Load::Uncontended)));
                }
                Err(missing) => println!("without async-lock: {missing:#}\n"),
            }
            compare(row, self.options.rounds, subjects)
        })?;
        Ok(printed(all))
    }

    fn in_process(&self, mut process: LockProcess, load: Load) -> impl FnMut() -> Result<Cost> + use<> {
        // Two threads do half each.
        let operations = self.options.operations / 2 * 2;
        move || process.measure(load, operations)
    }

    fn blocking(&self) -> Result<Vec<Figures>> {
        let mut all = Vec::new();
        for load in [Load::Uncontended, Load::Contended] {
            // What one thread does is compared on one core: two may differ by half, each for as long as a process stays there.
            let rows = match load {
                Load::Uncontended => pinning::start_pinned(self.options.core, || self.blocking_rows(load))?,
                Load::Contended => self.blocking_rows(load)?,
            };
            for (peer, subjects) in rows {
                let row = format!("5 blocking mutex, {}, beside {peer}", load.word());
                all.extend(printed(compare(&row, self.options.rounds, subjects)?));
            }
        }
        Ok(all)
    }

    fn blocking_rows(&self, load: Load) -> Result<[(&'static str, Vec<Subject<'_>>); 3]> {
        let peers = self.options.peers.as_deref();
        let (others, detecting) =
            (peer_program("peer-locks", peers)?, peer_program("peer-locks-detecting", peers)?);
        let own = std::env::current_exe()?;
        let start = |program: &Path, argument: &[&str]| {
            anyhow::Ok(self.in_process(LockProcess::start(program, argument)?, load))
        };
        let freehold = |times| {
            let process = start(&own, &["--as-lock-process"])?;
            anyhow::Ok(Subject::new("freehold", Target::Times(times), process))
        };
        let peer = |name, argument: &str| anyhow::Ok(Subject::peer(name, start(&others, &[argument])?));
        let beside_parking_lot = vec![
            Subject::peer("parking_lot, deadlock_detection", start(&detecting, &[])?),
            freehold(1.1)?,
            peer("parking_lot as it comes", "parking-lot")?,
        ];
        Ok([
            ("parking_lot", beside_parking_lot),
            ("Deloxide", vec![peer("Deloxide", "deloxide")?, freehold(1.0)?]),
            ("tracing-mutex", vec![peer("tracing-mutex", "tracing-mutex")?, freehold(1.0)?]),
        ])
    }

    fn rings(&self) -> Result<Vec<RingFigures>> {
        let one_worker = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let runtimes = [("1 worker", &one_worker), ("2 workers", &self.two_workers)];
        let mut all = Vec::new();
        for crowd in [0, CROWD] {
            let (p50_target_us, p99_target_us) = if crowd == 0 { (Some(5.0), 50.0) } else { (None, 1_000.0) };
            for (workers, runtime) in runtimes {
                let latencies =
                    runtime.block_on(runtime.spawn(rings_beside(crowd, self.options.rounds)))??;
                for (victim, latencies) in VICTIMS.into_iter().zip(latencies) {
                    let kind = format!("{workers}, victim {victim:?}, {crowd} wait elsewhere");
                    let latency = Latency::of(latencies);
                    all.push(RingFigures { kind, latency, p50_target_us, p99_target_us });
                }
            }
        }
        println!("{}", latency::table(&all));
        Ok(all)
    }

    fn chains(&self) -> Result<Vec<Figures>> {
        let build = |cost: ChainCost| cost.build;
        let dissolve = |cost: ChainCost| cost.dissolve;
        let parts: [(_, _, PartOfChain); 4] = [
            ("8 chain, build", Shape::Chain, build),
            ("8 chain, dissolve", Shape::Chain, dissolve),
            ("8 queue, build", Shape::Queue, build),
            ("8 queue, dissolve", Shape::Queue, dissolve),
        ];
        let sizes = [
            ("1,000 waiters", 1_000, Target::None),
            ("10,000 waiters", 10_000, Target::Times(LINEAR)),
            ("40,000 waiters", 40_000, Target::Times(LINEAR)),
        ];
        let mut all = Vec::new();
        for (row, shape, part) in parts {
            let subject = |(name, waiters, target)| {
                Subject::new(name, target, move || {
                    self.one_thread.block_on(chain::build_and_dissolve(shape, waiters)).map(part)
                })
            };
            let rounds = self.options.rounds.min(CHAIN_ROUNDS);
            all.extend(printed(compare(row, rounds, sizes.into_iter().map(subject).collect())?));
        }
        Ok(all)
    }

    fn contended(&self, row: &str, section: Section, times: f64) -> Result<Vec<Figures>> {
        let mut all = Vec::new();
        for tasks in [2, 8, 64] {
            let sections = self.options.operations / tasks;
            let operations = sections * tasks;
            let subjects = vec![
                Subject::peer("tokio, tasks", || {
                    self.on_two_workers(operations, contended::tasks_of_tokio(tasks, sections, section))
                }),
                Subject::new("freehold, activities", Target::Times(times), || {
                    self.on_two_workers(operations, contended::activities(tasks, sections, section))
                }),
                Subject::new("freehold, tasks", Target::None, || {
                    self.on_two_workers(operations, contended::plain_tasks(tasks, sections, section))
                }),
            ];
            let row = format!("{row}, {tasks} tasks");
            all.extend(printed(compare(&row, self.options.rounds, subjects)?));
        }
        Ok(all)
    }

    fn overhead(&self) -> Result<Vec<Figures>> {
        let rows = [
            ("6 poll", Work::PollsPlain, Work::Polls, 30.0),
            ("6 spawn, 50 at a time", Work::SpawnsPlain, Work::Spawns, 100.0),
            ("6 spawn, 1,000 at a time", Work::ManySpawnsPlain, Work::ManySpawns, 100.0),
        ];
        let mut all = Vec::new();
        for (row, plain, activity, more) in rows {
            let subjects = vec![
                Subject::new("plain future", Target::Difference, || self.on_one_thread(plain)),
                Subject::new("activity", Target::MoreNs(more), || self.on_one_thread(activity)),
            ];
            let rounds = self.options.rounds;
            let figures = pinning::start_pinned(self.options.core, || compare(row, rounds, subjects))?;
            all.extend(printed(figures));
        }
        Ok(all)
    }

    fn without_detection(&self) -> Result<Vec<Figures>> {
        freehold_sync::set_detection(false);
        println!("10: the following without detection\n");
        let mut all = Vec::new();
        for row in [1, 2, 3, 4, 6] {
            all.extend(self.detected(row)?);
        }
        freehold_sync::set_detection(true);
        for figures in &mut all {
            figures.row.insert_str(0, "10 without detection: ");
        }
        Ok(all)
    }
}

const VICTIMS: [Victim; 2] = [Victim::Closer, Victim::Waiter];

/// The latencies of [`RINGS`] rings a round, for each choice of the victim, while so many wait elsewhere. The first
/// round warms everything up and does not count.
async fn rings_beside(crowd: usize, rounds: u32) -> Result<[Vec<Duration>; 2]> {
    let crowd = Crowd::gather(crowd).await;
    let mut all = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        for (victim, latencies) in VICTIMS.into_iter().zip(&mut all) {
            for _ in 0..RINGS {
                let latency = latency::ring(victim).await?;
                if round > 0 {
                    latencies.push(latency);
                }
            }
        }
    }
    crowd.disperse().await?;
    Ok(all)
}

fn printed(figures: Vec<Figures>) -> Vec<Figures> {
    println!("{}", table(&figures));
    figures
}

fn main() -> ExitCode {
    run::exit_code(start(Options::parse()))
}

fn start(options: Options) -> Result<()> {
    if options.as_lock_process {
        return blocking::serve_freehold();
    }
    let bench = Bench::new(options)?;
    let options = &bench.options;
    if let Some(operations) = options.instructions_once {
        freehold_sync::set_detection(!options.without_detection);
        let work = options.subject;
        return match options.on_two_workers {
            true => bench.two_workers.block_on(work.start(operations)),
            false => bench.measured(work, operations),
        };
    }
    let mut rows = if options.rows.is_empty() { (1..=10).collect() } else { options.rows.clone() };
    // Bytes first: resident memory grows only for slots that were never used.
    rows.sort_by_key(|row| *row != 9);
    let mut results = Results::default();
    for row in rows {
        bench.row(row, &mut results)?;
    }
    report::write_json(options.json.as_deref(), &results)
}

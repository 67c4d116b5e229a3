//! What the locks and activities of freehold-sync cost, next to the locks they are compared with.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use freehold_benches::cpu_time::{self, CpuClock};
use freehold_benches::sync::comparison::{Cost, Figures, Subject, Target, compare, table};
use freehold_benches::sync::contended::Section;
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
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(64..=10_000_000))]
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
    /// Freehold's mutex held across a suspension by each of 8 activities
    Held,
    /// Freehold's mutex held across a suspension by each of 8 plain tasks
    HeldPlain,
    /// Tokio's mutex held across a suspension by each of 8 tasks
    HeldTokio,
}

/// How many tasks share the mutex of `held`, on one thread.
const HELD_TASKS: u32 = 8;

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
            Self::Spawns => Box::pin(activities::spawns_of_activities(operations)),
            Self::SpawnsPlain => Box::pin(activities::spawns_plainly(operations)),
            Self::Held => Box::pin(contended::activities(HELD_TASKS, sections, Section::AcrossYield)),
            Self::HeldPlain => Box::pin(contended::plain_tasks(HELD_TASKS, sections, Section::AcrossYield)),
            Self::HeldTokio => {
                Box::pin(contended::tasks_of_tokio(HELD_TASKS, sections, Section::AcrossYield))
            }
        }
    }
}

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
        Ok(per_operation(cpu.as_secs_f64(), begun.elapsed().as_secs_f64(), operations))
    }

    fn on_two_workers(&self, operations: u32, work: impl Future<Output = Result<()>>) -> Result<Cost> {
        let clock = CpuClock::of(std::process::id())?;
        let (begun, cpu_before) = (Instant::now(), clock.read()?);
        self.two_workers.block_on(work)?;
        let cpu = clock.read()? - cpu_before;
        Ok(per_operation(cpu.as_secs_f64(), begun.elapsed().as_secs_f64(), operations))
    }

    fn row(&self, row: u8) -> Result<Vec<Figures>> {
        match row {
            1 => self.compare_on_one_thread(
                &name("1", "mutex, uncontended"),
                &[
                    ("tokio, task", Target::None, Work::MutexTokio),
                    ("freehold, activity", Target::Times(0.55), Work::Mutex),
                    ("freehold, task", Target::None, Work::MutexPlain),
                ],
            ),
            2 => self.compare_on_one_thread(
                &name("2", "read, uncontended"),
                &[
                    ("tokio, task", Target::None, Work::ReadTokio),
                    ("freehold, activity", Target::Times(0.65), Work::Read),
                    ("freehold, task", Target::None, Work::ReadPlain),
                ],
            ),
            3 => self.contended("3", "tiny sections", Section::Tiny, 0.6),
            4 => self.contended("4", "held across yield", Section::AcrossYield, 1.05),
            6 => self.overhead(),
            10 => self.without_detection(),
            _ => Ok(Vec::new()),
        }
    }

    fn compare_on_one_thread(&self, row: &str, works: &[(&str, Target, Work)]) -> Result<Vec<Figures>> {
        let subject = |&(name, target, work)| Subject::new(name, target, move || self.on_one_thread(work));
        pinning::start_pinned(self.options.core, || {
            compare(row, self.options.rounds, works.iter().map(subject).collect())
        })
        .map(printed)
    }

    fn contended(&self, row: &str, what: &str, section: Section, times: f64) -> Result<Vec<Figures>> {
        let mut all = Vec::new();
        for tasks in [2, 8, 64] {
            let sections = self.options.operations / tasks;
            let operations = sections * tasks;
            let subjects = vec![
                Subject::new("tokio, tasks", Target::None, || {
                    self.on_two_workers(operations, contended::tasks_of_tokio(tasks, sections, section))
                }),
                Subject::new("freehold, activities", Target::Times(times), || {
                    self.on_two_workers(operations, contended::activities(tasks, sections, section))
                }),
                Subject::new("freehold, tasks", Target::None, || {
                    self.on_two_workers(operations, contended::plain_tasks(tasks, sections, section))
                }),
            ];
            let row = name(row, &format!("{what}, {tasks} tasks"));
            all.extend(printed(compare(&row, self.options.rounds, subjects)?));
        }
        Ok(all)
    }

    fn overhead(&self) -> Result<Vec<Figures>> {
        let mut all = self.compare_on_one_thread(
            &name("6", "poll"),
            &[
                ("plain future", Target::Difference, Work::PollsPlain),
                ("activity", Target::MoreNs(30.0), Work::Polls),
            ],
        )?;
        all.extend(self.compare_on_one_thread(
            &name("6", "spawn"),
            &[
                ("plain future", Target::Difference, Work::SpawnsPlain),
                ("activity", Target::MoreNs(100.0), Work::Spawns),
            ],
        )?);
        Ok(all)
    }

    fn without_detection(&self) -> Result<Vec<Figures>> {
        freehold_sync::set_detection(false);
        println!("10: without detection\n");
        let mut all = Vec::new();
        for row in [1, 2, 3, 4, 6] {
            all.extend(self.row(row)?);
        }
        freehold_sync::set_detection(true);
        for figures in &mut all {
            figures.row.insert_str(0, "10, without detection: ");
        }
        Ok(all)
    }
}

fn name(row: &str, what: &str) -> String {
    format!("{row} {what}")
}

fn per_operation(cpu_seconds: f64, wall_seconds: f64, operations: u32) -> Cost {
    let operations = f64::from(operations);
    Cost { cpu_ns: cpu_seconds * 1e9 / operations, wall_ns: wall_seconds * 1e9 / operations }
}

fn printed(figures: Vec<Figures>) -> Vec<Figures> {
    println!("{}", table(&figures));
    figures
}

fn main() -> ExitCode {
    run::exit_code(start(Options::parse()))
}

fn start(options: Options) -> Result<()> {
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
    let rows = if options.rows.is_empty() { (1..=10).collect() } else { options.rows.clone() };
    let mut all = Vec::new();
    for row in rows {
        all.extend(bench.row(row)?);
    }
    report::write_json(options.json.as_deref(), &all)
}

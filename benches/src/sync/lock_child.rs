//! A process that measures a lock: it reads commands from standard input, one a line, and answers each with what an
//! operation cost. Freehold's child and those of the other locks, which are built without Freehold, share this file.

use std::io::{BufRead, Write, stdin, stdout};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::time::ClockId;

/// How many threads take the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// One, alone.
    Uncontended,
    /// Two at the same time.
    Contended,
}

impl Load {
    /// The word for it in a command.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Uncontended => "uncontended",
            Self::Contended => "contended",
        }
    }
}

/// What an answer begins with, so that nothing else a lock prints is taken for one.
pub const ANSWER: &str = "ns: ";

/// A number behind a blocking lock.
pub trait Counter: Sync {
    /// Locks, adds one, unlocks.
    fn add_one(&self);
    /// Locks, and sets it back to zero.
    fn take(&self) -> u32;
}

/// Answers commands for a blocking lock until standard input ends.
///
/// # Errors
///
/// When a command is not understood or a count is wrong.
pub fn serve_counter(counter: &impl Counter) -> Result<()> {
    serve(|load, operations| {
        match load {
            Load::Uncontended => (0..operations).for_each(|_| counter.add_one()),
            Load::Contended => by_two_threads(counter, operations / 2),
        }
        let count = counter.take();
        ensure!(count == operations, "{count} of {operations} were counted");
        Ok(())
    })
}

fn by_two_threads(counter: &impl Counter, operations: u32) {
    let start = Barrier::new(2);
    let count = || {
        start.wait();
        (0..operations).for_each(|_| counter.add_one());
    };
    std::thread::scope(|scope| {
        scope.spawn(count);
        scope.spawn(count);
    });
}

/// Answers commands with what `run` costs an operation, until standard input ends.
///
/// # Errors
///
/// When a command is not understood, and those of `run`.
pub fn serve(mut run: impl FnMut(Load, u32) -> Result<()>) -> Result<()> {
    for line in stdin().lock().lines() {
        let (load, operations) = parse(&line?)?;
        let (begun, cpu_before) = (Instant::now(), cpu_time()?);
        run(load, operations)?;
        let (wall, cpu) = (begun.elapsed(), cpu_time()? - cpu_before);
        let per_operation = |time: Duration| time.as_secs_f64() * 1e9 / f64::from(operations);
        println!("{ANSWER}{} {}", per_operation(cpu), per_operation(wall));
        stdout().flush()?;
    }
    Ok(())
}

fn parse(line: &str) -> Result<(Load, u32)> {
    let (load, operations) = line.split_once(' ').context("a command has a load and a number")?;
    let load = match load {
        "uncontended" => Load::Uncontended,
        "contended" => Load::Contended,
        _ => bail!("no such load: {load}"),
    };
    Ok((load, operations.parse()?))
}

/// CPU time of all threads of this process.
fn cpu_time() -> Result<Duration> {
    Ok(ClockId::CLOCK_PROCESS_CPUTIME_ID.now().context("no CPU clock for this process")?.into())
}

//! Blocking locks, each in a process of its own: parking_lot's detection is a feature of the whole build, and must not
//! reach the parking_lot that Freehold stands on.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::comparison::Cost;
use super::lock_child::{self, ANSWER, Counter, Load};

/// A process that measures one lock when told to. It ends when this is dropped.
#[derive(Debug)]
pub struct LockProcess {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl LockProcess {
    /// Starts a program that answers commands.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(program: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let commands = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("the output is piped")?);
        Ok(Self { child, commands, answers })
    }

    /// What an operation costs there.
    ///
    /// # Errors
    ///
    /// When the process has failed.
    pub fn measure(&mut self, load: Load, operations: u32) -> Result<Cost> {
        let commands = self.commands.as_mut().context("the input is piped")?;
        writeln!(commands, "{} {operations}", load.word())?;
        let answer = self
            .answers
            .by_ref()
            .lines()
            .find_map(|line| line.map(|line| line.strip_prefix(ANSWER).map(str::to_owned)).transpose());
        let answer = answer.context("a lock process has ended")??;
        let Some((cpu, wall)) = answer.split_once(' ') else { bail!("an answer has two figures: {answer}") };
        Ok(Cost { cpu_ns: cpu.parse()?, wall_ns: wall.parse()? })
    }
}

impl Drop for LockProcess {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.commands = None;
        if let Err(failure) = self.child.wait() {
            eprintln!("a lock process could not be waited for: {failure}");
        }
    }
}

/// A program with the locks of others.
///
/// # Errors
///
/// When it is not there; the message tells how to build it.
pub fn peer_program(name: &str, peers: Option<&Path>) -> Result<PathBuf> {
    let places = match peers {
        Some(folder) => vec![folder.join(name)],
        None => {
            let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/target/release");
            vec![env::current_exe()?.with_file_name(name), target.join(name)]
        }
    };
    let Some(program) = places.iter().find(|path| path.is_file()) else {
        let places: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
        bail!("{name} is not at {}; benches/README.md tells how to build it", places.join(" nor at "));
    };
    Ok(program.clone())
}

struct Freehold(freehold_sync::blocking::Mutex<u32>);

impl Counter for Freehold {
    #[inline]
    fn add_one(&self) {
        *self.0.lock().expect("nobody fails here") += 1;
    }

    fn take(&self) -> u32 {
        std::mem::take(&mut self.0.lock().expect("nobody fails here"))
    }
}

/// What the child process for Freehold's own lock does.
///
/// # Errors
///
/// When a command is not understood or a count is wrong.
pub fn serve_freehold() -> Result<()> {
    lock_child::serve_counter(&Freehold(freehold_sync::blocking::Mutex::new(0)))
}

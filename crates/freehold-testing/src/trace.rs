//! What happened in a run, in order.

use crate::limits;
use std::{collections::VecDeque, fmt, time::Duration};

/// What happened in one run: how many steps, a number that stands for all of it, and, if it was recorded, the last lines.
///
/// Two runs with one seed have equal traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    digest: u64,
    steps: u64,
    lines: Option<VecDeque<String>>,
}

impl Trace {
    pub(crate) fn new(recorded: bool) -> Self {
        Self { digest: 0xcbf2_9ce4_8422_2325, steps: 0, lines: recorded.then(VecDeque::new) }
    }

    /// Stands for all that happened: other runs have another one.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// How many steps of tasks there were.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The last lines; none if they were not recorded.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.lines.iter().flatten().map(String::as_str)
    }

    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn keep(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            if lines.len() >= limits::TRACE_LINES {
                lines.pop_front();
            }
            lines.push_back(line());
        }
    }

    /// One poll of a task.
    pub(crate) fn step(&mut self, at: Duration, task: u64, name: &str) {
        self.steps += 1;
        self.mix(&(at.as_nanos() as u64).to_le_bytes());
        self.mix(&task.to_le_bytes());
        self.keep(|| format!("{:>10.3} ms  task {task} ({name})", at.as_secs_f64() * 1e3));
    }

    /// Something that happened in it.
    pub(crate) fn event(&mut self, at: Duration, what: &str) {
        self.mix(what.as_bytes());
        self.keep(|| format!("{:>10.3} ms      {what}", at.as_secs_f64() * 1e3));
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().try_for_each(|line| writeln!(f, "{line}"))
    }
}

//! CPU time of another process, user and system together, in nanoseconds, and how long others kept it from its core; and
//! that of the calling thread.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::ClockId;
use nix::unistd::Pid;

/// CPU time of the calling thread since it began.
///
/// # Errors
///
/// When the system has no such clock.
pub fn of_this_thread() -> Result<Duration> {
    let time = ClockId::CLOCK_THREAD_CPUTIME_ID.now().context("no CPU clock for this thread")?;
    Ok(time.into())
}

/// The CPU clock of one process. It covers all threads, also those that have ended.
#[derive(Debug, Clone, Copy)]
pub struct CpuClock {
    clock: ClockId,
    process: u32,
}

impl CpuClock {
    /// The clock of the process with this id.
    ///
    /// # Errors
    ///
    /// When there is no such process.
    pub fn of(process: u32) -> Result<Self> {
        let id = Pid::from_raw(i32::try_from(process)?);
        let clock =
            ClockId::pid_cpu_clock_id(id).with_context(|| format!("no CPU clock for process {process}"))?;
        Ok(Self { clock, process })
    }

    /// CPU time since the process began.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn read(&self) -> Result<Duration> {
        let time = self.clock.now().context("the measured process has ended")?;
        Ok(time.into())
    }

    /// How long its threads were ready to run but had to wait for a core, since they began. On a core of its own this
    /// hardly grows; where it does, other programs disturbed the measurement.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn waited_for_core(&self) -> Result<Duration> {
        let folder = PathBuf::from(format!("/proc/{}/task", self.process));
        let mut nanoseconds = 0;
        for thread in fs::read_dir(&folder).context("the measured process has ended")? {
            let path = thread?.path().join("schedstat");
            // A thread may end between being listed and being read.
            let text = fs::read_to_string(path).unwrap_or_default();
            nanoseconds += wait_field(&text).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

/// The second of: time on a core, time waiting for one, time slices.
fn wait_field(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{CpuClock, wait_field};

    #[test]
    fn wait_fields() {
        for (text, expected) in [("10 46783 1\n", Some(46783)), ("", None), ("1 x 2", None)] {
            assert_eq!(wait_field(text), expected, "{text:?}");
        }
    }

    #[test]
    fn own_clock_advances() {
        let clock = CpuClock::of(std::process::id()).unwrap();
        let before = clock.read().unwrap();
        while clock.read().unwrap() == before {
            std::hint::black_box(0);
        }
    }
}

//! Which core a thread, and every process it starts, runs on.

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

const CALLING_THREAD: Pid = Pid::from_raw(0);

/// Keeps the calling thread, and threads and processes it starts from now on, on one core.
///
/// # Errors
///
/// When this machine has no such core or does not let us have it.
pub fn pin_to(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    sched_setaffinity(CALLING_THREAD, &cores).with_context(|| format!("cannot run on core {core}"))
}

/// Runs `start` pinned to `core`, then gives the calling thread its cores back. What `start` starts stays pinned, from
/// its first instruction on.
///
/// # Errors
///
/// When the core is not to be had, or `start` fails.
pub fn start_pinned<T>(core: usize, start: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = sched_getaffinity(CALLING_THREAD)?;
    pin_to(core)?;
    let started = start();
    sched_setaffinity(CALLING_THREAD, &before)?;
    started
}

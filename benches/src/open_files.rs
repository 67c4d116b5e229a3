//! The limit on open files, which the servers started by us inherit, and how many a process has open.

use std::fs;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the soft limit to the hard one and returns it.
///
/// # Errors
///
/// When even the hard limit is below `needed`, or the limit cannot be changed.
pub fn raise_limit(needed: u64) -> Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit on open files")?;
    if hard < needed {
        bail!(
            "needs {needed} open files, the hard limit is {hard}: raise it (ulimit -Hn {needed}) or open fewer"
        );
    }
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("cannot raise the limit on open files")?;
    }
    Ok(hard)
}

/// How many files, sockets included, a process has open at this moment.
///
/// # Errors
///
/// When the process has ended.
pub fn count(process: u32) -> Result<usize> {
    let path = format!("/proc/{process}/fd");
    let entries = fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(entries.count())
}

//! How each measuring program runs: on one pinned thread, until it is done or told to stop.

use std::future::Future;
use std::process::ExitCode;

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::pinning;

/// The exit code of a program; failures go to standard error with their causes, without a backtrace.
#[must_use]
pub fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a measurement on the calling thread, pinned to `core`. SIGINT and SIGTERM end it early, and with it every
/// server that it has started.
///
/// # Errors
///
/// Those of the measurement, and being told to stop.
pub fn on_one_core<T>(core: usize, measurement: impl Future<Output = Result<T>>) -> Result<T> {
    pinning::pin_to(core)?;
    on_one_thread(measurement)
}

/// The same, on whichever core is free.
///
/// # Errors
///
/// As there.
pub fn on_one_thread<T>(measurement: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(until_told_to_stop(measurement))
}

async fn until_told_to_stop<T>(measurement: impl Future<Output = Result<T>>) -> Result<T> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = measurement => result,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

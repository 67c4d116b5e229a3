//! `freehold`, the command.

#![forbid(unsafe_code)]

mod cli;
mod config;
mod connect_hints;
mod failure;
mod ledger;
mod logging;
mod period;
mod serve;
mod shutdown;
mod tools;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli::Command::Serve(arguments) = cli::Cli::parse().command;
    match serve::command(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

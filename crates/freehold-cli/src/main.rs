//! `freehold`, the command.

#![forbid(unsafe_code)]

mod cli;
mod config;
mod connect_hints;
mod demo;
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
    let ended = match cli::Cli::parse().command {
        cli::Command::Serve(arguments) => serve::command(*arguments),
        cli::Command::Demo(arguments) => demo::command(&arguments),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

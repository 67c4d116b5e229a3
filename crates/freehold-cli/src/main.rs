//! `freehold`, the command.

#![forbid(unsafe_code)]

mod admin;
mod check;
mod cli;
mod config;
mod connect_hints;
mod demo;
mod failure;
mod generate;
mod health;
mod inspect;
mod ledger;
mod logging;
mod otlp;
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
        cli::Command::Inspect(arguments) => inspect::command(&arguments),
        cli::Command::Check(arguments) => check::command(&arguments),
        cli::Command::Health(arguments) => health::command(&arguments),
        cli::Command::Completions(arguments) => generate::completions(&arguments),
        cli::Command::Man(arguments) => generate::man(&arguments),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

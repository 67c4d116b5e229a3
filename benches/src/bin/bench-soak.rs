//! Twice the load that `freehold serve` can take, for ten minutes, beside a hundred thousand sessions: is every request
//! answered once, and is all as before afterwards?

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use freehold_benches::soak::limits;
use freehold_benches::soak::run::{Plan, run};
use freehold_benches::soak::verdicts::Summary;
use freehold_benches::{open_files, report, run as program};

/// Below it the system has ports enough for the connections that come and go.
const SESSIONS_PER_SECOND: u64 = 400;

/// Stress and soak of `freehold serve`. The exit code is 0 if all verdicts are ok, and 1 if not.
#[derive(Debug, Parser)]
struct Options {
    /// How long the load lasts
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(10..=86_400))]
    seconds: u64,
    /// Sessions that come and go in that time
    #[arg(long, default_value_t = 100_000)]
    sessions: u32,
    /// Which calls are sent, and what becomes of sessions, follows from this
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The server's program [default: freehold beside this program]
    #[arg(long, value_name = "PATH")]
    freehold: Option<PathBuf>,
    /// Also write the verdicts and figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match soak(Options::parse()) {
        Ok(summary) => {
            println!("{summary}");
            if summary.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(failure) => program::exit_code(Err(failure)),
    }
}

fn soak(options: Options) -> Result<Summary> {
    let Options { seconds, sessions, seed, freehold: program, json } = options;
    ensure!(
        u64::from(sessions) <= seconds * SESSIONS_PER_SECOND,
        "at most {SESSIONS_PER_SECOND} sessions a second: the system has no ports for more"
    );
    open_files::raise_limit(u64::from(limits::CONNECTIONS) + limits::OTHER_FILES)?;
    let plan = Plan { span: Duration::from_secs(seconds), sessions, seed, program };
    let seen = program::on_one_thread(run(&plan))?;
    let summary = Summary::of(&plan, &seen);
    report::write_json(json.as_deref(), &summary)?;
    Ok(summary)
}

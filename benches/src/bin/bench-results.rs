//! Writes the results document of what the other programs measured; `scripts/peers` runs all of them.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use freehold_benches::{results, run};

/// Gathers what the programs wrote with --json into one document: what was run, on what, medians, ratios, and what Freehold
/// loses at.
#[derive(Debug, Parser)]
struct Options {
    /// Folder with NAME.json of each program, or NAME.failed
    folder: PathBuf,
    /// The document
    document: PathBuf,
    /// What the document says it was written by
    #[arg(long, default_value = "scripts/peers")]
    command: String,
}

fn main() -> ExitCode {
    run::exit_code(write(&Options::parse()))
}

fn write(options: &Options) -> Result<()> {
    let text = results::document(&options.folder, &options.command)?;
    fs::write(&options.document, text).with_context(|| format!("cannot write {}", options.document.display()))
}

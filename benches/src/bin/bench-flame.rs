//! Folded stacks and a flame graph of what a profiler wrote.

use std::fs::{self, File};
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use freehold_benches::{callgrind, flame_graph, run};
use inferno::collapse::Collapse;
use inferno::collapse::perf::Folder;

/// Folds what a profiler wrote, and draws it beside that.
#[derive(Debug, Parser)]
struct Options {
    /// Who wrote it
    #[arg(value_enum)]
    from: Profiler,
    /// The file it wrote
    input: PathBuf,
    /// The folded stacks; the flame graph has the same name with .svg
    output: PathBuf,
    /// What stands above the graph
    #[arg(long, default_value = "Processor time")]
    title: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Profiler {
    /// perf script, of what was recorded with -e cpu-clock
    Perf,
    /// valgrind --tool=callgrind --separate-callers=N --demangle=no
    Callgrind,
}

fn main() -> ExitCode {
    run::exit_code(write(&Options::parse()))
}

fn write(options: &Options) -> Result<()> {
    let (folded, count) = match options.from {
        // Each sample counts for its period, which this event has in nanoseconds.
        Profiler::Perf => (fold_perf(&options.input)?, "ns"),
        Profiler::Callgrind => {
            let text = fs::read_to_string(&options.input)
                .with_context(|| format!("cannot read {}", options.input.display()))?;
            (callgrind::fold(&text)?, "instructions")
        }
    };
    flame_graph::write(&options.output, &folded, &options.title, count)
}

fn fold_perf(input: &Path) -> Result<String> {
    let file = File::open(input).with_context(|| format!("cannot read {}", input.display()))?;
    let mut folded = Cursor::new(Vec::new());
    Folder::default().collapse(BufReader::new(file), &mut folded)?;
    Ok(String::from_utf8(folded.into_inner())?)
}

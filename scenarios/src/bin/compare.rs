//! Drives MCP servers through the scenarios as far as they show from outside, and prints what they did. See
//! `freehold_scenarios::outside` for the tools that a server must offer, and `scripts/compare`, which builds servers and runs
//! this.

use clap::{ArgGroup, Parser};
use freehold_scenarios::outside::{
    Column, Drive, Observed, SCENARIOS, Scenario, Started, Table, Times, client::Target,
};
use std::{error::Error, fs, path::PathBuf, process::ExitCode};

/// Drives MCP servers over Streamable HTTP through the scenarios that make sense from outside
///
/// A server must offer the tools of `freehold_scenarios::outside`. Without --markdown what they did is printed as text.
#[derive(Parser)]
#[command(name = "compare", group(ArgGroup::new("servers").required(true).args(["target", "server", "not_driven"])))]
struct Arguments {
    /// A server that runs already, as in http://127.0.0.1:8808/mcp
    #[arg(long, value_name = "URL")]
    target: Option<Target>,
    /// Its process, to look at its memory, files and CPU time
    #[arg(long, requires = "target")]
    pid: Option<u32>,
    /// Starts a server with a port as its last argument, anew for each scenario; may be given several times. Blanks
    /// separate its arguments
    #[arg(long, value_name = "NAME=COMMAND", value_parser = name_and_command)]
    server: Vec<(String, String)>,
    /// Only these scenarios, as in S-06,S-15
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = scenario)]
    only: Vec<&'static Scenario>,
    /// Writes the tables as Markdown to this file, too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Prints which scenarios are not driven from outside and why, as Markdown, and nothing else
    #[arg(long)]
    not_driven: bool,
    /// Fails if a server did not do what the scenarios ask for
    #[arg(long)]
    strict: bool,
}

fn name_and_command(text: &str) -> Result<(String, String), String> {
    let (name, command) = text.split_once('=').ok_or("a server is NAME=COMMAND")?;
    Ok((name.to_owned(), command.to_owned()))
}

fn scenario(number: &str) -> Result<&'static Scenario, String> {
    let found = SCENARIOS.iter().find(|scenario| scenario.number == number);
    found.ok_or_else(|| format!("{number} is not driven from outside"))
}

impl Arguments {
    fn scenarios(&self) -> Vec<&'static Scenario> {
        if self.only.is_empty() { SCENARIOS.iter().collect() } else { self.only.clone() }
    }
}

/// Drives a server through a scenario, and says what was not as asked for.
async fn drive(column: &mut Column, scenario: &Scenario, drive: Drive) -> usize {
    eprintln!("{}: {} {}", column.name, scenario.number, scenario.title);
    let facts = scenario.run(&drive).await;
    let otherwise = facts.iter().filter(|fact| !fact.held).count();
    column.add(scenario, facts);
    otherwise
}

/// Drives a server that is started anew for each scenario.
async fn started(
    (name, command): (String, String),
    scenarios: Vec<&'static Scenario>,
) -> Result<(Column, usize), String> {
    let (mut column, mut otherwise) = (Column::of(&name), 0);
    for scenario in scenarios {
        let server = Started::run(&command).await.map_err(|problem| format!("{name}: {problem}"))?;
        let one = Drive::new(server.target.clone(), Times::default(), server.process());
        otherwise += drive(&mut column, scenario, one).await;
    }
    Ok((column, otherwise))
}

async fn run(arguments: &Arguments) -> Result<(Vec<Column>, usize), Box<dyn Error>> {
    let (mut columns, mut otherwise) = (Vec::new(), 0);
    if let Some(target) = &arguments.target {
        let process =
            arguments.pid.map(|pid| Observed::process(pid).ok_or(format!("no process {pid} to look at")));
        let process = process.transpose()?;
        let mut column = Column::of(&target.address.to_string());
        for scenario in arguments.scenarios() {
            otherwise +=
                drive(&mut column, scenario, Drive::new(target.clone(), Times::default(), process)).await;
        }
        columns.push(column);
    }
    // Side by side: most of a run is waiting for what does not come.
    let runs = arguments.server.iter().map(|(name, command)| (name.clone(), command.clone()));
    let runs: Vec<_> = runs.map(|server| tokio::spawn(started(server, arguments.scenarios()))).collect();
    for run in runs {
        let (column, of_it) = run.await??;
        columns.push(column);
        otherwise += of_it;
    }
    Ok((columns, otherwise))
}

/// Waits for a signal to stop.
async fn told_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return,
                _ = terminate.recv() => return,
            }
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::parse();
    if arguments.not_driven {
        print!("{}", Table::not_driven_markdown());
        return Ok(ExitCode::SUCCESS);
    }
    // Servers under way are ended with the runtime, which drops them.
    let (columns, otherwise) = tokio::select! {
        ran = run(&arguments) => ran?,
        () = told_to_stop() => return Ok(ExitCode::FAILURE),
    };
    let table = Table::new(columns);
    print!("{}", table.text());
    if arguments.only.is_empty() {
        print!("{}", Table::not_driven());
    }
    if let Some(file) = &arguments.markdown {
        fs::write(file, table.markdown())?;
    }
    Ok(if arguments.strict && otherwise > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

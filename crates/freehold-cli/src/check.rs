//! `freehold check`: a deadlock report, explained.

use crate::{cli::CheckArguments, failure::Failure};
use serde::Deserialize;
use std::{
    fmt::Write as _,
    fs,
    io::{self, Read, Write},
    path::PathBuf,
    time::Duration,
};

/// A report has a few kilobytes.
const MOST_BYTES: u64 = 16 << 20;

/// The file is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error("cannot read {}: {error}", file.display())]
    Unreadable { file: PathBuf, error: io::Error },
    #[error("{} is no deadlock report as JSON: {error}", file.display())]
    Invalid { file: PathBuf, error: serde_json::Error },
}

#[derive(Deserialize)]
struct Report {
    id: String,
    fingerprint: String,
    grade: Grade,
    headline: String,
    ring: bool,
    behind: usize,
    action: Action,
    victim: Option<usize>,
    advice: String,
    edges: Vec<Edge>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
enum Grade {
    Potential,
    Suspected,
    Proven,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Victim,
    EndedHolder,
    Reordered,
    Reported,
}

#[derive(Deserialize)]
struct Edge {
    waiter: Actor,
    lock: Lock,
    mode: String,
    waited_nanos: u64,
    waits_at: Option<String>,
    holder: Actor,
    held_at: Option<String>,
}

#[derive(Deserialize)]
struct Actor {
    number: u64,
    name: String,
}

#[derive(Deserialize)]
struct Lock {
    class: String,
}

/// Runs the command to its end.
pub(crate) fn command(arguments: &CheckArguments) -> Result<(), Failure> {
    let file = &arguments.file;
    let text = read(file).map_err(|error| ReportError::Unreadable { file: file.clone(), error })?;
    let report = serde_json::from_slice(&text);
    let report: Report = report.map_err(|error| ReportError::Invalid { file: file.clone(), error })?;
    Ok(io::stdout().write_all(explained(&report).as_bytes())?)
}

fn read(file: &PathBuf) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if file.as_os_str() == "-" {
        io::stdin().take(MOST_BYTES).read_to_end(&mut text)?;
    } else {
        fs::File::open(file)?.take(MOST_BYTES).read_to_end(&mut text)?;
    }
    Ok(text)
}

impl Actor {
    fn shown(&self) -> String {
        match (self.name.is_empty(), self.number) {
            (true, number) => format!("activity #{number}"),
            (false, 0) => self.name.clone(),
            (false, number) => format!("{} (#{number})", self.name),
        }
    }
}

fn at(site: Option<&String>) -> String {
    site.map_or(String::new(), |site| format!(" at {site}"))
}

fn explained(report: &Report) -> String {
    let Report { id, fingerprint, headline, .. } = report;
    let mut out =
        format!("{id}: {headline}\n(fingerprint {fingerprint}: the same for all of this shape)\n\n");
    // Writing to a string cannot fail.
    let _ = writeln!(out, "How sure it is: {}\n\nWho waits for whom:", certainty(report));
    for (index, edge) in report.edges.iter().enumerate() {
        let waited = Duration::from_nanos(edge.waited_nanos);
        let (waiter, holder) = (edge.waiter.shown(), edge.holder.shown());
        let (class, mode) = (&edge.lock.class, &edge.mode);
        let _ = writeln!(
            out,
            "  {}. {waiter} waits{} for {class} ({mode}), for {waited:.1?},",
            index + 1,
            at(edge.waits_at.as_ref())
        );
        let _ = match &edge.held_at {
            Some(_) => writeln!(out, "     which {holder} has, taken{}.", at(edge.held_at.as_ref())),
            None => writeln!(out, "     behind {holder}."),
        };
    }
    if report.behind > 0 {
        let _ = writeln!(out, "  {} more wait behind them.", report.behind);
    }
    let _ = writeln!(out, "\nWhat was done: {}\n\nWhat to change: {}.", done(report), report.advice);
    out
}

fn certainty(report: &Report) -> &'static str {
    match (report.grade, report.ring) {
        (Grade::Proven, true) => "PROVEN. None of them could have gone on by itself; this was no slow lock.",
        (Grade::Proven, false) => "PROVEN. Nothing was left that could have woken the last one.",
        (Grade::Suspected, _) => {
            "SUSPECTED. A wait lasts; it may be a deadlock that nobody can prove, or only be slow."
        }
        (Grade::Potential, _) => {
            "POTENTIAL. Nothing waited; the order in which locks were taken can deadlock."
        }
    }
}

fn done(report: &Report) -> String {
    let victim = report.victim.and_then(|index| report.edges.get(index));
    match (report.action, victim, report.edges.last()) {
        (Action::Victim, Some(edge), _) => {
            format!("the wait of {} failed with an error, and the others went on.", edge.waiter.shown())
        }
        (Action::Victim, None, _) => "one wait failed with an error, and the others went on.".to_owned(),
        (Action::EndedHolder, _, Some(edge)) => {
            format!("{} was ended, and the others went on.", edge.holder.shown())
        }
        (Action::EndedHolder, _, None) => "the holder was ended.".to_owned(),
        (Action::Reordered, ..) => {
            "one wait was moved up in its queue, before one that waits for it; nobody failed.".to_owned()
        }
        (Action::Reported, ..) => "nothing; the waits end at their deadlines.".to_owned(),
    }
}

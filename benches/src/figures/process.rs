//! CPU of the engine alone, in process.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::stats::{median, range};
use crate::table::Table;
use crate::verdicts::Verdicts;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// serde_json into typed structs and back
    Floor,
    /// A decoded message in, a response out
    Process,
    /// The same with a circuit breaker, for a method that may be run again
    Recovering,
    /// A decoded message in, a response out, with telemetry
    Watched,
    /// The same as `process`, with a subscriber of `tracing` that keeps the span of each request until it closes
    Traced,
    /// Bytes in, bytes out
    ProcessBytes,
}

/// All of them; the floor comes first.
pub const SUBJECTS: [Subject; 6] = [
    Subject::Floor,
    Subject::Process,
    Subject::Watched,
    Subject::Traced,
    Subject::Recovering,
    Subject::ProcessBytes,
];

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Floor => "floor: serde_json alone",
            Self::Process => "Engine::process",
            Self::Watched => "Engine::process, watched",
            Self::Traced => "Engine::process, with a subscriber",
            Self::Recovering => "Engine::process, breaker on, repeatable",
            Self::ProcessBytes => "Engine::process_bytes",
        })
    }
}

/// All rounds of one subject, in nanoseconds of CPU per operation.
#[derive(Debug, Deserialize, Serialize)]
pub struct Figures {
    /// What was measured.
    pub subject: Subject,
    /// A figure a round.
    pub cpu_ns: Vec<f64>,
}

/// The figures, each by the floor.
#[must_use]
pub fn table(figures: &[Figures]) -> Table {
    let mut table = Table::new(1, ["subject", "CPU ns/operation", "min", "max", "x floor"]);
    let floor = &figures[0].cpu_ns;
    for Figures { subject, cpu_ns } in figures {
        let (low, high) = range(cpu_ns.iter().copied());
        // Within each round, so that what disturbs a whole round cancels out.
        let ratios = cpu_ns.iter().zip(floor).map(|(own, floor)| own / floor);
        table.push([
            subject.to_string(),
            format!("{:.0}", median(cpu_ns.iter().copied())),
            format!("{low:.0}"),
            format!("{high:.0}"),
            format!("{:.2}", median(ratios)),
        ]);
    }
    table
}

/// The most that a decoded message should cost, by serde_json alone.
const MOST_TIMES_FLOOR: f64 = 2.5;
/// The most that telemetry should add, by the same without.
const MOST_TIMES_UNWATCHED: f64 = 1.05;
/// The most that a breaker and a method that may be run again should add.
const MOST_NS_TO_RECOVER: f64 = 200.0;

/// The engine next to serde_json alone, and what is on next to what is off.
#[must_use]
pub fn verdicts(all: &[Figures]) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let of = |subject| all.iter().find(|figures| figures.subject == subject).map(|figures| &*figures.cpu_ns);
    let rounds = |own: Subject, other: Subject| of(own).unwrap_or(&[]).iter().zip(of(other).unwrap_or(&[]));
    let times = |own, other| median(rounds(own, other).map(|(own, other)| own / other));
    let peer = "serde_json alone";
    for own in [Subject::Process, Subject::ProcessBytes] {
        let (costs, others) = rounds(own, Subject::Floor).unzip::<_, _, Vec<_>, Vec<_>>();
        verdicts.costs(
            format!("CPU in process: {own}"),
            peer,
            costs.into_iter().copied(),
            others.into_iter().copied(),
        );
    }
    let process = times(Subject::Process, Subject::Floor);
    verdicts.goal("CPU of Engine::process by serde_json's", process, MOST_TIMES_FLOOR, "x");
    let watched = times(Subject::Watched, Subject::Process);
    verdicts.goal("CPU with telemetry by the same without", watched, MOST_TIMES_UNWATCHED, "x");
    let more = median(rounds(Subject::Recovering, Subject::Process).map(|(own, other)| own - other));
    verdicts.goal("CPU that a breaker and what is repeatable add", more, MOST_NS_TO_RECOVER, "ns");
    verdicts
}

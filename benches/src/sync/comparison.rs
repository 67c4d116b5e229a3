//! Subjects that do the same work, measured in turn (A B A B ...), and compared within each round.

use std::{fmt, time::Duration};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::stats::{median, range};
use crate::table::Table;
use crate::verdicts::Goal;

/// Nanoseconds per operation.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// CPU time of all threads that took part.
    pub cpu_ns: f64,
    /// Time from the first operation to the last.
    pub wall_ns: f64,
}

/// Shares what so many operations took together.
#[must_use]
pub fn per_operation(cpu: Duration, wall: Duration, operations: u32) -> Cost {
    let share = |time: Duration| time.as_secs_f64() * 1e9 / f64::from(operations);
    Cost { cpu_ns: share(cpu), wall_ns: share(wall) }
}

/// What the CPU time of a subject should be, next to that of the first subject in the same round.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// At most so many times as much.
    Times(f64),
    /// At most so many nanoseconds more.
    MoreNs(f64),
    /// For information; shown as a ratio.
    None,
    /// For information; shown as a difference.
    Difference,
}

/// One of those that do the same work.
pub struct Subject<'a> {
    name: &'a str,
    target: Target,
    is_peer: bool,
    run: Box<dyn FnMut() -> Result<Cost> + 'a>,
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> Subject<'a> {
    /// `run` does the work once and says what it cost.
    pub fn new(name: &'a str, target: Target, run: impl FnMut() -> Result<Cost> + 'a) -> Self {
        Self { name, target, is_peer: false, run: Box::new(run) }
    }

    /// Somebody else's, for information.
    pub fn peer(name: &'a str, run: impl FnMut() -> Result<Cost> + 'a) -> Self {
        Self { is_peer: true, ..Self::new(name, Target::None, run) }
    }
}

/// All rounds of one subject.
#[derive(Debug, Deserialize, Serialize)]
pub struct Figures {
    /// The row and what it measures.
    pub row: String,
    /// Who was measured.
    pub subject: String,
    /// Whether it is somebody else's.
    pub is_peer: bool,
    /// What its CPU time should be.
    pub target: Target,
    /// Nanoseconds of CPU per operation, one figure a round.
    pub cpu_ns: Vec<f64>,
    /// Nanoseconds per operation, one figure a round.
    pub wall_ns: Vec<f64>,
}

/// Measures every subject once a round. The first round warms everything up and does not count.
///
/// # Errors
///
/// Those of the subjects.
pub fn compare(row: &str, rounds: u32, mut subjects: Vec<Subject<'_>>) -> Result<Vec<Figures>> {
    let figures = |subject: &Subject<'_>| Figures {
        row: row.to_owned(),
        subject: subject.name.to_owned(),
        is_peer: subject.is_peer,
        target: subject.target,
        cpu_ns: Vec::new(),
        wall_ns: Vec::new(),
    };
    let mut all: Vec<_> = subjects.iter().map(figures).collect();
    for round in 0..=rounds {
        for (subject, figures) in subjects.iter_mut().zip(&mut all) {
            let cost = (subject.run)()?;
            if round > 0 {
                figures.cpu_ns.push(cost.cpu_ns);
                figures.wall_ns.push(cost.wall_ns);
            }
        }
    }
    Ok(all)
}

/// The figures of one comparison, each beside its target.
#[must_use]
pub fn table(all: &[Figures]) -> Table {
    let titles = ["row", "subject", "CPU ns", "min", "max", "wall ns", "CPU", "wall", "target", "met"];
    let mut table = Table::new(2, titles);
    for figures in all {
        let (low, high) = range(figures.cpu_ns.iter().copied());
        let cpu = compared(&figures.cpu_ns, &all[0].cpu_ns, figures.target);
        let wall = compared(&figures.wall_ns, &all[0].wall_ns, figures.target);
        table.push([
            figures.row.clone(),
            figures.subject.clone(),
            format!("{:.1}", median(figures.cpu_ns.iter().copied())),
            format!("{low:.1}"),
            format!("{high:.1}"),
            format!("{:.1}", median(figures.wall_ns.iter().copied())),
            shown(cpu, figures.target),
            shown(wall, figures.target),
            limit(figures.target),
            met(cpu, figures.target).to_owned(),
        ]);
    }
    table
}

/// What the CPU time of each with a target is by that of the first, or beyond it, and its target.
#[must_use]
pub fn goals(all: &[Figures]) -> Vec<Goal> {
    let goal = |figures: &Figures| {
        let (limit, unit) = match figures.target {
            Target::Times(times) => (times, "x"),
            Target::MoreNs(more) => (more, "ns"),
            Target::None | Target::Difference => return None,
        };
        let first = &all[0];
        let beside = if unit == "x" { "by" } else { "beyond" };
        let what = format!("CPU: {}, {}, {beside} {}", figures.row, figures.subject, first.subject);
        Some(Goal { what, value: compared(&figures.cpu_ns, &first.cpu_ns, figures.target), limit, unit })
    };
    all.iter().filter_map(goal).collect()
}

/// The median over rounds of the comparison within the round, so that what disturbs a whole round cancels out.
fn compared(own: &[f64], peer: &[f64], target: Target) -> f64 {
    let pairs = own.iter().zip(peer);
    match target {
        Target::Times(_) | Target::None => median(pairs.map(|(own, peer)| own / peer)),
        Target::MoreNs(_) | Target::Difference => median(pairs.map(|(own, peer)| own - peer)),
    }
}

fn shown(value: f64, target: Target) -> String {
    match target {
        Target::Times(_) | Target::None => format!("{value:.2} x"),
        Target::MoreNs(_) | Target::Difference => format!("{value:+.1}"),
    }
}

fn limit(target: Target) -> String {
    match target {
        Target::Times(times) => format!("<= {times:.2} x"),
        Target::MoreNs(more) => format!("<= {more:+.0}"),
        Target::None | Target::Difference => String::new(),
    }
}

fn met(value: f64, target: Target) -> &'static str {
    match target {
        Target::Times(limit) | Target::MoreNs(limit) => yes_or_no(value <= limit),
        Target::None | Target::Difference => "",
    }
}

/// How a target that was met or missed is printed.
#[must_use]
pub fn yes_or_no(met: bool) -> &'static str {
    if met { "yes" } else { "NO" }
}

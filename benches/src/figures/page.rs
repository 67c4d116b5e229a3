//! CPU of the engine while it is watched.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::stats::{median, range};
use crate::table::Table;
use crate::verdicts::Verdicts;

/// Who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// Nobody.
    Bare,
    /// Telemetry and an admin server.
    Watched,
    /// A page that is open, too.
    Page,
}

/// All of them, each with more than the one before.
pub const SUBJECTS: [Subject; 3] = [Subject::Bare, Subject::Watched, Subject::Page];

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bare => "Engine::process",
            Self::Watched => "with telemetry and an admin server",
            Self::Page => "the same, with a page open",
        })
    }
}

/// All rounds of one subject, in nanoseconds of CPU per operation.
#[derive(Debug, Deserialize, Serialize)]
pub struct Figures {
    /// Who watches.
    pub subject: Subject,
    /// A figure a round.
    pub cpu_ns: Vec<f64>,
}

impl Figures {
    /// The median of the ratios within each round, so that what disturbs a whole round cancels out.
    fn times(&self, other: &Self) -> f64 {
        median(self.cpu_ns.iter().zip(&other.cpu_ns).map(|(own, other)| own / other))
    }
}

/// The figures, each by the first one and by the one before it.
#[must_use]
pub fn table(all: &[Figures]) -> Table {
    let mut table = Table::new(1, ["subject", "CPU ns/operation", "min", "max", "x bare", "x before"]);
    for (index, figures) in all.iter().enumerate() {
        let (low, high) = range(figures.cpu_ns.iter().copied());
        table.push([
            figures.subject.to_string(),
            format!("{:.0}", median(figures.cpu_ns.iter().copied())),
            format!("{low:.0}"),
            format!("{high:.0}"),
            format!("{:.3}", figures.times(&all[0])),
            format!("{:.3}", figures.times(&all[index.saturating_sub(1)])),
        ]);
    }
    table
}

/// The most that a page should add, by the same with none open.
const MOST_TIMES_WITHOUT_PAGE: f64 = 1.01;

/// With a page next to without.
#[must_use]
pub fn verdicts(all: &[Figures]) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let of = |subject| all.iter().find(|figures| figures.subject == subject);
    if let (Some(page), Some(watched)) = (of(Subject::Page), of(Subject::Watched)) {
        let what = "CPU with a page open by the same with none";
        verdicts.goal(what, page.times(watched), MOST_TIMES_WITHOUT_PAGE, "x");
    }
    verdicts
}

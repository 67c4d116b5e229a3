//! Echo latency next to running slow calls.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::load::LoadReport;
use crate::server_binaries::Server;
use crate::stats::{median, range};
use crate::table::Table;
use crate::verdicts::Verdicts;

/// What else runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// Nothing.
    Idle,
    /// Slow calls in another session.
    OtherSession,
    /// Slow calls in the session of the echo.
    SameSession,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "idle",
            Self::OtherSession => "slow calls in another session",
            Self::SameSession => "slow calls in the same session",
        })
    }
}

/// One server in one setting, with all its rounds.
#[derive(Debug, Deserialize, Serialize)]
pub struct Subject {
    /// Which server.
    pub server: Server,
    /// What else runs.
    pub setting: Setting,
    /// All rounds.
    pub rounds: Vec<Round>,
}

/// One window.
#[derive(Debug, Deserialize, Serialize)]
pub struct Round {
    /// Half of the echoes took at most this long.
    pub p50_us: f64,
    /// 99 of 100 took at most this long.
    pub p99_us: f64,
    /// As the generator saw it.
    pub requests_per_second: f64,
    /// Share of the window in which the server waited for its core.
    pub waited_percent: f64,
    /// How much later than its time the last slow call was answered.
    pub last_answer_late_ms: Option<f64>,
}

impl Round {
    /// What was seen of the echoes, and how late the last slow call was.
    #[must_use]
    pub fn new(load: &LoadReport, late: Option<Duration>) -> Self {
        Self {
            p50_us: load.latency.p50_us,
            p99_us: load.latency.p99_us,
            requests_per_second: load.requests_per_second(),
            waited_percent: load.waited_percent(),
            last_answer_late_ms: late.map(|late| late.as_secs_f64() * 1e3),
        }
    }
}

/// The figures, each beside the same without slow calls.
#[must_use]
pub fn table(subjects: &[Subject]) -> Table {
    let mut table = Table::new(
        2,
        [
            "server",
            "setting",
            "echo p50 µs",
            "echo p99 µs",
            "min",
            "max",
            "p99 x idle",
            "waited %",
            "requests/s",
            "last slow answer late ms",
        ],
    );
    for subject in subjects {
        let of = |figure: fn(&Round) -> f64| subject.rounds.iter().map(figure);
        let (low, high) = range(of(|round| round.p99_us));
        let late = median(subject.rounds.iter().filter_map(|round| round.last_answer_late_ms));
        table.push([
            subject.server.to_string(),
            subject.setting.to_string(),
            format!("{:.0}", median(of(|round| round.p50_us))),
            format!("{:.0}", median(of(|round| round.p99_us))),
            format!("{low:.0}"),
            format!("{high:.0}"),
            ratio_to_idle(subject, subjects).map_or(String::new(), |ratio| format!("{ratio:.2}")),
            format!("{:.1}", range(of(|round| round.waited_percent)).1),
            format!("{:.0}", median(of(|round| round.requests_per_second))),
            if late.is_nan() { String::new() } else { format!("{late:.0}") },
        ]);
    }
    table
}

/// The median of the ratios within each round.
fn ratio_to_idle(subject: &Subject, subjects: &[Subject]) -> Option<f64> {
    let idle =
        subjects.iter().find(|other| other.server == subject.server && other.setting == Setting::Idle)?;
    let pairs = subject.rounds.iter().zip(&idle.rounds);
    Some(median(pairs.map(|(own, idle)| own.p99_us / idle.p99_us)))
}

/// The most that a p99 next to slow calls should be, by the same without.
const MOST_TIMES_IDLE: f64 = 1.2;

/// Freehold next to its own echo without slow calls.
#[must_use]
pub fn verdicts(subjects: &[Subject]) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let own = |subject: &&Subject| subject.server == Server::Freehold && subject.setting != Setting::Idle;
    for subject in subjects.iter().filter(own) {
        let ratio = ratio_to_idle(subject, subjects).unwrap_or(f64::NAN);
        let what = format!("p99 of an echo by the same without slow calls: {}", subject.setting);
        verdicts.goal(what, ratio, MOST_TIMES_IDLE, "x");
    }
    verdicts
}

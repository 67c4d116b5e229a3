//! Four designs of a session server with the same handlers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::designs::Design;
use crate::designs::hang::HangFigures;
use crate::designs::ledger::LedgerFigures;
use crate::designs::load::LoadFigures;
use crate::designs::sections::Sections;
use crate::designs::times::WaitAndHold;
use crate::stats::{Latency, median, range};
use crate::table::Table;
use crate::verdicts::Verdicts;

/// All rounds of one design under one load.
#[derive(Debug, Deserialize, Serialize)]
pub struct LoadRow {
    /// Runtime threads.
    pub workers: u32,
    /// How many of a hundred calls are slow.
    pub slow_percent: u32,
    /// How long those take.
    pub slow_ms: u64,
    /// Which design.
    pub design: Design,
    /// All rounds.
    pub rounds: Vec<LoadFigures>,
    /// From a window of their own.
    pub times: WaitAndHold,
    /// Of Freehold, in a build that times them.
    pub sections: Option<Sections>,
}

/// Everything that was measured.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Figures {
    /// The load, in all its kinds.
    pub load: Vec<LoadRow>,
    /// How long the slow tool took beside which an echo was sent.
    pub tool_ms: u64,
    /// Those echoes.
    pub hang: Vec<HangFigures>,
    /// The ledgers.
    pub ledger: Vec<LedgerFigures>,
}

/// The load of all designs under one load, each by the first one.
#[must_use]
pub fn load_table(rows: &[LoadRow]) -> Table {
    let LoadRow { workers, slow_percent, slow_ms, .. } = rows[0];
    let title = format!("{workers} worker(s), {slow_percent} % take {slow_ms} ms");
    let mut table = Table::new(1, [&*title, "calls/s", "min", "max", "x naive", "p50 µs", "p99 µs"]);
    let naive = &rows[0].rounds;
    for LoadRow { design, rounds, .. } in rows {
        let rates = || rounds.iter().map(|figures| figures.calls_per_second);
        // Within each round, so that what disturbs a whole round cancels out.
        let ratios = rates().zip(naive).map(|(own, naive)| own / naive.calls_per_second);
        let (low, high) = range(rates());
        table.push([
            design.to_string(),
            format!("{:.0}", median(rates())),
            format!("{low:.0}"),
            format!("{high:.0}"),
            format!("{:.2}", median(ratios)),
            format!("{:.0}", median(rounds.iter().map(|figures| figures.latency.p50_us))),
            format!("{:.0}", median(rounds.iter().map(|figures| figures.latency.p99_us))),
        ]);
    }
    table
}

/// How long calls waited and held.
#[must_use]
pub fn times_table(rows: &[LoadRow]) -> Table {
    let titles = ["µs", "wait p50", "p99", "max", "hold p50", "p99", "max"];
    let mut table = Table::new(1, titles);
    for LoadRow { design, times, .. } in rows {
        let [wait50, wait99, wait_max] = cells(Some(times.wait));
        let [hold50, hold99, hold_max] = cells(times.hold);
        table.push([design.to_string(), wait50, wait99, wait_max, hold50, hold99, hold_max]);
    }
    table
}

/// The critical sections of Freehold.
#[must_use]
pub fn sections_table(sections: &Sections) -> Table {
    let titles = [
        "freehold's critical sections, µs",
        "a call",
        "wait p50 <",
        "p99 <",
        "max <",
        "hold p50 <",
        "p99 <",
        "max <",
    ];
    let mut table = Table::new(1, titles);
    let us = |time: Duration| format!("{:.3}", time.as_secs_f64() * 1e6);
    let ([wait50, wait99, wait_max], [hold50, hold99, hold_max]) =
        (sections.wait.map(us), sections.hold.map(us));
    let per_call = format!("{:.1}", sections.per_call);
    table.push(["all".to_owned(), per_call, wait50, wait99, wait_max, hold50, hold99, hold_max]);
    table
}

fn cells(latency: Option<Latency>) -> [String; 3] {
    match latency {
        Some(Latency { p50_us, p99_us, max_us }) => [p50_us, p99_us, max_us].map(|us| format!("{us:.1}")),
        None => std::array::from_fn(|_| "none".to_owned()),
    }
}

/// The echoes beside a slow tool.
#[must_use]
pub fn hang_table(figures: &[HangFigures], tool_ms: u64) -> Table {
    let title = format!("an echo beside a tool of {tool_ms} ms");
    let mut table = Table::new(1, [&*title, "in another session, ms", "in the same session, ms"]);
    for HangFigures { design, other_session, same_session } in figures {
        let ms = |time: &Duration| format!("{:.3}", time.as_secs_f64() * 1e3);
        table.push([design.to_string(), ms(other_session), ms(same_session)]);
    }
    table
}

/// The ledgers.
#[must_use]
pub fn ledger_table(figures: &[LedgerFigures]) -> Table {
    let titles =
        ["ledger", "standing orders", "transfers", "done", "end", "after ms", "victims", "run again"];
    let mut table = Table::new(1, titles);
    for row in figures {
        let count = |count: Option<u64>| count.map_or_else(String::new, |count| count.to_string());
        table.push([
            row.design.to_string(),
            row.standing_orders.to_string(),
            row.asked.to_string(),
            row.done.to_string(),
            if row.hung { "HANGS" } else { "all done" }.to_owned(),
            format!("{:.0}", row.took.as_secs_f64() * 1e3),
            count(row.recovery.map(|recovery| recovery.victims)),
            count(row.recovery.map(|recovery| recovery.retried)),
        ]);
    }
    table
}

/// All tables, in the order in which they are printed.
#[must_use]
pub fn tables(figures: &Figures) -> Vec<Table> {
    let same_load = |one: &LoadRow, other: &LoadRow| {
        (one.workers, one.slow_percent) == (other.workers, other.slow_percent)
    };
    let mut tables = Vec::new();
    for rows in figures.load.chunk_by(same_load) {
        tables.push(load_table(rows));
        tables.push(times_table(rows));
        tables.extend(rows.iter().find_map(|row| row.sections).map(|sections| sections_table(&sections)));
    }
    tables.push(hang_table(&figures.hang, figures.tool_ms));
    tables.push(ledger_table(&figures.ledger));
    tables
}

/// Freehold next to the others: calls a second, and the echo beside a slow tool; and that no ledger of it hung.
#[must_use]
pub fn verdicts(figures: &Figures) -> Verdicts {
    let mut verdicts = Verdicts::default();
    for own in figures.load.iter().filter(|row| row.design == Design::Freehold) {
        let others = figures.load.iter().filter(|other| {
            other.design != Design::Freehold
                && (other.workers, other.slow_percent) == (own.workers, own.slow_percent)
        });
        for other in others {
            let load = format!("{} worker(s), {} % slow calls", own.workers, own.slow_percent);
            let rates = |row: &LoadRow| -> Vec<f64> {
                row.rounds.iter().map(|round| round.calls_per_second).collect()
            };
            let p99s =
                |row: &LoadRow| -> Vec<f64> { row.rounds.iter().map(|round| round.latency.p99_us).collect() };
            let peer = other.design.to_string();
            verdicts.rates(format!("calls a second: {load}"), &*peer, rates(own), rates(other));
            verdicts.costs(format!("p99 of a call: {load}"), peer, p99s(own), p99s(other));
        }
    }
    compare_hangs(&mut verdicts, &figures.hang);
    let hung =
        figures.ledger.iter().filter(|ledger| ledger.design == Design::Freehold && ledger.hung).count();
    verdicts.goal("ledgers of Freehold that hung", hung as f64, 0.0, "");
    verdicts
}

fn compare_hangs(verdicts: &mut Verdicts, all: &[HangFigures]) {
    let Some(own) = all.iter().find(|hang| hang.design == Design::Freehold) else { return };
    for other in all.iter().filter(|hang| hang.design != Design::Freehold) {
        let peer = other.design.to_string();
        let seconds = |time: Duration| [time.as_secs_f64()];
        let what = "time of an echo beside a slow tool";
        let (session, same) = (seconds(own.other_session), seconds(own.same_session));
        verdicts.costs(format!("{what}, in another session"), &*peer, session, seconds(other.other_session));
        verdicts.costs(format!("{what}, in the same session"), peer, same, seconds(other.same_session));
    }
}

//! The results of all programs in one document; every number in it is computed here, of what they wrote.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::de::DeserializeOwned;

use crate::figures::{designs, flood, http, idle, page, process, slow, sync};
use crate::machine::{Machine, locked_versions};
use crate::report::{Report, read_json};
use crate::stats::{median, range};
use crate::table::Table;
use crate::verdicts::{Comparison, Goal, Verdicts};

/// What one program had to say.
struct Chapter {
    name: &'static str,
    /// What to know of it.
    note: &'static str,
    /// Nothing if it did not end well.
    told: Result<Told, String>,
}

struct Told {
    command: String,
    tables: Vec<Table>,
    verdicts: Verdicts,
}

/// Peers, with the lock file that has their version.
const PEERS: [(&str, &str); 10] = [
    ("rmcp", "benches/peers/Cargo.lock"),
    ("jsonrpsee", "benches/peers/Cargo.lock"),
    ("solidmcp", "benches/peers/Cargo.lock"),
    ("hyper", "benches/peers/Cargo.lock"),
    ("tokio", "Cargo.lock"),
    ("async-lock", "benches/peers/Cargo.lock"),
    ("parking_lot", "benches/peers/Cargo.lock"),
    ("deloxide", "benches/peers/Cargo.lock"),
    ("tracing-mutex", "benches/peers/Cargo.lock"),
    ("serde_json", "Cargo.lock"),
];

/// The document about the results in a folder: `NAME.json` of each program, or `NAME.failed` of one that failed.
///
/// # Errors
///
/// When a file was written by another version, or the machine does not tell what it is.
pub fn document(folder: &Path, command: &str) -> Result<String> {
    let chapters = chapters(folder)?;
    let machine = Machine::this()?;
    let mut text = String::new();
    text.push_str("# Results\n\n");
    writeln!(
        text,
        "Written by `{command}` (bench-results), which overwrites it. What each program does: [README.md](README.md).\n"
    )?;
    write_machine(&mut text, &machine)?;
    write_losses(&mut text, &chapters)?;
    write_goals(&mut text, &chapters)?;
    write_comparisons(&mut text, &chapters)?;
    for chapter in &chapters {
        write_chapter(&mut text, chapter)?;
    }
    Ok(text)
}

fn chapters(folder: &Path) -> Result<Vec<Chapter>> {
    let http = "jsonrpsee does nothing of MCP: no headers, version, tools, schemas, sessions, cancels or deadlines. solidmcp gives no \
                session ids, so it has a form of its own, which is next to sessions; it closes the connection after each answer, and waits for 10 ms before it, which \
                is in its latency and not in its CPU time.";
    Ok(vec![
        chapter(
            folder,
            "bench-http",
            http,
            |all: &Vec<_>| vec![http::table(all)],
            |all| http::verdicts(all),
        )?,
        chapter(folder, "bench-slow", "", |all: &Vec<_>| vec![slow::table(all)], |all| slow::verdicts(all))?,
        chapter(folder, "bench-idle", "", |all: &Vec<_>| vec![idle::table(all)], |all| idle::verdicts(all))?,
        chapter(
            folder,
            "bench-flood",
            "",
            |all: &Vec<_>| vec![flood::table(all)],
            |all| flood::verdicts(all),
        )?,
        chapter(
            folder,
            "bench-process",
            "",
            |all: &Vec<_>| vec![process::table(all)],
            |all| process::verdicts(all),
        )?,
        chapter(folder, "bench-page", "", |all: &Vec<_>| vec![page::table(all)], |all| page::verdicts(all))?,
        chapter(folder, "bench-designs", "", designs::tables, designs::verdicts)?,
        chapter(folder, "bench-sync", "", sync::tables, sync::verdicts)?,
    ])
}

fn chapter<T: DeserializeOwned>(
    folder: &Path,
    name: &'static str,
    note: &'static str,
    tables: impl FnOnce(&T) -> Vec<Table>,
    verdicts: impl FnOnce(&T) -> Verdicts,
) -> Result<Chapter> {
    let path = folder.join(format!("{name}.json"));
    let told = if path.is_file() {
        let Report { command, figures } = read_json(&path)?;
        Ok(Told { command, tables: tables(&figures), verdicts: verdicts(&figures) })
    } else {
        let failed = fs::read_to_string(folder.join(format!("{name}.failed")));
        Err(failed.unwrap_or_else(|_| "it was not run".to_owned()))
    };
    Ok(Chapter { name, note, told })
}

fn told(chapters: &[Chapter]) -> impl Iterator<Item = (&'static str, &Told)> {
    chapters.iter().filter_map(|chapter| Some((chapter.name, chapter.told.as_ref().ok()?)))
}

fn write_machine(text: &mut String, machine: &Machine) -> Result<()> {
    let mut table = Table::new(2, ["taken on", ""]);
    let Machine { cpu, cores, kernel, rustc, commit, date } = machine;
    for (what, value) in [
        ("CPU", cpu),
        ("cores", &cores.to_string()),
        ("kernel", kernel),
        ("compiler", rustc),
        ("commit", commit),
        ("date", date),
    ] {
        table.push([what.to_owned(), value.clone()]);
    }
    writeln!(text, "{table}")?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut table = Table::new(3, ["peer", "version", "from"]);
    for (peer, lock_file) in PEERS {
        let version = locked_versions(&root.join(lock_file), peer)?;
        table.push([peer.to_owned(), version, format!("`{lock_file}`")]);
    }
    writeln!(text, "{table}")?;
    text.push_str(
        "Peers are programs of their own, but for tokio and serde_json, which are built into the measuring ones. What they do \
         not do that Freehold does stands in README.md, with the servers and the rows.\n\n",
    );
    Ok(())
}

fn write_losses(text: &mut String, chapters: &[Chapter]) -> Result<()> {
    text.push_str(
        "## What Freehold loses at\n\nEvery cost above a peer's in the median, and every goal that is not reached. A ratio is \
         Freehold's cost by the peer's within a round (of rates the inverse): above 1 Freehold is worse. Where the lowest is \
         below 1, rounds disagree. The floor, and serde_json alone, do nothing else than what is compared, so they are \
         always in it.\n\n",
    );
    let mut lost = comparison_table();
    let mut goals = goal_table();
    let (mut losses, mut missed) = (0, 0);
    for (name, told) in told(chapters) {
        for comparison in told.verdicts.comparisons.iter().filter(|comparison| is_lost(comparison)) {
            push_comparison(&mut lost, name, comparison);
            losses += 1;
        }
        for goal in told.verdicts.goals.iter().filter(|goal| !goal.is_reached()) {
            push_goal(&mut goals, name, goal);
            missed += 1;
        }
    }
    let (compared, set) = told(chapters).fold((0, 0), |(compared, set), (_, told)| {
        (compared + told.verdicts.comparisons.len(), set + told.verdicts.goals.len())
    });
    writeln!(text, "Worse in {losses} of {compared} comparisons:\n\n{lost}")?;
    writeln!(text, "Not reached are {missed} of {set} goals:\n\n{goals}")?;
    for Chapter { name, told, .. } in chapters {
        if told.is_err() {
            writeln!(text, "**{name} did not give figures**, see below.\n")?;
        }
    }
    Ok(())
}

fn is_lost(comparison: &Comparison) -> bool {
    median(comparison.ratios.iter().copied()) > 1.0
}

fn comparison_table() -> Table {
    Table::new(3, ["program", "what", "next to", "ratio", "lowest", "highest"])
}

fn push_comparison(table: &mut Table, name: &str, comparison: &Comparison) {
    let ratios = || comparison.ratios.iter().copied();
    let (low, high) = range(ratios());
    table.push([
        name.to_owned(),
        comparison.what.clone(),
        comparison.peer.clone(),
        shown(median(ratios())),
        shown(low),
        shown(high),
    ]);
}

fn goal_table() -> Table {
    Table::new(2, ["program", "what", "is", "at most", "reached"])
}

fn push_goal(table: &mut Table, name: &str, goal: &Goal) {
    let of = |value: f64| format!("{} {}", shown(value), goal.unit).trim_end().to_owned();
    table.push([
        name.to_owned(),
        goal.what.clone(),
        of(goal.value),
        of(goal.limit),
        if goal.is_reached() { "yes" } else { "NO" }.to_owned(),
    ]);
}

/// Three digits of small numbers, all before the point of large ones.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.5}"),
    }
}

fn write_goals(text: &mut String, chapters: &[Chapter]) -> Result<()> {
    let mut table = goal_table();
    for (name, told) in told(chapters) {
        told.verdicts.goals.iter().for_each(|goal| push_goal(&mut table, name, goal));
    }
    writeln!(text, "## Goals\n\nMedians.\n\n{table}")?;
    Ok(())
}

fn write_comparisons(text: &mut String, chapters: &[Chapter]) -> Result<()> {
    let mut table = comparison_table();
    for (name, told) in told(chapters) {
        told.verdicts.comparisons.iter().for_each(|comparison| push_comparison(&mut table, name, comparison));
    }
    writeln!(
        text,
        "## Next to each peer\n\nMedian, lowest and highest of the ratios within rounds, as above.\n\n{table}"
    )?;
    Ok(())
}

fn write_chapter(text: &mut String, Chapter { name, note, told }: &Chapter) -> Result<()> {
    writeln!(text, "## {name}\n")?;
    if !note.is_empty() {
        writeln!(text, "{note}\n")?;
    }
    match told {
        Ok(told) => {
            writeln!(text, "```sh\n{}\n```\n", told.command)?;
            for table in &told.tables {
                writeln!(text, "{table}")?;
            }
        }
        Err(failure) => writeln!(text, "No figures: it failed.\n\n```text\n{}\n```\n", failure.trim_end())?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{document, shown};
    use crate::figures::process::{Figures, SUBJECTS};
    use crate::report::Report;

    #[test]
    fn numbers() {
        let rows =
            [(0.0, "0.00"), (0.00123, "0.00123"), (1.234, "1.23"), (-12.34, "-12.3"), (2048.4, "2048")];
        for (value, expected) in rows {
            assert_eq!(shown(value), expected);
        }
    }

    #[test]
    fn losses_are_computed_and_failures_told() {
        let folder = std::env::temp_dir().join(format!("freehold-results-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        // The floor costs 100 ns, everything else three times as much.
        let cost = |subject| if subject == SUBJECTS[0] { 100.0 } else { 300.0 };
        let figures: Vec<_> =
            SUBJECTS.into_iter().map(|subject| Figures { subject, cpu_ns: vec![cost(subject); 3] }).collect();
        let report = Report { command: "target/release/bench-process --rounds 3".to_owned(), figures };
        fs::write(folder.join("bench-process.json"), serde_json::to_string(&report).unwrap()).unwrap();
        fs::write(folder.join("bench-http.failed"), "error: no core").unwrap();
        let text = document(&folder, "scripts/peers");
        fs::remove_dir_all(&folder).unwrap();
        let text = text.unwrap();
        for part in [
            "Worse in 2 of 2 comparisons",
            "Not reached are 1 of 3 goals",
            "target/release/bench-process --rounds 3\n",
            "**bench-http did not give figures**",
            "error: no core",
            "it was not run",
        ] {
            assert!(text.contains(part), "no {part:?} in:\n{text}");
        }
    }
}

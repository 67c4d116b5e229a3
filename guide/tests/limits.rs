//! The tables of the chapter on limits have every limit that can be set, with its default.

use freehold_mcp::{
    EventLimits, HttpOptions, MemoryEventStore, Resumption, TaskLimits,
    freehold::{BreakerOptions, Limits},
};
use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

const CHAPTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/limits.md");

/// First cell to second, of the table that follows the heading with `of` in it.
fn table(of: &str) -> BTreeMap<String, String> {
    let chapter = fs::read_to_string(CHAPTER).unwrap();
    let section = chapter.split("\n## ").find(|section| section.lines().next().unwrap().contains(of));
    let rows = section.unwrap_or_else(|| panic!("no heading with {of}")).lines();
    let rows = rows.filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let mut cells = row.split(" | ");
        let name = cells.next().unwrap().trim_end_matches('`').to_owned();
        (name, plain(cells.next().unwrap()))
    })
    .collect()
}

/// A figure for people as `Debug` writes it: `4 MiB` is 4194304, `1,800 s` is 1800s.
fn plain(cell: &str) -> String {
    let (figure, unit) = cell.split_once(' ').unwrap_or((cell, ""));
    let figure = figure.replace(',', "");
    match unit {
        "MiB" => (figure.parse::<u64>().unwrap() << 20).to_string(),
        "KiB" => (figure.parse::<u64>().unwrap() << 10).to_string(),
        unit => format!("{figure}{unit}"),
    }
}

/// Fields and values, as the derived `Debug` of a struct without structs in it prints them.
fn fields(value: &impl std::fmt::Debug) -> BTreeMap<String, String> {
    let text = format!("{value:#?}");
    let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
    lines
        .map(|line| {
            let (name, value) = line.trim_end_matches(',').split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

fn named<const N: usize>(fields: [(&str, String); N]) -> BTreeMap<String, String> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn time(time: Duration) -> String {
    format!("{time:?}")
}

#[test]
fn the_engine() {
    assert_eq!(table("`freehold::Limits`"), fields(&Limits::default()));
}

#[test]
fn tasks() {
    assert_eq!(table("`freehold_mcp::TaskLimits`"), fields(&TaskLimits::default()));
}

#[test]
fn breakers() {
    assert_eq!(table("`freehold::BreakerOptions`"), fields(&BreakerOptions::default()));
}

/// Taken apart without `..`: a new field does not compile here before somebody has said whether it is a limit.
#[test]
fn http() {
    let HttpOptions {
        path: _,
        allowed_origins: _,
        allowed_hosts: _,
        resumption: _,
        authorization: _,
        token: _,
        keep_alive,
        header_timeout,
        body_timeout,
        write_timeout,
        connections,
    } = HttpOptions::default();
    let defaults = named([
        ("keep_alive", time(keep_alive)),
        ("header_timeout", time(header_timeout)),
        ("body_timeout", time(body_timeout)),
        ("write_timeout", time(write_timeout)),
        ("connections", connections.to_string()),
    ]);
    assert_eq!(table("`freehold_mcp::HttpOptions`"), defaults);
}

#[test]
fn streams_that_are_taken_up_again() {
    let store = Arc::new(MemoryEventStore::new(EventLimits::default()));
    let Resumption { store: _, keep, retry, stream_after } = Resumption::new(store);
    let mut defaults =
        named([("keep", time(keep)), ("retry", time(retry)), ("stream_after", time(stream_after))]);
    let EventLimits { events_per_stream, events_per_session, bytes_per_session, bytes_total } =
        EventLimits::default();
    defaults.extend(named([
        ("events_per_stream", events_per_stream.to_string()),
        ("events_per_session", events_per_session.to_string()),
        ("bytes_per_session", bytes_per_session.to_string()),
        ("bytes_total", bytes_total.to_string()),
    ]));
    assert_eq!(table("`freehold_mcp::EventLimits`"), defaults);
}

#[test]
fn locks() {
    let defaults = named([
        ("set_wait_limit", time(freehold_sync::limits::WAIT)),
        ("set_suspect_after", time(freehold_sync::limits::SUSPECT_AFTER)),
    ]);
    assert_eq!(table("`freehold_sync`"), defaults);
}

/// The flags of the last columns are those that `freehold serve` has under *Limits*, apart from what is its own.
#[test]
fn flags() {
    let chapter = fs::read_to_string(CHAPTER).unwrap();
    let cells = chapter.lines().filter_map(|line| line.strip_suffix("` |")?.rsplit_once("| `--"));
    let mut told: Vec<_> = cells.map(|(_, flag)| flag).collect();
    let cli = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/freehold-cli/src/cli.rs");
    let cli = fs::read_to_string(cli).unwrap();
    let mut flags: Vec<String> = cli
        .split("#[arg(")
        .filter(|argument| argument.contains("help_heading = \"Limits\""))
        .map(|argument| {
            let variable = argument.split("env = \"FREEHOLD_").nth(1).unwrap();
            variable.split('"').next().unwrap().to_lowercase().replace('_', "-")
        })
        .filter(|flag| !["tool-threads", "max-accounts"].contains(&&**flag))
        .collect();
    told.sort_unstable();
    flags.sort_unstable();
    assert_eq!(told, flags);
}

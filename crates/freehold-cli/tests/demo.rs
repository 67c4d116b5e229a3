//! `freehold demo` without a terminal.

mod freehold_process;

use freehold_process::run;
use std::process::Command;

/// What the table says in a row, of the naive server and of Freehold.
fn row<'a>(output: &'a str, name: &str) -> [&'a str; 2] {
    let line = output.lines().find(|line| line.starts_with(name));
    let cells = &line.unwrap_or_else(|| panic!("no row {name:?} in {output}"))[name.len()..];
    // A cell may have a unit behind its figure; two blanks are between cells at least.
    let cells: Vec<_> = cells.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    cells.try_into().unwrap_or_else(|cells| panic!("{name}: {cells:?}"))
}

fn number(cell: &str) -> u64 {
    cell.replace(',', "").parse().unwrap_or_else(|_| panic!("{cell:?} is no number"))
}

#[test]
fn the_naive_server_gets_stuck_and_freehold_does_not() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
    command.args(["demo", "--seconds", "6"]);
    let (code, output, errors) = run(command);
    assert_eq!((code, &*errors), (Some(0), ""), "{output}");
    assert!(!output.contains('\x1b'), "escape codes where there is no terminal: {output}");

    let [naive, ours] = row(&output, "stuck for");
    assert!(naive.ends_with(" s") && ours == "never", "{output}");
    let [naive, ours] = row(&output, "calls answered").map(number);
    assert!(ours > naive && naive > 0, "{output}");
    let [naive, ours] = row(&output, "never answered").map(number);
    assert!(naive > 0 && ours == 0, "{output}");
    assert_eq!(row(&output, "answered with an error"), ["0", "0"], "{output}");
    assert_eq!(row(&output, "money lost or made"), ["-", "none"], "{output}");
    let [_, broken] = row(&output, "deadlocks broken");
    let [_, run_again] = row(&output, "transfers run again");
    assert!(number(broken) > 0 && broken == run_again, "one victim each, run again: {output}");

    for told in
        ["naive: ", "NAIVE IS STUCK", "has the session table", "FREEHOLD found and broke", "PROVEN ring"]
    {
        assert!(output.contains(told), "{told:?} is missing: {output}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_early_with_the_table() {
    use freehold_process::Server;

    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
    command.args(["demo", "--seconds", "600"]);
    let mut demo = Server::start(command);
    demo.stdout.until("naive: ");
    demo.signal("INT");
    demo.stdout.until("calls answered");
    demo.stdout.until("money lost or made");
    assert_eq!(demo.ended(), Some(0));
}

#[test]
fn whoever_stops_reading_ends_it_without_an_error() {
    use freehold_process::Server;

    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
    command.args(["demo", "--seconds", "600"]);
    let mut demo = Server::start(command);
    // Its reader's thread ends, and closes the pipe, once nobody takes its lines.
    drop(std::mem::replace(&mut demo.stdout, freehold_process::Lines::of(std::io::empty())));
    assert_eq!(demo.ended(), Some(0));
}

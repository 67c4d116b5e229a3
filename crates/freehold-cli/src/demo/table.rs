//! The table at the end.

use super::{
    lane::{Rest, Summary},
    ours::Recovery,
};
use std::{fmt::Write, time::Duration};

/// 1234567 as 1,234,567.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// To a tenth.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// To three digits, more or less.
fn short(time: Option<Duration>) -> String {
    match time.map(|time| time.as_secs_f64()) {
        None => "-".to_owned(),
        Some(time) if time < 1e-3 => format!("{:.0} µs", time * 1e6),
        Some(time) if time < 1.0 => format!("{:.1} ms", time * 1e3),
        Some(time) => format!("{time:.1} s"),
    }
}

fn rate(calls: u64, time: Duration) -> String {
    count((calls as f64 / time.as_secs_f64().max(1e-3)) as u64)
}

pub(super) fn table(
    figures: &[Summary; 2],
    rest: &[Rest; 2],
    calls_only: Duration,
    recovery: &Recovery,
) -> String {
    let both = |of: &dyn Fn(&Summary) -> String| [of(&figures[0]), of(&figures[1])];
    let left = |of: &dyn Fn(&Rest) -> String| [of(&rest[0]), of(&rest[1])];
    let stuck = |rest: &Rest| rest.stuck_for.map_or_else(|| "never".to_owned(), seconds);
    let money = match recovery.money_made {
        Some(0) => "none".to_owned(),
        Some(cents) => format!("{cents} cents"),
        None => "unknown".to_owned(),
    };
    let none = || "-".to_owned();
    let rows = [
        ("calls answered", both(&|summary| count(summary.answered))),
        ("  a second, before transfers", both(&|s| rate(s.answered_before, calls_only.min(s.took)))),
        ("  a second, over all", both(&|summary| rate(summary.answered, summary.took))),
        ("half of these took at most (p50)", both(&|summary| short(summary.p50))),
        ("99 of 100 took at most (p99)", both(&|summary| short(summary.p99))),
        ("answered with an error", both(&|summary| count(summary.failed))),
        ("never answered", left(&|rest| count(rest.unanswered as u64))),
        ("stuck for", left(&stuck)),
        ("deadlocks broken", [none(), count(recovery.deadlocks)]),
        ("transfers run again", [none(), count(recovery.run_again)]),
        ("money lost or made", [none(), money]),
    ];
    let mut text = format!("{:<33} {:>12} {:>12}\n{}\n", "", "naive", "freehold", "-".repeat(59));
    for (what, [naive, ours]) in rows {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{what:<33} {naive:>12} {ours:>12}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
    }
}

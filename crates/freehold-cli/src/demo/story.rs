//! What is told, in words.

use super::{
    lane::{Lane, STUCK_AFTER, Summary},
    notes::Waiter,
    screen::Frame,
    table::{count, seconds},
    traffic::{CALLERS, PAYERS, Plan, SESSIONS, SLOW, STANDING_ORDERS},
};
use freehold::sync::Deadlock;
use std::{fmt::Write, time::Duration};

/// Of those who have something and wait, so many are listed.
const LISTED: usize = 8;

/// Cells of the bar.
const BAR: usize = 24;

pub(super) fn introduction(plan: &Plan) -> String {
    format!(
        "\
Two servers get the same traffic for {length}.

  naive     The session table is behind one tokio Mutex. It is locked, the handler is run,
            and only then is it unlocked: a common pattern, and enough for a while.
  freehold  The same handlers on Freehold. It holds no lock while a handler runs, and knows
            of the handlers' own locks who holds them and who waits.

  traffic   {CALLERS} clients in {SESSIONS} sessions call, and call again 1 ms after each answer.
            Most calls are quick; 1 of 100 takes {slow} ms, as if it asked a database.
            After {calls_only} there are transfers, too: by {PAYERS} more clients, and by {STANDING_ORDERS} standing
            orders beside them. Each locks the payer's account, looks something up, and
            locks the payee's. Anna pays Ben while Ben pays Anna ...
",
        length = seconds(plan.length),
        slow = SLOW.as_millis(),
        calls_only = seconds(plan.calls_only),
    )
}

pub(super) const TRANSFERS_BEGIN: &str = "-- The transfers begin.\n";

/// What is seen of both at one moment.
pub(super) fn frame(age: Duration, plan: &Plan, naive: &Lane, ours: &Lane, deadlocks: u64) -> Frame {
    let done = (BAR as f64 * (age.as_secs_f64() / plan.length.as_secs_f64()).min(1.0)) as usize;
    let bar = format!("[{}{}]", "#".repeat(done), ".".repeat(BAR - done));
    let state = |lane: &Lane| match lane.stuck_for() {
        Some(since) => format!("STUCK for {}", seconds(since)),
        None => "running".to_owned(),
    };
    let row = |name: &str, lane: &Lane, more: &str| {
        format!(
            "  {name:<9} {:>9} calls answered   longest wait now {:>7}   {}{more}",
            count(lane.answered()),
            seconds(lane.longest_wait()),
            state(lane),
        )
    };
    let broken = format!(", {} deadlocks broken", count(deadlocks));
    Frame {
        block: vec![
            format!("  {bar} {} of {}", seconds(age), seconds(plan.length)),
            row("naive", naive, ""),
            row("freehold", ours, &broken),
        ],
        line: format!(
            "{:>6}  naive: {} answered, {}; freehold: {} answered, {}{broken}",
            seconds(age),
            count(naive.answered()),
            state(naive),
            count(ours.answered()),
            state(ours),
        ),
    }
}

/// Who waits for whom in the naive server.
pub(super) fn stuck(waiters: &[Waiter]) -> String {
    let mut text = format!(
        "\
-- NAIVE IS STUCK: no call has ended for {}. It does not know it, nor why: this demo keeps
   notes beside it. Who has something and waits:
",
        seconds(STUCK_AFTER)
    );
    let holders: Vec<_> = waiters.iter().filter(|waiter| !waiter.has.is_empty()).collect();
    for Waiter { who, has, waits_for, waited } in holders.iter().take(LISTED) {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "     {who} has {}, and waits for {waits_for} (for {})",
            has.join(" and "),
            seconds(*waited)
        );
    }
    let others = waiters.len() - holders.len().min(LISTED);
    let _ =
        writeln!(text, "   {others} others have nothing and wait behind them. Nothing will ever end this.");
    text
}

/// The first deadlock in Freehold.
pub(super) fn deadlock(report: &Deadlock) -> String {
    let mut text = "-- FREEHOLD found and broke its first deadlock, when it closed. Its report:\n".to_owned();
    for line in report.to_string().lines() {
        let _ = writeln!(text, "     {line}");
    }
    text.push_str("   The one that had to give way is run again, and the others go on as if nothing were.\n");
    text
}

pub(super) fn conclusion([naive, ours]: &[Summary; 2]) -> String {
    let ratio = ours.answered as f64 / naive.answered.max(1) as f64;
    format!(
        "Freehold answered {ratio:.0} times as many calls. Your own server on it: README.md, \"Your own server\"."
    )
}

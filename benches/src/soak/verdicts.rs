//! What was seen, compared with what must hold.

use std::fmt;

use serde::Serialize;

use super::books::Books;
use super::cycle::Cycle;
use super::run::{Plan, Seen};
use super::tally::Outcome;
use super::{capacity, limits};
use crate::stats::Latency;
use crate::table::Table;

/// One thing that must hold.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// What.
    pub what: &'static str,
    /// Whether it does.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What that must be, and where the bound comes from.
    pub bound: String,
}

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// How long the load lasted, in seconds.
    pub seconds: f64,
    /// Sessions that came and went.
    pub sessions: u32,
    /// Where all draws began.
    pub seed: u64,
    /// Calls a second in a closed loop.
    pub capacity: f64,
    /// Calls a second that were offered.
    pub offered: f64,
    /// Of calls with a result.
    pub admitted: Latency,
    /// Of calls that were refused.
    pub refused: Latency,
    /// How late calls of the open loop were sent.
    pub lag: Latency,
    /// All verdicts.
    pub verdicts: Vec<Verdict>,
    /// What was wrong with the first requests that were wrong or lost.
    pub complaints: Vec<String>,
}

impl Summary {
    /// Judges what was seen.
    #[must_use]
    pub fn of(plan: &Plan, seen: &Seen) -> Self {
        let cycle = &seen.cycle;
        let mut verdicts = Verdicts::default();
        verdicts.of_load(seen);
        verdicts.of_answers(seen);
        verdicts.of_time(cycle, &seen.books);
        verdicts.of_bounds(seen);
        verdicts.of_sessions(cycle, &seen.books);
        verdicts.of_rest(seen);
        verdicts.of_memory(seen);
        verdicts.of_the_end(seen);
        let tallies = seen.before.iter().chain([&cycle.tally]);
        Self {
            seconds: plan.span.as_secs_f64(),
            sessions: plan.sessions,
            seed: plan.seed,
            capacity: seen.capacity,
            offered: cycle.offered.rate(),
            admitted: Latency::of(cycle.tally.admitted.clone()),
            refused: Latency::of(cycle.tally.refused.clone()),
            lag: Latency::of(cycle.tally.lag.clone()),
            verdicts: verdicts.0,
            complaints: tallies.flat_map(|tally| tally.complaints.iter().cloned()).collect(),
        }
    }

    /// Whether all is as it must be.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.ok)
    }
}

#[derive(Default)]
struct Verdicts(Vec<Verdict>);

impl Verdicts {
    fn add(&mut self, what: &'static str, ok: bool, found: String, bound: impl Into<String>) {
        self.0.push(Verdict { what, ok, found, bound: bound.into() });
    }

    fn of_load(&mut self, seen: &Seen) {
        let cycle = &seen.cycle;
        let overload = cycle.offered.rate() / seen.capacity;
        self.add(
            "load",
            overload >= limits::OVERLOAD_LEAST,
            format!("{overload:.2} x capacity, {} calls", cycle.offered.calls),
            format!("{} x, at least {}", limits::OVERLOAD, limits::OVERLOAD_LEAST),
        );
        let least = cycle.tally.refused_in.iter().min().copied().unwrap_or(0);
        self.add(
            "overload throughout",
            least > 0,
            format!("at least {least} refusals in each of {} stretches", limits::STRETCHES),
            "more than 0",
        );
    }

    fn of_answers(&mut self, seen: &Seen) {
        let tally = &seen.cycle.tally;
        let tallies = || seen.before.iter().chain([tally]);
        let of = |outcome| tallies().map(|tally| tally.all(outcome)).sum::<u64>();
        let (wrong, lost) = (of(Outcome::Wrong), of(Outcome::Lost));
        self.add(
            "no answer lost, none wrong",
            wrong + lost == 0,
            format!("{lost} lost, {wrong} wrong"),
            "0; also before the base line",
        );
        let sent: u64 = tallies().map(|tally| tally.sent).sum();
        let ended: u64 = tallies().flat_map(|tally| tally.calls.values().chain(tally.others.values())).sum();
        self.add(
            "one outcome each",
            sent == ended,
            format!("{sent} requests, {ended} outcomes"),
            "equal; also before the base line",
        );
        let unasked: u64 = tallies().map(|tally| tally.unasked).sum();
        self.add("no second answer", unasked == 0, format!("{unasked} connections with one"), "0");
        self.of_books(seen);
        self.add(
            "no harm",
            seen.books.harm + seen.books.others == 0.0,
            format!("{:.0} panics and the like, {:.0} failures", seen.books.harm, seen.books.others),
            "0",
        );
    }

    /// What the server counted, against what its clients counted. A call whose client left may have ended in any way.
    fn of_books(&mut self, seen: &Seen) {
        let (tally, books) = (&seen.cycle.tally, &seen.books);
        let gone = tally.calls(Outcome::SessionGone);
        let cancelled = tally.calls(Outcome::Ended) + tally.calls(Outcome::Cancelled);
        let rows = [
            ("results", tally.calls(Outcome::Result), 0, books.answered),
            ("refusals", tally.calls(Outcome::Overloaded), gone, books.refused),
            ("deadlines", tally.calls(Outcome::DeadlineExceeded), 0, books.expired),
            ("cancelled", cancelled, 0, books.cancelled),
            ("all calls", tally.all_calls() - tally.calls(Outcome::GivenUp) - gone, gone, seen.calls()),
        ];
        let left = tally.calls(Outcome::GivenUp);
        let ok = rows.iter().all(|(_, least, more, counted)| within(*counted, *least, left + more));
        let found: Vec<String> =
            rows.iter().map(|(what, least, _, counted)| format!("{what} {least} / {counted:.0}")).collect();
        self.add(
            "books of clients / server",
            ok,
            found.join(", "),
            format!("equal, or more by the calls whose clients left ({left})"),
        );
    }

    fn of_time(&mut self, cycle: &Cycle, books: &Books) {
        let Latency { p50_us, p99_us, max_us } = Latency::of(cycle.tally.admitted.clone());
        self.add(
            "latency of the admitted",
            max_us <= limits::ANSWERED_WITHIN.as_secs_f64() * 1e6,
            format!("p50 {:.0}, p99 {:.0}, max {:.0} ms", p50_us / 1e3, p99_us / 1e3, max_us / 1e3),
            format!(
                "{} ms: the deadline and 1 s for the way (a full queue takes {} ms in turn)",
                limits::ANSWERED_WITHIN.as_millis(),
                limits::IN_TURN.as_millis()
            ),
        );
        // Little's law: of at most so many places, each is taken for no longer than the cycle lasted.
        let most = f64::from(limits::CALLS) * cycle.lasted.as_secs_f64();
        self.add(
            "time in the house",
            books.seconds <= most,
            format!("{:.0} s, all calls together", books.seconds),
            format!("{most:.0} s: {} places for {:.0} s", limits::CALLS, cycle.lasted.as_secs_f64()),
        );
    }

    fn of_bounds(&mut self, seen: &Seen) {
        let samples = &seen.cycle.samples;
        let calls = samples.most(|sample| sample.calls);
        let threads = u32::try_from(seen.base_line.handles.threads).unwrap_or(u32::MAX);
        self.add(
            "calls in the house",
            calls <= f64::from(limits::CALLS.saturating_add(threads)),
            format!("at most {calls:.0} in {} looks", samples.taken.len()),
            format!("{}, and one for each of {threads} threads that is about to refuse it", limits::CALLS),
        );
        let (slots, queue) = (samples.most(|sample| sample.slots), samples.most(|sample| sample.queue));
        self.add(
            "slots and queues of a session",
            slots <= 1.0 && queue <= 1.0,
            format!("at most {:.0} % and {:.0} % in use", slots * 100.0, queue * 100.0),
            "100 %",
        );
        self.add(
            "watched throughout",
            samples.missed == 0 && !samples.taken.is_empty(),
            format!("{} looks, {} unanswered", samples.taken.len(), samples.missed),
            "0 unanswered",
        );
    }

    fn of_sessions(&mut self, cycle: &Cycle, books: &Books) {
        let sessions = &cycle.sessions;
        let left = sessions.opened - sessions.ended;
        let ok = within(books.opened, sessions.opened, 0)
            && within(books.closed, sessions.opened, 0)
            && within(books.sessions_expired, left, 0);
        self.add(
            "sessions",
            ok,
            format!(
                "opened {:.0}, closed {:.0}, of those expired {:.0}; at most {:.0} at a time",
                books.opened,
                books.closed,
                books.sessions_expired,
                cycle.samples.most(|sample| sample.sessions)
            ),
            format!("{0}, {0}, {left}: as their clients opened and left them", sessions.opened),
        );
    }

    fn of_rest(&mut self, seen: &Seen) {
        let (rest, first) = (&seen.cycle.rest, seen.first);
        let after = rest.took.as_secs_f64();
        self.add(
            "tables at rest",
            rest.sessions + rest.calls + rest.locks == 0.0,
            format!(
                "{:.0} sessions, {:.0} calls, {:.0} locks held or waited for, after {after:.1} s",
                rest.sessions, rest.calls, rest.locks
            ),
            format!("0 within {:?}", limits::AT_REST_WITHIN),
        );
        let most = seen.cycle.samples.most(|sample| sample.handles.files as f64);
        self.add(
            "open files at rest",
            rest.handles.files <= first.files,
            format!("{} (under load {most:.0})", rest.handles.files),
            format!("{}, as before the load", first.files),
        );
        let threads = seen.base_line.handles.threads;
        self.add(
            "threads at rest",
            rest.handles.threads <= threads,
            rest.handles.threads.to_string(),
            format!("{threads}, as at rest before"),
        );
    }

    fn of_memory(&mut self, seen: &Seen) {
        let (middle, last) = seen.cycle.samples.resident_by_third();
        let mut add = |what, before, after, since: &str| {
            let bound = limits::memory_bound(before);
            self.add(what, after <= bound, mebibytes(after), format!("{}: {since}", mebibytes(bound)));
        };
        add(
            "memory under load, last third",
            middle,
            last,
            &format!("{} in the middle third", mebibytes(middle)),
        );
        let base_line = seen.base_line.resident;
        let since = format!("{} at rest before", mebibytes(base_line));
        add("memory at rest", base_line, seen.cycle.rest.resident, &since);
    }

    fn of_the_end(&mut self, seen: &Seen) {
        self.add(
            "money",
            seen.audit.is_as_at_first(),
            format!("{} cents, {} on their way", seen.audit.total, seen.audit.in_transit),
            format!("{}, 0", u64::from(limits::ACCOUNTS) * limits::BALANCE),
        );
        let (ok, how) = &seen.ended;
        self.add("a clean end at SIGTERM", *ok, how.clone(), "exit status 0");
    }
}

impl Seen {
    /// Calls that the server counted.
    fn calls(&self) -> f64 {
        let Books { answered, refused, expired, cancelled, others, .. } = self.books;
        answered + refused + expired + cancelled + others
    }
}

/// Whether `least` were counted, or up to so many `more`.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn within(counted: f64, least: u64, more: u64) -> bool {
    (least as f64..=(least + more) as f64).contains(&counted)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "freehold serve at {} x its capacity for {} s, while {} sessions come and go (seed {})\n",
            limits::OVERLOAD,
            self.seconds,
            self.sessions,
            self.seed
        )?;
        writeln!(
            f,
            "capacity {:.0} calls/s in a closed loop ({:.0} by the limits), offered {:.0}/s; refused in p50 {:.1}, p99 {:.1} ms; \
             sent late by p50 {:.1}, p99 {:.1}, max {:.0} ms\n",
            self.capacity,
            capacity::by_limits(),
            self.offered,
            self.refused.p50_us / 1e3,
            self.refused.p99_us / 1e3,
            self.lag.p50_us / 1e3,
            self.lag.p99_us / 1e3,
            self.lag.max_us / 1e3
        )?;
        let mut table = Table::new(4, ["", "what", "found", "bound"]);
        for Verdict { what, ok, found, bound } in &self.verdicts {
            let ok = if *ok { "ok" } else { "NOT ok" };
            table.push([ok.to_owned(), (*what).to_owned(), found.clone(), bound.clone()]);
        }
        writeln!(f, "{table}")?;
        for complaint in &self.complaints {
            writeln!(f, "{complaint}")?;
        }
        let red = self.verdicts.iter().filter(|verdict| !verdict.ok).count();
        match red {
            0 => write!(f, "soak: all {} verdicts ok", self.verdicts.len()),
            _ => write!(f, "soak: {red} of {} verdicts NOT ok", self.verdicts.len()),
        }
    }
}

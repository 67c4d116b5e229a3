//! Circuit breakers: what fails again and again is refused at once for a while, then tried with a few probes.
//!
//! Our own, because each kept crate (`recloser`, `failsafe`, `tower-resilience-circuitbreaker`) reads the clock itself, so
//! no simulation could drive it.
//!
//! # Invariants
//!
//! 1. `state` is one word: the phase, a stamp (closed since, open until, half-open until) and two counts of probes. A
//!    phase begins with one compare-exchange, so exactly one thread makes each change, and it alone tells it.
//! 2. Stamps of one phase never repeat: a phase lasts for at least a millisecond before the same one comes again.
//! 3. A result counts only while the phase that admitted its call lasts: what was admitted before the breaker opened says
//!    nothing about what it found when it closed.
//! 4. A window's slice is one word, too: its epoch and its counts. Counts of another epoch are as good as none.
//!
//! Orderings: `state` is written with Release and read with Acquire, so who sees a breaker closed sees its slices wiped.
//! Slices are Relaxed: nothing else is read on their strength, and one count more or less decides nothing.

use crate::{
    limits::Limits,
    shim::{AtomicU64, Ordering},
};
use std::{fmt, time::Duration};

/// When a circuit breaker opens, and for how long.
///
/// # Examples
///
/// ```
/// use freehold::{BreakerOptions, MethodOptions};
/// use std::time::Duration;
///
/// let options = BreakerOptions::new().failure_ratio(0.25).minimum_calls(20).open_for(Duration::from_secs(5));
/// let method = MethodOptions::new().breaker(options);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BreakerOptions {
    /// It opens when at least this share of the calls of the window failed; 0.5 at first.
    pub failure_ratio: f64,
    /// Fewer calls in the window decide nothing; 10 at first.
    pub minimum_calls: u32,
    /// How far back calls count; 10 s at first.
    pub window: Duration,
    /// How long it refuses before it probes; 5 s at first.
    pub open_for: Duration,
    /// So many calls are let through to probe, and all must succeed for it to close; 3 at first.
    pub probes: u32,
    /// Whether an error that a handler returns counts as a failure; no at first: a client's bad parameters must not shut
    /// others out. Panics, deadlines, deadlocks and lock timeouts always count.
    pub handler_errors: bool,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            failure_ratio: 0.5,
            minimum_calls: 10,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(5),
            probes: 3,
            handler_errors: false,
        }
    }
}

impl BreakerOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the share of failed calls at which it opens, from 0 (any failure) to 1 (all failed).
    #[must_use]
    pub fn failure_ratio(self, failure_ratio: f64) -> Self {
        Self { failure_ratio, ..self }
    }

    /// Sets how many calls the window must have seen; at least one.
    #[must_use]
    pub fn minimum_calls(self, minimum_calls: u32) -> Self {
        Self { minimum_calls, ..self }
    }

    /// Sets how far back calls count, to the millisecond; it moves on by an eighth at a time.
    #[must_use]
    pub fn window(self, window: Duration) -> Self {
        Self { window, ..self }
    }

    /// Sets how long it refuses before it probes; at least a millisecond, and at most
    /// [`Limits::BREAKER_OPEN_MOST`](crate::Limits::BREAKER_OPEN_MOST).
    #[must_use]
    pub fn open_for(self, open_for: Duration) -> Self {
        Self { open_for, ..self }
    }

    /// Sets how many calls probe; at least one, and at most [`Limits::BREAKER_PROBES_MOST`](crate::Limits::BREAKER_PROBES_MOST).
    #[must_use]
    pub fn probes(self, probes: u32) -> Self {
        Self { probes, ..self }
    }

    /// Sets whether an error that a handler returns counts as a failure.
    #[must_use]
    pub fn handler_errors(self, handler_errors: bool) -> Self {
        Self { handler_errors, ..self }
    }
}

/// Whether a breaker lets calls through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub enum BreakerState {
    /// All pass; results are counted.
    Closed,
    /// None passes.
    Open,
    /// A few pass, as probes.
    HalfOpen,
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        })
    }
}

/// A change of a breaker's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) from: BreakerState,
    pub(crate) to: BreakerState,
}

/// What a call that passed shows again with its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permit(u64);

impl From<Permit> for u64 {
    fn from(permit: Permit) -> Self {
        permit.0
    }
}

/// Of what [`u64::from`] gave.
impl From<u64> for Permit {
    fn from(permit: u64) -> Self {
        Self(permit)
    }
}

/// How a call that passed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Succeeded,
    Failed,
    /// It says nothing: the client cancelled it, or it never reached its handler.
    Neither,
}

/// The answer to a call that wants to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Passed(Permit),
    /// Try again after so many milliseconds.
    Refused(u64),
}

/// One breaker. Times are milliseconds on any one clock.
pub(crate) struct CircuitBreaker {
    state: OwnLine<AtomicU64>,
    slices: OwnLine<[AtomicU64; SLICES]>,
    slice_ms: u64,
    open_ms: u64,
    options: BreakerOptions,
}

/// Every call writes a slice, and reads the state: they share no cache line.
#[repr(align(64))]
struct OwnLine<T>(T);

const SLICES: usize = 8;

// The state's word, from the lowest bit: phase (2), probes that passed (11), probes that succeeded (11), stamp (40).
const PHASE: u64 = 0b11;
const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const HALF_OPEN: u64 = 2;
const ONE_PASSED: u64 = 1 << 2;
const ONE_SUCCEEDED: u64 = 1 << 13;
const COUNT: u64 = (1 << 11) - 1;
const STAMP_AT: u32 = 24;
/// What identifies a phase: all but the counts.
const IDENTITY: u64 = !((COUNT << 2) | (COUNT << 13));

fn word(phase: u64, stamp: u64) -> u64 {
    (stamp << STAMP_AT) | phase
}

fn passed(word: u64) -> u64 {
    (word >> 2) & COUNT
}

fn succeeded(word: u64) -> u64 {
    (word >> 13) & COUNT
}

fn state_of(word: u64) -> BreakerState {
    match word & PHASE {
        CLOSED => BreakerState::Closed,
        OPEN => BreakerState::Open,
        _ => BreakerState::HalfOpen,
    }
}

// A slice's word, from the lowest bit: failures (20), calls (20), epoch (24).
const ONE_CALL: u64 = 1 << 20;
const SLICE_COUNT: u64 = (1 << 20) - 1;
/// From here on counts are halved, which keeps their ratio, and is far from what would run over.
const MANY_CALLS: u64 = 1 << 19;

fn calls(slice: u64) -> u64 {
    (slice >> 20) & SLICE_COUNT
}

fn failures(slice: u64) -> u64 {
    slice & SLICE_COUNT
}

fn epoch(slice: u64) -> u64 {
    slice >> 40
}

impl CircuitBreaker {
    pub(crate) fn new(options: BreakerOptions) -> Self {
        let millis = |period: Duration| u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        let open_for = options.open_for.clamp(Duration::from_millis(1), Limits::BREAKER_OPEN_MOST);
        Self {
            state: OwnLine(AtomicU64::new(word(CLOSED, 0))),
            slices: OwnLine(std::array::from_fn(|_| AtomicU64::new(0))),
            slice_ms: (millis(options.window) / SLICES as u64).max(1),
            open_ms: millis(open_for),
            options,
        }
    }

    pub(crate) fn options(&self) -> &BreakerOptions {
        &self.options
    }

    fn probes(&self) -> u64 {
        u64::from(self.options.probes.clamp(1, Limits::BREAKER_PROBES_MOST))
    }

    /// Whether a call may pass now, and the change that this made. The clock is read only if it is not closed.
    pub(crate) fn admit(&self, now: impl FnOnce() -> u64) -> (Admission, Option<Change>) {
        let seen = self.state.0.load(Ordering::Acquire);
        if seen & PHASE == CLOSED {
            return (Admission::Passed(Permit(seen)), None);
        }
        self.probe(seen, now())
    }

    #[cold]
    fn probe(&self, mut seen: u64, now: u64) -> (Admission, Option<Change>) {
        loop {
            let until = seen >> STAMP_AT;
            let next = match seen & PHASE {
                CLOSED => return (Admission::Passed(Permit(seen)), None),
                HALF_OPEN if passed(seen) < self.probes() => seen + ONE_PASSED,
                // Probes that never came back must not keep it half-open for ever: others get their turn.
                _ if now >= until => word(HALF_OPEN, now + self.open_ms) + ONE_PASSED,
                _ => return (Admission::Refused(until - now), None),
            };
            match self.replace(seen, next) {
                Ok(change) => return (Admission::Passed(Permit(next & IDENTITY)), change),
                Err(now_there) => seen = now_there,
            }
        }
    }

    fn replace(&self, seen: u64, next: u64) -> Result<Option<Change>, u64> {
        self.state.0.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Acquire)?;
        let (from, to) = (state_of(seen), state_of(next));
        Ok((from != to).then_some(Change { from, to }))
    }

    /// Takes the result of a call that passed, and says which change it made.
    pub(crate) fn record(&self, permit: Permit, now: u64, verdict: Verdict) -> Option<Change> {
        let seen = self.state.0.load(Ordering::Acquire);
        if seen & IDENTITY != permit.0 {
            return None;
        }
        match (seen & PHASE, verdict) {
            (CLOSED, Verdict::Succeeded) => {
                self.count(now, ONE_CALL);
                None
            }
            (CLOSED, Verdict::Failed) => self.failed(seen, now),
            (CLOSED, Verdict::Neither) => None,
            _ => self.probed(permit, seen, now, verdict),
        }
    }

    fn probed(&self, permit: Permit, mut seen: u64, now: u64, verdict: Verdict) -> Option<Change> {
        while seen & IDENTITY == permit.0 {
            let next = match verdict {
                Verdict::Failed => self.opened(now),
                Verdict::Neither => seen - ONE_PASSED,
                Verdict::Succeeded if succeeded(seen) + 1 < self.probes() => seen + ONE_SUCCEEDED,
                Verdict::Succeeded => {
                    // Nobody counts while it is half-open.
                    self.slices.0.iter().for_each(|slice| slice.store(0, Ordering::Relaxed));
                    word(CLOSED, now.max(1))
                }
            };
            match self.replace(seen, next) {
                Ok(change) => return change,
                Err(now_there) => seen = now_there,
            }
        }
        None
    }

    fn opened(&self, now: u64) -> u64 {
        word(OPEN, now + self.open_ms)
    }

    /// Counts a failure, and opens if it was one too many.
    #[cold]
    fn failed(&self, seen: u64, now: u64) -> Option<Change> {
        self.count(now, ONE_CALL + 1);
        let (calls, failures) = self.window(now);
        let enough = calls >= u64::from(self.options.minimum_calls.max(1));
        if !enough || (failures as f64) < self.options.failure_ratio * calls as f64 {
            return None;
        }
        self.replace(seen, self.opened(now)).ok().flatten()
    }

    fn count(&self, now: u64, by: u64) {
        let tick = now / self.slice_ms;
        let current = (tick + 1) & 0xff_ffff;
        let slice = &self.slices.0[tick as usize % SLICES];
        let mut seen = slice.load(Ordering::Relaxed);
        loop {
            if epoch(seen) == current && calls(seen) < MANY_CALLS {
                slice.fetch_add(by, Ordering::Relaxed);
                return;
            }
            let kept = if epoch(seen) == current { (calls(seen) / 2, failures(seen) / 2) } else { (0, 0) };
            let next = (current << 40) + kept.0 * ONE_CALL + kept.1 + by;
            match slice.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now_there) => seen = now_there,
            }
        }
    }

    /// Calls and failures of the window that ends now.
    pub(crate) fn window(&self, now: u64) -> (u64, u64) {
        let tick = now / self.slice_ms;
        let mut sum = (0, 0);
        for back in 0..(SLICES as u64).min(tick + 1) {
            let tick = tick - back;
            let slice = self.slices.0[tick as usize % SLICES].load(Ordering::Relaxed);
            if epoch(slice) == (tick + 1) & 0xff_ffff {
                sum = (sum.0 + calls(slice), sum.1 + failures(slice));
            }
        }
        sum
    }

    pub(crate) fn state(&self) -> BreakerState {
        state_of(self.state.0.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, BreakerOptions, BreakerState, Change, CircuitBreaker, Permit, Verdict};
    use std::{sync::Barrier, time::Duration};

    fn breaker(options: BreakerOptions) -> CircuitBreaker {
        CircuitBreaker::new(options.window(Duration::from_millis(800)).open_for(Duration::from_millis(100)))
    }

    fn pass(breaker: &CircuitBreaker, now: u64) -> Permit {
        match breaker.admit(|| now).0 {
            Admission::Passed(permit) => permit,
            Admission::Refused(after) => panic!("refused for {after} ms"),
        }
    }

    /// So many calls that end so, each within a millisecond; the last change.
    fn run(breaker: &CircuitBreaker, now: u64, count: u32, verdict: Verdict) -> Option<Change> {
        (0..count).filter_map(|_| breaker.record(pass(breaker, now), now, verdict)).last()
    }

    const OPENED: Change = Change { from: BreakerState::Closed, to: BreakerState::Open };

    #[test]
    fn it_opens_at_its_ratio_of_enough_calls() {
        for (successes, failures, opens) in
            [(0, 9, false), (0, 10, true), (6, 5, false), (5, 5, true), (100, 99, false)]
        {
            let breaker = breaker(BreakerOptions::new());
            run(&breaker, 5, successes, Verdict::Succeeded);
            let changed = run(&breaker, 5, failures, Verdict::Failed);
            assert_eq!(changed, opens.then_some(OPENED), "{successes} and {failures}");
            assert_eq!(breaker.window(5), (u64::from(successes + failures), u64::from(failures)));
        }
    }

    #[test]
    fn calls_that_left_the_window_do_not_count() {
        let breaker = breaker(BreakerOptions::new());
        run(&breaker, 0, 9, Verdict::Failed);
        // Slices of 100 ms: at 799 the first one is still in, at 800 it is out.
        assert_eq!(breaker.window(799), (9, 9));
        assert_eq!(run(&breaker, 800, 1, Verdict::Failed), None);
        assert_eq!(breaker.window(800), (1, 1));
        assert_eq!(run(&breaker, 1_500, 9, Verdict::Failed), Some(OPENED));
    }

    #[test]
    fn open_it_refuses_then_probes_and_closes_when_all_probes_succeed() {
        let breaker = breaker(BreakerOptions::new().probes(2));
        run(&breaker, 0, 10, Verdict::Failed);
        assert_eq!(breaker.admit(|| 40), (Admission::Refused(60), None));
        let (first, change) = breaker.admit(|| 100);
        assert_eq!(change, Some(Change { from: BreakerState::Open, to: BreakerState::HalfOpen }));
        let Admission::Passed(first) = first else { panic!("a probe passes") };
        let second = pass(&breaker, 110);
        assert_eq!(breaker.admit(|| 120), (Admission::Refused(80), None), "no third probe");
        // One of them was cancelled: another one takes its place.
        assert_eq!(breaker.record(second, 130, Verdict::Neither), None);
        let third = pass(&breaker, 140);
        assert_eq!(breaker.record(first, 150, Verdict::Succeeded), None);
        let closed = Change { from: BreakerState::HalfOpen, to: BreakerState::Closed };
        assert_eq!(breaker.record(third, 160, Verdict::Succeeded), Some(closed));
        assert_eq!(breaker.window(160), (0, 0), "what was before is forgotten");
        assert_eq!(run(&breaker, 160, 9, Verdict::Failed), None);
    }

    #[test]
    fn a_failing_probe_opens_it_again() {
        let breaker = breaker(BreakerOptions::new());
        run(&breaker, 0, 10, Verdict::Failed);
        let probe = pass(&breaker, 100);
        let opened = Change { from: BreakerState::HalfOpen, to: BreakerState::Open };
        assert_eq!(breaker.record(probe, 150, Verdict::Failed), Some(opened));
        assert_eq!(breaker.admit(|| 200), (Admission::Refused(50), None));
    }

    #[test]
    fn probes_that_never_come_back_do_not_keep_it_half_open() {
        let breaker = breaker(BreakerOptions::new().probes(1));
        run(&breaker, 0, 10, Verdict::Failed);
        let lost = pass(&breaker, 100);
        assert_eq!(breaker.admit(|| 199), (Admission::Refused(1), None));
        let next = pass(&breaker, 200);
        assert_eq!(breaker.record(lost, 210, Verdict::Failed), None, "its time is over");
        assert!(breaker.record(next, 220, Verdict::Succeeded).is_some());
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn results_of_calls_from_before_it_opened_are_not_counted_after_it_closed() {
        let breaker = breaker(BreakerOptions::new().probes(1));
        let old: Vec<_> = (0..50).map(|_| pass(&breaker, 0)).collect();
        run(&breaker, 0, 10, Verdict::Failed);
        let probe = pass(&breaker, 100);
        breaker.record(probe, 100, Verdict::Succeeded);
        for permit in old {
            assert_eq!(breaker.record(permit, 110, Verdict::Failed), None);
        }
        assert_eq!(breaker.window(110), (0, 0));
    }

    #[test]
    fn more_calls_than_a_slice_can_count_keep_their_ratio() {
        let breaker = breaker(BreakerOptions::new());
        for _ in 0..600_000 {
            breaker.record(Permit(0), 7, Verdict::Succeeded);
            breaker.count(7, super::ONE_CALL + 1);
        }
        let (calls, failures) = breaker.window(7);
        assert!(calls > 200_000 && failures * 2 == calls, "{failures} of {calls}");
    }

    #[test]
    fn of_many_threads_one_opens_it_and_probes_are_never_too_many() {
        let breaker = breaker(BreakerOptions::new().probes(3));
        let (threads, start) = (4, Barrier::new(4));
        let race = |now: u64| -> Vec<(Admission, Option<Change>)> {
            std::thread::scope(|scope| {
                let each = || {
                    start.wait();
                    (0..100).map(|_| breaker.admit(|| now)).collect::<Vec<_>>()
                };
                let all: Vec<_> = (0..threads).map(|_| scope.spawn(each)).collect();
                all.into_iter().flat_map(|one| one.join().unwrap()).collect()
            })
        };
        for round in 0..50 {
            let now = round * 1_000;
            assert!(run(&breaker, now, 10, Verdict::Failed).is_some());
            let raced = race(now + 100);
            let permits: Vec<_> = raced
                .iter()
                .filter_map(|(admission, _)| match admission {
                    Admission::Passed(permit) => Some(*permit),
                    Admission::Refused(_) => None,
                })
                .collect();
            assert_eq!(permits.len(), 3);
            assert_eq!(raced.iter().filter(|(_, change)| change.is_some()).count(), 1);
            let closing =
                permits.into_iter().filter_map(|p| breaker.record(p, now + 110, Verdict::Succeeded));
            assert_eq!(closing.count(), 1);
        }
    }
}

//! The clock of one call: a deadline that progress extends up to a cap, and that stands still while the peer is asked.
//!
//! # Invariants
//!
//! 1. The clock stands if and only if a question is open, here or in a call that this one made (`below`), and it has not
//!    stood for too long altogether; `stood` is what it stood before, and `expires` and `cap` contain it already.
//! 2. Whoever changes when the next reading is due takes the waker of the last reader in the same section and wakes it:
//!    a handler may hand its context to another task, which the call's own task does not see run.
//! 3. After `end` no question is open, and none opens.
//! 4. While `TOUCHED` is not set, `inner` is as it was made. Who changes it sets that in the same section, so that who ends or
//!    reads a clock that nobody touched needs no section: of the change and the end, one sees the bit of the other.

use crate::{
    limits::Limits,
    lock_order,
    runtime::after,
    shim::{AtomicBool, AtomicU8, Ordering},
};
use freehold_sync::ScopedMutex;
use std::{
    task::Waker,
    time::{Duration, Instant},
};

pub(crate) struct DeadlineClock {
    inner: ScopedMutex<Clock, lock_order::CallClock>,
    /// Whether a question is open, to look at without the section; written in it.
    asking: AtomicBool,
    /// [`TOUCHED`] and [`ENDED`].
    life: AtomicU8,
    /// What `expires` is at first.
    first_expires: Instant,
}

const TOUCHED: u8 = 1;
const ENDED: u8 = 2;

struct Clock {
    timeout: Duration,
    expires: Instant,
    cap: Instant,
    /// The caller's end, if another call made this one.
    latest: Option<Instant>,
    /// Open questions, each with the instant at which it has waited long enough.
    asking: Vec<(i64, Instant)>,
    /// Questions that calls below this one have open; those have their own limits.
    below: u32,
    /// When the first of them was asked: since then the clock stands still.
    stands_since: Option<Instant>,
    stood: Duration,
    /// How long it may stand altogether.
    stand_most: Duration,
    reader: Option<Waker>,
}

/// What the clock says at some instant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Look again at this instant.
    Running(Instant),
    /// The deadline has passed.
    Expired,
    /// These questions waited long enough.
    Unanswered(Vec<i64>),
}

impl DeadlineClock {
    /// `latest`: when it ends whatever else is said, because its caller does.
    pub(crate) fn start(now: Instant, timeout: Duration, latest: Option<Instant>, limits: &Limits) -> Self {
        Self::start_capped(now, timeout, limits.deadline_cap, latest, limits)
    }

    /// As [`start`](Self::start), with a cap of its own.
    pub(crate) fn start_capped(
        now: Instant,
        timeout: Duration,
        cap: Duration,
        latest: Option<Instant>,
        limits: &Limits,
    ) -> Self {
        let cap = after(now, cap);
        let cap = latest.map_or(cap, |latest| cap.min(latest));
        let expires = after(now, timeout).min(cap);
        let clock = Clock {
            timeout,
            expires,
            cap,
            latest,
            asking: Vec::new(),
            below: 0,
            stands_since: None,
            stood: Duration::ZERO,
            stand_most: limits.question_total,
            reader: None,
        };
        Self {
            inner: ScopedMutex::of(clock),
            asking: AtomicBool::new(false),
            life: AtomicU8::new(0),
            first_expires: expires,
        }
    }

    /// Only inside of the section. Whether the clock may still ask.
    fn touch(&self) -> bool {
        // Relaxed, here and where it is read: it is about this one value only; what is in the section the section guards.
        self.life.fetch_or(TOUCHED, Ordering::Relaxed) & ENDED == 0
    }

    fn is_touched(&self) -> bool {
        self.life.load(Ordering::Relaxed) & TOUCHED != 0
    }

    /// Changes the clock, then has it read anew. `change` is told whether the clock may still ask.
    fn change<R>(&self, change: impl FnOnce(&mut Clock, bool) -> R) -> R {
        let (output, reader) = self.inner.with(|clock| (change(clock, self.touch()), clock.reader.take()));
        if let Some(reader) = reader {
            reader.wake();
        }
        output
    }

    /// Replaces the timeout, counted from `started`; the cap stays.
    pub(crate) fn set_timeout(&self, started: Instant, timeout: Duration) {
        self.change(|clock, _| {
            clock.timeout = timeout;
            clock.expires = after(after(started, clock.stood), timeout).min(clock.cap);
        });
    }

    /// No deadline at all; questions keep theirs.
    pub(crate) fn remove_deadline(&self, now: Instant) {
        self.change(|clock, _| {
            clock.timeout = Duration::MAX;
            clock.cap = clock.latest.unwrap_or_else(|| after(now, Duration::MAX));
            clock.expires = clock.cap;
        });
    }

    /// The call made progress: it gets its timeout anew, up to the cap.
    pub(crate) fn progress(&self, now: Instant) {
        // Later only: who waits for the old instant looks then, and finds the new one.
        self.inner.with(|clock| {
            self.touch();
            let now = clock.stands_since.unwrap_or(now);
            clock.expires = clock.expires.max(after(now, clock.timeout)).min(clock.cap);
        });
    }

    /// When the call ends if nothing happens; while it asks, as of now.
    pub(crate) fn expires(&self, now: Instant) -> Instant {
        if !self.is_touched() {
            return self.first_expires;
        }
        self.inner.with(|clock| match clock.stands_since {
            Some(since) => after(clock.expires, now.saturating_duration_since(since)),
            None => clock.expires,
        })
    }

    /// Stops the clock for a question, until which instant at the latest; not once the call has ended, since nobody would time
    /// the question out.
    pub(crate) fn question_opened(&self, question: i64, now: Instant, until: Instant) -> Option<Instant> {
        self.change(|clock, may_ask| {
            may_ask.then(|| {
                let since = *clock.stands_since.get_or_insert(now);
                let last = after(since, clock.stand_most.saturating_sub(clock.stood));
                clock.asking.push((question, until.min(last)));
                self.asking.store(true, Ordering::Relaxed);
                until.min(last)
            })
        })
    }

    pub(crate) fn question_closed(&self, question: i64, now: Instant) {
        self.change(|clock, _| {
            clock.asking.retain(|(open, _)| *open != question);
            self.asking.store(!clock.asking.is_empty(), Ordering::Relaxed);
            clock.goes_on(now);
        });
    }

    /// A call below this one asks its client: this one waits for a person, too.
    pub(crate) fn question_opened_below(&self, now: Instant) {
        self.change(|clock, _| {
            clock.below += 1;
            if clock.stood < clock.stand_most {
                clock.stands_since.get_or_insert(now);
            }
        });
    }

    pub(crate) fn question_closed_below(&self, now: Instant) {
        self.change(|clock, _| {
            clock.below -= 1;
            clock.goes_on(now);
        });
    }

    /// How long it has stood still.
    pub(crate) fn stood(&self, now: Instant) -> Duration {
        self.inner.with(|clock| {
            let since =
                clock.stands_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            clock.stood + since
        })
    }

    /// Reads the clock for somebody who comes back by himself.
    pub(crate) fn look(&self, now: Instant) -> Reading {
        self.inner.with(|clock| clock.read(now))
    }

    /// The call was cancelled or is over: hands out the questions that are open and lets no more open.
    #[inline]
    pub(crate) fn end(&self) -> Vec<i64> {
        let touched = self.life.fetch_or(ENDED, Ordering::Relaxed) & TOUCHED != 0;
        if touched { self.end_touched() } else { Vec::new() }
    }

    fn end_touched(&self) -> Vec<i64> {
        let (questions, reader) = self.inner.with(|clock| {
            self.asking.store(false, Ordering::Relaxed);
            (clock.asking.drain(..).map(|(question, _)| question).collect(), clock.reader.take())
        });
        drop(reader);
        questions
    }

    pub(crate) fn is_asking(&self) -> bool {
        // Relaxed: a hint for people; nothing else is read on its strength.
        self.asking.load(Ordering::Relaxed)
    }

    /// Reads the clock. When the next reading is due earlier than this one says, `reader` is woken.
    pub(crate) fn read(&self, now: Instant, reader: &Waker) -> Reading {
        let mut displaced = None;
        let reading = self.inner.with(|clock| {
            self.touch();
            if !clock.reader.as_ref().is_some_and(|known| known.will_wake(reader)) {
                displaced = clock.reader.replace(reader.clone());
            }
            clock.read(now)
        });
        drop(displaced);
        reading
    }
}

impl Clock {
    /// Lets it go on unless a question is open.
    fn goes_on(&mut self, now: Instant) {
        if self.asking.is_empty() && self.below == 0 {
            self.stop_standing(now);
        }
    }

    fn stop_standing(&mut self, now: Instant) {
        if let Some(since) = self.stands_since.take() {
            let stood = now.saturating_duration_since(since);
            self.expires = after(self.expires, stood);
            self.cap = after(self.cap, stood);
            self.latest = self.latest.map(|latest| after(latest, stood));
            self.stood += stood;
        }
    }

    fn read(&mut self, now: Instant) -> Reading {
        let Some(next) = self.asking.iter().map(|(_, until)| *until).min() else {
            return self.read_without_questions(now);
        };
        if next > now {
            return Reading::Running(next);
        }
        let over = self.asking.iter().filter(|(_, until)| *until <= now).map(|(open, _)| *open);
        Reading::Unanswered(over.collect())
    }

    fn read_without_questions(&mut self, now: Instant) -> Reading {
        if let Some(since) = self.stands_since {
            let last = after(since, self.stand_most.saturating_sub(self.stood));
            if now < last {
                return Reading::Running(last);
            }
            self.stop_standing(last);
        }
        if self.expires <= now { Reading::Expired } else { Reading::Running(self.expires) }
    }
}

#[cfg(test)]
mod tests {
    use super::{DeadlineClock, Reading};
    use crate::limits::Limits;
    use std::{
        task::Waker,
        time::{Duration, Instant},
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn epoch() -> Instant {
        #[expect(
            clippy::disallowed_methods,
            reason = "any instant does as the origin; the clock is a parameter"
        )]
        Instant::now()
    }

    fn read(clock: &DeadlineClock, now: Instant) -> Reading {
        clock.read(now, Waker::noop())
    }

    #[test]
    fn progress_extends_up_to_the_cap() {
        let start = epoch();
        let limits = Limits { deadline_cap: SECOND * 5, ..Limits::default() };
        let clock = DeadlineClock::start(start, SECOND * 2, None, &limits);
        assert_eq!(read(&clock, start), Reading::Running(start + SECOND * 2));
        clock.progress(start + SECOND);
        assert_eq!(read(&clock, start + SECOND * 2), Reading::Running(start + SECOND * 3));
        clock.progress(start + SECOND * 4);
        assert_eq!(read(&clock, start + SECOND * 4), Reading::Running(start + SECOND * 5));
        assert_eq!(read(&clock, start + SECOND * 5), Reading::Expired);
    }

    #[test]
    fn a_deadline_beyond_the_cap_ends_at_the_cap() {
        let start = epoch();
        let limits = Limits { deadline_cap: SECOND, ..Limits::default() };
        let clock = DeadlineClock::start(start, SECOND * 10, None, &limits);
        assert_eq!(read(&clock, start + SECOND), Reading::Expired);
    }

    #[test]
    fn the_clock_stands_still_while_questions_are_open() {
        let start = epoch();
        let clock = DeadlineClock::start(start, SECOND * 2, None, &Limits::default());
        assert!(clock.question_opened(1, start + SECOND, start + SECOND * 100).is_some());
        assert!(clock.question_opened(2, start + SECOND * 5, start + SECOND * 50).is_some());
        assert_eq!(read(&clock, start + SECOND * 10), Reading::Running(start + SECOND * 50));
        assert_eq!(read(&clock, start + SECOND * 50), Reading::Unanswered(vec![2]));
        clock.question_closed(2, start + SECOND * 50);
        clock.question_closed(1, start + SECOND * 61);
        assert_eq!(read(&clock, start + SECOND * 61), Reading::Running(start + SECOND * 62));
    }

    #[test]
    fn what_the_clock_stood_is_counted_neither_by_progress_nor_by_a_new_timeout() {
        let start = epoch();
        let clock = DeadlineClock::start(start, SECOND * 2, None, &Limits::default());
        assert!(clock.question_opened(1, start + SECOND, start + SECOND * 1_000).is_some());
        clock.progress(start + SECOND * 50);
        clock.question_closed(1, start + SECOND * 101);
        // Asked after one second; two more since the progress.
        assert_eq!(read(&clock, start + SECOND * 101), Reading::Running(start + SECOND * 103));
        clock.set_timeout(start, SECOND * 10);
        assert_eq!(read(&clock, start + SECOND * 101), Reading::Running(start + SECOND * 110));
    }

    #[test]
    fn the_longest_periods_mean_no_bound_and_overflow_nothing() {
        let start = epoch();
        let limits = Limits { deadline_cap: Duration::MAX, ..Limits::default() };
        let clock = DeadlineClock::start(start, Duration::MAX, None, &limits);
        assert!(clock.question_opened(1, start, start + SECOND).is_some());
        clock.question_closed(1, start + SECOND);
        clock.progress(start + SECOND);
        assert!(matches!(read(&clock, start + SECOND), Reading::Running(_)));
    }

    #[test]
    fn however_often_a_call_asks_its_clock_stands_only_so_long_altogether() {
        let start = epoch();
        let limits = Limits { question_total: SECOND * 3, ..Limits::default() };
        let clock = DeadlineClock::start(start, SECOND, None, &limits);
        assert_eq!(clock.question_opened(1, start, start + SECOND * 2), Some(start + SECOND * 2));
        clock.question_closed(1, start + SECOND * 2);
        let last = Some(start + SECOND * 3);
        assert_eq!(clock.question_opened(2, start + SECOND * 2, start + SECOND * 100), last);
        assert_eq!(read(&clock, start + SECOND * 2), Reading::Running(start + SECOND * 3));
        assert_eq!(read(&clock, start + SECOND * 3), Reading::Unanswered(vec![2]));
        clock.question_closed(2, start + SECOND * 3);
        assert_eq!(clock.question_opened(3, start + SECOND * 3, start + SECOND * 100), last);
        assert_eq!(read(&clock, start + SECOND * 3), Reading::Unanswered(vec![3]), "its time is used up");
    }

    #[test]
    fn a_question_of_a_callee_stops_the_clock_too_but_not_for_ever() {
        let start = epoch();
        let limits = Limits { question_total: SECOND * 10, ..Limits::default() };
        let clock = DeadlineClock::start(start, SECOND * 2, None, &limits);
        clock.question_opened_below(start + SECOND);
        assert_eq!(read(&clock, start + SECOND * 5), Reading::Running(start + SECOND * 11));
        clock.question_closed_below(start + SECOND * 5);
        assert_eq!(read(&clock, start + SECOND * 5), Reading::Running(start + SECOND * 6));
        clock.question_opened_below(start + SECOND * 5);
        // It has stood for four seconds before; these are the six that are left.
        assert_eq!(read(&clock, start + SECOND * 11), Reading::Running(start + SECOND * 12));
        assert_eq!(read(&clock, start + SECOND * 12), Reading::Expired);
    }

    #[test]
    fn a_callee_ends_with_its_caller_whatever_it_asks_for() {
        let start = epoch();
        let clock = DeadlineClock::start(start, SECOND * 10, Some(start + SECOND * 3), &Limits::default());
        clock.progress(start + SECOND);
        clock.set_timeout(start, SECOND * 20);
        assert_eq!(read(&clock, start), Reading::Running(start + SECOND * 3));
        clock.remove_deadline(start);
        assert_eq!(read(&clock, start), Reading::Running(start + SECOND * 3));
    }

    #[test]
    fn after_the_end_no_question_opens() {
        let start = epoch();
        let clock = DeadlineClock::start(start, SECOND, None, &Limits::default());
        assert!(clock.question_opened(1, start, start + SECOND).is_some());
        assert_eq!(clock.end(), [1]);
        assert_eq!(clock.question_opened(2, start, start + SECOND), None);
    }
}

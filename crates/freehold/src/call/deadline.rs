//! The clock of one call: a deadline that progress extends up to a cap, and that stands still while the peer is asked.

use crate::limits::Limits;
use freehold_sync::ScopedMutex;
use std::time::{Duration, Instant};

/// Longer than any process runs, short enough to be added to an instant.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

pub(crate) struct DeadlineClock {
    inner: ScopedMutex<Clock>,
}

struct Clock {
    timeout: Duration,
    expires: Instant,
    cap: Instant,
    /// Open questions, each with the instant at which it has waited long enough.
    asking: Vec<(i64, Instant)>,
    /// When the first of them was asked: since then the clock stands still.
    stands_since: Option<Instant>,
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
    pub(crate) fn start(now: Instant, timeout: Duration, limits: &Limits) -> Self {
        let cap = now + limits.deadline_cap;
        let expires = (now + timeout).min(cap);
        let clock = Clock { timeout, expires, cap, asking: Vec::new(), stands_since: None };
        Self { inner: ScopedMutex::new(clock) }
    }

    /// Replaces the timeout, counted from `started`; the cap stays.
    pub(crate) fn set_timeout(&self, started: Instant, timeout: Duration) {
        self.inner.with(|clock| {
            clock.timeout = timeout;
            clock.expires = (started + timeout).min(clock.cap);
        });
    }

    /// No deadline at all; questions keep theirs.
    pub(crate) fn remove_deadline(&self, now: Instant) {
        self.inner.with(|clock| {
            clock.timeout = NEVER;
            clock.expires = now + NEVER;
            clock.cap = now + NEVER;
        });
    }

    /// The call made progress: it gets its timeout anew, up to the cap.
    pub(crate) fn progress(&self, now: Instant) {
        self.inner.with(|clock| clock.expires = clock.expires.max(now + clock.timeout).min(clock.cap));
    }

    /// When the call ends if nothing happens; while it asks, as of now.
    pub(crate) fn expires(&self, now: Instant) -> Instant {
        self.inner.with(|clock| match clock.stands_since {
            Some(since) => clock.expires + now.saturating_duration_since(since),
            None => clock.expires,
        })
    }

    pub(crate) fn question_opened(&self, question: i64, now: Instant, until: Instant) {
        self.inner.with(|clock| {
            clock.asking.push((question, until));
            clock.stands_since.get_or_insert(now);
        });
    }

    pub(crate) fn question_closed(&self, question: i64, now: Instant) {
        self.inner.with(|clock| {
            clock.asking.retain(|(open, _)| *open != question);
            if clock.asking.is_empty()
                && let Some(since) = clock.stands_since.take()
            {
                let stood = now.saturating_duration_since(since);
                clock.expires += stood;
                clock.cap += stood;
            }
        });
    }

    pub(crate) fn is_asking(&self) -> bool {
        self.inner.with(|clock| !clock.asking.is_empty())
    }

    pub(crate) fn read(&self, now: Instant) -> Reading {
        self.inner.with(|clock| {
            let Some(next) = clock.asking.iter().map(|(_, until)| *until).min() else {
                return if clock.expires <= now { Reading::Expired } else { Reading::Running(clock.expires) };
            };
            if next > now {
                return Reading::Running(next);
            }
            let over = clock.asking.iter().filter(|(_, until)| *until <= now).map(|(open, _)| *open);
            Reading::Unanswered(over.collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{DeadlineClock, Reading};
    use crate::limits::Limits;
    use std::time::{Duration, Instant};

    const SECOND: Duration = Duration::from_secs(1);

    fn epoch() -> Instant {
        #[expect(
            clippy::disallowed_methods,
            reason = "any instant does as the origin; the clock is a parameter"
        )]
        Instant::now()
    }

    #[test]
    fn progress_extends_up_to_the_cap() {
        let start = epoch();
        let limits = Limits { deadline_cap: SECOND * 5, ..Limits::default() };
        let clock = DeadlineClock::start(start, SECOND * 2, &limits);
        assert_eq!(clock.read(start), Reading::Running(start + SECOND * 2));
        clock.progress(start + SECOND);
        assert_eq!(clock.read(start + SECOND * 2), Reading::Running(start + SECOND * 3));
        clock.progress(start + SECOND * 4);
        assert_eq!(clock.read(start + SECOND * 4), Reading::Running(start + SECOND * 5));
        assert_eq!(clock.read(start + SECOND * 5), Reading::Expired);
    }

    #[test]
    fn a_deadline_beyond_the_cap_ends_at_the_cap() {
        let start = epoch();
        let limits = Limits { deadline_cap: SECOND, ..Limits::default() };
        let clock = DeadlineClock::start(start, SECOND * 10, &limits);
        assert_eq!(clock.read(start + SECOND), Reading::Expired);
    }

    #[test]
    fn the_clock_stands_still_while_questions_are_open() {
        let start = epoch();
        let clock = DeadlineClock::start(start, SECOND * 2, &Limits::default());
        clock.question_opened(1, start + SECOND, start + SECOND * 100);
        clock.question_opened(2, start + SECOND * 5, start + SECOND * 50);
        assert_eq!(clock.read(start + SECOND * 10), Reading::Running(start + SECOND * 50));
        assert_eq!(clock.read(start + SECOND * 50), Reading::Unanswered(vec![2]));
        clock.question_closed(2, start + SECOND * 50);
        clock.question_closed(1, start + SECOND * 61);
        assert_eq!(clock.read(start + SECOND * 61), Reading::Running(start + SECOND * 62));
    }
}

//! What a call keeps for the watchdog.

use crate::{
    call::{Call, CancelReason, Reading},
    question::Reply,
    state::State,
};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

const NEVER: u64 = u64::MAX;
const OF_METHOD: u64 = u64::MAX - 1;

/// Whole milliseconds; the longest times are none that ever pass.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(NEVER)
}

/// All times are milliseconds of the engine's time, or of the time a call has run.
pub(crate) struct CallWatch {
    /// When to look at the call; at the latest when its deadline or its soft limit passes.
    due: AtomicU64,
    /// [`OF_METHOD`] unless the call has one of its own.
    soft_limit: AtomicU64,
    /// How long it had run when it told progress last.
    progressed: AtomicU64,
    /// When its handler was polled last, to the look before.
    polled: AtomicU64,
    /// It was reported as slow, which is done once.
    reported: AtomicBool,
}

impl CallWatch {
    pub(crate) fn new(due: u64) -> Self {
        Self {
            due: AtomicU64::new(due),
            soft_limit: AtomicU64::new(OF_METHOD),
            progressed: AtomicU64::new(0),
            polled: AtomicU64::new(NEVER),
            reported: AtomicBool::new(false),
        }
    }

    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        self.due.load(Ordering::Relaxed) <= now_ms
    }

    /// Something changed that may make it due earlier.
    pub(crate) fn look_anew(&self) {
        self.due.store(0, Ordering::Relaxed);
    }

    pub(crate) fn set_soft_limit(&self, limit: Duration) {
        self.soft_limit.store(millis(limit), Ordering::Relaxed);
        self.look_anew();
    }

    /// Called at every poll.
    #[inline]
    pub(crate) fn is_polled(&self, tick: u64) {
        self.polled.store(tick, Ordering::Relaxed);
    }

    pub(super) fn last_polled(&self, now_ms: u64) -> Option<Duration> {
        let polled = self.polled.load(Ordering::Relaxed);
        (polled != NEVER).then(|| Duration::from_millis(now_ms.saturating_sub(polled)))
    }
}

impl<S: State> Call<S> {
    /// It made progress: its soft limit begins anew.
    pub(crate) fn watch_progress(&self, now: Instant) {
        self.watch.progressed.store(millis(self.ran(now)), Ordering::Relaxed);
    }

    pub(super) fn soft_limit(&self) -> Duration {
        match self.watch.soft_limit.load(Ordering::Relaxed) {
            OF_METHOD => {
                let engine = self.engine();
                engine.methods.options(self.method).soft_limit.unwrap_or(engine.limits.soft_limit)
            }
            own => Duration::from_millis(own),
        }
    }

    /// Its age without the time in which the client was asked.
    fn ran(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started).saturating_sub(self.clock.stood(now))
    }

    /// A look at a call that is due: ends it if its deadline has passed for longer than `late`, since then its own task does
    /// not come to do it; says whether it is past its soft limit, once; and sets when it is due again.
    pub(super) fn look(&self, now: Instant, now_ms: u64, late: Duration) -> bool {
        if self.is_settled() {
            self.watch.due.store(NEVER, Ordering::Relaxed);
            return false;
        }
        let deadline = self.look_at_clock(now, late);
        let ran = millis(self.ran(now)).saturating_sub(self.watch.progressed.load(Ordering::Relaxed));
        let limit = millis(self.soft_limit());
        // A person who thinks is no hang; the limit goes on when the answer is there.
        let slow = ran >= limit && !self.clock.is_asking() && !self.is_settled();
        let told = self.watch.reported.load(Ordering::Relaxed);
        let next = if told || slow { NEVER } else { now_ms.saturating_add(limit.saturating_sub(ran).max(1)) };
        self.watch.due.store(next.min(deadline), Ordering::Relaxed);
        slow && !self.watch.reported.swap(true, Ordering::Relaxed)
    }

    /// Does what the clock says; when to look at it again.
    fn look_at_clock(&self, now: Instant, late: Duration) -> u64 {
        let Some(before) = now.checked_sub(late) else { return 0 };
        loop {
            match self.clock.look(before) {
                Reading::Running(next) => return self.engine().ms_of(next).saturating_add(millis(late)),
                Reading::Expired => {
                    self.cancel(CancelReason::DeadlineExceeded, None);
                    return NEVER;
                }
                Reading::Unanswered(questions) => {
                    for question in questions {
                        self.session.inner.questions.resolve(question, Reply::TimedOut);
                        self.clock.question_closed(question, now);
                    }
                }
            }
        }
    }
}

//! The span of a request, for whoever listens to `tracing`: its session, method, subject and outcome, and the waits of its
//! handler. Who does not listen pays for a look at a flag and a word in each call.

use crate::{event::OutcomeKind, session::SessionId};
use freehold_sync::WaitWatch;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::{Span, field::Empty, level_filters::LevelFilter, span::Entered};

/// What stands for a method that a client made up: spans are not to be filled by strangers.
const UNKNOWN: &str = "(unknown)";

macro_rules! span {
    ($session:expr, $method:expr) => {
        tracing::debug_span!(
            target: "freehold::request",
            "request",
            session = $session.abbreviated(),
            method = $method,
            subject = Empty,
            outcome = Empty,
            waits = Empty,
            waited_us = Empty,
        )
    };
}

/// The span of a call, if somebody listens.
pub(crate) struct CallSpan(Option<Box<Traced>>);

struct Traced {
    span: Span,
    /// Of all attempts together.
    waits: AtomicU64,
    waited_nanos: AtomicU64,
}

impl CallSpan {
    /// Its parent is the span that whoever makes the call is in.
    #[inline]
    pub(crate) fn begin(session: SessionId, method: &str) -> Self {
        if LevelFilter::current() < LevelFilter::DEBUG {
            Self(None)
        } else {
            Self::begin_traced(session, method)
        }
    }

    #[cold]
    fn begin_traced(session: SessionId, method: &str) -> Self {
        let span = span!(session, method);
        if span.is_none() {
            return Self(None);
        }
        Self(Some(Box::new(Traced { span, waits: AtomicU64::new(0), waited_nanos: AtomicU64::new(0) })))
    }

    /// Runs a part of the call's work in its span, and counts the waits that end in it.
    #[inline]
    pub(crate) fn work<R>(&self, work: impl FnOnce() -> R) -> R {
        // Not a branch with the work in each arm: it would be in the program twice, and in neither place inlined.
        let entered = self.0.as_deref().map(Traced::enter);
        let output = work();
        if let Some(entered) = entered {
            entered.leave();
        }
        output
    }

    /// Tells of the outcome, within the span.
    #[inline]
    pub(crate) fn settled(&self, outcome: OutcomeKind, subject: Option<&str>, tell: impl FnOnce()) {
        let Some(traced) = &self.0 else { return tell() };
        traced.span.record("outcome", outcome.name());
        if let Some(subject) = subject {
            traced.span.record("subject", subject);
        }
        traced.span.in_scope(tell);
    }

    /// Its handler is gone: no more waits will end.
    pub(crate) fn finished(&self) {
        if let Some(traced) = &self.0 {
            // Relaxed: whoever counted handed the call's task over to us.
            traced.span.record("waits", traced.waits.load(Ordering::Relaxed));
            traced.span.record("waited_us", traced.waited_nanos.load(Ordering::Relaxed) / 1_000);
        }
    }
}

impl Traced {
    #[cold]
    fn enter(&self) -> Working<'_> {
        Working { traced: self, watch: WaitWatch::begin(), _entered: self.span.enter() }
    }
}

/// Work that is done in a span.
struct Working<'a> {
    traced: &'a Traced,
    watch: WaitWatch,
    _entered: Entered<'a>,
}

impl Working<'_> {
    #[cold]
    fn leave(self) {
        let times = self.watch.end();
        let nanos = u64::try_from(times.total.as_nanos()).unwrap_or(u64::MAX);
        self.traced.waits.fetch_add(times.count, Ordering::Relaxed);
        self.traced.waited_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// The span of a request that was answered at once.
#[inline]
pub(crate) fn at_once<'a>(
    session: SessionId,
    method: impl FnOnce() -> Option<&'a str>,
    outcome: OutcomeKind,
) {
    if LevelFilter::current() < LevelFilter::DEBUG {
        return;
    }
    let span = span!(session, method().unwrap_or(UNKNOWN));
    if !span.is_none() {
        span.record("outcome", outcome.name());
    }
}

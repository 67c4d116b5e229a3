//! The span of a request, for whoever listens to `tracing`: its session, method, subject and outcome, and the waits of its
//! handler. Who does not listen pays for a look at a flag and a word in each call.
//!
//! The span is over when the call has its outcome and its handler is gone, whichever comes last, and not when the last one
//! lets go of the call: its caller, its callees and whoever looks at it may keep that for longer. Where the handler has
//! returned, it is over before the answer is given.
//!
//! Whoever listens is code of the application: each call of it is contained, or its panic would cost an answer or a slot.

use crate::{
    contain::{Panicked, contain},
    event::OutcomeKind,
    session::SessionId,
};
use arc_swap::ArcSwapOption;
use freehold_sync::WaitWatch;
use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU64, Ordering},
};
use tracing::{Span, Value, field::Empty, level_filters::LevelFilter, span::Entered};

/// What stands for a method that a client made up: spans are not to be filled by strangers.
const UNKNOWN: &str = "(unknown)";

/// The outcome was told.
const TOLD: u8 = 1;
/// The handler is gone: no more waits will end.
const GONE: u8 = 2;

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

/// The span of a call, if somebody listens; empty once it is over. It closes when those who work in it at that moment leave.
pub(crate) struct CallSpan(Option<Box<ArcSwapOption<Traced>>>);

struct Traced {
    span: Span,
    /// Which of [`TOLD`] and [`GONE`] has happened. With the second one the span is over.
    ends: AtomicU8,
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
        let span = new_span(session, method);
        if span.is_none() {
            return Self(None);
        }
        let traced = Traced {
            span,
            ends: AtomicU8::new(0),
            waits: AtomicU64::new(0),
            waited_nanos: AtomicU64::new(0),
        };
        Self(Some(Box::new(ArcSwapOption::from_pointee(traced))))
    }

    fn traced(&self) -> Option<Arc<Traced>> {
        self.0.as_ref()?.load_full()
    }

    /// Runs a part of the call's work in its span, and counts the waits that end in it. The work contains its panics.
    #[inline]
    pub(crate) fn work<R>(&self, work: impl FnOnce() -> R) -> R {
        // Not a branch with the work in each arm: it would be in the program twice, and in neither place inlined.
        let traced = self.traced();
        let entered = traced.as_deref().map(Traced::enter);
        let output = work();
        if let Some(entered) = entered {
            entered.leave();
        }
        output
    }

    /// Tells of the outcome, within the span, which is over if the handler is gone.
    #[inline]
    pub(crate) fn settled(&self, outcome: OutcomeKind, subject: Option<&str>, tell: impl FnOnce()) {
        let Some(traced) = self.traced() else { return tell() };
        record(&traced.span, "outcome", outcome.name());
        if let Some(subject) = subject {
            record(&traced.span, "subject", subject);
        }
        let entered = enter(&traced.span);
        tell();
        let _ = contain(|| drop(entered));
        self.ends(&traced, TOLD);
    }

    /// Its handler is gone, if it was not so already.
    pub(crate) fn finished(&self) {
        let Some(traced) = self.traced() else { return };
        // Relaxed: whoever counted, or said that it is gone, handed the call's task over to us.
        if traced.ends.load(Ordering::Relaxed) & GONE != 0 {
            return;
        }
        record(&traced.span, "waits", traced.waits.load(Ordering::Relaxed));
        record(&traced.span, "waited_us", traced.waited_nanos.load(Ordering::Relaxed) / 1_000);
        self.ends(&traced, GONE);
    }

    fn ends(&self, traced: &Traced, what: u8) {
        // AcqRel: who comes second has what the first one recorded before it, and closes the span.
        let before = traced.ends.fetch_or(what, Ordering::AcqRel);
        if before | what == TOLD | GONE
            && let Some(place) = &self.0
        {
            place.store(None);
        }
    }
}

impl Traced {
    #[cold]
    fn enter(&self) -> Working<'_> {
        Working { traced: self, watch: WaitWatch::begin(), entered: enter(&self.span) }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let span = std::mem::replace(&mut self.span, Span::none());
        let _ = contain(|| drop(span));
    }
}

fn new_span(session: SessionId, method: &str) -> Span {
    contain(|| span!(session, method)).unwrap_or_else(|Panicked| Span::none())
}

fn enter(span: &Span) -> Option<Entered<'_>> {
    contain(|| span.enter()).ok()
}

fn record(span: &Span, field: &str, value: impl Value) {
    let _ = contain(|| span.record(field, value));
}

/// Work that is done in a span.
struct Working<'a> {
    traced: &'a Traced,
    watch: WaitWatch,
    /// None if whoever listens panicked.
    entered: Option<Entered<'a>>,
}

impl Working<'_> {
    #[cold]
    fn leave(self) {
        let _ = contain(|| drop(self.entered));
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
    let span = new_span(session, method().unwrap_or(UNKNOWN));
    if !span.is_none() {
        record(&span, "outcome", outcome.name());
    }
    let _ = contain(|| drop(span));
}

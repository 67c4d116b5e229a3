//! The orderly end: refuse what is new, let finish what runs, then cancel, then leave.
//!
//! # Invariants
//!
//! 1. The drain stores `begun`, then loads the count of calls; a call raises the count, then loads `begun`. All four
//!    are `SeqCst`, so not both can miss the other: no call starts unseen after the count was read as zero.
//! 2. Who waits for the count registers before it loads it; who lowers it does so before it wakes.

use crate::{
    call::{Call, CancelReason},
    engine::Engine,
    runtime::until,
    session::CloseReason,
    state::State,
};
use freehold_sync::Signal;
use std::{
    num::NonZeroU8,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// How a drain went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Calls that ran when it began.
    pub running: usize,
    /// Of those, how many did not finish within the grace and were cancelled.
    pub cancelled: usize,
    /// Of those, the methods of handlers that went on even after their own grace.
    pub abandoned: Vec<String>,
    /// Sessions closed.
    pub sessions: usize,
}

/// Added to the handlers' own grace before they count as abandoned.
const ABANDON_MARGIN: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(crate) struct DrainState {
    begun: AtomicBool,
    begun_signal: Signal,
    call_left: Notify,
    ended: Signal,
    report: OnceLock<DrainReport>,
}

impl DrainState {
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    fn begin(&self) -> bool {
        let first = !self.begun.swap(true, Ordering::SeqCst);
        self.begun_signal.set(NonZeroU8::MIN);
        first
    }

    fn end(&self, report: &DrainReport) {
        // Set before the signal; who waited for it reads it afterwards.
        let _ = self.report.set(report.clone());
        self.ended.set(NonZeroU8::MIN);
    }

    pub(crate) fn call_left(&self) {
        if self.has_begun() {
            self.call_left.notify_waiters();
        }
    }
}

impl<S: State> Engine<S> {
    /// Whether a drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner.drain.has_begun()
    }

    /// Waits until a drain has begun. Cancel safe.
    pub async fn drain_begun(&self) {
        self.inner.drain.begun_signal.wait().await;
    }

    /// Refuses new sessions and calls, waits up to `grace` for the running calls, cancels those that are left, gives
    /// their handlers [`Limits::cancel_grace`](crate::Limits::cancel_grace), closes all sessions and reports. Asked
    /// again, also at the same time, it waits for the first drain and returns its report.
    ///
    /// Ends within `grace` + the handlers' grace + 100 ms, whatever handlers do. From inside a handler use
    /// [`Context::drain`](crate::Context::drain), which does not wait for the caller itself.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the drain stops where it is: new calls stay refused, and who else drains waits up to its own limit.
    /// Spawn it if it must go on.
    pub async fn drain(&self, grace: Duration) -> DrainReport {
        self.drain_except(grace, None).await
    }

    /// Drains; leaves out the call that asked for it, if it was one.
    pub(crate) async fn drain_except(&self, grace: Duration, own: Option<&Arc<Call<S>>>) -> DrainReport {
        let (engine, drain) = (&self.inner, &self.inner.drain);
        let cancel_grace = engine.limits.cancel_grace + ABANDON_MARGIN;
        let begun_at = engine.runtime.now();
        if !drain.begin() {
            until(&*engine.runtime, begun_at + grace + cancel_grace, drain.ended.wait()).await;
            return drain.report.get().cloned().unwrap_or_default();
        }
        engine.hooks.shutdown_begun(&engine.events);
        let own_calls = usize::from(own.is_some());
        let count = || engine.total.count().saturating_sub(own_calls);
        let mut report = DrainReport { running: count(), ..DrainReport::default() };
        self.until_calls_left(begun_at + grace, own_calls).await;
        report.cancelled = count();
        let is_own = |call: &Arc<Call<S>>| own.is_some_and(|own| Arc::ptr_eq(own, call));
        for call in engine.live.all().into_iter().filter(|call| !is_own(call)) {
            call.cancel(CancelReason::Shutdown, None);
        }
        self.until_calls_left(engine.runtime.now() + cancel_grace, own_calls).await;
        let left = engine.live.all().into_iter().filter(|call| !is_own(call));
        report.abandoned = left.map(|call| call.method_name().to_owned()).collect();
        report.sessions = self.close_sessions(own, grace);
        drain.end(&report);
        report
    }

    /// Waits until no more than `own_calls` are left, or the instant comes.
    async fn until_calls_left(&self, at: Instant, own_calls: usize) {
        let engine = &self.inner;
        let left = async {
            loop {
                let mut notified = std::pin::pin!(engine.drain.call_left.notified());
                notified.as_mut().enable();
                if engine.total.count() <= own_calls {
                    return;
                }
                notified.await;
            }
        };
        until(&*engine.runtime, at, left).await;
    }

    /// Closes all sessions; that of the call which asked for the drain only once that call is over or had its time.
    fn close_sessions(&self, own: Option<&Arc<Call<S>>>, grace: Duration) -> usize {
        let sessions = self.sessions();
        let count = sessions.len();
        for session in sessions {
            if own.is_some_and(|own| Arc::ptr_eq(&own.session.inner, &session.inner)) {
                let (engine, at) = (self.clone(), self.inner.runtime.now() + grace);
                let close = async move {
                    engine.until_calls_left(at, 0).await;
                    session.close(CloseReason::Shutdown);
                };
                self.inner.runtime.spawn("close the session that asked for the drain", Box::pin(close));
            } else {
                session.close(CloseReason::Shutdown);
            }
        }
        count
    }
}

//! The orderly end: refuse what is new, let finish what runs, then cancel, then leave.
//!
//! # Invariants
//!
//! 1. The drain stores `begun`, then loads the count of calls; a call raises the count, then loads `begun`. All four
//!    are `SeqCst`, so not both can miss the other: no call starts unseen after the count was read as zero.
//! 2. Who waits for the count registers before it loads it; who lowers it does so before it wakes.
//! 3. The drain stores `cancels`, then cancels what is live; a call becomes live, then loads `cancels` and cancels
//!    itself. The section of the live calls orders the two, so no call is missed by both.
//! 4. `asking` has each call that is counted and whose handler waits for the drain, or that called such a one, directly or
//!    not; those calls are neither waited for nor cancelled, or two of them would wait for each other. One that leaves takes
//!    itself out before it is counted no more: whoever subtracts those that ask must subtract nobody who is not counted.

use crate::{
    call::{
        Call, CancelReason,
        effect::{self, Effect},
    },
    engine::Engine,
    fault::{self, Fault},
    hash::Hashing,
    hooks::Hooks,
    lock_order,
    runtime::{after, until},
    session::{CloseReason, SessionId},
    shim::{AtomicBool, AtomicUsize, Notify, OnceLock, Ordering},
    state::State,
};
use freehold_sync::{ScopedMutex, Signal};
use std::{
    collections::HashSet,
    num::NonZeroU8,
    sync::Arc,
    time::{Duration, Instant},
};

/// How a drain went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Calls that ran when it began.
    pub running: usize,
    /// Of those, how many did not finish within the grace and were cancelled.
    pub cancelled: usize,
    /// Of those, the methods (and what they were about: the tool of a `tools/call`) of handlers that went on even after
    /// their own grace.
    pub abandoned: Vec<String>,
    /// Sessions closed.
    pub sessions: usize,
}

impl DrainReport {
    /// Calls that ran when it began and finished by themselves.
    #[must_use]
    pub fn drained(&self) -> usize {
        self.running.saturating_sub(self.cancelled)
    }
}

/// Added to the handlers' own grace before they count as abandoned.
const ABANDON_MARGIN: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(crate) struct DrainState {
    begun: AtomicBool,
    begun_signal: Signal,
    cancels: AtomicBool,
    asking: ScopedMutex<Asking, lock_order::DrainAskers>,
    /// Address and label of the call of each handler that was dropped after its grace.
    abandoned: ScopedMutex<Vec<(usize, String)>, lock_order::Abandoned>,
    call_left: Notify,
    ended: Signal,
    report: OnceLock<DrainReport>,
}

/// The calls that ask for the drain.
#[derive(Default)]
struct Asking {
    /// Address and session.
    calls: Vec<(usize, SessionId)>,
    /// How often the list changed.
    changes: u64,
}

/// In the count of a call's handlers, and those below it, that wait for the drain: it is counted no more.
const LEFT: usize = 1 << (usize::BITS - 1);

impl DrainState {
    fn ask<S: State>(&self, call: &Arc<Call<S>>) {
        if call.drains.fetch_add(1, Ordering::SeqCst) != 0 {
            return;
        }
        let entry = (Arc::as_ptr(call).addr(), call.session.inner.id);
        self.asking.with(|asking| {
            // Looked at in here: who sets it comes in afterwards to take the entry out, or came before.
            if call.drains.load(Ordering::SeqCst) & LEFT == 0 {
                asking.calls.push(entry);
                asking.changes += 1;
            }
        });
    }

    fn ask_no_more<S: State>(&self, call: &Arc<Call<S>>) {
        if call.drains.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.take_out(call);
        }
    }

    /// A call is about to be counted no more.
    pub(crate) fn call_leaves<S: State>(&self, call: &Arc<Call<S>>) {
        if call.drains.fetch_or(LEFT, Ordering::SeqCst) != 0 {
            self.take_out(call);
        }
    }

    fn take_out<S: State>(&self, call: &Arc<Call<S>>) {
        let address = Arc::as_ptr(call).addr();
        self.asking.with(|asking| {
            if let Some(place) = asking.calls.iter().position(|(asks, _)| *asks == address) {
                asking.calls.swap_remove(place);
                asking.changes += 1;
            }
        });
    }

    /// Of the calls that `count` counts, those that do not ask for the drain.
    fn others(&self, count: impl Fn() -> usize) -> usize {
        let asking = || self.asking.with(|asking| (asking.calls.len(), asking.changes));
        let mut seen = asking();
        loop {
            let counted = count();
            // Of two looks at different times, one would subtract whom the other one did not count.
            let now = asking();
            if now == seen {
                return counted.saturating_sub(now.0);
            }
            seen = now;
        }
    }

    /// The sessions of the calls that ask for the drain.
    fn asking_sessions(&self) -> HashSet<SessionId, Hashing> {
        self.asking.with(|asking| asking.calls.iter().map(|(_, session)| *session).collect())
    }

    /// Waits until the calls are as wanted; only once it has begun.
    pub(crate) async fn until(&self, wanted: impl Fn() -> bool) {
        loop {
            let mut notified = std::pin::pin!(self.call_left.notified());
            notified.as_mut().enable();
            if wanted() {
                return;
            }
            notified.await;
        }
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    pub(crate) fn begin(&self) -> bool {
        !self.begun.swap(true, Ordering::SeqCst)
    }

    fn end(&self, report: DrainReport) {
        // Set before the signal; who waited for it reads it afterwards. The first report stays.
        let _ = self.report.set(report);
        self.ended.set(NonZeroU8::MIN);
    }

    fn report(&self) -> DrainReport {
        self.report.get().cloned().unwrap_or_default()
    }

    /// Whether the drain cancels what is still there, and this call too: not if it waits for the drain.
    pub(crate) fn cancels(&self, wait_for_it: &AtomicUsize) -> bool {
        self.cancels.load(Ordering::SeqCst) && wait_for_it.load(Ordering::SeqCst) == 0
    }

    /// The future of a handler was dropped because it went on after its grace.
    pub(crate) fn abandoned(&self, call: usize, label: String) {
        if self.has_begun() {
            self.abandoned.with(|abandoned| abandoned.push((call, label)));
        }
    }

    #[cfg(all(test, shuttle))]
    pub(crate) fn nobody_asks(&self) -> bool {
        self.asking.with(|asking| asking.calls.is_empty())
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

    /// Waits until a drain has ended: calls are over or abandoned, sessions closed. Cancel safe.
    pub async fn drain_ended(&self) {
        self.inner.drain.ended.wait().await;
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
    /// The drain runs in a task of its own: dropping this only stops waiting for it.
    pub async fn drain(&self, grace: Duration) -> DrainReport {
        effect::note(Effect::Committed);
        let drain = &self.inner.drain;
        if !drain.begin() {
            let runtime = &*self.inner.runtime;
            until(runtime, after(runtime.now(), self.whole_grace(grace)), drain.ended.wait()).await;
            return drain.report();
        }
        // Counted before anybody is told: some calls end as soon as they hear of it.
        let (running, begun_at) = (self.others(), self.inner.runtime.now());
        drain.begun_signal.set(NonZeroU8::MIN);
        Hooks::shutdown_begun(&self.inner);
        let (engine, duty) = (self.clone(), EndDrain(self.clone()));
        let run = async move {
            let report = engine.run_drain(running, begun_at, grace).await;
            engine.inner.drain.end(report);
            drop(duty);
        };
        self.inner.runtime.spawn("drain", Box::pin(run));
        drain.ended.wait().await;
        drain.report()
    }

    /// After this a drain is over, whatever handlers do.
    fn whole_grace(&self, grace: Duration) -> Duration {
        grace.saturating_add(self.inner.limits.cancel_grace).saturating_add(ABANDON_MARGIN)
    }

    async fn run_drain(&self, running: usize, begun_at: Instant, grace: Duration) -> DrainReport {
        let (engine, drain) = (&self.inner, &self.inner.drain);
        let mut report = DrainReport { running, ..DrainReport::default() };
        let patience = if fault::active(Fault::DrainWaits) { Duration::MAX } else { grace };
        let all_left = self.until_calls(after(begun_at, patience), || self.others() == 0).await;
        // Not counted again when all have left: a call that comes too late stands in the count until it is refused.
        report.cancelled = if all_left { 0 } else { self.others_since_before(begun_at).min(running) };
        drain.cancels.store(true, Ordering::SeqCst);
        for call in engine.live.all() {
            if drain.cancels(&call.drains) {
                call.cancel(CancelReason::Shutdown, None);
            }
        }
        let cancel_grace = engine.limits.cancel_grace.saturating_add(ABANDON_MARGIN);
        self.until_calls(after(engine.runtime.now(), cancel_grace), || self.others() == 0).await;
        report.abandoned = self.abandoned();
        report.sessions = self.close_sessions(grace);
        report
    }

    /// Calls whose handlers do not wait for the drain themselves.
    fn others(&self) -> usize {
        self.inner.drain.others(|| self.inner.total.count())
    }

    /// As [`others`](Self::others), without what these called since then.
    fn others_since_before(&self, begun_at: Instant) -> usize {
        let cancels = |call: &Call<S>| call.drains.load(Ordering::SeqCst) == 0;
        let later = self.inner.live.filter(|call| call.started > begun_at && cancels(call));
        self.others().saturating_sub(later.len())
    }

    /// The methods of handlers that went on after their grace: those whose future was dropped then, and those that are
    /// still there, because they block their thread.
    fn abandoned(&self) -> Vec<String> {
        // First those that are there: one that goes in between is in both, none is in neither.
        let left = self.inner.live.all();
        let left = left.iter().filter(|call| self.inner.drain.cancels(&call.drains));
        let mut abandoned: Vec<_> = left.map(|call| (Arc::as_ptr(call).addr(), call.label())).collect();
        for gone in self.inner.drain.abandoned.with(std::mem::take) {
            if !abandoned.iter().any(|(call, _)| *call == gone.0) {
                abandoned.push(gone);
            }
        }
        abandoned.into_iter().map(|(_, method)| method).collect()
    }

    /// Waits until the calls are as wanted, or the instant comes; whether they are.
    async fn until_calls(&self, at: Instant, wanted: impl Fn() -> bool) -> bool {
        until(&*self.inner.runtime, at, self.inner.drain.until(wanted)).await.is_some()
    }

    /// Closes all sessions; those of calls that asked for the drain only once these calls are over or had their time.
    fn close_sessions(&self, grace: Duration) -> usize {
        let asking = self.inner.drain.asking_sessions();
        let sessions = self.sessions();
        let count = sessions.len();
        for session in sessions {
            if !asking.contains(&session.inner.id) {
                session.close(CloseReason::Shutdown);
                continue;
            }
            let (engine, at) = (self.clone(), after(self.inner.runtime.now(), grace));
            let close = async move {
                engine.until_calls(at, || session.inner.calls.is_empty()).await;
                session.close(CloseReason::Shutdown);
            };
            self.inner.runtime.spawn("close a session that asked for the drain", Box::pin(close));
        }
        count
    }
}

/// The drain's task is over, also when its runtime drops it: nobody waits for it for ever.
struct EndDrain<S: State>(Engine<S>);

impl<S: State> Drop for EndDrain<S> {
    fn drop(&mut self) {
        self.0.inner.drain.end(DrainReport::default());
    }
}

/// The handler of a call waits for a drain, which must not wait for it.
pub(crate) struct Asks<'a, S: State>(&'a Arc<Call<S>>);

impl<'a, S: State> Asks<'a, S> {
    pub(crate) fn new(call: &'a Arc<Call<S>>) -> Self {
        let drain = &call.engine().drain;
        // Its callers wait for it, so they wait for the drain, too.
        call.with_callers().for_each(|call| drain.ask(call));
        drain.call_left();
        Self(call)
    }
}

impl<S: State> Drop for Asks<'_, S> {
    fn drop(&mut self) {
        let drain = &self.0.engine().drain;
        self.0.with_callers().for_each(|call| drain.ask_no_more(call));
    }
}

//! What is gathered while the engine runs: one observer of its events, one subscription to those of the locks.

mod exports;
mod journal;
mod times;

pub(crate) use exports::ExportCounts;
pub use journal::WatchPoolError;
pub(crate) use journal::{KeptChange, KeptReport, KeptViolation, Rings, WatchedPool, classes_of};
pub(crate) use times::{BOUNDS, CallTimes, Distribution};

use crate::{
    alert::{Alert, AlertCounts, Outlet, Outlets, ReceiveAlert},
    lock_order,
};
use freehold::{
    Event, Observer, Stage,
    runtime::{Runtime, TokioRuntime},
};
use freehold_sync::{Grade, PermitPool, ScopedMutex, Subscription};
use journal::Journal;
use std::{
    fmt, io,
    sync::{Arc, OnceLock},
    time::Instant,
};
use times::CallTimesTable;
use tokio::sync::watch;

/// Gathers what metrics, pages and alerts are made of. A cheap handle; clones are the same telemetry.
///
/// It is an [`Observer`]: give a clone to [`EngineBuilder::observer`](freehold::EngineBuilder::observer), beside others, and
/// the telemetry to [`AdminServer::start`](crate::AdminServer::start). What each call adds to it is two counters of its
/// method, subject and outcome. What happens to locks it hears for the whole process.
///
/// # Examples
///
/// ```
/// use freehold::Engine;
/// use freehold_admin::Telemetry;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let telemetry = Telemetry::new();
/// let engine = Engine::builder(()).observer(telemetry.clone()).build()?;
/// let text = telemetry.metrics(&engine);
/// assert!(text.contains("freehold_sessions_opened_total 0"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Telemetry(Arc<Gathered>);

pub(crate) struct Gathered {
    times: CallTimesTable,
    journal: ScopedMutex<Journal, lock_order::Journal>,
    outlets: Outlets,
    exports: ExportCounts,
    /// When the last thing happened that a page should show at once.
    news: watch::Sender<Option<Instant>>,
    started: Instant,
    /// Of the locks' events; there once the telemetry is.
    subscription: OnceLock<Subscription>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Telemetry {
    /// One that tells nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::with_outlets(Vec::new())
    }

    /// One that tells these of deadlocks, of breakers that change and of what the watchdog finds.
    ///
    /// Each receiver has a thread and a queue of its own, of [`limits::ALERTS`](crate::limits::ALERTS): one that is slow, or
    /// dead, loses alerts, which is counted, and delays neither calls nor other receivers.
    ///
    /// # Errors
    ///
    /// If the system has no thread for one, or there are more than [`limits::RECEIVERS`](crate::limits::RECEIVERS).
    pub fn with_receivers(receivers: Vec<Box<dyn ReceiveAlert>>) -> io::Result<Self> {
        if receivers.len() > crate::limits::RECEIVERS {
            let most = crate::limits::RECEIVERS;
            return Err(io::Error::other(format!(
                "at most {most} receivers of alerts; let one of them pass them on"
            )));
        }
        let outlets = receivers.into_iter().map(Outlet::open).collect::<io::Result<_>>()?;
        Ok(Self::with_outlets(outlets))
    }

    /// Exports how many permits a pool of the application has and how many are taken, under this name. The pool lives as long
    /// as the telemetry.
    ///
    /// # Errors
    ///
    /// [`WatchPoolError`], if the name is taken or there are [`limits::POOLS`](crate::limits::POOLS) already.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold::{Engine, sync::PermitPool};
    /// use freehold_admin::Telemetry;
    /// use std::sync::Arc;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (telemetry, connections) = (Telemetry::new(), Arc::new(PermitPool::new(8)));
    /// telemetry.watch_pool("database", &connections)?;
    /// let engine = Engine::builder(()).app(connections).observer(telemetry.clone()).build()?;
    /// assert!(telemetry.metrics(&engine).contains("freehold_permits{pool=\"database\"} 8"));
    /// # Ok(()) }
    /// ```
    pub fn watch_pool(&self, name: &str, pool: &Arc<PermitPool>) -> Result<(), WatchPoolError> {
        let watched = WatchedPool { name: name.into(), pool: pool.clone() };
        let refused = self.0.journal.with(|journal| journal.watch_pool(watched));
        refused.map_err(|(why, _pool)| why)
    }

    fn with_outlets(outlets: Vec<Outlet>) -> Self {
        let gathered = Arc::new(Gathered {
            times: CallTimesTable::default(),
            journal: ScopedMutex::default(),
            outlets: Outlets::new(outlets),
            exports: ExportCounts::default(),
            news: watch::Sender::new(None),
            started: TokioRuntime.now(),
            subscription: OnceLock::new(),
        });
        let weak = Arc::downgrade(&gathered);
        let subscription = freehold_sync::subscribe(move |event| {
            if let Some(gathered) = weak.upgrade() {
                gathered.of_locks(event);
            }
        });
        // Nobody else has it yet.
        let _ = gathered.subscription.set(subscription);
        Self(gathered)
    }

    pub(crate) fn gathered(&self) -> &Arc<Gathered> {
        &self.0
    }
}

impl Observer for Telemetry {
    #[inline]
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::CallEnded { method, subject, outcome, stage, took, .. } => {
                // What was refused or answered on arrival took no time, and may bear any name that a client makes up.
                if *stage != Stage::Arrival || !took.is_zero() {
                    self.0.times.record(method, *subject, *outcome, *took);
                }
            }
            other => self.0.rare(other),
        }
    }
}

impl Gathered {
    /// Of the engine's events, all that are rarer than calls.
    fn rare(&self, event: &Event<'_>) {
        if let Event::BreakerChanged { method, subject, from, to } = event {
            let name = subject.unwrap_or(method).into();
            let change = KeptChange { at: TokioRuntime.now(), name, from: *from, to: *to };
            let evicted = self.journal.with(|journal| journal.change(change));
            drop(evicted);
        }
        if let Some(alert) = Alert::of_engine(event) {
            self.outlets.send(&alert);
            self.tell_pages();
        }
    }

    fn of_locks(&self, event: &freehold_sync::Event) {
        let at = TokioRuntime.now();
        match event {
            freehold_sync::Event::Deadlock(report) => {
                let classes = classes_of(report);
                let evicted = self.journal.with(|journal| journal.report(at, report.clone(), classes));
                drop(evicted);
                tracing::warn!(id = report.id, grade = %report.grade, "{}", report.headline());
                self.outlets.send(&Alert::of_report(report));
            }
            freehold_sync::Event::Order(violation) => {
                let kept = KeptViolation { at, violation: violation.clone() };
                let evicted = self.journal.with(|journal| journal.violation(kept));
                drop(evicted);
                tracing::warn!("{violation}");
            }
            _ => return,
        }
        self.tell_pages();
    }

    fn tell_pages(&self) {
        self.news.send_replace(Some(TokioRuntime.now()));
    }

    /// Changes when there is news.
    pub(crate) fn news(&self) -> watch::Receiver<Option<Instant>> {
        self.news.subscribe()
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn call_times(&self) -> Vec<CallTimes> {
        self.times.all()
    }

    pub(crate) fn all_calls(&self) -> Distribution {
        self.times.total()
    }

    /// Reports, the newest first.
    pub(crate) fn reports(&self) -> Vec<KeptReport> {
        self.journal.with(|journal| journal.reports())
    }

    /// The report with this id, if it is kept.
    pub(crate) fn report(&self, id: &str) -> Option<KeptReport> {
        self.reports().into_iter().find(|kept| kept.report.id == id)
    }

    pub(crate) fn violations(&self) -> Vec<KeptViolation> {
        self.journal.with(|journal| journal.violations())
    }

    pub(crate) fn changes(&self) -> Vec<KeptChange> {
        self.journal.with(|journal| journal.changes())
    }

    pub(crate) fn pools(&self) -> Vec<WatchedPool> {
        self.journal.with(|journal| journal.pools())
    }

    pub(crate) fn last_numbers(&self) -> [(Grade, u64); 2] {
        self.journal.with(|journal| journal.last_numbers())
    }

    pub(crate) fn rings(&self) -> Rings {
        self.journal.with(|journal| journal.rings())
    }

    pub(crate) fn violated(&self) -> (u64, u64) {
        self.journal.with(|journal| journal.violated())
    }

    pub(crate) fn alerts(&self) -> AlertCounts {
        self.outlets.counts()
    }

    pub(crate) fn exports(&self) -> &ExportCounts {
        &self.exports
    }
}

//! What the case tests share: limits that only ever mean failure, meetings, and what was told about one test's members.

#![allow(dead_code, reason = "each test crate uses a part")]

use freehold_sync::{
    Context, Deadlock, Event, Grade, JoinHandle, LockError, Mutex, Subscription, observe, subscribe,
};
use std::{
    fmt::Debug,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// A proven ring is broken within microseconds; a machine that is busy with other tests may take longer. The deadlines
/// of the waits are 5 s, so whatever is quicker than this was no deadline.
pub(crate) const SOON: Duration = Duration::from_secs(2);

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs a test, for at most 20 s.
pub(crate) async fn limited<F: Future>(test: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), Box::pin(test)).await.expect("the test hangs")
}

/// Something of the user's that takes time, and is known to end.
pub(crate) async fn pause(millis: u64) {
    tokio::time::sleep(ms(millis)).await;
}

pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The end of a spawned activity, however long it takes.
pub(crate) async fn end<T>(handle: JoinHandle<T>) -> T {
    handle.into_future().without_deadline().await.expect("the activity has a result")
}

pub(crate) async fn end_all<T>(handles: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::new();
    for handle in handles {
        results.push(end(handle).await);
    }
    results
}

/// Waits until `event` is so.
pub(crate) async fn until(mut event: impl FnMut() -> bool) {
    while !event() {
        pause(1).await;
    }
}

/// Whether the activity called `name` waits for a lock now.
pub(crate) fn is_waiting(name: &str) -> bool {
    observe().members.iter().any(|member| member.actor.name == name && !member.waits.is_empty())
}

/// Waits until the activity called `name` waits for a lock.
pub(crate) async fn waits(name: &str) {
    until(|| is_waiting(name)).await;
}

/// Polls `future` once, which must not be ready, and leaves it alone.
pub(crate) async fn poll_once<F: Future>(mut future: Pin<&mut F>) {
    let ready = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
    assert!(!ready, "it had nothing to wait for");
}

/// Lets everybody on once so many have come. Once.
pub(crate) struct Meeting {
    expected: usize,
    come: AtomicUsize,
    all: Notify,
}

impl Meeting {
    pub(crate) const fn of(expected: usize) -> Self {
        Self { expected, come: AtomicUsize::new(0), all: Notify::const_new() }
    }

    pub(crate) async fn wait(&self) {
        let all = self.all.notified();
        let mut all = std::pin::pin!(all);
        all.as_mut().enable();
        if self.come.fetch_add(1, Ordering::SeqCst) + 1 == self.expected {
            self.all.notify_waiters();
        }
        all.await;
    }
}

/// Takes `first`, meets the others, takes `second`.
pub(crate) async fn take_both(
    ctx: &Context,
    first: &Mutex<()>,
    meeting: &Meeting,
    second: &Mutex<()>,
) -> Result<(), LockError> {
    let _first = ctx.lock(first).await?;
    meeting.wait().await;
    let _second = ctx.lock(second).await?;
    Ok(())
}

/// The report of a proven deadlock.
#[track_caller]
pub(crate) fn proven(error: &LockError) -> Arc<Deadlock> {
    let report = error.deadlock().unwrap_or_else(|| panic!("not a deadlock: {error}"));
    assert_eq!(report.grade, Grade::Proven, "{report}");
    report.clone()
}

/// The report of the one member that failed; all others finished.
#[track_caller]
pub(crate) fn one_victim<T: Debug>(results: &[Result<T, LockError>]) -> Arc<Deadlock> {
    let errors: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert_eq!(errors.len(), 1, "exactly one member fails: {results:?}");
    proven(errors[0])
}

/// Whether an edge of the report names an activity whose name begins with `prefix`.
pub(crate) fn names(report: &Deadlock, prefix: &str) -> bool {
    report
        .edges
        .iter()
        .any(|edge| edge.waiter.name.starts_with(prefix) || edge.holder.name.starts_with(prefix))
}

/// What is told about activities whose names begin with a prefix, from its making on.
pub(crate) struct Told {
    reports: Arc<StdMutex<Vec<Arc<Deadlock>>>>,
    _subscription: Subscription,
}

impl Told {
    pub(crate) fn about(prefix: &'static str) -> Self {
        let reports = Arc::new(StdMutex::new(Vec::new()));
        let into = reports.clone();
        let subscription = subscribe(move |event| {
            if let Event::Deadlock(report) = event
                && names(report, prefix)
            {
                into.lock().unwrap().push(report.clone());
            }
        });
        Self { reports, _subscription: subscription }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Deadlock>> {
        self.reports.lock().unwrap().clone()
    }

    pub(crate) fn of(&self, grade: Grade) -> Vec<Arc<Deadlock>> {
        self.all().into_iter().filter(|report| report.grade == grade).collect()
    }

    /// Waits for a report of this grade.
    pub(crate) async fn first(&self, grade: Grade) -> Arc<Deadlock> {
        until(|| !self.of(grade).is_empty()).await;
        self.of(grade).remove(0)
    }

    /// Nothing was told at all.
    #[track_caller]
    pub(crate) fn nothing(&self) {
        let all = self.all();
        assert!(all.is_empty(), "there was no deadlock, but: {}", all[0]);
    }

    /// No verdict was told.
    #[track_caller]
    pub(crate) fn no_verdict(&self) {
        let proven = self.of(Grade::Proven);
        assert!(proven.is_empty(), "there was no deadlock to prove, but: {}", proven[0]);
    }
}

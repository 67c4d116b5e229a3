//! From the `lock()` that closes a ring to the victim's error.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use freehold_sync::{LockError, activity};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::{JoinHandle, yield_now};

use crate::stats::Latency;
use crate::table::Table;

use super::comparison::yes_or_no;

/// Which of the two members is to be chosen: the youngest, so the one that is made last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// The one that closes the ring: it does not stop running before it gets its error.
    Closer,
    /// The one that waits already: it has to be woken and run.
    Waiter,
}

/// Rings of one kind.
#[derive(Debug, Deserialize, Serialize)]
pub struct RingFigures {
    /// What kind.
    pub kind: String,
    /// Over all rings.
    pub latency: Latency,
    /// The most that the median should be.
    pub p50_target_us: Option<f64>,
    /// The most that 99 of 100 should be.
    pub p99_target_us: f64,
}

/// The figures of all kinds of rings, each beside its targets.
#[must_use]
pub fn table(all: &[RingFigures]) -> Table {
    let titles = ["7 from close to error", "p50 µs", "target", "p99 µs", "target", "max µs", "met"];
    let mut table = Table::new(1, titles);
    for RingFigures { kind, latency, p50_target_us, p99_target_us } in all {
        let median_met = p50_target_us.is_none_or(|target| latency.p50_us <= target);
        table.push([
            kind.clone(),
            format!("{:.1}", latency.p50_us),
            p50_target_us.map(|target| format!("<= {target:.0}")).unwrap_or_default(),
            format!("{:.1}", latency.p99_us),
            format!("<= {p99_target_us:.0}"),
            format!("{:.1}", latency.max_us),
            yes_or_no(median_met && latency.p99_us <= *p99_target_us).to_owned(),
        ]);
    }
    table
}

/// Two mutexes, and what the members of the ring tell each other and us.
struct Ring {
    locks: [freehold_sync::Mutex<()>; 2],
    held: [AtomicBool; 2],
    about_to_wait: AtomicBool,
    stamps: Mutex<Stamps>,
}

/// When each member was about to wait, and when one of them got its error.
#[derive(Default)]
struct Stamps {
    waits: Vec<Instant>,
    error: Option<Instant>,
}

/// The member that waits first.
const WAITER: usize = 0;
/// The member that closes the ring.
const CLOSER: usize = 1;

/// Suspensions of the closer that leave the waiter's poll, on another worker, time to end.
const GRACE: u32 = 16;

impl Ring {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            locks: [freehold_sync::Mutex::new(()), freehold_sync::Mutex::new(())],
            held: Default::default(),
            about_to_wait: AtomicBool::new(false),
            stamps: Mutex::default(),
        })
    }

    fn stamps(&self) -> MutexGuard<'_, Stamps> {
        self.stamps.lock().expect("no panic in its sections")
    }

    fn member(self: &Arc<Self>, own: usize) -> impl Future<Output = Result<()>> + Send + use<> {
        let ring = self.clone();
        let member = activity(async move |context| {
            let _held = context.lock(&ring.locks[own]).await?;
            ring.held[own].store(true, Ordering::SeqCst);
            ring.wait_for_turn(own).await;
            let begun = Instant::now();
            let result = context.lock(&ring.locks[1 - own]).await.map(drop);
            let ended = Instant::now();
            ring.note(begun, ended, result)
        });
        async move { Ok(member.await??) }
    }

    /// Suspends itself, by wakers that are used up at once, so that none is left when the wait begins.
    async fn wait_for_turn(&self, own: usize) {
        while !self.held[1 - own].load(Ordering::SeqCst) {
            yield_now().await;
        }
        if own == WAITER {
            self.about_to_wait.store(true, Ordering::SeqCst);
            return;
        }
        while !self.about_to_wait.load(Ordering::SeqCst) {
            yield_now().await;
        }
        for _ in 0..GRACE {
            yield_now().await;
        }
    }

    fn note(&self, begun: Instant, ended: Instant, result: Result<(), LockError>) -> Result<(), LockError> {
        let mut stamps = self.stamps();
        stamps.waits.push(begun);
        match result {
            Err(LockError::Deadlock(_)) if stamps.error.is_none() => {
                stamps.error = Some(ended);
                Ok(())
            }
            other => other,
        }
    }

    fn latency(&self) -> Result<Duration> {
        let stamps = self.stamps();
        let closed = stamps.waits.iter().max().context("both members stamp their wait")?;
        let error = stamps.error.context("a ring ended without a victim")?;
        Ok(error.saturating_duration_since(*closed))
    }
}

/// Makes a ring and tells how long its victim waited for its error. Runs on the current runtime.
///
/// # Errors
///
/// When the ring does not end with exactly one victim.
pub async fn ring(victim: Victim) -> Result<Duration> {
    let ring = Ring::new();
    let order = match victim {
        Victim::Closer => [WAITER, CLOSER],
        Victim::Waiter => [CLOSER, WAITER],
    };
    for member in order.map(|member| ring.member(member)).map(tokio::spawn) {
        member.await??;
    }
    ring.latency()
}

/// Activities that wait for locks whose holders live.
#[derive(Debug)]
pub struct Crowd {
    release: watch::Sender<bool>,
    members: Vec<JoinHandle<Result<()>>>,
}

/// Locks that a crowd waits for.
const CROWD_LOCKS: usize = 100;

impl Crowd {
    /// Starts `waiters` activities, rounded to hundreds, and waits until all of them wait. Runs on the current runtime.
    pub async fn gather(waiters: usize) -> Self {
        let (release, released) = watch::channel(false);
        let mut members = Vec::new();
        let arrived = Arc::new(AtomicUsize::new(0));
        for _ in 0..CROWD_LOCKS {
            let mutex = Arc::new(freehold_sync::Mutex::new(()));
            members.push(tokio::spawn(hold(mutex.clone(), released.clone(), arrived.clone())));
            until_all(&arrived, members.len()).await;
            let waiter = |_| tokio::spawn(wait(mutex.clone(), arrived.clone()));
            members.extend((0..waiters / CROWD_LOCKS).map(waiter));
            until_all(&arrived, members.len()).await;
        }
        Self { release, members }
    }

    /// Lets the holders go on, and waits until everybody is done.
    ///
    /// # Errors
    ///
    /// When a lock failed, in particular when one of the crowd was taken for a member of a ring.
    pub async fn disperse(self) -> Result<()> {
        ensure!(!self.members.iter().any(JoinHandle::is_finished), "one of the crowd has left");
        self.release.send(true)?;
        for member in self.members {
            member.await??;
        }
        Ok(())
    }
}

async fn until_all(arrived: &AtomicUsize, members: usize) {
    while arrived.load(Ordering::SeqCst) < members {
        yield_now().await;
    }
}

async fn hold(
    mutex: Arc<freehold_sync::Mutex<()>>,
    mut released: watch::Receiver<bool>,
    arrived: Arc<AtomicUsize>,
) -> Result<()> {
    let body = activity(async move |context| {
        let _held = context.lock(&mutex).await?;
        arrived.fetch_add(1, Ordering::SeqCst);
        // An error would mean that the sender is gone, which is a release as well.
        let _ = released.wait_for(|released| *released).await;
        Ok::<_, LockError>(())
    });
    Ok(body.await??)
}

async fn wait(mutex: Arc<freehold_sync::Mutex<()>>, arrived: Arc<AtomicUsize>) -> Result<()> {
    let body = activity(async move |context| {
        arrived.fetch_add(1, Ordering::SeqCst);
        context.lock(&mutex).without_deadline().await.map(drop)
    });
    Ok(body.await??)
}

//! Long chains and long queues: each waiter behind the one before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use anyhow::Result;
use freehold_sync::{LockError, Mutex, activity};
use tokio::sync::oneshot;
use tokio::task::yield_now;

use crate::cpu_time::CpuClock;

use super::comparison::{Cost, per_operation};

/// What the waiters wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Each holds a lock of its own and waits for that of the one before it.
    Chain,
    /// All wait for one lock.
    Queue,
}

/// What it costs, per waiter.
#[derive(Debug, Clone, Copy)]
pub struct ChainCost {
    /// From the first spawn until the last waits.
    pub build: Cost,
    /// From the release of the first lock until the last is done.
    pub dissolve: Cost,
}

/// Builds and dissolves it on the current runtime, which must run tasks in the order of their spawning. The first lock
/// is held by an activity that lives, so there is no deadlock.
///
/// # Errors
///
/// When a lock fails; in particular when somebody sees a deadlock.
pub async fn build_and_dissolve(shape: Shape, waiters: u32) -> Result<ChainCost> {
    let clock = CpuClock::of(std::process::id())?;
    let locks: Vec<_> = (0..=waiters).map(|_| Arc::new(Mutex::new(()))).collect();
    let waiting = Arc::new(AtomicU32::new(0));
    let (release, released) = oneshot::channel();
    let holder = tokio::spawn(hold(locks[0].clone(), released));
    yield_now().await;

    let (begun, cpu_before) = (Instant::now(), clock.read()?);
    let member = |index: usize| {
        let (own, wanted) = match shape {
            Shape::Chain => (Some(locks[index].clone()), locks[index - 1].clone()),
            Shape::Queue => (None, locks[0].clone()),
        };
        tokio::spawn(wait(own, wanted, waiting.clone()))
    };
    let members: Vec<_> = (1..=waiters as usize).map(member).collect();
    while waiting.load(Ordering::Relaxed) < waiters {
        yield_now().await;
    }
    let build = per_operation(clock.read()? - cpu_before, begun.elapsed(), waiters);

    let (begun, cpu_before) = (Instant::now(), clock.read()?);
    // The receiver is there: it waits in `hold`.
    let _ = release.send(());
    for task in members.into_iter().chain([holder]) {
        task.await??;
    }
    let dissolve = per_operation(clock.read()? - cpu_before, begun.elapsed(), waiters);
    Ok(ChainCost { build, dissolve })
}

async fn hold(mutex: Arc<Mutex<()>>, released: oneshot::Receiver<()>) -> Result<()> {
    let body = activity(async move |context| {
        let _held = context.lock(&mutex).await?;
        // An error would mean that the sender is gone, which is a release as well.
        let _ = released.await;
        Ok::<_, LockError>(())
    });
    Ok(body.await??)
}

async fn wait(own: Option<Arc<Mutex<()>>>, wanted: Arc<Mutex<()>>, waiting: Arc<AtomicU32>) -> Result<()> {
    let body = activity(async move |context| {
        let _held = match &own {
            Some(own) => Some(context.lock(own).await?),
            None => None,
        };
        waiting.fetch_add(1, Ordering::Relaxed);
        context.lock(&wanted).without_deadline().await.map(drop)
    });
    Ok(body.await??)
}

//! What it costs that a future is an activity: each poll, and the start.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::Result;
use freehold_sync::activity;

/// Wakes itself so many times.
struct Yields(u32);

impl Future for Yields {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A task that suspends itself `polls` times.
///
/// # Errors
///
/// When the task fails.
pub async fn polls_plainly(polls: u32) -> Result<()> {
    tokio::spawn(Yields(polls)).await?;
    Ok(())
}

/// The same as an activity.
///
/// # Errors
///
/// As [`polls_plainly`].
pub async fn polls_of_activity(polls: u32) -> Result<()> {
    tokio::spawn(activity(async move |_| Yields(polls).await)).await??;
    Ok(())
}

/// Starts so many tasks that do nothing, `together` of them before the first is awaited.
///
/// # Errors
///
/// As [`polls_plainly`].
pub async fn spawns_plainly(spawns: u32, together: u32) -> Result<()> {
    let mut tasks = Vec::with_capacity(together as usize);
    for _ in 0..spawns / together {
        tasks.extend((0..together).map(|_| tokio::spawn(async {})));
        for task in tasks.drain(..) {
            task.await?;
        }
    }
    Ok(())
}

/// The same with activities.
///
/// # Errors
///
/// As [`polls_plainly`].
pub async fn spawns_of_activities(spawns: u32, together: u32) -> Result<()> {
    let mut tasks = Vec::with_capacity(together as usize);
    for _ in 0..spawns / together {
        tasks.extend((0..together).map(|_| tokio::spawn(activity(async |_| ()))));
        for task in tasks.drain(..) {
            task.await??;
        }
    }
    Ok(())
}

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

/// How many tasks are started before the first is awaited.
pub const TOGETHER: u32 = 50;

/// Starts so many tasks that do nothing, and awaits them.
///
/// # Errors
///
/// As [`polls_plainly`].
pub async fn spawns_plainly(spawns: u32) -> Result<()> {
    for _ in 0..spawns / TOGETHER {
        let tasks: [_; TOGETHER as usize] = std::array::from_fn(|_| tokio::spawn(async {}));
        for task in tasks {
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
pub async fn spawns_of_activities(spawns: u32) -> Result<()> {
    for _ in 0..spawns / TOGETHER {
        let tasks: [_; TOGETHER as usize] = std::array::from_fn(|_| tokio::spawn(activity(async |_| ())));
        for task in tasks {
            task.await??;
        }
    }
    Ok(())
}

//! One task, one lock, nobody else: what taking and giving back costs.

use std::sync::Arc;

use anyhow::{Result, ensure};
use freehold_sync::{LockError, activity};

/// Freehold's mutex through the context of an activity.
///
/// # Errors
///
/// When a lock fails or the count is wrong.
pub async fn mutex_in_activity(operations: u32) -> Result<()> {
    let mutex = Arc::new(freehold_sync::Mutex::new(0));
    let locked = mutex.clone();
    let body = activity(async move |context| {
        for _ in 0..operations {
            *context.lock(&locked).await? += 1;
        }
        Ok::<_, LockError>(())
    });
    tokio::spawn(body).await???;
    let count = *mutex.lock().await?;
    checked(count, operations)
}

/// Freehold's mutex in a plain task, which the graph does not know.
///
/// # Errors
///
/// As [`mutex_in_activity`].
pub async fn mutex_plainly(operations: u32) -> Result<()> {
    let mutex = Arc::new(freehold_sync::Mutex::new(0));
    let locked = mutex.clone();
    let task = async move {
        for _ in 0..operations {
            *locked.lock().await? += 1;
        }
        Ok::<_, LockError>(())
    };
    tokio::spawn(task).await??;
    let count = *mutex.lock().await?;
    checked(count, operations)
}

/// Tokio's mutex in a plain task.
///
/// # Errors
///
/// As [`mutex_in_activity`].
pub async fn mutex_of_tokio(operations: u32) -> Result<()> {
    let mutex = Arc::new(tokio::sync::Mutex::new(0));
    let locked = mutex.clone();
    let task = async move {
        for _ in 0..operations {
            *locked.lock().await += 1;
        }
    };
    tokio::spawn(task).await?;
    let count = *mutex.lock().await;
    checked(count, operations)
}

/// Freehold's read-write lock, read through the context of an activity.
///
/// # Errors
///
/// As [`mutex_in_activity`].
pub async fn read_in_activity(operations: u32) -> Result<()> {
    let lock = freehold_sync::RwLock::new(1);
    let body = activity(async move |context| {
        let mut sum = 0;
        for _ in 0..operations {
            sum += *context.read(&lock).await?;
        }
        Ok::<_, LockError>(sum)
    });
    checked(tokio::spawn(body).await???, operations)
}

/// Freehold's read-write lock, read in a plain task.
///
/// # Errors
///
/// As [`mutex_in_activity`].
pub async fn read_plainly(operations: u32) -> Result<()> {
    let lock = freehold_sync::RwLock::new(1);
    let task = async move {
        let mut sum = 0;
        for _ in 0..operations {
            sum += *lock.read().await?;
        }
        Ok::<_, LockError>(sum)
    };
    checked(tokio::spawn(task).await??, operations)
}

/// Tokio's read-write lock, read in a plain task.
///
/// # Errors
///
/// As [`mutex_in_activity`].
pub async fn read_of_tokio(operations: u32) -> Result<()> {
    let lock = tokio::sync::RwLock::new(1);
    let task = async move {
        let mut sum = 0;
        for _ in 0..operations {
            sum += *lock.read().await;
        }
        sum
    };
    checked(tokio::spawn(task).await?, operations)
}

fn checked(count: u32, operations: u32) -> Result<()> {
    ensure!(count == operations, "{count} of {operations} were counted");
    Ok(())
}

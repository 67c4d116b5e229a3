//! Several tasks and one lock: tiny sections, and sections held across a suspension.

use std::sync::Arc;

use anyhow::{Result, ensure};
use freehold_sync::{LockError, activity};
use tokio::task::yield_now;

/// How long a section lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// An addition.
    Tiny,
    /// An addition and a suspension.
    AcrossYield,
}

/// Activities that share one of Freehold's mutexes, so many sections each.
///
/// # Errors
///
/// When a lock fails or the count is wrong.
pub async fn activities(tasks: u32, sections: u32, section: Section) -> Result<()> {
    let mutex = Arc::new(freehold_sync::Mutex::new(0));
    let start = |_| {
        let mutex = mutex.clone();
        tokio::spawn(activity(async move |context| {
            for _ in 0..sections {
                let mut count = context.lock(&mutex).await?;
                *count += 1;
                if section == Section::AcrossYield {
                    yield_now().await;
                }
            }
            Ok::<_, LockError>(())
        }))
    };
    let started: Vec<_> = (0..tasks).map(start).collect();
    for task in started {
        task.await???;
    }
    let count = *mutex.lock().await?;
    checked(count, tasks, sections)
}

/// Plain tasks that share one of Freehold's mutexes.
///
/// # Errors
///
/// As [`activities`].
pub async fn plain_tasks(tasks: u32, sections: u32, section: Section) -> Result<()> {
    let mutex = Arc::new(freehold_sync::Mutex::new(0));
    let start = |_| {
        let mutex = mutex.clone();
        tokio::spawn(async move {
            for _ in 0..sections {
                let mut count = mutex.lock().await?;
                *count += 1;
                if section == Section::AcrossYield {
                    yield_now().await;
                }
            }
            Ok::<_, LockError>(())
        })
    };
    let started: Vec<_> = (0..tasks).map(start).collect();
    for task in started {
        task.await??;
    }
    let count = *mutex.lock().await?;
    checked(count, tasks, sections)
}

/// Plain tasks that share one of tokio's mutexes.
///
/// # Errors
///
/// As [`activities`].
pub async fn tasks_of_tokio(tasks: u32, sections: u32, section: Section) -> Result<()> {
    let mutex = Arc::new(tokio::sync::Mutex::new(0));
    let start = |_| {
        let mutex = mutex.clone();
        tokio::spawn(async move {
            for _ in 0..sections {
                let mut count = mutex.lock().await;
                *count += 1;
                if section == Section::AcrossYield {
                    yield_now().await;
                }
            }
        })
    };
    let started: Vec<_> = (0..tasks).map(start).collect();
    for task in started {
        task.await?;
    }
    let count = *mutex.lock().await;
    checked(count, tasks, sections)
}

fn checked(count: u32, tasks: u32, sections: u32) -> Result<()> {
    ensure!(count == tasks * sections, "{count} of {tasks} x {sections} sections were counted");
    Ok(())
}

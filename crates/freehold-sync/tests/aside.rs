//! What is declared a signal with `Context::aside` is none less when it is all that an activity waits for.

use freehold_sync::{LockError, Mutex, spawn};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, oneshot};

/// A holder that waits for its shutdown token only is no orphan: the token may come.
#[tokio::test]
async fn a_holder_that_waits_aside_only_is_not_ended() {
    let m = Arc::new(Mutex::new(()));
    let (stop, stopped) = oneshot::channel::<()>();
    let held = Arc::new(Notify::new());
    let (mutex, told) = (m.clone(), held.clone());
    let holder = spawn!("holder", async move |ctx| {
        let _held = ctx.lock(&mutex).await?;
        told.notify_one();
        Ok::<_, LockError>(ctx.aside(stopped).await.is_ok())
    });
    held.notified().await;
    let waiter = spawn!("waiter", async move |ctx| {
        ctx.lock(&m).within(Duration::from_millis(300)).await.map(drop)
    });
    assert!(matches!(waiter.await, Ok(Err(LockError::Timeout(_)))), "the holder is alive and keeps the lock");
    stop.send(()).expect("the holder still listens");
    assert!(matches!(holder.await, Ok(Ok(true))));
}

/// A ring whose members also wait aside is proven all the same.
#[tokio::test]
async fn a_ring_beside_a_signal_is_proven() {
    let m = Mutex::new(());
    let (_stop, stopped) = oneshot::channel::<()>();
    let twice = freehold_sync::activity(async |ctx| {
        let _held = ctx.lock(&m).await?;
        tokio::select! {
            biased;
            _ = ctx.aside(stopped) => unreachable!("nobody stops it"),
            again = ctx.lock(&m) => again.map(drop),
        }
    });
    assert!(matches!(twice.await, Ok(Err(LockError::Deadlock(_)))));
}

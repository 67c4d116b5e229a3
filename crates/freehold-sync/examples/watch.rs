//! What can be seen while something waits: events as they happen, and everybody who holds or waits at one moment.
//!
//! The ring here is suspected and not proven: a timer of tokio's own can still wake one of its members, and does.
//!
//! `cargo run -p freehold-sync --example watch`

#![expect(clippy::disallowed_methods, reason = "the example is about a timer of tokio's own")]

use freehold_sync::{
    Event, Grade, LockClass, LockError, Mutex, metrics, observe, set_suspect_after, spawn, subscribe,
};
use std::{error::Error, sync::Arc, time::Duration};
use tokio::sync::{Barrier, mpsc};

static LEFT: LockClass = LockClass::new("left");
static RIGHT: LockClass = LockClass::new("right");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    set_suspect_after(Duration::from_millis(100));
    let (suspicions, mut suspected) = mpsc::unbounded_channel();
    let _watch = subscribe(move |event| match event {
        Event::Deadlock(report) => {
            println!("event: {}", report.headline());
            if report.grade == Grade::Suspected {
                let _ = suspicions.send(report.clone());
            }
        }
        Event::Timeout(timeout) => println!("event: {timeout}"),
        other => println!("event: {other:?}"),
    });

    let (left, right) = (Arc::new(Mutex::with_class(&LEFT, ())), Arc::new(Mutex::with_class(&RIGHT, ())));
    let meet = Arc::new(Barrier::new(2));
    let (l, r, m) = (left.clone(), right.clone(), meet.clone());
    let patient = spawn!("patient", async move |ctx| {
        let _left = ctx.lock(&l).await?;
        m.wait().await;
        ctx.lock(&r).await.map(drop)
    });
    let hurried = spawn!("hurried", async move |ctx| {
        let _right = ctx.lock(&right).await?;
        meet.wait().await;
        // With `ctx.within` this ring would be proven when it closes; this timer may end it, so it is not.
        let ended = tokio::time::timeout(Duration::from_millis(600), ctx.lock(&left)).await;
        Ok::<_, LockError>(ended.is_err())
    });

    let report = suspected.recv().await.ok_or("the watch ended")?;
    println!("\n{report}");
    for member in &observe().members {
        println!("{}", member.actor);
        for hold in &member.holds {
            println!("    holds {}", hold.lock);
        }
        for wait in &member.waits {
            println!("    waits {:?} for {}, held by {}", wait.waited, wait.lock, wait.holder);
        }
    }

    assert!(hurried.await??, "the timer ended its wait");
    patient.await??;
    let seen = metrics::global();
    println!("\nproven {}, suspected {}, timeouts {}", seen.proven, seen.suspected, seen.timeouts);
    assert_eq!(seen.proven, 0, "a ring that a timer can end is not proven");
    Ok(())
}

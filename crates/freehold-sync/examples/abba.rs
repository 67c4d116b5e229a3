//! Two tasks take two locks in opposite order. One of them gets the report instead of waiting for ever, gives up what it
//! holds, and tries again.
//!
//! `cargo run -p freehold-sync --example abba`

use freehold_sync::{Context, LockClass, LockError, Mutex, spawn};
use std::{error::Error, sync::Arc};
use tokio::sync::Barrier;

static CHECKING: LockClass = LockClass::new("checking");
static SAVINGS: LockClass = LockClass::new("savings");

/// Moves `amount`, with both accounts locked. All guards are gone when it returns, whatever it returns.
async fn transfer(
    ctx: &Context,
    from: &Mutex<i64>,
    to: &Mutex<i64>,
    amount: i64,
    meet: Option<&Barrier>,
) -> Result<(), LockError> {
    let mut from = ctx.lock(from).await?;
    if let Some(meet) = meet {
        meet.wait().await;
    }
    let mut to = ctx.lock(to).await?;
    *from -= amount;
    *to += amount;
    Ok(())
}

/// Tries again after a deadlock, a few times; returns how many attempts it took.
async fn transfer_retried(
    ctx: &Context,
    from: &Mutex<i64>,
    to: &Mutex<i64>,
    amount: i64,
    meet: &Barrier,
) -> Result<u32, LockError> {
    for attempt in 1..5 {
        // Only the first attempts meet between their two locks, so that the ring closes every time this is run.
        let meet = (attempt == 1).then_some(meet);
        match transfer(ctx, from, to, amount, meet).await {
            Ok(()) => return Ok(attempt),
            Err(LockError::Deadlock(report)) => println!("{} has to give up:\n{report}", ctx.name()),
            Err(other) => return Err(other),
        }
        // The other one has its turn first.
        tokio::task::yield_now().await;
    }
    transfer(ctx, from, to, amount, None).await.map(|()| 5)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let checking = Arc::new(Mutex::with_class(&CHECKING, 100));
    let savings = Arc::new(Mutex::with_class(&SAVINGS, 100));
    let meet = Arc::new(Barrier::new(2));

    let (from, to, barrier) = (checking.clone(), savings.clone(), meet.clone());
    let deposit = spawn!("deposit", async move |ctx| transfer_retried(ctx, &from, &to, 30, &barrier).await);
    let (from, to, barrier) = (savings.clone(), checking.clone(), meet.clone());
    let withdrawal =
        spawn!("withdrawal", async move |ctx| transfer_retried(ctx, &from, &to, 10, &barrier).await);

    let attempts = (deposit.await??, withdrawal.await??);
    println!("attempts: deposit {}, withdrawal {}", attempts.0, attempts.1);
    let balances = (*checking.lock().await?, *savings.lock().await?);
    println!("checking {}, savings {}", balances.0, balances.1);
    assert_eq!(balances, (80, 120));
    assert!(attempts.0 + attempts.1 > 2, "one of the two had to try again");
    Ok(())
}

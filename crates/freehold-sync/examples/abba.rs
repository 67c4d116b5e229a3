//! Two tasks take two locks in opposite order. One of them gets the report instead of waiting for ever, gives up what it
//! holds, and tries again.
//!
//! `cargo run -p freehold-sync --example abba`

use freehold_sync::{Context, LockClass, LockError, Mutex, spawn};
use std::{error::Error, sync::Arc};
use tokio::sync::Barrier;

static CHECKING: LockClass = LockClass::new("checking");
static SAVINGS: LockClass = LockClass::new("savings");

/// Moves `amount`; both accounts are locked together, the second after `pause`.
async fn transfer(
    ctx: &Context,
    from: &Mutex<i64>,
    to: &Mutex<i64>,
    amount: i64,
    pause: impl Future<Output = ()>,
) -> Result<(), LockError> {
    let mut from = ctx.lock(from).await?;
    pause.await;
    let mut to = ctx.lock(to).await?;
    *from -= amount;
    *to += amount;
    Ok(())
}

/// Tries until it is done. Both guards are dropped when an attempt fails, so the other side can go on.
async fn transfer_retried(
    ctx: &Context,
    from: &Mutex<i64>,
    to: &Mutex<i64>,
    amount: i64,
    meet: &Barrier,
) -> Result<u32, LockError> {
    // The first attempts meet between their two locks, so that the ring closes every time this is run.
    let met = async {
        let _leader = meet.wait().await;
    };
    let Err(error) = transfer(ctx, from, to, amount, met).await else { return Ok(1) };
    for attempt in 2..=3 {
        let report = error.deadlock().ok_or_else(|| error.clone())?;
        println!("{} has to give up:\n{report}", ctx.name());
        if transfer(ctx, from, to, amount, async {}).await.is_ok() {
            return Ok(attempt);
        }
    }
    Err(error)
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
    assert_eq!(attempts.0 + attempts.1, 3, "one of the two had to try twice");
    Ok(())
}

//! Levels: a wrong order is told, or refused, the first time it happens, although nothing ever waited.
//!
//! `cargo run -p freehold-sync --example order`

use freehold_sync::{Event, LockClass, LockError, Mutex, OrderMode, activity, lock_levels, subscribe};
use std::error::Error;

lock_levels! {
    /// The map of accounts.
    ACCOUNTS;
    /// One account.
    ACCOUNT;
}

static MAP: LockClass = LockClass::new("accounts").at(ACCOUNTS);
static ONE: LockClass = LockClass::new("account").at(ACCOUNT);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let _told = subscribe(|event| {
        if let Event::Order(violation) = event {
            println!("{}: {violation}", violation.grade);
        }
    });
    let map = Mutex::with_class(&MAP, ());
    let (alice, bob) = (Mutex::with_class(&ONE, 10), Mutex::with_class(&ONE, 0));

    // Right: the map first, then both accounts together.
    activity(async |ctx| {
        let _map = ctx.lock(&map).await?;
        let [mut alice, mut bob] = ctx.lock_all([&alice, &bob]).await?;
        *alice -= 3;
        *bob += 3;
        Ok::<_, LockError>(())
    })
    .await??;

    // Wrong, and told: the map after an account.
    let backwards = async |ctx: &freehold_sync::Context| {
        let _alice = ctx.lock(&alice).await?;
        let _map = ctx.lock(&map).await?;
        Ok::<_, LockError>(())
    };
    activity(backwards).named("reported").await??;

    // Wrong, and refused before it could block.
    let refused = activity(backwards).named("refused").order_mode(OrderMode::Refuse).await?;
    assert!(matches!(refused, Err(LockError::Order(_))), "{refused:?}");

    // Wrong too: two of one level, one after the other. Two such activities could meet in the middle.
    let one_by_one = activity(async |ctx| {
        let _alice = ctx.lock(&alice).await?;
        let _bob = ctx.lock(&bob).await?;
        Ok::<_, LockError>(())
    });
    let refused = one_by_one.named("one by one").order_mode(OrderMode::Refuse).await?;
    assert!(matches!(refused, Err(LockError::Order(_))), "{refused:?}");
    println!("violations counted: {} for the map, {} for accounts", violations(&MAP), violations(&ONE));
    Ok(())
}

fn violations(class: &LockClass) -> u64 {
    class.metrics().order_violations
}

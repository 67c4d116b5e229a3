//! A pool of permits: waiting behind a live holder is no deadlock; two activities that hold everything there is and want
//! more are one.
//!
//! `cargo run -p freehold-sync --example pool`

use freehold_sync::{LockClass, LockError, PermitPool, activity};
use std::error::Error;

static CONNECTIONS: LockClass = LockClass::new("connections");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = PermitPool::with_class(&CONNECTIONS, 2);

    // Six bodies share two permits; each gives its one back, so each gets its turn.
    let served = activity(async |ctx| {
        let bodies = (0..6).map(|number| {
            let pool = &pool;
            async move |ctx: &freehold_sync::Context| {
                let _connection = ctx.permit(pool).await?;
                tokio::task::yield_now().await;
                Ok::<_, LockError>(number)
            }
        });
        ctx.join_all(bodies).await
    })
    .await?;
    let served = served.into_iter().map(|body| Ok(body??)).collect::<Result<Vec<i32>, Box<dyn Error>>>()?;
    println!("served with two permits: {served:?}");

    // Both hold one and want another: nobody will ever give one back. One gets the report, the other both permits.
    let nested = async |ctx: &freehold_sync::Context| {
        let _outer = ctx.permit(&pool).await?;
        tokio::task::yield_now().await;
        let _inner = ctx.permit(&pool).await?;
        Ok::<_, LockError>(())
    };
    let both = activity(async |ctx| ctx.join(nested, nested).await).named("parent");
    let (first, second) = both.await?;
    let (first, second) = (first?, second?);
    for error in [&first, &second].into_iter().filter_map(|body| body.as_ref().err()) {
        println!("{}", error.deadlock().ok_or("it was no deadlock")?);
    }
    assert!(first.is_err() != second.is_err(), "exactly one has to give up");
    assert_eq!(pool.available(), 2);
    println!("permits free at the end: {} of {}", pool.available(), pool.size());
    Ok(())
}

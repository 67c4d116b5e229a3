//! Who of a ring gives up.

use freehold_sync::{PermitPool, spawn};
use std::sync::Arc;

/// Two hold one permit each of two and want another: the ring has both, so the policy chooses, and the older finishes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_ring_over_a_pool_the_older_finishes() {
    for _ in 0..20 {
        let pool = Arc::new(PermitPool::new(2));
        let both = Arc::new(tokio::sync::Barrier::new(2));
        let body = |pool: Arc<PermitPool>, both: Arc<tokio::sync::Barrier>| {
            async move |ctx: &freehold_sync::Context| {
                let _one = ctx.permit(&pool).await?;
                both.wait().await;
                ctx.permit(&pool).await.map(drop)
            }
        };
        let older = spawn!("older", body(pool.clone(), both.clone()));
        let younger = spawn!("younger", body(pool.clone(), both.clone()));
        let (older, younger) = (older.await.unwrap(), younger.await.unwrap());
        assert!(older.is_ok(), "{older:?}");
        let report = younger.unwrap_err();
        assert_eq!(report.deadlock().expect("a victim").edges.len(), 2);
    }
}

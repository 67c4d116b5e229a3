//! ABBA between two tasks.
#![expect(clippy::disallowed_methods, reason = "tests measure real time")]

use freehold_sync::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abba() {
    for round in 0..200 {
        let (a, b) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
        let (a2, b2) = (a.clone(), b.clone());
        let bar = Arc::new(tokio::sync::Barrier::new(2));
        let bar2 = bar.clone();
        let t = Instant::now();
        let h1 = spawn!("one", async move |ctx| {
            let _a = ctx.lock(&a).await?;
            bar.wait().await;
            let _b = ctx.lock(&b).await?;
            Ok::<_, LockError>(())
        });
        let h2 = spawn!("two", async move |ctx| {
            let _b = ctx.lock(&b2).await?;
            bar2.wait().await;
            let _a = ctx.lock(&a2).await?;
            Ok::<_, LockError>(())
        });
        let (r1, r2) = (h1.await.unwrap(), h2.await.unwrap());
        let errors = [&r1, &r2].iter().filter(|r| r.is_err()).count();
        assert_eq!(errors, 1, "{r1:?} {r2:?}");
        let e = r1.err().or(r2.err()).unwrap();
        if round == 0 {
            println!("{}", e.deadlock().unwrap());
            println!("{}", e.deadlock().unwrap().to_json());
        }
        if round % 20 == 0 {
            println!("{:?}", t.elapsed());
        }
        assert!(t.elapsed() < Duration::from_secs(1));
    }
    println!("{:?}", metrics::global());
}

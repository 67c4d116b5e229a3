//! Running again what failed so that others could get on.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{Context, LockError, Mutex, Retry, activity, limits, set_suspect_after, spawn};
use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use support::{SOON, Told, end, end_all, limited, ms, now, pause, proven, until};

/// A wait that is a victim each time.
async fn twice(ctx: &Context, m: &Mutex<()>) -> Result<(), LockError> {
    let _m = ctx.lock(m).await?;
    ctx.lock(m).await.map(drop)
}

#[tokio::test]
async fn it_is_run_so_many_times_and_the_last_error_is_told() {
    limited(async {
        let m = Mutex::new(());
        for (retry, expected) in [
            (Retry::default(), limits::RETRY_ATTEMPTS),
            (Retry::default().attempts(5), 5),
            (Retry::default().attempts(1), 1),
            (Retry::default().attempts(0), 1),
        ] {
            let attempts = Cell::new(0);
            let result = activity(async |ctx: &Context| {
                let attempt = || {
                    attempts.set(attempts.get() + 1);
                    twice(ctx, &m)
                };
                ctx.retry(retry.pauses(ms(1), ms(1)), LockError::is_deadlock, attempt).await
            });
            proven(&result.await.unwrap().unwrap_err());
            assert_eq!(attempts.get(), expected, "{retry:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn other_errors_are_told_at_once_and_any_error_can_be_chosen() {
    #[derive(Debug, PartialEq)]
    struct Mine(u32);
    let attempts = Cell::new(0);
    let run = async |again: fn(&Mine) -> bool| {
        attempts.set(0);
        let fails = activity(async |ctx: &Context| {
            ctx.retry(Retry::default().pauses(ms(1), ms(1)), again, async || {
                attempts.set(attempts.get() + 1);
                if attempts.get() < 3 { Err(Mine(attempts.get())) } else { Ok("done") }
            })
            .await
        });
        limited(fails).await.unwrap()
    };
    assert_eq!(run(|_| false).await, Err(Mine(1)));
    assert_eq!(run(|error| error.0 < 2).await, Err(Mine(2)));
    assert_eq!(run(|_| true).await, Ok("done"));
}

#[tokio::test]
async fn who_still_holds_something_is_not_run_again() {
    limited(async {
        let (held, m, attempts) = (Mutex::new(()), Mutex::new(()), Cell::new(0));
        let result = activity(async |ctx: &Context| {
            let _held = ctx.lock(&held).await.unwrap();
            let attempt = || {
                attempts.set(attempts.get() + 1);
                twice(ctx, &m)
            };
            ctx.retry(Retry::default(), LockError::is_deadlock, attempt).await
        });
        proven(&result.await.unwrap().unwrap_err());
        assert_eq!(attempts.get(), 1, "it would only be told the same");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_or_the_deadline_ends_the_pauses() {
    const HOUR: Duration = Duration::from_secs(3600);
    static ATTEMPTS: AtomicU32 = AtomicU32::new(0);
    static M: Mutex<()> = Mutex::new(());
    async fn patient(ctx: &Context) -> Result<(), LockError> {
        let retry = Retry::default().attempts(100).pauses(HOUR, HOUR);
        ctx.retry(retry, LockError::is_deadlock, || {
            ATTEMPTS.fetch_add(1, Ordering::SeqCst);
            twice(ctx, &M)
        })
        .await
    }
    limited(async {
        let begun = now();
        let pauses = spawn!("retry/pauses", async |ctx| patient(ctx).await);
        until(|| ATTEMPTS.load(Ordering::SeqCst) == 1).await;
        pauses.cancel();
        proven(&end(pauses).await.unwrap_err());
        let in_time = activity(async |ctx: &Context| patient(ctx).await).deadline(now() + ms(1));
        proven(&in_time.await.unwrap().unwrap_err());
        assert!(begun.elapsed() < SOON);
    })
    .await;
}

/// Everybody locks two of three in an order of their own, and everybody finishes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn constant_conflict_is_retried_to_the_end() {
    limited(async {
        let locks: Arc<[Mutex<u32>; 3]> = Arc::default();
        let victims = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (0..6_usize)
            .map(|task| {
                let (locks, victims) = (locks.clone(), victims.clone());
                spawn!(format!("retry/conflict {task}"), async move |ctx| {
                    for _ in 0..30 {
                        let (first, second) = (&locks[task % 3], &locks[(task + 1 + task / 3) % 3]);
                        let again = |error: &LockError| {
                            victims.fetch_add(1, Ordering::Relaxed);
                            error.is_deadlock()
                        };
                        let attempt = async || {
                            let mut first = ctx.lock(first).await?;
                            tokio::task::yield_now().await;
                            let mut second = ctx.lock(second).await?;
                            (*first, *second) = (*first + 1, *second + 1);
                            Ok(())
                        };
                        ctx.retry(Retry::default().attempts(1000), again, attempt).await?;
                    }
                    Ok::<_, LockError>(())
                })
            })
            .collect();
        let ends = end_all(tasks).await;
        assert!(ends.iter().all(Result::is_ok), "{ends:?}");
        let mut sum = 0;
        for lock in locks.iter() {
            sum += *lock.lock().await.unwrap();
        }
        assert_eq!(sum, 6 * 30 * 2, "each was done exactly once");
        assert!(victims.load(Ordering::Relaxed) > 0, "there was a conflict");
    })
    .await;
}

/// A pause is no wait for anything: nobody is suspected, and nothing was late.
#[tokio::test]
async fn a_pause_is_told_to_nobody() {
    limited(async {
        set_suspect_after(ms(20));
        let told = Told::about("retry/quiet");
        let m = Mutex::new(());
        let timeouts = freehold_sync::metrics::global().timeouts;
        let quiet = activity(async |ctx: &Context| {
            let attempts = Cell::new(0);
            ctx.retry(
                Retry::default().pauses(ms(150), ms(150)),
                |_: &()| true,
                async || {
                    attempts.set(attempts.get() + 1);
                    drop(ctx.lock(&m).await);
                    if attempts.get() < 3 { Err(()) } else { Ok(()) }
                },
            )
            .await
        });
        quiet.named("retry/quiet").await.unwrap().unwrap();
        pause(30).await;
        told.nothing();
        assert_eq!(freehold_sync::metrics::global().timeouts, timeouts);
    })
    .await;
}

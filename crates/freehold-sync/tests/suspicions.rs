//! Waits that last though nothing can be proven: reported with their chain, and ended by their deadlines only.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{Action, Grade, LockError, Mutex, activity, blocking, set_suspect_after, spawn};
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::sync::Arc;
use support::{Meeting, SOON, Told, end, end_all, limited, ms, now, take_both, until, waits};

/// Every test of this crate sets the same age.
fn told_after_100_ms(prefix: &'static str) -> Told {
    set_suspect_after(ms(100));
    Told::about(prefix)
}

/// The set's own wakers stand between the activity and its waits, so who would be woken is not known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn futures_unordered_abba_is_suspected() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let (told, begun) = (told_after_100_ms("set/"), now());
        let set = spawn!("set/activity", async move |ctx| {
            let arm = async |first: &Mutex<()>, second: &Mutex<()>, limit: u64| {
                let _first = ctx.lock(first).await?;
                BOTH_HOLD.wait().await;
                ctx.lock_within(second, ms(limit)).await.map(drop)
            };
            let set: FuturesUnordered<_> = [arm(&A, &B, 600), arm(&B, &A, 4000)].into_iter().collect();
            set.collect::<Vec<_>>().await
        });
        let report = told.first(Grade::Suspected).await;
        assert_eq!(report.action, Action::Reported);
        assert_eq!(report.edges[0].holder.name, "set/activity", "{report}");
        let waiter = &report.edges[0].waiter.name;
        assert!(waiter.starts_with("a future inside of set/activity (#"), "{waiter}");
        assert!(report.edges[0].holder.foreign_wakers > 0, "why it is not proven: {report}");
        let ends = end(set).await;
        assert!(begun.elapsed() >= ms(599) && begun.elapsed() < SOON, "by the first deadline");
        let timeouts: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
        assert!(matches!(timeouts[..], [LockError::Timeout(_)]), "{ends:?}");
        told.no_verdict();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_spawned_child_waiting_for_the_parents_lock_is_suspected() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let told = told_after_100_ms("plain child/");
        let parent = spawn!("plain child/parent", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            let child = tokio::spawn(async { M.lock_within(ms(600)).await.map(drop) });
            Ok::<_, LockError>(child.await.unwrap())
        });
        let report = told.first(Grade::Suspected).await;
        assert_eq!(report.edges[0].holder.name, "plain child/parent", "{report}");
        assert!(report.edges[0].holder.foreign_wakers > 0, "the task's handle could wake it");
        assert!(report.edges[0].waits_at.unwrap().file().ends_with("suspicions.rs"));
        let child: Result<(), LockError> = end(parent).await.unwrap();
        let LockError::Timeout(timeout) = child.unwrap_err() else { panic!("ended by its deadline") };
        assert_eq!(timeout.holder.unwrap().name, "plain child/parent");
        assert_eq!(timeout.grade, Grade::Suspected);
        told.no_verdict();
    })
    .await;
}

/// As `deadlines_and_signals.rs` has it with deadlines of this crate, which prove it at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_with_one_timeout_of_the_users_is_suspected_and_resolved_by_that_timer() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let told = told_after_100_ms("user timer/");
        let timed = spawn!("user timer/timed", async move |ctx| {
            let _a = ctx.lock(&A).await?;
            BOTH_HOLD.wait().await;
            match tokio::time::timeout(ms(600), ctx.lock(&B)).await {
                Ok(guard) => guard.map(|_| "had both"),
                Err(_) => Ok("its timer fired"),
            }
        });
        let untimed = spawn!("user timer/untimed", async move |ctx| {
            take_both(ctx, &B, &BOTH_HOLD, &A).await.map(|()| "had both")
        });
        let report = told.first(Grade::Suspected).await;
        assert_eq!(report.action, Action::Reported);
        assert!(report.is_ring(), "{report}");
        assert_eq!(end(timed).await.unwrap(), "its timer fired");
        assert_eq!(end(untimed).await.unwrap(), "had both");
        told.no_verdict();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_through_an_owned_guard_is_suspected_as_a_chain_to_somebody_unknown() {
    static X: Mutex<()> = Mutex::new(());
    limited(async {
        let told = told_after_100_ms("owned/");
        let m = Arc::new(Mutex::new(()));
        let guard = m.clone().lock_owned().await.unwrap();
        let member = {
            let m = m.clone();
            spawn!("owned/member", async move |ctx| {
                let _x = ctx.lock(&X).await?;
                ctx.lock_within(&m, ms(4000)).await.map(drop)
            })
        };
        waits("owned/member").await;
        let plain = tokio::spawn(async move {
            let _guard = guard;
            X.lock_within(ms(600)).await.map(drop)
        });
        let report = told.first(Grade::Suspected).await;
        assert_eq!(report.edges.last().unwrap().holder.number, 0, "{report}");
        assert!(!report.is_ring());
        assert!(plain.await.unwrap().unwrap_err().is_timeout());
        end(member).await.unwrap();
        told.no_verdict();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_wait_is_suspected_once() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let told = told_after_100_ms("once/");
        let held = M.lock().await.unwrap();
        let waiter = spawn!("once/waiter", async move |ctx| ctx.lock(&M).await.map(drop));
        told.first(Grade::Suspected).await;
        // The next sweeps see the same wait again.
        let sweeps = freehold_sync::metrics::global().sweeps;
        until(|| freehold_sync::metrics::global().sweeps >= sweeps + 5).await;
        assert_eq!(told.all().len(), 1);
        drop(held);
        assert!(end_all([waiter]).await[0].is_ok());
    })
    .await;
}

/// The holder is ready to go on, but only on the thread that waits for it: it is neither stuck nor will it run.
#[tokio::test]
async fn a_blocking_wait_for_who_could_run_on_its_own_thread_only_is_suspected() {
    static M: blocking::Mutex<()> = blocking::Mutex::new(());
    limited(async {
        let told = told_after_100_ms("own thread/");
        let holder = activity(async |ctx| {
            let _m = ctx.lock_blocking(&M)?;
            tokio::task::yield_now().await;
            Ok::<_, LockError>(())
        });
        let waiter = activity(async |_| M.lock_within(ms(600)).map(drop));
        let (held, waited) =
            tokio::join!(holder.named("own thread/holder"), waiter.named("own thread/waiter"));
        held.unwrap().unwrap();
        let Err(LockError::Timeout(timeout)) = waited.unwrap() else {
            panic!("nobody gave it back meanwhile")
        };
        assert_eq!(timeout.holder.unwrap().name, "own thread/holder");
        let report = told.first(Grade::Suspected).await;
        assert!(report.edges[0].waiter.name.starts_with("thread "), "{report}");
        assert_eq!(report.edges[0].holder.name, "own thread/holder", "{report}");
        told.no_verdict();
    })
    .await;
}

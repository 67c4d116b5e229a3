//! Futurelock (Oxide RFD 609): a future that nobody polls owns a turn, or a guard, that others wait for.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{LockError, Mutex, PermitPool, RwLock, activity, spawn};
use std::pin::pin;
use support::{SOON, Told, end, limited, ms, now, pause, poll_once, proven, until, waits};

/// RFD 609 word for word: the first wait is left in a `select!`, queued, and the same task waits behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn futurelock_queued_is_cured() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let (told, begun) = (Told::about("queued/"), now());
        let held = M.lock().await.unwrap();
        let task = spawn!("queued/task", async move |ctx| {
            let mut first = pin!(ctx.lock(&M));
            tokio::select! {
                biased;
                _ = &mut first => unreachable!("it is held until the second one waits"),
                () = pause(20) => {}
            }
            // `first` stays queued, ahead of this one, and nobody polls it.
            ctx.lock(&M).await.map(drop)
        });
        pause(60).await;
        waits("queued/task").await;
        drop(held);
        end(task).await.expect("its turn went to the one that is polled");
        assert!(begun.elapsed() < SOON);
        told.nothing();
    })
    .await;
}

/// The first one has the lock already when the second one comes: it was handed over, because its holder had slept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn futurelock_granted_is_cured() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let begun = now();
        let (let_go, may_go) = tokio::sync::oneshot::channel::<()>();
        let holder = spawn!("granted/holder", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            may_go.await.unwrap();
            Ok::<_, LockError>(())
        });
        until(|| M.is_locked()).await;
        let task = spawn!("granted/task", async move |ctx| {
            let mut first = pin!(ctx.lock(&M));
            poll_once(first.as_mut()).await;
            let_go.send(()).unwrap();
            end(holder).await.unwrap();
            assert!(M.is_locked(), "nobody but the first one can have it");
            ctx.lock(&M).await.map(drop)
        });
        end(task).await.expect("its turn went to the one that is polled");
        assert!(begun.elapsed() < SOON);
    })
    .await;
}

/// Another activity waits behind the turn that nobody takes, while its owner waits for something outside of the graph.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_nobody_takes_goes_to_another_activity() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let begun = now();
        let before = M.class().metrics().passed_on;
        let held = M.lock().await.unwrap();
        let (done, is_done) = tokio::sync::oneshot::channel::<()>();
        let forgetful = spawn!("others/forgetful", async move |ctx| {
            let mut first = pin!(ctx.lock(&M));
            poll_once(first.as_mut()).await;
            is_done.await.unwrap();
            first.await.map(drop)
        });
        waits("others/forgetful").await;
        let behind = spawn!("others/behind", async move |ctx| ctx.lock(&M).await.map(drop));
        waits("others/behind").await;
        drop(held);
        end(behind).await.expect("it does not wait for somebody who is not polled");
        assert!(begun.elapsed() < SOON);
        assert_eq!(M.class().metrics().passed_on, before + 1);
        done.send(()).unwrap();
        end(forgetful).await.expect("and who comes back has its turn again");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn futurelock_of_a_write_wait_is_cured() {
    static L: RwLock<()> = RwLock::new(());
    limited(async {
        let begun = now();
        let held = L.write().await.unwrap();
        let task = spawn!("write/task", async move |ctx| {
            let mut first = pin!(ctx.write(&L));
            poll_once(first.as_mut()).await;
            pause(20).await;
            ctx.read(&L).await.map(drop)
        });
        waits("write/task").await;
        drop(held);
        end(task).await.expect("the reader behind it gets in");
        assert!(begun.elapsed() < SOON);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn futurelock_of_permits_is_cured() {
    static P: PermitPool = PermitPool::new(2);
    limited(async {
        let begun = now();
        let held = P.acquire_many(2).await.unwrap();
        let task = spawn!("permits/task", async move |ctx| {
            let mut first = pin!(ctx.permits(&P, 2));
            poll_once(first.as_mut()).await;
            pause(20).await;
            ctx.permit(&P).await.map(drop)
        });
        waits("permits/task").await;
        drop(held);
        end(task).await.expect("the one behind it gets its permit");
        assert!(begun.elapsed() < SOON);
        assert_eq!(P.available(), 2);
    })
    .await;
}

/// The future that nobody polls *holds* the lock: taking it away would be wrong. As long as its timer runs it might be
/// polled again; then it cannot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn futurelock_holding_is_proven_once_its_timer_fired() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let begun = now();
        let task = spawn!("holding/task", async move |ctx| {
            let holds = async {
                let _m = ctx.lock(&M).await?;
                pause(200).await;
                Ok::<_, LockError>(())
            };
            let mut holds = pin!(holds);
            poll_once(holds.as_mut()).await;
            let second = ctx.lock(&M).await.map(drop);
            // Told so, it can go on with what it left.
            holds.await.expect("it still holds");
            second
        });
        let report = proven(&end(task).await.unwrap_err());
        assert!(begun.elapsed() >= ms(199), "not before the timer fired: {:?}", begun.elapsed());
        assert!(begun.elapsed() < SOON);
        assert_eq!(report.edges.len(), 1);
        assert!(M.try_lock().is_some());
    })
    .await;
}

/// Outside of activities a watchdog does the same, on a timer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn futurelock_outside_of_activities_is_cured_by_the_watchdog() {
    static M: Mutex<u32> = Mutex::new(0);
    limited(async {
        let begun = now();
        let held = M.lock().await.unwrap();
        let mut first = pin!(M.lock());
        poll_once(first.as_mut()).await;
        let mut second = pin!(M.lock());
        poll_once(second.as_mut()).await;
        drop(held);
        *second.await.expect("the one that is polled gets it") += 1;
        assert!(begun.elapsed() < SOON);
        assert_eq!(*first.await.expect("the other one afterwards"), 1);
    })
    .await;
}

/// The verdict on a ring may end a wait that nobody polls; then the ring is still there, and the next one is for the wait
/// that is polled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verdict_that_nobody_hears_of_is_not_the_last_one() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let begun = now();
        let task = spawn!("unheard/task", async move |ctx| {
            let _held = ctx.lock(&M).await?;
            let mut left = pin!(ctx.lock(&M));
            poll_once(left.as_mut()).await;
            ctx.lock(&M).await.map(drop)
        });
        proven(&end(task).await.expect_err("it waits for itself"));
        assert!(begun.elapsed() < SOON);
    })
    .await;
}

/// Futurelock of a whole activity: half polled by a plain task, it is granted the mutex and never polled again. There is
/// no end of a poll to pass its turn on.
#[tokio::test]
async fn futurelock_of_a_whole_activity_is_cured() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let holder = spawn!(async |ctx| {
            let _m = ctx.lock(&M).await.unwrap();
            pause(50).await;
        });
        until(|| M.is_locked()).await;
        let mut unpolled = pin!(activity(async |ctx| ctx.lock(&M).await.map(drop)));
        poll_once(unpolled.as_mut()).await;
        end(holder).await;
        activity(async |ctx| ctx.lock(&M).await.map(drop)).await.unwrap().unwrap();
    })
    .await;
}

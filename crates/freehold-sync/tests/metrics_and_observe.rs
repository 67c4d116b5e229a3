//! What is counted by class, and who holds and waits at any moment. Each test has classes and names of its own; of the
//! process's counters only their growth is looked at.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{
    Context, LockClass, LockError, Mode, Mutex, Observed, PermitPool, RwLock, activity, blocking,
    lock_classes, metrics, observe, spawn,
};
use std::time::Duration;
use support::{Meeting, end, end_all, limited, ms, one_victim, pause, take_both, until, waits};
use tokio::sync::oneshot;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acquisitions_are_counted_by_class_every_64th_time() {
    static CLASS: LockClass = LockClass::new("metrics/acquired");
    static M: Mutex<()> = Mutex::with_class(&CLASS, ());
    static L: RwLock<()> = RwLock::with_class(&CLASS, ());
    limited(async {
        let many = activity(async |ctx: &Context| {
            for _ in 0..640 {
                drop(ctx.lock(&M).await?);
            }
            assert_eq!((CLASS.metrics().acquisitions, CLASS.metrics().hold_sampled.count()), (640, 10));
            for _ in 0..640 {
                drop(ctx.read(&L).await?);
            }
            Ok::<_, LockError>(())
        });
        many.await.unwrap().unwrap();
        let seen = CLASS.metrics();
        assert!((1216..=1344).contains(&seen.acquisitions), "{}", seen.acquisitions);
        assert_eq!((seen.contended, seen.timeouts, seen.deadlocks), (0, 0, 0));
        assert_eq!(seen.hold_sampled.count(), seen.acquisitions / 64);
        assert_eq!(seen.wait.count(), 0);
        assert!(lock_classes().iter().any(|class| class.name() == "metrics/acquired"));
    })
    .await;
}

/// Of a mutex that is taken very often fewer are timed, and each of these counts for more.
#[test]
fn holds_count_for_as_many_samples_as_there_were() {
    static CLASS: LockClass = LockClass::new("metrics/hot");
    let m = blocking::Mutex::with_class(&CLASS, ());
    for samples in 1..=200 {
        (0..64).for_each(|_| drop(m.lock().unwrap()));
        let (counted, rest) =
            (CLASS.metrics().hold_sampled.count(), if samples <= 64 { 0 } else { samples % 8 });
        assert_eq!((counted, CLASS.metrics().acquisitions), (samples - rest, samples * 64));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waits_and_holds_that_began_with_one_are_measured_by_class() {
    static CLASS: LockClass = LockClass::new("metrics/contended");
    static M: Mutex<()> = Mutex::with_class(&CLASS, ());
    limited(async {
        for _ in 0..3 {
            let held = M.lock().await.unwrap();
            let waiter = spawn!("contended/waiter", async move |ctx| {
                let _m = ctx.lock(&M).await?;
                pause(20).await;
                Ok::<_, LockError>(())
            });
            waits("contended/waiter").await;
            pause(20).await;
            drop(held);
            end(waiter).await.unwrap();
        }
        let seen = CLASS.metrics();
        assert_eq!((seen.contended, seen.wait.count(), seen.hold_contended.count()), (3, 3, 3));
        assert!(seen.wait.sum >= ms(60) && seen.hold_contended.sum >= ms(57), "{seen:?}");
        assert!(seen.wait.quantile(0.5) >= ms(16) && seen.wait.quantile(0.5) < Duration::from_secs(2));
    })
    .await;
}

/// Lets an activity wait for `m` until it is queued, and until so many sweeps more have begun. There are at least 50 ms
/// between the beginnings of two, so of two more the second is later by that than the wait.
async fn one_wait(m: &'static Mutex<()>, sweeps: u64) {
    let held = m.lock().await.unwrap();
    let waiter = spawn!("weighed/waiter", async move |ctx| ctx.lock(m).await.map(drop));
    waits("weighed/waiter").await;
    let enough = metrics::global().sweeps + sweeps;
    until(|| metrics::global().sweeps >= enough).await;
    drop(held);
    end(waiter).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_waits_one_of_eight_counts_for_eight_and_a_long_one_always_for_itself() {
    static CLASS: LockClass = LockClass::new("metrics/weighed");
    static M: Mutex<()> = Mutex::with_class(&CLASS, ());
    limited(async {
        let waits = 64 + 10 * 8;
        for _ in 0..waits {
            one_wait(&M, 0).await;
        }
        let short = CLASS.metrics();
        // About all of them. On a slow machine some last long and count for themselves; unweighed it would be 74.
        assert!((100..=waits + 70).contains(&short.contended), "{}", short.contended);
        assert_eq!(short.wait.count(), short.contended);
        for _ in 0..4 {
            one_wait(&M, 2).await;
        }
        let seen = CLASS.metrics();
        assert_eq!(seen.contended - short.contended, 4, "each was measured, and none counts for eight");
        assert!(seen.wait.sum - short.wait.sum >= ms(4 * 50));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_and_deadlocks_are_counted_by_class_and_for_the_process() {
    static LATE_CLASS: LockClass = LockClass::new("metrics/late");
    static RING_CLASS: LockClass = LockClass::new("metrics/ring");
    static LATE: Mutex<()> = Mutex::with_class(&LATE_CLASS, ());
    static A: Mutex<()> = Mutex::with_class(&RING_CLASS, ());
    static B: Mutex<()> = Mutex::with_class(&RING_CLASS, ());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let before = metrics::global();
        let _held = LATE.lock().await.unwrap();
        assert!(LATE.lock_within(ms(20)).await.unwrap_err().is_timeout());
        let late = spawn!("counted/late", async move |ctx| ctx.lock_within(&LATE, ms(20)).await.map(drop));
        assert!(end(late).await.unwrap_err().is_timeout());
        let one = spawn!("counted/one", async move |ctx| take_both(ctx, &A, &BOTH_HOLD, &B).await);
        let two = spawn!("counted/two", async move |ctx| take_both(ctx, &B, &BOTH_HOLD, &A).await);
        one_victim(&end_all([one, two]).await);
        assert_eq!(LATE_CLASS.metrics().timeouts, 2);
        assert_eq!(LATE_CLASS.metrics().deadlocks, 0);
        assert_eq!(RING_CLASS.metrics().deadlocks, 1, "one victim");
        let after = metrics::global();
        assert!(after.timeouts >= before.timeouts + 2);
        assert!(after.proven > before.proven && after.walks > before.walks);
        assert!(after.detector_nanos > before.detector_nanos);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_guards_ended_holders_and_sweeps_are_counted_for_the_process() {
    static M: Mutex<()> = Mutex::new(());
    static GATE: Mutex<()> = Mutex::new(());
    limited(async {
        let before = metrics::global();
        let forgets = spawn!("global/forgets", async move |ctx| {
            std::mem::forget(ctx.lock(&M).await?);
            Ok::<_, LockError>(())
        });
        end(forgets).await.unwrap();
        let holder = tokio::spawn(activity(async |ctx: &Context| {
            let _gate = ctx.lock(&GATE).await;
            std::future::pending::<()>().await;
        }));
        until(|| GATE.is_locked()).await;
        let waiter = spawn!("global/waiter", async move |ctx| ctx.lock(&GATE).await.map(drop));
        assert!(holder.await.unwrap().is_err());
        end(waiter).await.unwrap();
        let _held = GATE.lock().await.unwrap();
        assert!(GATE.lock_within(ms(200)).await.unwrap_err().is_timeout());
        let after = metrics::global();
        assert!(after.guards_forgotten > before.guards_forgotten);
        assert!(after.orphans_ended > before.orphans_ended);
        assert!(after.sweeps > before.sweeps);
    })
    .await;
}

// ---- observe -------------------------------------------------------------------------------------------------------

fn observed(name: &str) -> Option<Observed> {
    observe().members.into_iter().find(|member| member.actor.name == name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observe_lists_holders_and_waiters_with_their_sites() {
    static CLASS: LockClass = LockClass::new("observe/mutex");
    static RW_CLASS: LockClass = LockClass::new("observe/rwlock");
    static POOL_CLASS: LockClass = LockClass::new("observe/pool");
    static M: Mutex<()> = Mutex::with_class(&CLASS, ());
    static L: RwLock<()> = RwLock::with_class(&RW_CLASS, ());
    static P: PermitPool = PermitPool::with_class(&POOL_CLASS, 3);
    limited(async {
        let (let_go, may_go) = oneshot::channel::<()>();
        let holder = spawn!("observe/holder", async move |ctx| {
            let _all = (ctx.lock(&M).await?, ctx.read(&L).await?, ctx.permits(&P, 2).await?);
            may_go.await.unwrap();
            Ok::<_, LockError>(())
        });
        until(|| observed("observe/holder").is_some_and(|member| member.holds.len() == 3)).await;
        let waiters = [
            spawn!("observe/locks", async move |ctx| ctx.lock(&M).await.map(drop)),
            spawn!("observe/writes", async move |ctx| ctx.write(&L).await.map(drop)),
            spawn!("observe/permits", async move |ctx| ctx.permits(&P, 3).await.map(drop)),
        ];
        let expected = [
            ("observe/locks", "observe/mutex", Mode::Lock),
            ("observe/writes", "observe/rwlock", Mode::Write),
            ("observe/permits", "observe/pool", Mode::Permits(3)),
        ];
        for (name, class, mode) in expected {
            waits(name).await;
            let waiter = observed(name).unwrap();
            assert!(waiter.holds.is_empty());
            assert_eq!(waiter.waits.len(), 1);
            assert_eq!((waiter.waits[0].lock.class, waiter.waits[0].mode), (class, mode));
            assert_eq!(waiter.waits[0].holder.name, "observe/holder");
            assert!(waiter.waits[0].site.unwrap().file().ends_with("metrics_and_observe.rs"));
        }
        let holder_seen = observed("observe/holder").unwrap();
        assert!(holder_seen.waits.is_empty());
        let mut classes: Vec<_> = holder_seen.holds.iter().map(|hold| hold.lock.class).collect();
        classes.sort_unstable();
        assert_eq!(classes, ["observe/mutex", "observe/pool", "observe/rwlock"]);
        assert!(holder_seen.holds.iter().all(|hold| hold.site.unwrap().file().ends_with("observe.rs")));
        let locks = observe().locks();
        for class in classes {
            let (_, held, waiting) = locks.iter().find(|(lock, ..)| lock.class == class).unwrap();
            assert_eq!((*held, *waiting), (1, 1), "{class}");
        }
        let_go.send(()).unwrap();
        end(holder).await.unwrap();
        assert!(end_all(waiters).await.iter().all(Result::is_ok));
        assert!(!observe().members.iter().any(|member| member.actor.name.starts_with("observe/")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observe_lists_waits_outside_of_activities_and_threads() {
    static CLASS: LockClass = LockClass::new("observe/outside");
    static THREAD_CLASS: LockClass = LockClass::new("observe/thread");
    static M: Mutex<()> = Mutex::with_class(&CLASS, ());
    static B: blocking::Mutex<()> = blocking::Mutex::with_class(&THREAD_CLASS, ());
    limited(async {
        let held = M.lock().await.unwrap();
        let outside = tokio::spawn(async { M.lock().await.map(drop) });
        let waiting = |class: &str| {
            observe().locks().iter().any(|(lock, _, waiting)| lock.class == class && *waiting == 1)
        };
        until(|| waiting("observe/outside")).await;
        let (let_go, may_go) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("observed".into());
        let thread = thread.spawn(move || {
            let _b = B.lock().unwrap();
            may_go.recv().unwrap();
        });
        until(|| observed("thread observed").is_some_and(|member| member.holds.len() == 1)).await;
        let blocked = std::thread::spawn(|| B.lock().map(drop));
        until(|| waiting("observe/thread")).await;
        let_go.send(()).unwrap();
        thread.unwrap().join().unwrap();
        blocked.join().unwrap().unwrap();
        drop(held);
        outside.await.unwrap().unwrap();
    })
    .await;
}

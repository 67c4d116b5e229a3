//! Deadlines and cancels end waits, and are no signs of life: a ring in which everybody has one is proven when it closes.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{Context, Grade, JoinHandle, LockError, Mutex, PermitPool, activity, spawn, within};
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{future::pending, pin::pin, time::Duration};
use support::{
    Meeting, SOON, Told, end, end_all, limited, ms, now, one_victim, pause, poll_once, proven, until, waits,
};
use tokio::sync::{Notify, oneshot};

/// The limit of waits that must end by a proof: never reached.
const LATE: Duration = Duration::from_secs(15);

/// The two locks of a ring, and where its members meet.
struct Ring {
    a: Mutex<()>,
    b: Mutex<()>,
    both_hold: Meeting,
}

impl Ring {
    const fn new() -> Self {
        Self { a: Mutex::new(()), b: Mutex::new(()), both_hold: Meeting::of(2) }
    }

    /// Proves that the ring is broken when it closes, and whose wait failed.
    async fn is_proven(members: [JoinHandle<Result<(), LockError>>; 2]) {
        let begun = now();
        let report = one_victim(&end_all(members).await);
        assert!(begun.elapsed() < SOON, "at a deadline: {:?}", begun.elapsed());
        assert_eq!(report.edges.len(), 2, "{report}");
    }
}

/// A member of a ring: takes the first, meets the other, and waits for the second as `$second` says.
macro_rules! member {
    ($name:expr, $ring:ident.$first:ident, |$ctx:ident| $second:expr) => {
        spawn!($name, async move |$ctx: &Context| {
            let _first = $ctx.lock(&$ring.$first).await?;
            $ring.both_hold.wait().await;
            $second
        })
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_of_waits_with_lock_within_is_proven_when_it_closes() {
    static RING: Ring = Ring::new();
    limited(async {
        let one = member!("within/one", RING.a, |ctx| ctx.lock_within(&RING.b, LATE).await.map(drop));
        let two = member!("within/two", RING.b, |ctx| ctx.lock_until(&RING.a, now() + LATE).await.map(drop));
        Ring::is_proven([one, two]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_of_waits_with_the_default_limit_is_proven_when_it_closes() {
    static RING: Ring = Ring::new();
    limited(async {
        let one = member!("default/one", RING.a, |ctx| ctx.lock(&RING.b).await.map(drop));
        let two = member!("default/two", RING.b, |ctx| ctx.lock(&RING.a).await.map(drop));
        Ring::is_proven([one, two]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_of_waits_without_any_deadline_is_proven_when_it_closes() {
    static RING: Ring = Ring::new();
    limited(async {
        let one = member!("without/one", RING.a, |ctx| ctx.lock(&RING.b).without_deadline().await.map(drop));
        let two = member!("without/two", RING.b, |ctx| ctx.lock(&RING.a).without_deadline().await.map(drop));
        Ring::is_proven([one, two]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_of_requests_with_a_deadline_is_proven_when_it_closes() {
    static RING: Ring = Ring::new();
    limited(async {
        let begun = now();
        let request = |first: &'static Mutex<()>, second: &'static Mutex<()>| {
            let body = async move |ctx: &Context| {
                let _first = ctx.lock(first).await?;
                RING.both_hold.wait().await;
                ctx.lock(second).await.map(drop)
            };
            tokio::spawn(activity(body).named("request/member").deadline(now() + LATE))
        };
        let (one, two) = (request(&RING.a, &RING.b), request(&RING.b, &RING.a));
        one_victim(&[one.await.unwrap().unwrap(), two.await.unwrap().unwrap()]);
        assert!(begun.elapsed() < SOON);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_of_waits_beside_cancelled_in_a_select_is_proven_when_it_closes() {
    static RING: Ring = Ring::new();
    limited(async {
        let one = member!("cancelled/one", RING.a, |ctx| tokio::select! {
            b = ctx.lock(&RING.b) => b.map(drop),
            () = ctx.cancelled() => panic!("nobody cancels it"),
        });
        let two = member!("cancelled/two", RING.b, |ctx| tokio::select! {
            a = ctx.lock(&RING.a) => a.map(drop),
            () = ctx.cancelled() => panic!("nobody cancels it"),
        });
        Ring::is_proven([one, two]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_of_waits_inside_within_is_proven_when_it_closes() {
    static RING: Ring = Ring::new();
    limited(async {
        let one = member!("inside/one", RING.a, |ctx| {
            ctx.within(LATE, ctx.lock(&RING.b)).await.expect("the deadline is far").map(drop)
        });
        let two = member!("inside/two", RING.b, |ctx| {
            ctx.within(LATE, ctx.lock(&RING.a)).await.expect("the deadline is far").map(drop)
        });
        Ring::is_proven([one, two]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_of_waits_beside_a_future_set_aside_is_proven_when_it_closes() {
    static RING: Ring = Ring::new();
    static SHUTDOWN: Notify = Notify::const_new();
    limited(async {
        let one = member!("aside/one", RING.a, |ctx| tokio::select! {
            b = ctx.lock(&RING.b) => b.map(drop),
            () = ctx.aside(SHUTDOWN.notified()) => panic!("nobody shuts down"),
        });
        let two = member!("aside/two", RING.b, |ctx| tokio::select! {
            a = ctx.lock(&RING.a) => a.map(drop),
            () = ctx.aside(SHUTDOWN.notified()) => panic!("nobody shuts down"),
        });
        Ring::is_proven([one, two]).await;
    })
    .await;
}

/// A future set aside still wakes: it only does not count as life.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_future_set_aside_ends_the_wait_when_it_is_ready() {
    static M: Mutex<()> = Mutex::new(());
    static SHUTDOWN: Notify = Notify::const_new();
    limited(async {
        let _held = M.lock().await.unwrap();
        let waiter = spawn!("shut down/waiter", async move |ctx| {
            tokio::select! {
                _ = ctx.lock(&M) => "had it",
                () = ctx.aside(SHUTDOWN.notified()) => "shut down",
            }
        });
        waits("shut down/waiter").await;
        SHUTDOWN.notify_one();
        assert_eq!(end(waiter).await, "shut down");
    })
    .await;
}

/// The rest of the case, that it is suspected, is in `suspicions.rs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_ring_with_one_timeout_of_the_users_is_resolved_by_that_timer() {
    static RING: Ring = Ring::new();
    limited(async {
        let told = Told::about("users/");
        let begun = now();
        let one = member!("users/one", RING.a, |ctx| {
            match tokio::time::timeout(ms(300), ctx.lock(&RING.b)).await {
                Ok(guard) => guard.map(drop),
                Err(_) => Ok(()),
            }
        });
        let two = member!("users/two", RING.b, |ctx| ctx.lock(&RING.a).await.map(drop));
        assert!(end_all([one, two]).await.iter().all(Result::is_ok));
        assert!(begun.elapsed() >= ms(299) && begun.elapsed() < SOON, "{:?}", begun.elapsed());
        told.no_verdict();
    })
    .await;
}

// ---- what a deadline does ------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_names_the_holder_its_chain_and_what_was_held() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static MINE: Mutex<()> = Mutex::new(());
    limited(async {
        let outside = B.lock().await.unwrap();
        let holder = spawn!("chain/holder", async move |ctx| {
            let _a = ctx.lock(&A).await?;
            ctx.lock(&B).await.map(drop)
        });
        waits("chain/holder").await;
        let waiter = spawn!("chain/waiter", async move |ctx| {
            let _mine = ctx.lock(&MINE).await?;
            ctx.lock_within(&A, ms(50)).await.map(drop)
        });
        let LockError::Timeout(timeout) = end(waiter).await.unwrap_err() else { panic!("not a timeout") };
        assert_eq!(timeout.lock.as_ref().unwrap().class, A.class().name());
        assert!(timeout.waited >= ms(50), "{:?}", timeout.waited);
        assert_eq!(timeout.holder.as_ref().unwrap().name, "chain/holder");
        assert_eq!(timeout.chain.len(), 1, "who holds B is not known, but somebody does: {timeout}");
        assert_eq!(timeout.held.iter().map(|held| held.class).collect::<Vec<_>>(), [MINE.class().name()]);
        assert_eq!(timeout.grade, Grade::Suspected);
        assert!(timeout.to_string().contains("chain/holder"), "{timeout}");
        drop(outside);
        end(holder).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_deadline_bounds_every_wait_also_one_without_a_deadline() {
    static M: Mutex<()> = Mutex::new(());
    static P: PermitPool = PermitPool::new(1);
    limited(async {
        let (_m, _p) = (M.lock().await.unwrap(), P.acquire().await.unwrap());
        let begun = now();
        let body = async |ctx: &Context| {
            let first = ctx.lock(&M).without_deadline().await.map(drop);
            let second = ctx.permit(&P).within(LATE).await.map(drop);
            [first, second]
        };
        let ends = tokio::spawn(activity(body).deadline(now() + ms(100))).await.unwrap().unwrap();
        for end in ends {
            assert!(end.unwrap_err().is_timeout());
        }
        assert!(begun.elapsed() >= ms(99) && begun.elapsed() < SOON);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_has_passed_already_fails_at_once_and_takes_what_is_free() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let past = now();
        assert!(M.lock_until(past).await.is_ok(), "nothing to wait for");
        let _held = M.lock().await.unwrap();
        assert!(M.lock_until(past).await.unwrap_err().is_timeout());
        assert!(M.lock_within(Duration::ZERO).await.unwrap_err().is_timeout());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_within_inside_futures_unordered_takes_effect() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let _held = M.lock().await.unwrap();
        let begun = now();
        let task = spawn!("unordered/task", async move |ctx| {
            let set: FuturesUnordered<_> =
                [100, 50, 4000].map(|limit| ctx.lock_within(&M, ms(limit))).into_iter().collect();
            let ends: Vec<_> = set.take(2).map(|end| end.map(drop)).collect().await;
            ends
        });
        for end in end(task).await {
            assert!(end.unwrap_err().is_timeout());
        }
        assert!(begun.elapsed() >= ms(99) && begun.elapsed() < SOON, "{:?}", begun.elapsed());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_within_takes_effect_after_its_future_moved_to_another_task() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let _held = M.lock().await.unwrap();
        let begun = now();
        let (send, receive) = oneshot::channel();
        // Polled once here, so that this task's waker is the one that is parked.
        let first = tokio::spawn(async move {
            let mut lock = Box::pin(M.lock_within(ms(200)));
            poll_once(lock.as_mut()).await;
            assert!(send.send(lock).is_ok());
        });
        let lock = receive.await.unwrap();
        first.await.unwrap();
        let second = tokio::spawn(async move { lock.await.map(drop) });
        assert!(second.await.unwrap().unwrap_err().is_timeout());
        assert!(begun.elapsed() >= ms(199) && begun.elapsed() < SOON, "{:?}", begun.elapsed());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_future_is_also_woken_by_the_lock() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let held = M.lock().await.unwrap();
        let mut lock = Box::pin(M.lock());
        poll_once(lock.as_mut()).await;
        let second = tokio::spawn(async move { lock.await.map(drop) });
        pause(20).await;
        drop(held);
        second.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn within_ends_any_future_and_names_what_was_held_and_waited_for() {
    static HELD: Mutex<()> = Mutex::new(());
    static WANTED: Mutex<()> = Mutex::new(());
    limited(async {
        let outside = WANTED.lock().await.unwrap();
        let task = spawn!("within/task", async move |ctx| {
            let _held = ctx.lock(&HELD).await?;
            let late = ctx.within(ms(50), ctx.lock(&WANTED)).await.map(drop).unwrap_err();
            assert!(late.lock.is_none());
            assert_eq!(late.held.iter().map(|held| held.class).collect::<Vec<_>>(), [HELD.class().name()]);
            assert_eq!(late.holder.expect("it waited for somebody").number, 0, "nobody known");
            let ready = ctx.within(ms(50), async { 7 }).await.unwrap();
            Ok::<_, LockError>(ready)
        });
        assert_eq!(end(task).await.unwrap(), 7);
        drop(outside);
        assert!(within(ms(20), pending::<()>()).await.is_err(), "also outside of activities");
    })
    .await;
}

// ---- cancels -------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_a_wait_for_a_lock_that_listens_to_it() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let _held = M.lock().await.unwrap();
        let mut waiter = activity(async |ctx| {
            tokio::select! {
                _ = ctx.lock(&M) => "had it",
                () = ctx.cancelled() => "cancelled",
            }
        })
        .named("listens/waiter");
        let handle = waiter.handle();
        let waiter = tokio::spawn(waiter);
        waits("listens/waiter").await;
        assert!(!handle.is_done());
        handle.cancel();
        assert_eq!(waiter.await.unwrap().unwrap(), "cancelled");
        until(|| handle.is_done()).await;
        // Nothing happens any more.
        handle.cancel();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_before_the_first_poll_and_in_the_middle_of_a_poll_are_seen() {
    limited(async {
        let mut early = activity(async |ctx: &Context| {
            assert!(ctx.is_cancelled());
            ctx.cancelled().await;
        });
        early.handle().cancel();
        early.await.unwrap();
        let (send, receive) = oneshot::channel::<freehold_sync::ActivityHandle>();
        let mut inside = activity(async move |ctx: &Context| {
            let handle = receive.await.unwrap();
            let mut cancelled = pin!(ctx.cancelled());
            poll_once(cancelled.as_mut()).await;
            handle.cancel();
            cancelled.await;
        });
        let handle = inside.handle();
        let inside = tokio::spawn(inside);
        assert!(send.send(handle).is_ok());
        inside.await.unwrap().unwrap();
    })
    .await;
}

/// A victim is also a victim if it was cancelled meanwhile, or the other way round: nobody hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_member_that_does_not_listen_stays_in_its_ring_and_it_is_proven() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let mut deaf = activity(async |ctx: &Context| {
            let _m = ctx.lock(&M).await?;
            ctx.lock(&M).await.map(drop)
        });
        deaf.handle().cancel();
        let end = tokio::spawn(deaf).await.unwrap().unwrap();
        proven(&end.unwrap_err());
    })
    .await;
}

//! Calls: who waits for a reply, or for the end of an activity, waits for whoever owes it.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{
    Ended, JoinHandle, LockClass, LockError, LockLevel, Mode, Mutex, OrderMode, Reply, activity,
    activity_owning, joinable, observe, reply, spawn,
};
use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};
use support::{
    Meeting, SOON, Told, end, end_all, limited, ms, now, one_victim, pause, poll_once, proven, until, waits,
};
use tokio::sync::{mpsc, oneshot};

type Answer = Result<(), LockError>;

/// How many activities called `name` wait.
fn waiting(name: &str) -> usize {
    observe().members.iter().filter(|member| member.actor.name == name && !member.waits.is_empty()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_call_that_wants_its_callers_lock_is_proven() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let begun = now();
        let caller = spawn!("nested/caller", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            let callee = spawn!("nested/callee", async move |ctx| ctx.lock(&M).await.map(drop));
            callee.join(ctx).await
        });
        let callee: Answer = end(caller).await.expect("the caller is told, and goes on");
        let report = proven(&callee.unwrap_err());
        assert!(begun.elapsed() < SOON);
        assert_eq!(report.victim().unwrap().name, "nested/callee", "locks before replies");
        assert_eq!(report.edges.len(), 2);
        assert!(report.edges.iter().any(|edge| edge.mode == Mode::End));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_call_abba_is_proven() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let begun = now();
        let call = |mine: &'static Mutex<()>, other: &'static Mutex<()>| {
            spawn!("nested abba/caller", async move |ctx| {
                let _mine = ctx.lock(mine).await?;
                BOTH_HOLD.wait().await;
                let callee = spawn!("nested abba/callee", async move |ctx| ctx.lock(other).await.map(drop));
                callee.join(ctx).await?
            })
        };
        let report = one_victim(&end_all([call(&A, &B), call(&B, &A)]).await);
        assert!(begun.elapsed() < SOON);
        assert_eq!(report.edges.len(), 4);
        assert_eq!(report.victim().unwrap().name, "nested abba/callee");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_call_whose_callee_has_a_timer_is_no_deadlock() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let told = Told::about("timed/");
        let caller = spawn!("timed/caller", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            let callee = spawn!("timed/callee", async move |ctx| {
                match tokio::time::timeout(ms(150), ctx.lock(&M)).await {
                    Ok(guard) => guard.map(|_| "had it"),
                    Err(_) => Ok("gave up"),
                }
            });
            callee.join(ctx).await?
        });
        assert_eq!(end(caller).await.unwrap(), "gave up");
        told.nothing();
    })
    .await;
}

/// The callee has not even begun: its edge is there from the moment it is made, and it is live until it ran.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_still_queued_belongs_to_its_callee() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let (told, begun) = (Told::about("queued/"), now());
        let (callee, reply) = joinable(async move |ctx| ctx.lock(&M).await.map(drop));
        let caller = spawn!("queued/caller", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            reply.join(ctx).await?
        });
        waits("queued/caller").await;
        pause(120).await;
        told.nothing();
        tokio::spawn(callee.named("queued/callee"));
        proven(&end(caller).await.unwrap_err());
        assert!(begun.elapsed() < SOON);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_through_a_bound_reply_is_proven() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let begun = now();
        let (send, mut receive) = mpsc::channel::<Reply<Answer>>(1);
        let worker = spawn!("reply/worker", async move |ctx| {
            let owed = receive.recv().await.unwrap().bind(ctx);
            let locked = ctx.lock(&M).await.map(drop);
            owed.send(locked);
        });
        let asking = spawn!("reply/asking", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            let (owed, answer) = reply();
            send.send(owed).await.unwrap();
            answer.join(ctx).await?
        });
        let report = proven(&end(asking).await.unwrap_err());
        end(worker).await;
        assert!(begun.elapsed() < SOON);
        assert_eq!(report.victim().unwrap().name, "reply/worker");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_is_bound_to_nobody_is_no_deadlock() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let told = Told::about("unbound/");
        let (owed, answer) = reply();
        let asking = spawn!("unbound/asking", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            answer.join(ctx).await
        });
        waits("unbound/asking").await;
        let behind = spawn!("unbound/behind", async move |ctx| ctx.lock(&M).await.map(drop));
        waits("unbound/behind").await;
        pause(150).await;
        owed.send(5);
        assert_eq!(end(asking).await.unwrap(), 5);
        end(behind).await.unwrap();
        told.nothing();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_one_owes_to_oneself_is_proven() {
    limited(async {
        let begun = now();
        let asking = spawn!("oneself/only", async move |ctx| {
            let (owed, answer) = reply::<()>();
            let _owed = owed.bind(ctx);
            answer.join(ctx).await
        });
        let report = proven(&end(asking).await.unwrap_err());
        assert!(begun.elapsed() < SOON);
        assert_eq!(report.edges[0].mode, Mode::End);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_is_dropped_tells_who_waits_for_it() {
    limited(async {
        let (owed, answer) = reply::<()>();
        let asking = spawn!("dropped/asking", async move |ctx| answer.join(ctx).await);
        waits("dropped/asking").await;
        drop(owed);
        assert!(matches!(end(asking).await, Err(LockError::Ended(Ended::Dropped))));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activity_that_is_dropped_before_it_ran_tells_who_waits_for_it() {
    limited(async {
        let (never_run, handle) = joinable(async |_ctx| ());
        let waiter = spawn!("never run/waiter", async move |ctx| handle.join(ctx).await);
        waits("never run/waiter").await;
        drop(never_run);
        assert!(matches!(end(waiter).await, Err(LockError::Ended(Ended::Dropped))));
    })
    .await;
}

/// A ring of nothing but replies: two that wait for each other's end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_up_waiting_for_a_reply_cancels_its_callee() {
    limited(async {
        let (send, receive) = oneshot::channel::<JoinHandle<()>>();
        let (send_seen, seen) = oneshot::channel();
        let (callee, reply) = joinable(async move |ctx| {
            let callers_end = receive.await.unwrap();
            let mut callers_end = std::pin::pin!(callers_end.join(ctx));
            tokio::select! {
                _ = &mut callers_end => send_seen.send("the caller ended first"),
                () = ctx.cancelled() => send_seen.send("cancelled"),
            }
            .unwrap();
        });
        let (ended, end_of_callee) = oneshot::channel();
        let caller = spawn!("cancels/caller", async move |ctx| {
            let report = proven(&reply.join(ctx).await.unwrap_err());
            assert_eq!(report.victim().unwrap().name, "cancels/caller", "the younger one");
            // Stay until the callee has seen it: else it might see our end instead.
            ended.send(seen.await.unwrap()).unwrap();
        });
        tokio::spawn(callee.named("cancels/callee"));
        assert!(send.send(caller).is_ok());
        assert_eq!(end_of_callee.await.unwrap(), "cancelled");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_call_is_no_deadlock() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let told = Told::about("long/");
        let caller = spawn!("long/caller", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            let callee = spawn!("long/callee", async move |_ctx| pause(200).await);
            callee.join(ctx).await
        });
        until(|| M.is_locked()).await;
        let behind = spawn!("long/behind", async move |ctx| ctx.lock(&M).await.map(drop));
        assert!(end_all([caller, behind]).await.iter().all(Result::is_ok));
        told.nothing();
    })
    .await;
}

/// The answer is kept outside of its activity and comes after its end: until then nobody else is taken for who owes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_kept_apart_names_nobody_elses_activity() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let told = Told::about("apart/");
        let (owed, answer) = reply::<u32>();
        let mut kept = None;
        let callee = activity_owning(|locks| {
            kept = Some(owed.bind_apart(&locks));
            async move { drop(locks) }
        });
        tokio::spawn(callee.named("apart/callee")).await.unwrap().unwrap();
        // Those who come next get the slots that are free, and wait for each other's lock: the caller waits for none of them.
        let caller = spawn!("apart/caller", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            answer.join(ctx).without_any_deadline().patient().await
        });
        until(|| M.try_lock().is_none()).await;
        let next: Vec<_> =
            (0..100).map(|_| spawn!("apart/next", async move |ctx| ctx.lock(&M).await.map(drop))).collect();
        until(|| waiting("apart/next") == 100).await;
        pause(150).await;
        told.nothing();
        kept.take().unwrap().send(7);
        assert_eq!(end(caller).await.unwrap(), 7);
        for next in next {
            end(next).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_kept_apart_and_lost_ends_the_wait() {
    limited(async {
        let (owed, answer) = reply::<u32>();
        let mut kept = None;
        let callee = activity_owning(|locks| {
            kept = Some(owed.bind_apart(&locks));
            async move {
                tokio::time::sleep(ms(600_000)).await;
                drop(locks);
            }
        });
        let callee = tokio::spawn(callee);
        let caller = spawn!("lost answer", async move |ctx| answer.join(ctx).await);
        waits("lost answer").await;
        drop(kept);
        assert!(matches!(end(caller).await, Err(LockError::Ended(Ended::Dropped))));
        callee.abort();
    })
    .await;
}

/// A callee is as old as its caller, and what its caller holds counts as held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_takes_over_from_its_caller() {
    static CLASS: LockClass = LockClass::new("taken over/session").at(LockLevel::SESSION);
    static ABOVE: LockClass = LockClass::new("taken over/global").at(LockLevel::GLOBAL);
    static HELD: Mutex<()> = Mutex::with_class(&CLASS, ());
    static WANTED: Mutex<()> = Mutex::with_class(&ABOVE, ());
    limited(async {
        let caller = activity(async |ctx| {
            let _held = ctx.lock(&HELD).await.unwrap();
            let (owed, answer) = reply();
            let callee = activity(async move |ctx| {
                let refused = matches!(ctx.lock(&WANTED).await, Err(LockError::Order(_)));
                owed.bind(ctx).send((refused, ctx.birth()));
            });
            tokio::spawn(callee.called_by(ctx));
            (answer.join(ctx).await.unwrap(), ctx.birth())
        });
        let ((refused, birth), callers) = caller.order_mode(OrderMode::Refuse).await.unwrap();
        assert!(refused, "its caller holds a lock of a lower level");
        assert_eq!(birth, callers);
    })
    .await;
}

/// The child is an edge of the activity that polled it, and stays so when that one ends; nobody else gets that edge's place.
#[test]
fn a_child_that_outlives_its_parent_takes_nothing_from_the_next_activity() {
    let m = Mutex::new(());
    let held = m.try_lock().unwrap();
    let mut child = Box::pin(activity(async |_| pending::<()>().await));
    assert!(poll_by_hand(pin!(activity(async |_| poll_once(child.as_mut()).await))).is_ready());
    let mut next = Box::pin(activity(async |ctx| ctx.lock(&m).await.map(drop)));
    assert!(poll_by_hand(next.as_mut()).is_pending());
    drop(child);
    assert!(poll_by_hand(next.as_mut()).is_pending(), "it still waits");
    drop(held);
    assert!(matches!(poll_by_hand(next.as_mut()), Poll::Ready(Ok(Ok(())))));
}

#[test]
fn a_child_whose_drop_panics_is_no_edge_any_more() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let mut parent = Box::pin(
        activity(async |ctx| {
            let mut child = Box::pin(activity(async |_| {
                let _panics = Panics;
                pending::<()>().await;
            }));
            poll_once(child.as_mut()).await;
            assert!(catch_unwind(AssertUnwindSafe(|| drop(child))).is_err());
            ctx.cancelled().await;
        })
        .named("drop panics/parent"),
    );
    assert!(poll_by_hand(parent.as_mut()).is_pending());
    assert_eq!(waiting("drop panics/parent"), 0, "the child is gone");
}

fn poll_by_hand<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

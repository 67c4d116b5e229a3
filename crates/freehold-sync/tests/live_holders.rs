//! Everything that goes on by itself, or may: no verdict, ever. And what only looks as if it could: found.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{Action, Context, Ended, Grade, LockError, Mutex, activity, spawn};
use std::{
    future::{pending, poll_fn},
    pin::pin,
    sync::{Arc, Mutex as StdMutex},
    task::{Context as TaskContext, Poll, Waker},
};
use support::{Meeting, SOON, Told, end, end_all, limited, ms, now, pause, poll_once, proven, until, waits};
use tokio::sync::oneshot;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owned_guard_sent_to_a_plain_task_is_never_proven() {
    static X: Mutex<()> = Mutex::new(());
    limited(async {
        let told = Told::about("owned/");
        let m = Arc::new(Mutex::new(0));
        let guard = m.clone().lock_owned().await.unwrap();
        let holds_x = {
            let m = m.clone();
            spawn!("owned/holds x", async move |ctx| {
                let _x = ctx.lock(&X).await?;
                ctx.lock(&m).await.map(|value| *value)
            })
        };
        waits("owned/holds x").await;
        // A ring in truth, but for its way through a plain task.
        let plain = tokio::spawn(async move {
            let mut guard = guard;
            *guard = 1;
            X.lock_within(ms(200)).await.map(drop)
        });
        assert!(plain.await.unwrap().unwrap_err().is_timeout());
        assert_eq!(end(holds_x).await.unwrap(), 1);
        told.no_verdict();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_waits_for_a_channel_is_no_deadlock() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let told = Told::about("channel/");
        let (send, receive) = oneshot::channel();
        let holder = spawn!("channel/holder", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            Ok::<_, LockError>(receive.await.unwrap())
        });
        until(|| M.is_locked()).await;
        let waiter = spawn!("channel/waiter", async move |ctx| ctx.lock(&M).await.map(drop));
        waits("channel/waiter").await;
        pause(150).await;
        send.send(3).unwrap();
        assert_eq!(end(holder).await.unwrap(), 3);
        end(waiter).await.unwrap();
        told.nothing();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_yields_all_the_time_is_no_deadlock() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let told = Told::about("yields/");
        let yields = spawn!("yields/yields", async move |ctx| {
            let _a = ctx.lock(&A).await?;
            BOTH_HOLD.wait().await;
            let mut b = pin!(ctx.lock(&B));
            let begun = now();
            while begun.elapsed() < ms(200) {
                let looked = poll_fn(|cx| Poll::Ready(b.as_mut().poll(cx).map(drop))).await;
                assert!(looked.is_pending());
                tokio::task::yield_now().await;
            }
            Ok::<_, LockError>(())
        });
        let waits = spawn!("yields/waits", async move |ctx| {
            let _b = ctx.lock(&B).await?;
            BOTH_HOLD.wait().await;
            ctx.lock(&A).await.map(drop)
        });
        assert!(end_all([yields, waits]).await.iter().all(Result::is_ok));
        told.nothing();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_in_a_plain_task_is_no_deadlock() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    limited(async {
        let told = Told::about("plain/");
        let plain_holds = A.lock().await.unwrap();
        let member = spawn!("plain/member", async move |ctx| {
            let _b = ctx.lock(&B).await?;
            ctx.lock(&A).await.map(drop)
        });
        waits("plain/member").await;
        assert!(B.lock_within(ms(150)).await.unwrap_err().is_timeout());
        drop(plain_holds);
        end(member).await.unwrap();
        told.nothing();
    })
    .await;
}

/// It holds the gate and waits for nothing but its cancel: a server that runs until it is told to stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_alone_while_holding_a_gate_is_never_a_verdict() {
    static GATE: Mutex<()> = Mutex::new(());
    limited(async {
        let told = Told::about("gate/");
        let mut holder = activity(async |ctx| {
            let _gate = ctx.lock(&GATE).await?;
            ctx.cancelled().await;
            Ok::<_, LockError>("was cancelled")
        })
        .named("gate/holder");
        let handle = holder.handle();
        let holder = tokio::spawn(holder);
        until(|| GATE.is_locked()).await;
        let waiter = spawn!("gate/waiter", async move |ctx| ctx.lock(&GATE).await.map(drop));
        waits("gate/waiter").await;
        pause(300).await;
        told.nothing();
        handle.cancel();
        assert_eq!(holder.await.unwrap().unwrap().unwrap(), "was cancelled");
        end(waiter).await.unwrap();
        told.no_verdict();
    })
    .await;
}

/// Through a context that got into another activity nobody known acquires anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaked_context_is_an_unknown_holder() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let told = Told::about("leaked/");
        let parent = spawn!("leaked/parent", async move |outer| {
            let child = async |_inner: &Context| {
                let _m = outer.lock(&M).await?;
                waits("leaked/waiter").await;
                pause(100).await;
                Ok::<_, LockError>(())
            };
            outer.join(child, async |_ctx| ()).await.0.unwrap()
        });
        until(|| M.is_locked()).await;
        let waiter = spawn!("leaked/waiter", async move |ctx| {
            let error = ctx.lock_within(&M, ms(50)).await.map(drop).unwrap_err();
            let LockError::Timeout(timeout) = error else { panic!("not a timeout: {error}") };
            assert_eq!(timeout.holder.expect("somebody has it").number, 0, "and nobody knows who");
            ctx.lock(&M).await.map(drop)
        });
        end(parent).await.unwrap();
        end(waiter).await.unwrap();
        told.no_verdict();
    })
    .await;
}

/// The same for a wait that began in its activity and went on in another: what it gets is booked to nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_goes_on_in_another_activity_is_an_unknown_holder() {
    static M: Mutex<u32> = Mutex::new(0);
    limited(async {
        let told = Told::about("moved/");
        let held = M.lock().await.unwrap();
        let (has_it, had_it) = oneshot::channel();
        let (let_go, may_go) = oneshot::channel::<()>();
        let parent = spawn!("moved/parent", async move |outer| {
            let mut lock = pin!(outer.lock(&M));
            poll_once(lock.as_mut()).await;
            let child = async |_inner: &Context| {
                let mut m = lock.as_mut().await?;
                has_it.send(()).unwrap();
                may_go.await.unwrap();
                *m += 1;
                Ok::<_, LockError>(())
            };
            outer.join(child, async |_ctx| ()).await.0.unwrap()
        });
        waits("moved/parent").await;
        drop(held);
        had_it.await.unwrap();
        let waiter = spawn!("moved/waiter", async move |ctx| {
            let error = ctx.lock_within(&M, ms(50)).await.map(drop).unwrap_err();
            let LockError::Timeout(timeout) = error else { panic!("not a timeout: {error}") };
            assert_eq!(timeout.holder.expect("somebody has it").number, 0, "and nobody knows who");
        });
        end(waiter).await;
        let_go.send(()).unwrap();
        end(parent).await.unwrap();
        assert_eq!(*M.lock().await.unwrap(), 1);
        told.no_verdict();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_context_used_by_another_thread_is_an_unknown_holder() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let scoped = spawn!("scoped/parent", async move |ctx| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let lock = pin!(ctx.lock(&M));
                    let Poll::Ready(guard) = lock.poll(&mut TaskContext::from_waker(Waker::noop())) else {
                        panic!("it is free")
                    };
                    let seen = freehold_sync::observe();
                    let is_its = |member: &freehold_sync::Observed| {
                        member.actor.name == "scoped/parent" && !member.holds.is_empty()
                    };
                    assert!(!seen.members.iter().any(is_its), "it is not the activity's");
                    drop(guard);
                });
            });
        });
        end(scoped).await;
        assert!(M.try_lock().is_some());
    })
    .await;
}

// ---- nobody left to wake it ----------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_awaits_something_nobody_can_complete_is_proven() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let (told, begun) = (Told::about("nobody/"), now());
        let holder = tokio::spawn(
            activity(async |ctx| {
                let _m = ctx.lock(&M).await?;
                pending::<()>().await;
                Ok::<_, LockError>(())
            })
            .named("nobody/holder"),
        );
        until(|| M.is_locked()).await;
        let waiters: Vec<_> =
            (0..3).map(|_| spawn!("nobody/waiter", async move |ctx| ctx.lock(&M).await.map(drop))).collect();
        let Err(Ended::Orphan(report)) = holder.await.unwrap() else { panic!("the holder is ended") };
        assert!(begun.elapsed() < SOON);
        assert_eq!((report.grade, report.action), (Grade::Proven, Action::EndedHolder));
        assert!(!report.is_ring());
        assert!(end_all(waiters).await.iter().all(Result::is_ok), "the waiters go on");
        assert_eq!(told.first(Grade::Proven).await.id, report.id);
    })
    .await;
}

/// The other way round: it is waited for already when it stops for good, and it waits for no lock itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_goes_idle_with_nobody_left_to_wake_it_is_found() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let begun = now();
        let holder = tokio::spawn(
            activity(async |ctx| {
                let _m = ctx.lock(&M).await?;
                waits("goes idle/waiter").await;
                pending::<()>().await;
                Ok::<_, LockError>(())
            })
            .named("goes idle/holder"),
        );
        until(|| M.is_locked()).await;
        let waiter = spawn!("goes idle/waiter", async move |ctx| ctx.lock(&M).await.map(drop));
        let ended = holder.await.unwrap();
        assert!(matches!(ended, Err(Ended::Orphan(_))), "{ended:?}");
        end(waiter).await.expect("the waiter goes on");
        assert!(begun.elapsed() < SOON);
    })
    .await;
}

/// A waker that sits somewhere might be woken; once it is dropped it cannot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waker_clone_dropped_without_waking_is_proven_by_the_sweep() {
    static M: Mutex<()> = Mutex::new(());
    static KEPT: StdMutex<Option<Waker>> = StdMutex::new(None);
    limited(async {
        let told = Told::about("last waker/");
        let holder = tokio::spawn(
            activity(async |ctx| {
                let _m = ctx.lock(&M).await?;
                poll_fn(|cx| {
                    *KEPT.lock().unwrap() = Some(cx.waker().clone());
                    Poll::<()>::Pending
                })
                .await;
                Ok::<_, LockError>(())
            })
            .named("last waker/holder"),
        );
        until(|| M.is_locked()).await;
        let waiter = spawn!("last waker/waiter", async move |ctx| ctx.lock(&M).await.map(drop));
        waits("last waker/waiter").await;
        pause(200).await;
        told.nothing();
        assert!(M.is_locked(), "it might still be woken");
        let begun = now();
        drop(KEPT.lock().unwrap().take());
        let ended = holder.await.unwrap();
        assert!(matches!(ended, Err(Ended::Orphan(_))), "{ended:?}");
        assert!(begun.elapsed() < SOON);
        end(waiter).await.unwrap();
    })
    .await;
}

/// Nobody waits for what it holds: it harms nobody, and is left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_nobody_waits_for_is_left_alone() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let told = Told::about("alone/");
        let holder = tokio::spawn(
            activity(async |ctx| {
                let _m = ctx.lock(&M).await;
                pending::<()>().await;
            })
            .named("alone/holder"),
        );
        until(|| M.is_locked()).await;
        pause(200).await;
        told.nothing();
        assert!(!holder.is_finished());
        holder.abort();
        assert!(holder.await.unwrap_err().is_cancelled());
        assert!(M.try_lock().is_some(), "its drop gave back what it held");
    })
    .await;
}

/// All that a program in order does at once, for a while: not one verdict.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_that_lock_in_one_order_are_no_deadlock() {
    static LOCKS: [Mutex<u64>; 4] = [const { Mutex::new(0) }; 4];
    limited(async {
        let told = Told::about("ordered/");
        let handles: Vec<_> = (0..16)
            .map(|i: usize| {
                spawn!("ordered/member", async move |ctx| {
                    for round in 0..100 {
                        let mut first = ctx.lock(&LOCKS[(i + round) % 3]).await?;
                        if round % 3 == 0 {
                            tokio::task::yield_now().await;
                        }
                        let mut last = ctx.lock(&LOCKS[3]).await?;
                        *first += 1;
                        *last += 1;
                    }
                    Ok::<_, LockError>(())
                })
            })
            .collect();
        assert!(end_all(handles).await.iter().all(Result::is_ok));
        let mut sum = 0;
        for lock in &LOCKS[..3] {
            sum += *lock.lock().await.unwrap();
        }
        assert_eq!((sum, *LOCKS[3].lock().await.unwrap()), (1600, 1600), "counts stay right");
        told.no_verdict();
    })
    .await;
}

/// Its own timer is in another arm than the wait that closes the ring.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_with_a_timer_in_another_arm_is_proven_once_that_timer_has_fired() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let begun = now();
        let two_arms = spawn!("other arm/two", async move |ctx| {
            let ring = async {
                let _a = ctx.lock(&A).await?;
                BOTH_HOLD.wait().await;
                ctx.lock(&B).await.map(drop)
            };
            tokio::join!(ring, pause(150)).0
        });
        let one_arm = spawn!("other arm/one", async move |ctx| {
            let _b = ctx.lock(&B).await?;
            BOTH_HOLD.wait().await;
            ctx.lock(&A).await.map(drop)
        });
        let ends = end_all([two_arms, one_arm]).await;
        let took = begun.elapsed();
        proven(ends.iter().find_map(|end| end.as_ref().err()).expect("a ring all the same"));
        assert!(took >= ms(149) && took < SOON, "as long as the timer ran there was no proof: {took:?}");
    })
    .await;
}

//! Wakers that were left behind: told from those that count by a probe, and harmless after their activity's end.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{Context, LockError, Mutex, activity, spawn};
use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context as TaskContext, Poll, Wake, Waker},
};
use support::{Meeting, SOON, Told, end, end_all, limited, ms, now, one_victim, pause, take_both, waits};
use tokio::sync::{mpsc, oneshot};

/// A handler's loop: takes what comes, until a lull. The receiver that lost keeps a clone of the activity's waker.
async fn until_a_lull(receiver: &mut mpsc::Receiver<u32>) -> u32 {
    let mut sum = 0;
    loop {
        tokio::select! {
            biased;
            message = receiver.recv() => sum += message.expect("the sender lives"),
            () = pause(2) => return sum,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_whose_select_loops_left_a_clone_in_a_channel_are_proven_through_the_probe() {
    limited(async {
        let probes = freehold_sync::metrics::global().probes;
        for round in 0..20 {
            let locks = Arc::new((Mutex::new(()), Mutex::new(()), Meeting::of(2)));
            let begun = now();
            let mut senders = Vec::new();
            let mut handler = |swap: bool| {
                let (send, mut receive) = mpsc::channel(4);
                send.try_send(7).unwrap();
                senders.push(send);
                let locks = locks.clone();
                spawn!("loop/handler", async move |ctx| {
                    assert_eq!(until_a_lull(&mut receive).await, 7);
                    let (first, second) = if swap { (&locks.1, &locks.0) } else { (&locks.0, &locks.1) };
                    take_both(ctx, first, &locks.2, second).await
                })
            };
            let handles = [handler(false), handler(true)];
            one_victim(&end_all(handles).await);
            assert!(begun.elapsed() < SOON, "round {round}: {:?}", begun.elapsed());
        }
        assert!(freehold_sync::metrics::global().probes > probes, "else the clones were not there at all");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_left_in_a_oneshot_receiver_is_proven_through_the_probe() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let begun = now();
        let mut senders = Vec::new();
        let mut member = |first: &'static Mutex<()>, second: &'static Mutex<()>| {
            let (send, mut receive) = oneshot::channel::<()>();
            senders.push(send);
            spawn!("oneshot/member", async move |ctx| {
                tokio::select! {
                    _ = &mut receive => unreachable!("nobody sends"),
                    () = pause(2) => {}
                }
                let taken = take_both(ctx, first, &BOTH_HOLD, second).await;
                drop(receive);
                taken
            })
        };
        let handles = [member(&A, &B), member(&B, &A)];
        one_victim(&end_all(handles).await);
        assert!(begun.elapsed() < SOON);
    })
    .await;
}

/// It looks like the ring above, but the timer is polled each time, also under the probe.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_still_polls_a_timer_is_never_convicted() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let told = Told::about("timer/");
        let timed = spawn!("timer/timed", async move |ctx| {
            let _a = ctx.lock(&A).await?;
            BOTH_HOLD.wait().await;
            let mut b = pin!(ctx.lock(&B));
            let mut timer = pin!(pause(400));
            tokio::select! {
                _ = &mut b => Ok::<_, LockError>("had both"),
                () = &mut timer => Ok("its timer fired"),
            }
        });
        let untimed = spawn!("timer/untimed", async move |ctx| {
            take_both(ctx, &B, &BOTH_HOLD, &A).await.map(|()| "had both")
        });
        assert_eq!(end(timed).await.unwrap(), "its timer fired");
        assert_eq!(end(untimed).await.unwrap(), "had both");
        told.nothing();
    })
    .await;
}

/// A waker that is registered again at every poll counts, until it is dropped unused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_in_a_ring_that_is_dropped_without_waking_is_proven_by_the_sweep() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    static KEPT: StdMutex<Option<Waker>> = StdMutex::new(None);
    limited(async {
        let told = Told::about("kept/");
        let keeps = spawn!("kept/keeps", async move |ctx| {
            let _a = ctx.lock(&A).await?;
            BOTH_HOLD.wait().await;
            tokio::select! {
                b = ctx.lock(&B) => b.map(drop),
                () = poll_fn(|cx| {
                    *KEPT.lock().unwrap() = Some(cx.waker().clone());
                    Poll::Pending
                }) => unreachable!("it is never ready"),
            }
        });
        let other = spawn!("kept/other", async move |ctx| take_both(ctx, &B, &BOTH_HOLD, &A).await);
        waits("kept/keeps").await;
        waits("kept/other").await;
        pause(200).await;
        told.nothing();
        let begun = now();
        drop(KEPT.lock().unwrap().take());
        one_victim(&end_all([keeps, other]).await);
        assert!(begun.elapsed() < SOON);
    })
    .await;
}

// ---- after the end -------------------------------------------------------------------------------------------------

/// Runs an activity to its end on this thread, and returns a clone of the waker it was polled with.
fn waker_of_a_finished_activity(name: &'static str) -> Waker {
    let mut kept = None;
    let activity = activity(async |_ctx: &Context| {
        poll_fn(|cx| {
            kept = Some(cx.waker().clone());
            Poll::Ready(())
        })
        .await;
    })
    .named(name);
    assert!(pin!(activity).poll(&mut TaskContext::from_waker(Waker::noop())).is_ready());
    kept.unwrap()
}

/// The slot stands behind the waker's data pointer, and a thread uses again first what it got back last.
#[test]
fn a_stale_clone_outliving_its_activity_keeps_the_slot_and_returns_it_at_last() {
    let stale = waker_of_a_finished_activity("stale/first");
    let slot = stale.data();
    for _ in 0..200 {
        assert_ne!(waker_of_a_finished_activity("stale/others").data(), slot, "it is still in use");
    }
    let another = stale.clone();
    drop(stale);
    assert_ne!(waker_of_a_finished_activity("stale/others").data(), slot, "by the second clone");
    drop(another);
    assert_eq!(waker_of_a_finished_activity("stale/next").data(), slot, "the slot was returned");
}

/// Counts how often a task would have run.
#[derive(Default)]
struct Runs(AtomicUsize);

impl Wake for Runs {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_stale_clone_wakes_nobody_after_the_end() {
    let runs = Arc::new(Runs::default());
    let mut kept = None;
    {
        let activity = activity(async |_ctx: &Context| {
            poll_fn(|cx| {
                kept = Some(cx.waker().clone());
                Poll::Ready(())
            })
            .await;
        });
        let waker = Waker::from(runs.clone());
        assert!(pin!(activity).poll(&mut TaskContext::from_waker(&waker)).is_ready());
    }
    let stale = kept.unwrap();
    stale.wake_by_ref();
    stale.wake();
    assert_eq!(runs.0.load(Ordering::SeqCst), 0);
    assert_eq!(Arc::strong_count(&runs), 1, "nor does it keep the task it would have woken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_clone_of_a_dropped_activity_does_not_disturb_the_next_user_of_its_slot() {
    static M: Mutex<()> = Mutex::new(());
    static KEPT: StdMutex<Vec<Waker>> = StdMutex::new(Vec::new());
    limited(async {
        for _ in 0..200 {
            let kept = tokio::spawn(activity(async |_ctx: &Context| {
                poll_fn(|cx| {
                    KEPT.lock().unwrap().push(cx.waker().clone());
                    Poll::<()>::Pending
                })
                .await;
            }));
            support::until(|| !KEPT.lock().unwrap().is_empty()).await;
            kept.abort();
            let stale: Vec<_> = KEPT.lock().unwrap().drain(..).collect();
            let held = M.lock().await.unwrap();
            let next = spawn!("next/user", async move |ctx| ctx.lock_within(&M, ms(5000)).await.map(drop));
            waits("next/user").await;
            stale.into_iter().for_each(Waker::wake);
            drop(held);
            end(next).await.unwrap();
        }
    })
    .await;
}

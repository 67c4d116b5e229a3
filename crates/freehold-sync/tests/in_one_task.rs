//! Several futures in one task: `join!`, `select!`, sets of futures, children, and tokio's coop budget.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{Context, Ended, LockError, Mutex, Selected, activity, spawn};
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Mutex as StdMutex,
    task::Poll,
};
use support::{
    Meeting, SOON, Told, end, end_all, limited, ms, now, one_victim, pause, proven, take_both, until, waits,
};
use tokio::task::coop;

#[tokio::test]
async fn join_abba_in_one_task_is_proven() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    limited(async {
        let begun = now();
        let joined = spawn!("join/abba", async move |ctx| {
            let meeting = Meeting::of(2);
            tokio::join!(take_both(ctx, &A, &meeting, &B), take_both(ctx, &B, &meeting, &A))
        });
        let (left, right) = end(joined).await;
        let report = one_victim(&[left, right]);
        assert!(begun.elapsed() < SOON);
        assert!(report.is_ring());
        assert_eq!(report.victim().unwrap().name, "join/abba");
    })
    .await;
}

#[tokio::test]
async fn join_where_the_holder_sleeps_is_no_deadlock() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let told = Told::about("join/sleeps");
        let joined = spawn!("join/sleeps", async move |ctx| {
            let held = Meeting::of(2);
            let holder = async {
                let _m = ctx.lock(&M).await?;
                held.wait().await;
                pause(150).await;
                Ok::<_, LockError>(())
            };
            let waiter = async {
                held.wait().await;
                ctx.lock(&M).await.map(drop)
            };
            tokio::join!(holder, waiter)
        });
        let (holder, waiter) = end(joined).await;
        holder.unwrap();
        waiter.unwrap();
        told.nothing();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn select_of_lock_and_timer_is_no_deadlock() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let told = Told::about("select/");
        let patient = spawn!("select/patient", async move |ctx| {
            take_both(ctx, &B, &BOTH_HOLD, &A).await.map(|()| "had both")
        });
        let impatient = spawn!("select/impatient", async move |ctx| {
            let _a = ctx.lock(&A).await?;
            BOTH_HOLD.wait().await;
            tokio::select! {
                b = ctx.lock(&B) => b.map(|_| "had both"),
                () = pause(150) => Ok("gave up"),
            }
        });
        assert_eq!(end(impatient).await.unwrap(), "gave up");
        assert_eq!(end(patient).await.unwrap(), "had both");
        told.nothing();
    })
    .await;
}

/// Each child is an activity of its own, so that the set's own wakers hide nothing.
#[tokio::test]
async fn futures_unordered_abba_of_activities_is_proven() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let begun = now();
        let parent = spawn!("set/parent", async move |_ctx| {
            let set: FuturesUnordered<_> = [(&A, &B), (&B, &A)]
                .map(|(first, second)| {
                    activity(async move |ctx: &Context| take_both(ctx, first, &BOTH_HOLD, second).await)
                        .named("set/child")
                })
                .into_iter()
                .collect();
            set.map(|child| child.expect("no child is ended")).collect::<Vec<_>>().await
        });
        let report = one_victim(&end(parent).await);
        assert!(begun.elapsed() < SOON);
        assert_eq!(report.edges.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn join_of_child_activities_abba_is_proven() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let begun = now();
        let parent = spawn!("children/parent", async move |ctx| {
            ctx.join(
                async |ctx| take_both(ctx, &A, &BOTH_HOLD, &B).await,
                async |ctx| take_both(ctx, &B, &BOTH_HOLD, &A).await,
            )
            .await
        });
        let (left, right) = end(parent).await;
        one_victim(&[left.unwrap(), right.unwrap()]);
        assert!(begun.elapsed() < SOON);
    })
    .await;
}

#[tokio::test]
async fn join_all_of_child_activities_in_a_ring_is_proven() {
    const MEMBERS: usize = 5;
    static LOCKS: [Mutex<()>; MEMBERS] = [const { Mutex::new(()) }; MEMBERS];
    static ALL_HOLD: Meeting = Meeting::of(MEMBERS);
    limited(async {
        let parent = spawn!("all/parent", async move |ctx| {
            let child = |i: usize| {
                async move |ctx: &Context| {
                    take_both(ctx, &LOCKS[i], &ALL_HOLD, &LOCKS[(i + 1) % MEMBERS]).await
                }
            };
            ctx.join_all((0..MEMBERS).map(child)).await
        });
        let results: Vec<_> = end(parent).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(one_victim(&results).edges.len(), MEMBERS);
    })
    .await;
}

#[tokio::test]
async fn a_child_that_waits_for_its_parents_lock_is_proven() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let begun = now();
        let parent = spawn!("own child/parent", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            let (child, sibling) = ctx.join(async |ctx| ctx.lock(&M).await.map(drop), async |_ctx| 7).await;
            assert_eq!(sibling.unwrap(), 7);
            child.unwrap()
        });
        let report = proven(&end(parent).await.unwrap_err());
        assert!(begun.elapsed() < SOON);
        assert_eq!(report.edges.len(), 2, "by the lock to the parent, by the child back: {report}");
    })
    .await;
}

#[tokio::test]
async fn select_between_children_of_which_one_sleeps_is_no_deadlock() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let told = Told::about("choice/");
        let parent = spawn!("choice/parent", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            let first =
                ctx.select(async |ctx| ctx.lock(&M).await.map(drop), async |_ctx| pause(150).await).await;
            assert!(matches!(first, Selected::Second(Ok(()))), "{first:?}");
            Ok::<_, LockError>(())
        });
        end(parent).await.unwrap();
        told.nothing();
        assert!(M.try_lock().is_some());
    })
    .await;
}

/// A child that can never be woken is ended; its parent learns so and goes on.
#[tokio::test]
async fn a_child_that_nobody_can_wake_is_ended_for_those_who_wait_for_it() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let parent = spawn!("idle child/parent", async move |ctx| {
            let idle = async |ctx: &Context| {
                let _m = ctx.lock(&M).await;
                std::future::pending::<()>().await;
            };
            let waiter = async |ctx: &Context| ctx.lock(&M).await.map(drop);
            ctx.join(idle, waiter).await
        });
        let (idle, waiter) = end(parent).await;
        assert!(matches!(idle, Err(Ended::Orphan(_))), "{idle:?}");
        waiter.unwrap().unwrap();
    })
    .await;
}

/// Uses up what tokio lets this task do in one poll.
fn spend_the_budget(cx: &mut std::task::Context<'_>) {
    while let Poll::Ready(budget) = coop::poll_proceed(cx) {
        budget.made_progress();
    }
}

/// The arm is polled, though tokio's budget does not let it look: it has not given its turn up.
#[tokio::test]
async fn coop_budget_spent_inside_an_arm_keeps_its_turn() {
    static M: Mutex<()> = Mutex::new(());
    static ORDER: StdMutex<Vec<&str>> = StdMutex::new(Vec::new());
    limited(async {
        for _ in 0..20 {
            ORDER.lock().unwrap().clear();
            let held = M.lock().await.unwrap();
            let greedy = spawn!("coop/greedy", async move |ctx| {
                let mut lock = pin!(ctx.lock(&M));
                let mut polls = 0;
                let guard = poll_fn(|cx| {
                    polls += 1;
                    // The first poll queues it; the next few, its turn come, find the budget spent.
                    if (2..6).contains(&polls) {
                        spend_the_budget(cx);
                    }
                    lock.as_mut().poll(cx)
                })
                .await?;
                ORDER.lock().unwrap().push("greedy");
                drop(guard);
                Ok::<_, LockError>(polls)
            });
            waits("coop/greedy").await;
            let next = spawn!("coop/next", async move |ctx| {
                let _m = ctx.lock(&M).await?;
                ORDER.lock().unwrap().push("next");
                Ok::<_, LockError>(0)
            });
            waits("coop/next").await;
            drop(held);
            let ends = end_all([greedy, next]).await;
            assert!(*ends[0].as_ref().unwrap() >= 6, "the budget was spent while it had its turn: {ends:?}");
            assert!(ends[1].is_ok());
            assert_eq!(*ORDER.lock().unwrap(), ["greedy", "next"]);
        }
    })
    .await;
}

/// A wait that is dropped in the middle of a `select!` leaves nothing behind, neither in the queue nor in the graph.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_select_loop_that_drops_its_wait_each_time_is_no_deadlock() {
    static M: Mutex<u32> = Mutex::new(0);
    limited(async {
        let told = Told::about("drops/");
        let holder = spawn!("drops/holder", async move |ctx| {
            let mut m = ctx.lock(&M).await?;
            pause(200).await;
            *m += 1;
            Ok::<_, LockError>(0)
        });
        until(|| M.is_locked()).await;
        let looping = spawn!("drops/looping", async move |ctx| {
            let mut rounds = 0;
            loop {
                tokio::select! {
                    m = ctx.lock(&M) => {
                        assert_eq!(*m?, 1);
                        return Ok::<_, LockError>(rounds);
                    }
                    () = pause(2) => rounds += 1,
                }
            }
        });
        let ends = end_all([holder, looping]).await;
        assert!(*ends[1].as_ref().unwrap() > 10, "{ends:?}");
        told.nothing();
    })
    .await;
}

/// `join!` of a wait and of a wait with a deadline: who gives up in time ends it.
#[tokio::test]
async fn the_deadline_of_one_arm_ends_a_wait_for_the_other() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let outside = M.lock().await.unwrap();
        let joined = spawn!("one arm/joined", async move |ctx| {
            let short: Pin<Box<dyn Future<Output = _> + Send>> =
                Box::pin(async { ctx.lock_within(&M, ms(50)).await.map(drop) });
            let long = async { ctx.lock(&M).await.map(drop) };
            tokio::join!(short, long)
        });
        pause(150).await;
        drop(outside);
        let (short, long) = end(joined).await;
        assert!(short.unwrap_err().is_timeout());
        long.unwrap();
    })
    .await;
}

//! Rings over several tasks: proven when they close, and broken with exactly one victim.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{Deadlock, LockError, Mutex, PermitPool, RwLock, spawn};
use std::sync::Arc;
use support::{
    Meeting, SOON, Told, end, end_all, limited, now, one_victim, pause, proven, take_both, until, waits,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abba_in_two_tasks_is_proven() {
    limited(async {
        for _ in 0..100 {
            let locks = Arc::new((Mutex::new(()), Mutex::new(()), Meeting::of(2)));
            let begun = now();
            let one = {
                let l = locks.clone();
                spawn!("abba/one", async move |ctx| take_both(ctx, &l.0, &l.2, &l.1).await)
            };
            let two = {
                let l = locks.clone();
                spawn!("abba/two", async move |ctx| take_both(ctx, &l.1, &l.2, &l.0).await)
            };
            let report = one_victim(&end_all([one, two]).await);
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            assert!(report.is_ring());
            assert_eq!(report.edges.len(), 2);
            assert_eq!(report.victim().unwrap().name, "abba/two", "the younger one");
        }
    })
    .await;
}

async fn ring_of(members: usize) -> Arc<Deadlock> {
    let locks: Arc<Vec<_>> = Arc::new((0..members).map(|_| Mutex::new(())).collect());
    let all_hold = Arc::new(Meeting::of(members));
    let begun = now();
    let handles: Vec<_> = (0..members)
        .map(|i| {
            let (locks, all_hold) = (locks.clone(), all_hold.clone());
            spawn!(format!("ring of {members}/{i}"), async move |ctx| {
                take_both(ctx, &locks[i], &all_hold, &locks[(i + 1) % locks.len()]).await
            })
        })
        .collect();
    let report = one_victim(&end_all(handles).await);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(report.is_ring());
    assert_eq!(report.edges.len(), members);
    for pair in report.edges.windows(2) {
        assert_eq!(pair[0].holder.number, pair[1].waiter.number, "edges come in ring order");
    }
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ring_of_3_is_proven() {
    limited(ring_of(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ring_of_7_is_proven() {
    limited(ring_of(7)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ring_of_40_is_proven() {
    limited(ring_of(40)).await;
}

/// Longer than the walk at the end of a poll goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ring_of_300_is_proven() {
    limited(ring_of(300)).await;
}

#[tokio::test]
async fn lock_twice_in_one_task_is_proven() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let begun = now();
        let again = spawn!("twice/only", async move |ctx| {
            let _first = ctx.lock(&M).await?;
            ctx.lock(&M).await.map(drop)
        });
        let report = proven(&end(again).await.unwrap_err());
        assert!(begun.elapsed() < SOON);
        assert_eq!(report.edges.len(), 1);
        assert!(report.is_ring());
        assert!(M.try_lock().is_some(), "the victim gave back what it held");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_over_locks_of_several_kinds_is_proven() {
    static M: Mutex<()> = Mutex::new(());
    static L: RwLock<()> = RwLock::new(());
    static P: PermitPool = PermitPool::new(2);
    static ALL_HOLD: Meeting = Meeting::of(3);
    limited(async {
        let begun = now();
        let handles = [
            spawn!("kinds/mutex then read", async move |ctx| {
                let _m = ctx.lock(&M).await?;
                ALL_HOLD.wait().await;
                ctx.read(&L).await.map(drop)
            }),
            spawn!("kinds/write then permits", async move |ctx| {
                let _l = ctx.write(&L).await?;
                ALL_HOLD.wait().await;
                ctx.permits(&P, 2).await.map(drop)
            }),
            spawn!("kinds/permit then mutex", async move |ctx| {
                let _p = ctx.permit(&P).await?;
                ALL_HOLD.wait().await;
                ctx.lock(&M).await.map(drop)
            }),
        ];
        let report = one_victim(&end_all(handles).await);
        assert!(begun.elapsed() < SOON);
        assert_eq!(report.edges.len(), 3);
        assert_ne!(report.victim().unwrap().name, "kinds/write then permits", "locks go before permits");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_behind_a_ring_are_counted_and_are_no_victims() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let one = spawn!("behind/one", async move |ctx| take_both(ctx, &A, &BOTH_HOLD, &B).await);
        until(|| A.is_locked()).await;
        let behind: Vec<_> =
            (0..5).map(|_| spawn!("behind/waits", async move |ctx| ctx.lock(&A).await.map(drop))).collect();
        waits("behind/waits").await;
        until(|| {
            let seen = freehold_sync::observe();
            seen.members.iter().filter(|m| m.actor.name == "behind/waits" && !m.waits.is_empty()).count() == 5
        })
        .await;
        let two = spawn!("behind/two", async move |ctx| take_both(ctx, &B, &BOTH_HOLD, &A).await);
        let report = one_victim(&end_all([one, two]).await);
        assert_eq!(report.edges.len(), 2);
        assert_eq!(report.behind, 5);
        assert!(end_all(behind).await.iter().all(Result::is_ok), "they only had to wait");
    })
    .await;
}

/// The reader and the writer of each ring meet in one wait: the writer's, for the lock that both readers hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_rings_closed_by_one_write_wait_are_both_broken_with_one_victim_each() {
    static L: RwLock<()> = RwLock::new(());
    static LEFT: Mutex<()> = Mutex::new(());
    static RIGHT: Mutex<()> = Mutex::new(());
    static ALL_HOLD: Meeting = Meeting::of(3);
    limited(async {
        let begun = now();
        // The oldest, so that it is not the victim: as one it would break both rings at once.
        let writer = spawn!("two rings/writer", async move |ctx| {
            let _left = ctx.lock(&LEFT).await?;
            let _right = ctx.lock(&RIGHT).await?;
            ALL_HOLD.wait().await;
            waits("two rings/left").await;
            waits("two rings/right").await;
            ctx.write(&L).await.map(drop)
        });
        let left = spawn!("two rings/left", async move |ctx| {
            let _l = ctx.read(&L).await?;
            ALL_HOLD.wait().await;
            ctx.lock(&LEFT).await.map(drop)
        });
        let right = spawn!("two rings/right", async move |ctx| {
            let _l = ctx.read(&L).await?;
            ALL_HOLD.wait().await;
            ctx.lock(&RIGHT).await.map(drop)
        });
        end(writer).await.expect("the writer finishes");
        let left = proven(&end(left).await.unwrap_err());
        let right = proven(&end(right).await.unwrap_err());
        assert!(begun.elapsed() < SOON);
        assert_ne!(left.id, right.id, "a report for each ring");
        assert_eq!((left.edges.len(), right.edges.len()), (2, 2));
    })
    .await;
}

/// Both ends of a growing chain: nobody is told anything as long as the last one goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_whose_end_lives_is_no_deadlock() {
    const LENGTH: usize = 50;
    limited(async {
        let told = Told::about("chain/");
        let locks: Arc<Vec<_>> = Arc::new((0..LENGTH).map(|_| Mutex::new(())).collect());
        let all_hold = Arc::new(Meeting::of(LENGTH));
        let handles: Vec<_> = (0..LENGTH)
            .map(|i| {
                let (locks, all_hold) = (locks.clone(), all_hold.clone());
                spawn!(format!("chain/{i}"), async move |ctx| {
                    let _mine = ctx.lock(&locks[i]).await?;
                    all_hold.wait().await;
                    if i == 0 {
                        pause(150).await;
                    } else {
                        let _next = ctx.lock(&locks[i - 1]).await?;
                    }
                    Ok::<_, LockError>(())
                })
            })
            .collect();
        assert!(end_all(handles).await.iter().all(Result::is_ok));
        told.nothing();
    })
    .await;
}

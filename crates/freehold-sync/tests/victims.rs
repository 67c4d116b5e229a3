//! Who of a ring gives up, and that giving up leads somewhere. The policy is one for the process, so these tests run one
//! after the other.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{
    Candidate, Context, Deadlock, Grade, LockError, Mutex, PermitPool, VictimPolicy, activity, joinable,
    set_victim_policy, spawn,
};
use std::sync::{
    Arc, Mutex as StdMutex,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
use support::{Meeting, SOON, Told, end_all, limited, now, one_victim, until};

static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Sets a policy until it is dropped.
struct Policy(#[expect(dead_code, reason = "held")] tokio::sync::MutexGuard<'static, ()>);

impl Policy {
    async fn set(policy: VictimPolicy) -> Self {
        let guard = ONE_AT_A_TIME.lock().await;
        set_victim_policy(policy);
        Self(guard)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        set_victim_policy(VictimPolicy::default());
    }
}

/// A ring of four, born in order; member `i` holds `more[i]` further locks and has the priority `priorities[i]`.
async fn ring_of_four(more: [usize; 4], priorities: [u8; 4]) -> Arc<Deadlock> {
    let locks: Arc<[Mutex<()>; 4]> = Arc::default();
    let all_hold = Arc::new(Meeting::of(4));
    let begun = now();
    let handles: Vec<_> = (0..4)
        .map(|i| {
            let (locks, all_hold) = (locks.clone(), all_hold.clone());
            let (member, handle) = joinable(async move |ctx: &Context| {
                let others: Vec<_> = (0..more[i]).map(|_| Mutex::new(())).collect();
                let mut held = Vec::new();
                for other in &others {
                    held.push(ctx.lock(other).await?);
                }
                support::take_both(ctx, &locks[i], &all_hold, &locks[(i + 1) % 4]).await
            });
            tokio::spawn(member.named(format!("victims/{i}")).priority(priorities[i]));
            handle
        })
        .collect();
    let report = one_victim(&end_all(handles).await);
    assert!(begun.elapsed() < SOON);
    assert_eq!(report.edges.len(), 4);
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_youngest_is_the_victim_unless_said_otherwise() {
    limited(async {
        let _policy = Policy::set(VictimPolicy::default()).await;
        for _ in 0..10 {
            assert_eq!(ring_of_four([0, 1, 2, 3], [1, 2, 3, 4]).await.victim().unwrap().name, "victims/3");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_with_the_fewest_locks_is_the_victim() {
    limited(async {
        let _policy = Policy::set(VictimPolicy::FewestLocks).await;
        assert_eq!(ring_of_four([3, 0, 2, 2], [0; 4]).await.victim().unwrap().name, "victims/1");
        assert_eq!(
            ring_of_four([1, 2, 1, 3], [0; 4]).await.victim().unwrap().name,
            "victims/2",
            "the younger"
        );
        assert_eq!(ring_of_four([9, 6, 7, 8], [0; 4]).await.victim().unwrap().name, "victims/1", "many");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_with_the_lowest_priority_is_the_victim() {
    limited(async {
        let _policy = Policy::set(VictimPolicy::LowestPriority).await;
        assert_eq!(ring_of_four([0; 4], [5, 1, 7, 9]).await.victim().unwrap().name, "victims/1");
        assert_eq!(
            ring_of_four([0; 4], [5, 0, 0, 9]).await.victim().unwrap().name,
            "victims/2",
            "the younger"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_users_hook_chooses_and_sees_all_candidates() {
    static SEEN: StdMutex<Vec<Candidate>> = StdMutex::new(Vec::new());
    limited(async {
        let hook = |ring: &[Candidate]| {
            *SEEN.lock().unwrap() = ring.to_vec();
            ring.iter().position(|candidate| candidate.actor.name == "victims/2").unwrap()
        };
        let _policy = Policy::set(VictimPolicy::Hook(Arc::new(hook))).await;
        let report = ring_of_four([0, 1, 2, 3], [4, 3, 2, 1]).await;
        assert_eq!(report.victim().unwrap().name, "victims/2");
        let mut seen = SEEN.lock().unwrap().clone();
        seen.sort_by_key(|candidate| candidate.birth);
        let told: Vec<_> = seen.iter().map(|c| (c.actor.name.as_ref(), c.holds, c.priority)).collect();
        assert_eq!(
            told,
            [("victims/0", 1, 4), ("victims/1", 2, 3), ("victims/2", 3, 2), ("victims/3", 4, 1)]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_panics_or_answers_nonsense_leaves_one_victim_all_the_same() {
    limited(async {
        let policy = Policy::set(VictimPolicy::Hook(Arc::new(|_| usize::MAX))).await;
        ring_of_four([0; 4], [0; 4]).await;
        set_victim_policy(VictimPolicy::Hook(Arc::new(|_| panic!("on purpose"))));
        ring_of_four([0; 4], [0; 4]).await;
        drop(policy);
    })
    .await;
}

/// Two hold one permit each of two and want another: the ring has both, so the policy chooses, and the older finishes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_ring_over_a_pool_the_older_finishes() {
    limited(async {
        let _policy = Policy::set(VictimPolicy::default()).await;
        for _ in 0..20 {
            let pool = Arc::new(PermitPool::new(2));
            let both = Arc::new(tokio::sync::Barrier::new(2));
            let body = |pool: Arc<PermitPool>, both: Arc<tokio::sync::Barrier>| {
                async move |ctx: &Context| {
                    let _one = ctx.permit(&pool).await?;
                    both.wait().await;
                    ctx.permit(&pool).await.map(drop)
                }
            };
            let older = spawn!("older", body(pool.clone(), both.clone()));
            let younger = spawn!("younger", body(pool.clone(), both.clone()));
            let (older, younger) = (older.await.unwrap(), younger.await.unwrap());
            assert!(older.is_ok(), "{older:?}");
            let report = younger.unwrap_err();
            assert_eq!(report.deadlock().expect("a victim").edges.len(), 2);
        }
    })
    .await;
}

/// Until it holds nothing every further wait of a victim fails at once, with the same report: it cannot close the ring
/// again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_victim_that_swallows_its_error_in_a_loop_is_doomed_and_there_is_no_livelock() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let _policy = Policy::set(VictimPolicy::Youngest).await;
        let (told, begun) = (Told::about("swallows/"), now());
        let other = spawn!("swallows/other", async move |ctx| {
            support::take_both(ctx, &A, &BOTH_HOLD, &B).await.map(|()| 0)
        });
        let swallows = spawn!("swallows/victim", async move |ctx| {
            let held = ctx.lock(&B).await?;
            BOTH_HOLD.wait().await;
            let mut ids = Vec::new();
            for _ in 0..1000 {
                match ctx.lock(&A).await {
                    Ok(_) => break,
                    Err(error) => ids.push(support::proven(&error).id.clone()),
                }
            }
            assert_eq!(ids.len(), 1000, "as long as it holds B it gets nothing");
            ids.dedup();
            assert_eq!(ids.len(), 1, "one ring, one report");
            drop(held);
            // It holds nothing any more, and may begin again.
            let _both = (ctx.lock(&A).await?, ctx.lock(&B).await?);
            Ok::<_, LockError>(1)
        });
        let ends = end_all([other, swallows]).await;
        assert!(ends.iter().all(Result::is_ok), "{ends:?}");
        assert!(begun.elapsed() < SOON);
        until(|| told.of(Grade::Proven).len() == 1).await;
    })
    .await;
}

/// Who dropped all guards begins anew: what it takes then, be it free, makes no further wait fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_victim_that_dropped_its_guards_waits_again_also_after_it_took_what_is_free() {
    static LOCKS: [Mutex<()>; 4] = [const { Mutex::new(()) }; 4];
    static BOTH_HOLD: Meeting = Meeting::of(2);
    limited(async {
        let _policy = Policy::set(VictimPolicy::Youngest).await;
        let [a, b, free, taken] = &LOCKS;
        let held = taken.lock().await.unwrap();
        let other = spawn!("anew/other", async move |ctx| support::take_both(ctx, a, &BOTH_HOLD, b).await);
        let victim = spawn!("anew/victim", async move |ctx| {
            support::proven(&support::take_both(ctx, b, &BOTH_HOLD, a).await.unwrap_err());
            let _free = ctx.lock(free).await?;
            let _taken = ctx.lock(taken).await?;
            Ok::<_, LockError>(())
        });
        // It ends at once if it is told that it may not wait.
        until(|| support::is_waiting("anew/victim") && free.is_locked() || victim.is_done()).await;
        drop(held);
        assert!(end_all([other, victim]).await.iter().all(Result::is_ok));
    })
    .await;
}

/// Each transaction locks two of three in random order, and runs again with its old birth stamp until it succeeds. The
/// oldest of all is never the youngest of a ring, so it is never a victim.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn re_run_victims_under_constant_conflict_age_and_the_oldest_finishes() {
    static LOCKS: [Mutex<u64>; 3] = [const { Mutex::new(0) }; 3];
    static OLDEST: AtomicU32 = AtomicU32::new(0);
    static VICTIMS: AtomicU32 = AtomicU32::new(0);
    const TASKS: u64 = 6;
    const TRANSACTIONS: u64 = 40;
    const ENOUGH: u32 = 20;
    static DONE: AtomicU64 = AtomicU64::new(0);

    async fn once(ctx: &Context, first: usize, second: usize) -> Result<(), LockError> {
        let mut first = ctx.lock(&LOCKS[first]).await?;
        tokio::task::yield_now().await;
        let mut second = ctx.lock(&LOCKS[second]).await?;
        *first += 1;
        *second += 1;
        Ok(())
    }

    /// Returns how often it was a victim.
    async fn transaction(birth: Option<u64>, seed: u64) -> u32 {
        let (first, second) = ((seed % 3) as usize, ((seed + 1 + seed / 3 % 2) % 3) as usize);
        let (mut birth, mut victim) = (birth, 0);
        loop {
            let attempt = activity(async |ctx: &Context| once(ctx, first, second).await).named("re-run");
            let attempt = match birth {
                Some(birth) => attempt.born(birth),
                None => attempt,
            };
            birth = Some(attempt.birth());
            match attempt.await.expect("nobody is ended") {
                Ok(()) => return victim,
                Err(error) => {
                    support::proven(&error);
                    victim += 1;
                }
            }
        }
    }

    limited(async {
        let _policy = Policy::set(VictimPolicy::Youngest).await;
        let oldest = activity(async |_ctx: &Context| {}).birth();
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                tokio::spawn(async move {
                    // Everybody goes on until there was conflict enough, so the oldest is never without it.
                    for round in 0.. {
                        if round >= TRANSACTIONS && VICTIMS.load(Ordering::Relaxed) >= ENOUGH {
                            break;
                        }
                        let birth = (task == 0).then_some(oldest);
                        let victim = transaction(birth, task * 7 + round * 5).await;
                        if task == 0 { &OLDEST } else { &VICTIMS }.fetch_add(victim, Ordering::Relaxed);
                        DONE.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(OLDEST.load(Ordering::Relaxed), 0, "the oldest was a victim");
        let mut sum = 0;
        for lock in &LOCKS {
            sum += *lock.lock().await.unwrap();
        }
        assert_eq!(sum, 2 * DONE.load(Ordering::Relaxed), "each transaction was done exactly once");
    })
    .await;
}

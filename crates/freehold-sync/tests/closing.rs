//! A ring is proven by the wait that closes it: at the end of that poll, not by the next sweep and not at a deadline.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{Context, Deadlock, LockError, Mode, Mutex, PermitPool, RwLock, limits, spawn};
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use support::{Meeting, end_all, limited, one_victim};

/// The limit of waits that must end by a proof.
const LATE: Duration = Duration::from_secs(15);

/// Rings of each kind. Of a machine that is busy with other tests one of them is enough.
const TRIES: usize = 10;

type Wait<'a> = Pin<Box<dyn Future<Output = Result<(), LockError>> + Send + 'a>>;

/// How long the last of the members had waited when the verdict came. For a child nobody looks at a clock.
fn youngest_wait(report: &Deadlock) -> Duration {
    report.edges.iter().filter(|edge| edge.mode != Mode::Child).map(|edge| edge.waited).min().unwrap()
}

/// Rings of so many members, each of which waits for the lock of the next one as `wait` says.
async fn rings(members: usize, wait: for<'a> fn(&'a Context, &'a Mutex<()>) -> Wait<'a>) {
    limited(async {
        let mut soonest = Duration::MAX;
        for _ in 0..TRIES {
            let locks: Arc<Vec<_>> = Arc::new((0..members).map(|_| Mutex::new(())).collect());
            let all_hold = Arc::new(Meeting::of(members));
            let member = |i: usize| {
                let (locks, all_hold) = (locks.clone(), all_hold.clone());
                spawn!(format!("closing/{i}"), async move |ctx| {
                    let _own = ctx.lock(&locks[i]).await?;
                    all_hold.wait().await;
                    wait(ctx, &locks[(i + 1) % locks.len()]).await
                })
            };
            let handles: Vec<_> = (0..members).map(member).collect();
            soonest = soonest.min(youngest_wait(&one_victim(&end_all(handles).await)));
        }
        is_before_any_sweep(soonest);
    })
    .await;
}

/// A sweep leaves waits alone that are younger than this.
#[track_caller]
fn is_before_any_sweep(soonest: Duration) {
    assert!(soonest < limits::PROBE_AFTER, "the soonest of {TRIES} rings was proven after {soonest:?}");
}

fn plainly<'a>(ctx: &'a Context, lock: &'a Mutex<()>) -> Wait<'a> {
    Box::pin(async { ctx.lock(lock).await.map(drop) })
}

fn with_a_deadline<'a>(ctx: &'a Context, lock: &'a Mutex<()>) -> Wait<'a> {
    Box::pin(async { ctx.lock_within(lock, LATE).await.map(drop) })
}

fn inside_within<'a>(ctx: &'a Context, lock: &'a Mutex<()>) -> Wait<'a> {
    Box::pin(async {
        let within = ctx.within(LATE, ctx.lock(lock).without_deadline()).await;
        within.map_err(|timeout| LockError::Timeout(Box::new(timeout)))?.map(drop)
    })
}

fn beside_a_cancel<'a>(ctx: &'a Context, lock: &'a Mutex<()>) -> Wait<'a> {
    Box::pin(async {
        tokio::select! {
            held = ctx.lock(lock) => held.map(drop),
            () = ctx.cancelled() => panic!("nobody cancels it"),
        }
    })
}

fn beside_something_aside<'a>(ctx: &'a Context, lock: &'a Mutex<()>) -> Wait<'a> {
    Box::pin(async {
        tokio::select! {
            held = ctx.lock(lock) => held.map(drop),
            () = ctx.aside(std::future::pending()) => panic!("it never ends"),
        }
    })
}

/// The wait is that of a child; its parent, which holds, waits for the child.
fn in_a_child<'a>(ctx: &'a Context, lock: &'a Mutex<()>) -> Wait<'a> {
    Box::pin(async {
        let child = async |ctx: &Context| ctx.lock(lock).await.map(drop);
        let (result, _) = ctx.join(child, async |_| ()).await;
        result.map_err(LockError::Ended)?
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_members() {
    rings(2, plainly).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_forty_members() {
    rings(40, plainly).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_waits_with_deadlines() {
    rings(3, with_a_deadline).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_waits_inside_within() {
    rings(3, inside_within).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_waits_beside_a_cancel() {
    rings(3, beside_a_cancel).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_waits_beside_something_aside() {
    rings(3, beside_something_aside).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_waits_of_children() {
    rings(2, in_a_child).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_read_write_lock_and_a_pool() {
    limited(async {
        let mut soonest = Duration::MAX;
        for _ in 0..TRIES {
            let all = Arc::new((RwLock::new(()), PermitPool::new(2), Meeting::of(2)));
            let (one, two) = (all.clone(), all);
            let handles = [
                spawn!("closing/reads", async move |ctx| {
                    let _read = ctx.read(&one.0).await?;
                    one.2.wait().await;
                    ctx.permits(&one.1, 2).await.map(drop)
                }),
                spawn!("closing/has a permit", async move |ctx| {
                    let _permit = ctx.permit(&two.1).await?;
                    two.2.wait().await;
                    ctx.write(&two.0).await.map(drop)
                }),
            ];
            soonest = soonest.min(youngest_wait(&one_victim(&end_all(handles).await)));
        }
        is_before_any_sweep(soonest);
    })
    .await;
}

/// The wait that closes a ring of others may close one of its own as well: here it asks for more permits than its own
/// leaves free, and the others wait for one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_others_and_one_of_its_own() {
    limited(async {
        let mut soonest = Duration::MAX;
        for turn in 0..TRIES {
            let all = Arc::new((PermitPool::new(2), Mutex::new(())));
            let [name_t, name_u, name_s] = ["t", "u", "s"].map(|who| format!("closing two/{turn}{who}"));
            let (of_t, of_u, of_s) = (all.clone(), all.clone(), all.clone());
            let u_waits = name_u.clone();
            let t_waits = name_t.clone();
            let s = spawn!(name_s, async move |ctx| {
                let _permit = ctx.permit(&of_s.0).await?;
                support::waits(&t_waits).await;
                support::waits(&u_waits).await;
                ctx.permits(&of_s.0, 2).await.map(drop)
            });
            support::until(|| all.0.available() == 1).await;
            let t = spawn!(name_t, async move |ctx| {
                let _permit = ctx.permit(&of_t.0).await?;
                support::until(|| of_t.1.is_locked()).await;
                ctx.lock(&of_t.1).await.map(drop)
            });
            support::until(|| all.0.available() == 0).await;
            let u = spawn!(name_u, async move |ctx| {
                let _m = ctx.lock(&of_u.1).await?;
                ctx.permit(&of_u.0).await.map(drop)
            });
            let own = support::proven(&support::end(s).await.unwrap_err());
            assert_eq!(own.edges.len(), 1, "{own}");
            soonest = soonest.min(youngest_wait(&own));
            let others = end_all([t, u]).await;
            assert_eq!(one_victim(&others).edges.len(), 2);
        }
        is_before_any_sweep(soonest);
    })
    .await;
}

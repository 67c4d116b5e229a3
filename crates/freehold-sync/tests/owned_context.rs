//! Contexts by value, for those who give their users a context of their own with one inside.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{Activity, LockError, Mutex, OwnedContext, activity, activity_owning, observe, spawn};
use std::{
    cell::OnceCell,
    future::{Future, pending},
    sync::Arc,
};
use support::{Meeting, SOON, limited, ms, now, one_victim, poll_once, until};

/// A context of another kind.
struct Request {
    locks: OwnedContext,
}

fn request<F: Future>(body: impl FnOnce(Request) -> F) -> Activity<F> {
    activity_owning(|locks| body(Request { locks }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_through_owned_contexts_is_proven() {
    limited(async {
        let locks = Arc::new((Mutex::new(()), Mutex::new(()), Meeting::of(2)));
        let member = |turned: bool| {
            let all = locks.clone();
            tokio::spawn(request(async move |request| {
                let (first, second) = if turned { (&all.1, &all.0) } else { (&all.0, &all.1) };
                let _first = request.locks.lock(first).await?;
                all.2.wait().await;
                request.locks.lock(second).await.map(drop)
            }))
        };
        let (one, two) = (member(false), member(true));
        one_victim(&[one.await.unwrap().unwrap(), two.await.unwrap().unwrap()]);
    })
    .await;
}

#[tokio::test]
async fn a_context_that_outlives_its_activity_is_nobodys() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let escaped = request(async |request| request).await.unwrap();
        // Were its slot used again, this one would get it.
        let next = activity(async |_| {
            let _m = escaped.locks.lock(&M).await.unwrap();
            let holds = observe()
                .members
                .into_iter()
                .any(|member| member.holds.iter().any(|hold| hold.lock.class == M.class().name()));
            assert!(!holds, "it is booked to nobody");
        });
        next.await.unwrap();
        assert!(M.try_lock().is_some());
    })
    .await;
}

/// What was begun in the activity goes on after it, as a wait of nobody's.
#[tokio::test]
async fn waits_go_on_after_their_activity() {
    limited(async {
        let m = Mutex::new(());
        let held = m.try_lock().unwrap();
        let escaped = OnceCell::new();
        let begins = activity_owning(|locks| {
            let locks: &OwnedContext = escaped.get_or_init(|| locks);
            let mut lock = Box::pin(locks.lock(&m).without_deadline());
            let mut late = Box::pin(locks.within(ms(200), pending::<()>()));
            async {
                poll_once(lock.as_mut()).await;
                poll_once(late.as_mut()).await;
                (lock, late)
            }
        });
        let (mut lock, late) = begins.await.unwrap();
        poll_once(lock.as_mut()).await;
        let begun = now();
        assert!(late.await.is_err());
        assert!(begun.elapsed() < SOON, "the deadline is lost");
        drop(held);
        assert!(lock.await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_wait_without_a_limit_of_its_own_leaves_half_of_the_deadline_for_something_else() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let held = M.lock().await.unwrap();
        let deadline = now() + ms(600);
        let waiter = activity(async |ctx| {
            let begun = now();
            let error = ctx.lock(&M).await.map(drop).unwrap_err();
            assert!(matches!(error, LockError::Timeout(_)), "{error}");
            (begun.elapsed(), now() < deadline)
        });
        let (waited, in_time) = waiter.deadline(deadline).await.unwrap();
        assert!(waited >= ms(290) && in_time, "{waited:?}");
        drop(held);
    })
    .await;
}

#[tokio::test]
async fn a_deadline_that_is_moved_holds_for_the_next_wait() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let held = M.lock().await.unwrap();
        let waiter = Box::pin(activity(async |ctx| ctx.lock(&M).without_deadline().await.map(drop)));
        waiter.set_deadline(now() + ms(50));
        assert!(matches!(waiter.await.unwrap(), Err(LockError::Timeout(_))));
        drop(held);
        let done = spawn!(async |ctx| ctx.lock(&M).await.map(drop));
        until(|| !M.is_locked()).await;
        done.await.unwrap().unwrap();
    })
    .await;
}

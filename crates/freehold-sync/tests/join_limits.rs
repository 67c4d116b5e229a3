//! For how long whoever waits for an activity waits. The limits are those of the process, and short in this file.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{
    Context, Grade, Mutex, activity, joinable, reply, set_suspect_after, set_wait_limit, spawn,
};
use support::{Told, end, limited, ms, pause, until};
use tokio::sync::oneshot;

fn short_limits() {
    set_wait_limit(ms(100));
    set_suspect_after(ms(30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_has_no_limit_unless_asked_for_and_is_not_suspected() {
    short_limits();
    limited(async {
        let told = Told::about("patient/");
        let parent = spawn!("patient/parent", async move |ctx| {
            let child = spawn!("patient/child", async move |_ctx| pause(400).await);
            child.join(ctx).await
        });
        let outside = spawn!("patient/outside", async move |_ctx| pause(400).await);
        assert!(parent.await.unwrap().is_ok(), "in an activity");
        assert!(outside.await.is_ok(), "outside of one");
        told.nothing();
        let asked = spawn!("patient/asked", async move |ctx| {
            let child = spawn!("patient/slow", async move |_ctx| pause(5000).await);
            child.join(ctx).within(ms(20)).await
        });
        assert!(end(asked).await.unwrap_err().is_timeout());
    })
    .await;
}

/// What the joiner holds meanwhile is another matter: who waits for that is suspected, with the chain to the child.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_lock_behind_a_join_is_suspected() {
    static M: Mutex<()> = Mutex::new(());
    short_limits();
    limited(async {
        let told = Told::about("behind a join/");
        let (send, receive) = oneshot::channel::<()>();
        let parent = spawn!("behind a join/parent", async move |ctx| {
            let _m = ctx.lock(&M).await?;
            let child = spawn!("behind a join/child", async move |_ctx| receive.await.is_ok());
            child.join(ctx).await
        });
        until(|| M.is_locked()).await;
        let behind = spawn!("behind a join/waiter", async move |ctx| {
            ctx.lock(&M).without_deadline().await.map(drop)
        });
        let report = told.first(Grade::Suspected).await;
        let names: Vec<_> = report.edges.iter().map(|edge| edge.waiter.name.as_ref()).collect();
        assert_eq!(names, ["behind a join/waiter", "behind a join/parent"]);
        assert_eq!(report.edges[1].holder.name, "behind a join/child");
        send.send(()).unwrap();
        assert!(end(parent).await.unwrap());
        end(behind).await.unwrap();
    })
    .await;
}

/// A lock waited for beside a join, in one activity: the join does not hide it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_waited_for_beside_a_join_is_suspected() {
    static M: Mutex<()> = Mutex::new(());
    short_limits();
    limited(async {
        let told = Told::about("beside/");
        let held = M.lock().await.unwrap();
        let parent = spawn!("beside/parent", async move |ctx| {
            let child = spawn!("beside/child", async move |_ctx| pause(10_000).await);
            tokio::select! {
                biased;
                _ = child.join(ctx) => unreachable!("it never ends"),
                locked = ctx.lock(&M).without_deadline() => locked.is_ok(),
            }
        });
        let report = told.first(Grade::Suspected).await;
        assert_eq!(report.edges[0].lock.class, M.class().name());
        drop(held);
        assert!(end(parent).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_has_the_default_limit_and_may_be_suspected() {
    short_limits();
    limited(async {
        let (_owed, answer) = reply::<()>();
        let asking = spawn!("owed/asking", async move |ctx| answer.join(ctx).await);
        assert!(end(asking).await.unwrap_err().is_timeout());
        let told = Told::about("owed/patient");
        let (owed, answer) = reply::<()>();
        let patient = spawn!("owed/patient", async move |ctx| answer.join(ctx).without_deadline().await);
        told.first(Grade::Suspected).await;
        owed.send(());
        end(patient).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadline_of_the_activity_ends_its_joins_too() {
    limited(async {
        let (child, handle) = joinable(async |_ctx| pause(5000).await);
        tokio::spawn(child);
        let parent = activity(async move |ctx: &Context| handle.join(ctx).await);
        let ended = parent.deadline(support::now() + ms(30)).await.unwrap();
        assert!(ended.unwrap_err().is_timeout());
    })
    .await;
}

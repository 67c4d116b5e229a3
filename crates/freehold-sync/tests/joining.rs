//! What whoever waits for an activity is told, and how activities are aborted.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{Context, Ended, LockError, Mutex, activity, joinable, spawn};
use std::{
    future::pending,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use support::{end, limited, proven, until, waits};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_told_with_its_message_and_its_payload() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let fails = spawn!("panics/said", async move |ctx| {
            let _m = ctx.lock(&M).await;
            tokio::task::yield_now().await;
            panic!("in step {}", std::hint::black_box(3))
        });
        let told = spawn!("panics/told", async move |ctx| fails.join(ctx).await);
        let error: LockError = end::<Result<(), _>>(told).await.unwrap_err();
        assert!(M.try_lock().is_some(), "what it held was given back");
        assert_eq!(error.to_string(), "what was waited for has no result: panicked: in step 3");
        let Some(Ended::Panicked(panic)) = error.ended() else { panic!("{error}") };
        assert_eq!(panic.message(), Some("in step 3"));
        let payload = panic.take_payload().expect("the first to ask gets it");
        assert_eq!(*payload.downcast::<String>().unwrap(), "in step 3");
        assert!(panic.take_payload().is_none());

        let fails = spawn!(async move |_ctx| resume_unwind(Box::new(7_u32)));
        let Err(LockError::Ended(Ended::Panicked(panic))) = fails.await else { panic!("it panicked") };
        assert_eq!((panic.message(), panic.to_string().as_str()), (None, "panicked"));
        assert_eq!(*panic.take_payload().unwrap().downcast::<u32>().unwrap(), 7);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activity_dropped_by_its_executor_is_told_as_dropped() {
    limited(async {
        let (child, handle) = joinable(async |_ctx| pending::<()>().await);
        let task = tokio::spawn(child);
        task.abort();
        assert!(matches!(handle.await, Err(LockError::Ended(Ended::Dropped))));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orphan_is_told_with_the_report() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let orphan = spawn!("orphan/holder", async move |ctx| {
            let _m = ctx.lock(&M).await;
            pending::<()>().await;
        });
        until(|| M.is_locked()).await;
        let waiter = spawn!("orphan/waiter", async move |ctx| ctx.lock(&M).await.map(drop));
        let Err(LockError::Ended(Ended::Orphan(report))) = orphan.await else { panic!("it is ended") };
        assert_eq!(report.edges[0].waiter.name, "orphan/waiter");
        end(waiter).await.unwrap();
    })
    .await;
}

// ---- aborts --------------------------------------------------------------------------------------------------------

/// Sets a flag when it is dropped.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_ends_a_wait_and_gives_back_what_is_held() {
    static HELD: Mutex<()> = Mutex::new(());
    static WANTED: Mutex<()> = Mutex::new(());
    limited(async {
        let wanted = WANTED.lock().await.unwrap();
        let dropped = Arc::new(AtomicBool::new(false));
        let sees_drop = SetOnDrop(dropped.clone());
        let stuck = spawn!("abort/stuck", async move |ctx| {
            let _seen = sees_drop;
            let _held = ctx.lock(&HELD).await?;
            ctx.lock(&WANTED).await.map(drop)
        });
        waits("abort/stuck").await;
        stuck.abort();
        stuck.abort();
        assert!(matches!(stuck.await, Err(LockError::Ended(Ended::Aborted))));
        assert!(dropped.load(Ordering::SeqCst), "the body is gone before anybody is told");
        assert!(HELD.try_lock().is_some());
        drop(wanted);
        assert!(WANTED.try_lock().is_some(), "it left the queue");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_before_the_first_poll_and_one_after_the_last() {
    limited(async {
        let (never_run, handle) = joinable(async |_ctx| unreachable!("it is aborted first"));
        handle.abort();
        assert!(!handle.is_done(), "its next poll ends it");
        assert!(matches!(never_run.await, Err(Ended::Aborted)));
        assert!(matches!(handle.await, Err(LockError::Ended(Ended::Aborted))));

        let (done, handle) = joinable(async |_ctx| 5);
        done.await.unwrap();
        handle.abort();
        assert_eq!(handle.await.unwrap(), 5, "the result stands");
    })
    .await;
}

/// The poll that runs ends as it would; if it is the last one, there is a result.
#[tokio::test]
async fn an_abort_from_inside_takes_effect_at_the_next_poll() {
    limited(async {
        let (send, receive) = std::sync::mpsc::channel::<freehold_sync::ActivityHandle>();
        let mut goes_on = activity(async move |_ctx: &Context| {
            receive.recv().unwrap().abort();
            tokio::task::yield_now().await;
            unreachable!("there is no further poll")
        });
        send.send(goes_on.handle()).unwrap();
        assert!(matches!(goes_on.await, Err(Ended::Aborted)));

        let (send, receive) = std::sync::mpsc::channel::<freehold_sync::ActivityHandle>();
        let mut ends = activity(async move |_ctx: &Context| {
            receive.recv().unwrap().abort();
            3
        });
        send.send(ends.handle()).unwrap();
        assert_eq!(ends.await.unwrap(), 3);
    })
    .await;
}

/// A victim's report stays with its slot; an abort that comes later is an abort all the same.
#[tokio::test]
async fn a_victim_that_is_aborted_afterwards_is_no_orphan() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let (tell, told) = tokio::sync::oneshot::channel();
        let victim = spawn!("abort/victim", async move |ctx| {
            let _m = ctx.lock(&M).await.unwrap();
            proven(&ctx.lock(&M).await.unwrap_err());
            tell.send(()).unwrap();
            pending::<()>().await;
        });
        told.await.unwrap();
        victim.abort();
        assert!(matches!(victim.await, Err(LockError::Ended(Ended::Aborted))));
        assert!(M.try_lock().is_some());
    })
    .await;
}

/// Aborts from another thread, at every moment of a life that is mostly polls: what is told is one of two things, and
/// nothing is left behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aborts_at_any_moment_leave_nothing_behind() {
    static M: Mutex<u32> = Mutex::new(0);
    limited(async {
        let (mut aborted, mut done) = (0, 0);
        for round in 0..2000_u32 {
            let busy = spawn!("abort/busy", async move |ctx| {
                for _ in 0..round % 8 {
                    *ctx.lock(&M).await? += 1;
                    tokio::task::yield_now().await;
                }
                Ok::<_, LockError>(())
            });
            match round % 16 {
                0 => until(|| busy.is_done()).await,
                1..6 => tokio::task::yield_now().await,
                _ => {}
            }
            busy.abort();
            match busy.await {
                Ok(result) => {
                    result.unwrap();
                    done += 1;
                }
                Err(LockError::Ended(Ended::Aborted)) => aborted += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(aborted > 0 && done > 0, "both must occur: {aborted}, {done}");
        assert!(M.try_lock().is_some());
    })
    .await;
}

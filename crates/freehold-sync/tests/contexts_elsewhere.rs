//! What is made with the context of one activity and polled in another, or by another thread.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{Mutex, Selected, activity, reply};
use std::{
    future::{pending, poll_fn},
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, Ordering},
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};
use support::{SOON, limited, ms, now, pause};

fn poll_by_hand<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut TaskContext::from_waker(Waker::noop()))
}

/// A child that waits for the cancel of its parent, whose cancel it does not inherit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_reaches_who_waits_for_it_in_a_child() {
    limited(async {
        let mut parent = activity(async |ctx| {
            ctx.select(async |_| ctx.cancelled().await, async |_| pending::<()>().await).await
        });
        let handle = parent.handle();
        let parent = tokio::spawn(parent);
        pause(50).await;
        let begun = now();
        handle.cancel();
        assert!(matches!(parent.await.unwrap(), Ok(Selected::First(Ok(())))));
        assert!(begun.elapsed() < SOON);
    })
    .await;
}

/// Who waits elsewhere is told at once also if the cancel comes while the parent is being polled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_reaches_another_thread() {
    limited(async {
        let mut parent = activity(async |ctx| {
            let runtime = tokio::runtime::Handle::current();
            tokio::task::block_in_place(|| {
                std::thread::scope(|scope| {
                    scope.spawn(|| runtime.block_on(ctx.cancelled()));
                });
            });
        });
        let handle = parent.handle();
        let parent = tokio::spawn(parent);
        pause(50).await;
        handle.cancel();
        parent.await.unwrap().unwrap();
    })
    .await;
}

/// The error of a deadline names whom the activity waits for, and must not look while those locks may end.
/// (Seen by AddressSanitizer.)
#[test]
fn a_deadline_that_passes_on_another_thread_looks_at_nobodys_waits() {
    for turn in 0..500 {
        let mut a = Box::pin(activity(async |ctx| {
            let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            let go = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let m = Box::new(Mutex::new([0_u8; 4096]));
                let held = ctx.try_lock(&m).unwrap().unwrap();
                let mut wait = Box::pin(ctx.lock(&m));
                assert!(wait.as_mut().poll(&mut TaskContext::from_waker(&waker)).is_pending());
                scope.spawn(|| {
                    let late = pin!(ctx.within(Duration::ZERO, pending::<()>()));
                    while !go.load(Ordering::Acquire) {
                        std::thread::yield_now();
                    }
                    let Poll::Ready(Err(timeout)) = poll_by_hand(late) else { panic!("it is late") };
                    assert!(timeout.holder.is_none(), "{timeout}");
                });
                go.store(true, Ordering::Release);
                (0..turn % 200).for_each(|_| std::hint::spin_loop());
                drop(wait);
                drop(held);
                drop(m);
            });
        }));
        assert!(poll_by_hand(a.as_mut()).is_ready());
    }
}

/// An answer bound to one activity and sent by a thread inside of its poll.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_reply_may_be_sent_by_another_thread() {
    limited(async {
        let (owed, answer) = reply::<u32>();
        let callee = activity(async move |ctx| {
            let bound = owed.bind(ctx);
            std::thread::scope(|scope| {
                scope.spawn(move || bound.send(7));
            });
        });
        let callee = tokio::spawn(callee);
        let caller = activity(async move |ctx| answer.join(ctx).within(ms(5000)).await);
        assert_eq!(caller.await.unwrap().unwrap(), 7);
        callee.await.unwrap().unwrap();
    })
    .await;
}

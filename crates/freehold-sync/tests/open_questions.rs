//! What is not right yet, or not said yet: each fails, and is ignored until it is decided.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{Mutex, activity, blocking, spawn};
use std::{cell::Cell, future::poll_fn, pin::pin, task::Poll, thread};
use support::{end, limited, ms, pause, poll_once, until};

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Futurelock of a whole activity: half polled by a plain task, it is granted the mutex and never polled again. Nobody
/// passes its turn on, neither the end of its poll (there is none) nor the watchdog (its slot is no outsider).
#[tokio::test]
#[ignore = "the watchdog passes on the turns of waits outside of activities only"]
async fn a_turn_of_an_activity_that_nobody_polls_goes_to_the_next_one() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let holder = spawn!(async |ctx| {
            let _m = ctx.lock(&M).await.unwrap();
            pause(50).await;
        });
        until(|| M.is_locked()).await;
        let mut unpolled = pin!(activity(async |ctx| ctx.lock(&M).await.map(drop)));
        poll_once(unpolled.as_mut()).await;
        end(holder).await;
        activity(async |ctx| ctx.lock(&M).await.map(drop)).await.unwrap().unwrap();
    })
    .await;
}

/// A guard of the activity, moved into a scoped thread inside of its poll, which drops it by itself; meanwhile the poll
/// is parked in a blocking lock. Proven, and one of them fails, though all would have gone on after 300 ms.
#[test]
#[ignore = "a parked activity counts as holding what a thread inside of its poll may give back"]
fn a_guard_in_a_scoped_thread_of_a_parked_poll_is_no_deadlock() {
    static M: Mutex<()> = Mutex::new(());
    static L: blocking::Mutex<()> = blocking::Mutex::new(());
    let (held, is_held) = std::sync::mpsc::channel();
    let other = thread::spawn(move || {
        block_on(activity(async move |ctx| {
            let _l = ctx.lock_blocking(&L).unwrap();
            held.send(()).unwrap();
            while !M.is_locked() {
                thread::yield_now();
            }
            ctx.lock(&M).await.map(drop)
        }))
        .unwrap()
    });
    is_held.recv().unwrap();
    let parked = block_on(activity(async |ctx| {
        let m = ctx.lock(&M).await.unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                thread::sleep(ms(300));
                drop(m);
            });
            L.lock().map(drop)
        })
    }))
    .unwrap();
    let other = other.join().unwrap();
    assert!(parked.is_ok() && other.is_ok(), "{parked:?} {other:?}");
}

/// A future that registers no waker and relies on being polled along with its siblings in the same task: it breaks the
/// contract of `Future::poll`, and works everywhere else as long as the siblings' `join!` polls it.
#[tokio::test]
#[ignore = "not its own wake; to be named in guide::not_detected"]
async fn a_holder_that_is_polled_along_with_its_siblings_is_not_ended() {
    static M: Mutex<()> = Mutex::new(());
    limited(async {
        let flag = Cell::new(false);
        let holder = activity(async |ctx| {
            let _m = ctx.lock(&M).await.unwrap();
            poll_fn(|_| if flag.get() { Poll::Ready(()) } else { Poll::Pending }).await;
        });
        let waiter = activity(async |ctx| ctx.lock(&M).await.map(drop));
        let sibling = async {
            pause(300).await;
            flag.set(true);
        };
        let (holder, waiter, ()) = tokio::join!(holder, waiter, sibling);
        assert!(holder.is_ok() && waiter.unwrap().is_ok());
    })
    .await;
}

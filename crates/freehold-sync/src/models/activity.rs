//! Wakes and polls of activities, and the return of their slots.

use super::exhaustive::{Gate, Number, block_on, keep, model, poll_once, run, spawn, threads};
use crate::activity;
use loom::sync::Mutex;
use std::{
    future::{pending, poll_fn},
    pin::pin,
    task::{Poll, Waker},
};

#[test]
fn no_wake_is_lost_around_a_poll() {
    model(3, || {
        let gate = keep(Gate::new());
        threads([Box::new(|| run(async |_| gate.passed().await)), Box::new(|| gate.open())]);
    });
}

/// Two wakes in a row: the second may come in the poll that the first one began.
#[test]
fn no_second_wake_is_lost() {
    model(2, || {
        let (first, second) = (keep(Gate::new()), keep(Gate::new()));
        threads([
            Box::new(|| {
                run(async |_| {
                    first.passed().await;
                    second.passed().await;
                });
            }),
            Box::new(|| {
                first.open();
                second.open();
            }),
        ]);
    });
}

/// The task that polls the activity changes while a wake is under way.
#[test]
fn a_wake_reaches_the_task_that_polled_last() {
    model(3, || {
        let gate = keep(Gate::new());
        let mut moved = Box::pin(activity(async |_| gate.passed().await));
        assert!(poll_once(moved.as_mut()).is_pending());
        let opener = spawn(|| gate.open());
        block_on(moved).unwrap();
        opener.join().unwrap();
    });
}

#[test]
fn a_wake_of_a_child_reaches_its_parent() {
    model(2, || {
        let gate = keep(Gate::new());
        threads([
            Box::new(|| run(async |_| activity(async |_| gate.passed().await).await.unwrap())),
            Box::new(|| gate.open()),
        ]);
    });
}

/// A clone of the waker outlives the activity: whoever is last returns the slot, once (the pool checks that).
#[test]
fn the_last_of_body_and_clones_returns_the_slot() {
    model(4, || {
        let clone: &Mutex<Option<Waker>> = keep(Mutex::new(None));
        let mut body = Box::pin(activity(async |_| {
            poll_fn(|cx| {
                *clone.lock().unwrap() = Some(cx.waker().clone());
                Poll::<()>::Pending
            })
            .await;
        }));
        assert!(poll_once(body.as_mut()).is_pending());
        let waker = clone.lock().unwrap().take().unwrap();
        let other = waker.clone();
        let wakes = spawn(move || waker.wake());
        let drops = spawn(move || drop(other));
        drop(body);
        wakes.join().unwrap();
        drops.join().unwrap();
    });
}

/// A stale waker of the slot's last user wakes the next one for nothing, and takes nothing from it.
#[test]
fn a_slot_is_used_again_while_stale_wakers_end() {
    model(3, || {
        let (stale, gate) = (keep(Gate::new()), keep(Gate::new()));
        let mut first = Box::pin(activity(async |_| stale.passed().await));
        assert!(poll_once(first.as_mut()).is_pending());
        let waker = spawn(|| {
            stale.open();
            gate.open();
        });
        drop(first);
        run(async |_| gate.passed().await);
        waker.join().unwrap();
    });
}

/// The cancel of an activity and the end of the poll that waits for it: one sees the other.
#[test]
fn a_cancel_is_seen() {
    model(3, || {
        let mut cancelled = activity(async |ctx| ctx.cancelled().await);
        let handle = cancelled.handle();
        let canceller = spawn(move || handle.cancel());
        block_on(cancelled).unwrap();
        canceller.join().unwrap();
    });
}

/// A wake of its own, and a grant that finds the activity woken already: the poll that the first one asked for sees
/// the grant, or another poll follows.
#[test]
fn a_grant_is_not_lost_in_another_wake() {
    model(2, || {
        let mutex = keep(crate::Mutex::new(Number::new()));
        let guard = mutex.try_lock().unwrap();
        let mut waiter = Box::pin(activity(async |ctx| {
            let (mut lock, mut wakes) = (pin!(ctx.lock(mutex)), true);
            poll_fn(|cx| {
                if std::mem::take(&mut wakes) {
                    cx.waker().wake_by_ref();
                }
                lock.as_mut().poll(cx).map(|number| number.unwrap().add_one())
            })
            .await;
        }));
        assert!(poll_once(waiter.as_mut()).is_pending());
        let holder = spawn(|| drop(guard));
        block_on(waiter).unwrap();
        holder.join().unwrap();
        assert_eq!(mutex.try_lock().expect("nobody has it").get(), 1);
    });
}

/// A child that another thread drops while the activity that polled it ends, and its slot goes to the next one.
#[test]
fn a_child_outlives_its_parent() {
    model(2, || {
        let mutex = keep(crate::Mutex::new(Number::new()));
        let guard = mutex.try_lock().unwrap();
        let mut child = Box::pin(activity(async |_| pending::<()>().await));
        let dropper = run(async move |_| {
            poll_fn(|cx| Poll::Ready(assert!(child.as_mut().poll(cx).is_pending()))).await;
            spawn(move || {
                drop(child);
                guard.add_one();
                drop(guard);
            })
        });
        run(async |ctx| ctx.lock(mutex).await.unwrap().add_one());
        dropper.join().unwrap();
        assert_eq!(mutex.try_lock().expect("nobody has it").get(), 2);
    });
}

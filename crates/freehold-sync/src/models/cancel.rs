//! Who gives up waiting passes its turn on.

use super::exhaustive::{Gate, Number, block_on, keep, model, poll_once, run, spawn};
use crate::{Lock, Mutex, activity};
use std::pin::Pin;

/// A mutex that is held, and a wait for it that is queued.
fn held_with_a_waiter()
-> (&'static Mutex<Number>, crate::MutexGuard<'static, Number>, Pin<Box<Lock<'static, Number>>>) {
    let mutex = keep(Mutex::new(Number::new()));
    let guard = mutex.try_lock().unwrap();
    let mut waiter = Box::pin(mutex.lock());
    assert!(poll_once(waiter.as_mut()).is_pending());
    (mutex, guard, waiter)
}

#[test]
fn a_dropped_waiter_passes_a_notification_on() {
    model(2, || {
        let (mutex, guard, waiter) = held_with_a_waiter();
        let next = spawn(|| block_on(mutex.lock()).unwrap().add_one());
        let dropper = spawn(move || drop(waiter));
        drop(guard);
        next.join().unwrap();
        dropper.join().unwrap();
        assert_eq!(mutex.try_lock().expect("nobody has it").get(), 1);
    });
}

/// A dropped activity that waits, and another one behind it.
#[test]
fn a_dropped_activity_passes_its_turn_on() {
    model(2, || {
        let mutex = keep(Mutex::new(Number::new()));
        let guard = mutex.try_lock().unwrap();
        let mut waiter = Box::pin(activity(async |ctx| ctx.lock(mutex).await.unwrap().add_one()));
        assert!(poll_once(waiter.as_mut()).is_pending());
        let next = spawn(|| run(async |ctx| ctx.lock(mutex).await.unwrap().add_one()));
        let dropper = spawn(move || drop(waiter));
        drop(guard);
        next.join().unwrap();
        dropper.join().unwrap();
        assert_eq!(mutex.try_lock().expect("nobody has it").get(), 1);
    });
}

/// The turn was handed over, not only announced.
#[test]
fn a_dropped_waiter_passes_a_grant_on() {
    model(2, || {
        let mutex = keep(Mutex::new(Number::new()));
        let mut holder = Box::pin(activity(async |ctx| {
            let number = ctx.lock(mutex).await.unwrap();
            super::exhaustive::suspend().await;
            number.add_one();
        }));
        assert!(poll_once(holder.as_mut()).is_pending());
        let mut waiter = Box::pin(mutex.lock());
        assert!(poll_once(waiter.as_mut()).is_pending());
        let next = spawn(|| block_on(mutex.lock()).unwrap().add_one());
        let dropper = spawn(move || drop(waiter));
        block_on(holder).unwrap();
        next.join().unwrap();
        dropper.join().unwrap();
        assert_eq!(mutex.try_lock().expect("nobody has it").get(), 2);
    });
}

/// A wait that nobody polls any more loses its turn at the end of its activity's next poll, also if that one goes on to
/// wait for something outside of the graph.
#[test]
fn a_future_that_is_not_polled_passes_its_turn_on() {
    model(2, || {
        let mutex = keep(Mutex::new(Number::new()));
        let end = keep(Gate::new());
        let guard = mutex.try_lock().unwrap();
        let mut idler = Box::pin(activity(async |ctx| {
            let mut left = Box::pin(ctx.lock(mutex));
            assert!(poll_once_in_place(left.as_mut()).await.is_pending());
            end.passed().await;
        }));
        assert!(poll_once(idler.as_mut()).is_pending());
        let mut next = Box::pin(mutex.lock());
        assert!(poll_once(next.as_mut()).is_pending());
        let idler = spawn(|| block_on(idler).unwrap());
        drop(guard);
        block_on(next).unwrap().add_one();
        end.open();
        idler.join().unwrap();
    });
}

async fn poll_once_in_place<F: Future + ?Sized>(mut future: Pin<&mut F>) -> std::task::Poll<F::Output> {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await
}

//! What a verdict is validated for: the graph is read one activity at a time, and may change in between.
//!
//! There is no model for the comparison of epochs: a member that was polled in between is read again like all others,
//! so without the comparison a phantom is only found out later.

use super::exhaustive::{Number, block_on, keep, model, poll_once, spawn, suspend};
use crate::{Ended, LockError, Mutex, activity};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

type Body = Pin<Box<dyn Future<Output = Result<(), LockError>> + Send>>;
type Lock = &'static Mutex<Number>;

fn body(future: impl Future<Output = Result<Result<(), LockError>, Ended>> + Send + 'static) -> Body {
    Box::pin(async move { future.await.expect("nobody is ended from outside") })
}

/// Has `has`, and wants `wants` in its next poll, which it has asked for.
fn has_and_wants(has: Lock, wants: Lock) -> Body {
    begun(body(activity(async move |ctx| {
        let has = ctx.lock(has).await?;
        suspend().await;
        let wanted = ctx.lock(wants).await?;
        has.add_one();
        wanted.add_one();
        Ok(())
    })))
}

/// Has `has` and waits for `first`; then lets go of `has`, and wants `then`.
fn lets_go_and_wants(has: Lock, first: Lock, then: Lock) -> Body {
    begun(body(activity(async move |ctx| {
        let has = ctx.lock(has).await?;
        let first = ctx.lock(first).await?;
        drop(has);
        let then = ctx.lock(then).await?;
        first.add_one();
        then.add_one();
        Ok(())
    })))
}

fn begun(mut body: Body) -> Body {
    assert!(poll_once(body.as_mut()).is_pending());
    body
}

/// A wait outside of activities, queued.
fn queued(lock: Lock) -> Body {
    begun(Box::pin(async move {
        lock.lock().await?.add_one();
        Ok(())
    }))
}

/// Runs all to their end on this thread.
fn finish<const N: usize>(mut all: [Body; N]) {
    let mut done = [false; N];
    block_on(poll_fn(|cx| {
        for (body, done) in all.iter_mut().zip(&mut done).filter(|(_, done)| !**done) {
            if let Poll::Ready(result) = body.as_mut().poll(cx) {
                result.expect("there is no deadlock");
                *done = true;
            }
        }
        if done.iter().all(|done| *done) { Poll::Ready(()) } else { Poll::Pending }
    }));
}

/// The lock that one waits for goes to a third, who is ahead of it; nobody is polled or woken by that, so only the
/// second reading of its edge tells. Meanwhile the holder before has come to wait for it.
#[test]
fn a_lock_that_changed_hands_between_two_looks_closes_no_ring() {
    model(1, || {
        let [x, y, z] = std::array::from_fn(|_| keep(Mutex::new(Number::new())));
        let guard = z.try_lock().unwrap();
        let looks = has_and_wants(y, x);
        let moves_on = lets_go_and_wants(x, z, y);
        let ahead = queued(x);
        let mover = spawn(|| {
            drop(guard);
            finish([moves_on, ahead]);
        });
        finish([looks]);
        mover.join().unwrap();
        assert_eq!([x, y, z].map(|lock| lock.try_lock().expect("it is free").get()), [2, 2, 1]);
    });
}

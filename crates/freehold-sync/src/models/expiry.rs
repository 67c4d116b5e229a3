//! The end of a wait by its deadline, against everything else that may end it.

use super::exhaustive::{Number, block_on, keep, model, poll_once, run, spawn};
use crate::{Mutex, clock::NEVER, driver};

/// Ends all waits that have a deadline.
fn expire_all() {
    driver::expire(NEVER - 1);
}

#[test]
fn a_grant_or_the_deadline_ends_a_wait_and_the_next_one_gets_its_turn() {
    model(1, || {
        let mutex = keep(Mutex::new(Number::new()));
        let guard = mutex.try_lock().unwrap();
        let waiter = spawn(|| {
            run(async |ctx| match ctx.lock(mutex).await {
                Ok(number) => number.add_one(),
                Err(error) => assert!(error.is_timeout(), "{error}"),
            });
        });
        let driver = spawn(expire_all);
        drop(guard);
        waiter.join().unwrap();
        driver.join().unwrap();
        assert!(mutex.try_lock().is_some(), "nobody has it");
    });
}

#[test]
fn a_wait_that_expires_while_it_is_dropped_takes_no_turn_along() {
    model(1, || {
        let mutex = keep(Mutex::new(Number::new()));
        let guard = mutex.try_lock().unwrap();
        let mut waiter = Box::pin(mutex.lock());
        assert!(poll_once(waiter.as_mut()).is_pending());
        let driver = spawn(expire_all);
        let dropper = spawn(move || drop(waiter));
        let next = spawn(|| block_on(mutex.lock().without_deadline()).unwrap().add_one());
        drop(guard);
        next.join().unwrap();
        dropper.join().unwrap();
        driver.join().unwrap();
        assert_eq!(mutex.try_lock().expect("nobody has it").get(), 1);
    });
}

/// The deadline around a future, and the end of the future itself.
#[test]
fn a_deadline_around_a_future_ends_it_or_not_but_somebody_does() {
    use super::exhaustive::Gate;
    use std::time::Duration;
    model(2, || {
        let gate = keep(Gate::new());
        let waiter = spawn(|| {
            run(async |ctx| {
                let _ = ctx.within(Duration::from_secs(1), gate.passed()).await;
            });
        });
        let driver = spawn(expire_all);
        gate.open();
        waiter.join().unwrap();
        driver.join().unwrap();
    });
}

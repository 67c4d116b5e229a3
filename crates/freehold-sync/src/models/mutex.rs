//! The word of a mutex, its queue, and who gets it next.

use super::exhaustive::{Number, block_on, keep, model, poll_once, run, spawn, suspend, threads};
use crate::Mutex;
use std::pin::pin;

fn add_one(mutex: &'static Mutex<Number>) {
    run(async |ctx| ctx.lock(mutex).await.unwrap().add_one());
}

fn add_one_across_a_suspension(mutex: &'static Mutex<Number>) {
    run(async |ctx| {
        let number = ctx.lock(mutex).await.unwrap();
        number.add_one();
        suspend().await;
        number.add_one();
    });
}

fn number_of(mutex: &'static Mutex<Number>) -> u32 {
    mutex.try_lock().expect("it is free").get()
}

#[test]
fn two_activities_exclude_each_other_and_nobody_sleeps_on() {
    model(2, || {
        let mutex = keep(Mutex::new(Number::new()));
        threads([Box::new(|| add_one(mutex)), Box::new(|| add_one(mutex))]);
        assert_eq!(number_of(mutex), 2);
    });
}

/// A woken waiter that is overtaken goes first again, and gets it handed over the next time.
#[test]
fn who_was_overtaken_gets_its_turn() {
    model(2, || {
        let mutex = keep(Mutex::new(Number::new()));
        threads([
            Box::new(|| add_one(mutex)),
            Box::new(|| {
                add_one(mutex);
                add_one(mutex);
            }),
        ]);
        assert_eq!(number_of(mutex), 3);
    });
}

#[test]
fn three_activities_exclude_each_other() {
    model(1, || {
        let mutex = keep(Mutex::new(Number::new()));
        threads([Box::new(|| add_one(mutex)), Box::new(|| add_one(mutex)), Box::new(|| add_one(mutex))]);
        assert_eq!(number_of(mutex), 3);
    });
}

/// Held across a suspension, the mutex is handed over instead of let go.
#[test]
fn a_long_hold_is_handed_over() {
    model(2, || {
        let mutex = keep(Mutex::new(Number::new()));
        threads([
            Box::new(|| add_one_across_a_suspension(mutex)),
            Box::new(|| add_one_across_a_suspension(mutex)),
        ]);
        assert_eq!(number_of(mutex), 4);
    });
}

#[test]
fn waits_outside_of_activities_exclude_each_other() {
    model(3, || {
        let mutex = keep(Mutex::new(Number::new()));
        let add_one = || block_on(mutex.lock()).unwrap().add_one();
        threads([Box::new(add_one), Box::new(add_one)]);
        assert_eq!(number_of(mutex), 2);
    });
}

/// The announcement that somebody is queued and a release: one sees the other.
#[test]
fn a_release_sees_who_queues_or_who_queues_sees_it_free() {
    model(4, || {
        let mutex = keep(Mutex::new(Number::new()));
        let guard = mutex.try_lock().unwrap();
        let waiter = spawn(|| block_on(mutex.lock()).unwrap().add_one());
        guard.add_one();
        drop(guard);
        waiter.join().unwrap();
        assert_eq!(number_of(mutex), 2);
    });
}

/// Two in the queue, one release: the first passes its turn on by its own release.
#[test]
fn both_in_the_queue_get_it() {
    model(2, || {
        let mutex = keep(Mutex::new(Number::new()));
        let guard = mutex.try_lock().unwrap();
        let mut first = pin!(mutex.lock());
        assert!(poll_once(first.as_mut()).is_pending());
        let second = spawn(|| block_on(mutex.lock()).unwrap().add_one());
        let holder = spawn(|| drop(guard));
        block_on(first).unwrap().add_one();
        second.join().unwrap();
        holder.join().unwrap();
        assert_eq!(number_of(mutex), 2);
    });
}

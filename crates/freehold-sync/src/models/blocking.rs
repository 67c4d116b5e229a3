//! Threads in the graph: how they wait, and how they end, against those who look at them.

use super::exhaustive::{Number, block_on, is_victim, keep, model, poll_once, run, spawn, suspend};
use crate::{Mutex, activity, blocking, graph::sweep, observe, raw::wakes::Wakes, slot::pool};
use loom::thread::{JoinHandle, yield_now};

fn add_one(lock: &blocking::RwLock<Number>) {
    lock.write().unwrap().add_one();
}

/// Waits until `threads` have ended. A join may return before what is thread-local is dropped.
fn end<T, const N: usize>(threads: [JoinHandle<T>; N]) -> [T; N] {
    let results = threads.map(|thread| thread.join().unwrap());
    while pool::model::in_use() > 0 {
        yield_now();
    }
    results
}

/// Each may look for a ring through the other one, which ends meanwhile and gives its slot back.
#[test]
fn two_threads_exclude_each_other_and_end() {
    model(2, || {
        let mutex = keep(blocking::Mutex::new(Number::new()));
        let adds = move || mutex.lock().unwrap().add_one();
        end([spawn(adds), spawn(adds)]);
        assert_eq!(run(async |ctx| ctx.lock_blocking(mutex).unwrap().get()), 2);
    });
}

#[test]
fn threads_end_while_they_are_observed() {
    model(2, || {
        let lock = keep(blocking::RwLock::new(Number::new()));
        let threads = [spawn(|| add_one(lock)), spawn(|| add_one(lock))];
        drop(observe());
        end(threads);
    });
}

/// A sweep that takes the turn of a thread for one that is not used, at the moment when the thread takes it.
#[test]
fn a_grant_is_taken_or_passed_on() {
    model(2, || {
        let mutex = keep(blocking::Mutex::new(Number::new()));
        // Held across a suspension, so that it is handed over.
        let mut holder = Box::pin(activity(async |ctx| {
            let _number = ctx.lock_blocking(mutex).unwrap();
            suspend().await;
        }));
        assert!(poll_once(holder.as_mut()).is_pending());
        let thread = spawn(|| mutex.lock().unwrap().add_one());
        somebody_waits();
        block_on(holder).unwrap();
        let mut wakes = Wakes::new();
        pool::for_each(|slot| sweep::pass_unused_grants_on(slot, 0, &mut wakes));
        wakes.wake();
        run(async |ctx| ctx.lock_blocking(mutex).unwrap().add_one());
        end([thread]);
        assert_eq!(run(async |ctx| ctx.lock_blocking(mutex).unwrap().get()), 2);
    });
}

fn somebody_waits() {
    let mut waits = false;
    while !waits {
        yield_now();
        pool::for_each(|slot| waits |= slot.has_waits());
    }
}

/// One thread stops inside of its poll, the other one waits at its poll's end: whichever is the last sees the other one stopped.
#[test]
fn a_ring_through_a_blocked_thread_has_one_victim() {
    model(2, || {
        let (a, b) = (keep(Mutex::new(Number::new())), keep(blocking::Mutex::new(Number::new())));
        let blocks = || {
            run(async |ctx| {
                let _a = ctx.lock(a).await?;
                ctx.lock_blocking(b)?.add_one();
                Ok(())
            })
        };
        let waits = || {
            run(async |ctx| {
                let _b = ctx.lock_blocking(b)?;
                ctx.lock(a).await?.add_one();
                Ok(())
            })
        };
        let results = end([spawn(blocks), spawn(waits)]);
        assert!(results.iter().filter(|result| is_victim(result)).count() <= 1);
    });
}

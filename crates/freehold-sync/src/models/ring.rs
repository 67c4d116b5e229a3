//! Rings, closed by several threads at once: one victim, whatever the order; and none where there is no ring.

use super::exhaustive::{Number, block_on, is_victim, keep, model, poll_once, run, spawn, suspend};
use crate::{Ended, LockError, Mutex, RwLock, activity};
use std::pin::Pin;

type Boxed = Pin<Box<dyn Future<Output = Result<Result<(), LockError>, Ended>> + Send>>;

/// An activity that has `first` already, and wants `second`.
fn holds_and_wants(first: &'static Mutex<Number>, second: &'static Mutex<Number>) -> Boxed {
    let mut taken: Boxed = Box::pin(activity(async |ctx| {
        let first = ctx.lock(first).await?;
        suspend().await;
        let second = ctx.lock(second).await?;
        first.add_one();
        second.add_one();
        Ok(())
    }));
    assert!(poll_once(taken.as_mut()).is_pending());
    taken
}

fn victims<const N: usize>(ring: [Boxed; N]) -> usize {
    let threads = ring.map(|member| spawn(|| block_on(member).expect("nobody is ended from outside")));
    threads.into_iter().filter(|_| true).map(|thread| thread.join().unwrap()).filter(is_victim).count()
}

#[test]
fn a_ring_of_two_has_one_victim() {
    model(1, || {
        let (a, b) = (keep(Mutex::new(Number::new())), keep(Mutex::new(Number::new())));
        assert_eq!(victims([holds_and_wants(a, b), holds_and_wants(b, a)]), 1);
        assert_eq!(a.try_lock().unwrap().get() + b.try_lock().unwrap().get(), 2);
    });
}

#[test]
#[ignore = "takes many minutes; scripts/nightly runs it"]
fn a_ring_of_three_has_one_victim() {
    model(1, || {
        let [a, b, c] = std::array::from_fn(|_| keep(Mutex::new(Number::new())));
        assert_eq!(victims([holds_and_wants(a, b), holds_and_wants(b, c), holds_and_wants(c, a)]), 1);
    });
}

/// Two readers that both want to write: the queue is part of the ring.
#[test]
fn two_readers_that_want_to_write_have_one_victim() {
    model(1, || {
        let lock = keep(RwLock::new(Number::new()));
        let upgrades = || -> Boxed {
            let mut reader: Boxed = Box::pin(activity(async |ctx| {
                let _read = ctx.read(lock).await?;
                suspend().await;
                ctx.write(lock).await?.add_one();
                Ok(())
            }));
            assert!(poll_once(reader.as_mut()).is_pending());
            reader
        };
        // The one that is left waits for itself: it is the second victim.
        assert_eq!(victims([upgrades(), upgrades()]), 2);
    });
}

/// Everybody takes `a` before `b`: never a verdict.
#[test]
fn in_order_there_is_no_verdict() {
    model(2, || {
        let (a, b) = (keep(Mutex::new(Number::new())), keep(Mutex::new(Number::new())));
        let both = move || {
            run(async |ctx| {
                let a = ctx.lock(a).await.unwrap();
                let b = ctx.lock(b).await.unwrap();
                a.add_one();
                b.add_one();
            });
        };
        let threads = [spawn(both), spawn(both)];
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(a.try_lock().unwrap().get() + b.try_lock().unwrap().get(), 4);
    });
}

/// A chain that looks like a ring to a look that mixes two moments: the second wait begins after the first has ended.
#[test]
#[ignore = "takes many minutes; scripts/nightly runs it"]
fn a_chain_that_moves_on_is_no_ring() {
    model(1, || {
        let (a, b) = (keep(Mutex::new(Number::new())), keep(Mutex::new(Number::new())));
        let forth = spawn(move || {
            run(async |ctx| {
                let a = ctx.lock(a).await.unwrap();
                suspend().await;
                let b = ctx.lock(b).await.unwrap();
                a.add_one();
                drop(a);
                b.add_one();
            });
        });
        let back = spawn(move || {
            run(async |ctx| {
                let b = ctx.lock(b).await.unwrap();
                suspend().await;
                b.add_one();
                drop(b);
                ctx.lock(a).await.unwrap().add_one();
            });
        });
        forth.join().unwrap();
        back.join().unwrap();
        assert_eq!(a.try_lock().unwrap().get() + b.try_lock().unwrap().get(), 4);
    });
}

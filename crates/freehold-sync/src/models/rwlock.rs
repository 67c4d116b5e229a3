//! Places of readers, and writers that wait for them.

use super::exhaustive::{Number, block_on, keep, model, poll_once, run, spawn, suspend, threads};
use crate::{OwnedContext, PermitPool, RwLock, activity_owning};
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
};

fn read(lock: &'static RwLock<Number>) -> u32 {
    run(async |ctx| ctx.read(lock).await.unwrap().get())
}

fn write(lock: &'static RwLock<Number>) {
    run(async |ctx| ctx.write(lock).await.unwrap().add_one());
}

#[test]
fn a_writer_excludes_readers_and_everybody_gets_in() {
    model(1, || {
        let lock = keep(RwLock::new(Number::new()));
        threads([
            Box::new(|| write(lock)),
            Box::new(|| {
                read(lock);
            }),
            Box::new(|| {
                read(lock);
            }),
        ]);
        assert_eq!(read(lock), 1);
    });
}

#[test]
fn writers_exclude_each_other() {
    model(2, || {
        let lock = keep(RwLock::new(Number::new()));
        threads([Box::new(|| write(lock)), Box::new(|| write(lock))]);
        assert_eq!(read(lock), 2);
    });
}

/// The last reader's release and the writer that queues: one sees the other.
#[test]
fn the_last_reader_lets_the_writer_in() {
    model(2, || {
        let lock = keep(RwLock::new(Number::new()));
        let (one, two) = (lock.try_read().unwrap(), lock.try_read().unwrap());
        let writer = spawn(|| write(lock));
        let reader = spawn(move || drop(one));
        drop(two);
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(read(lock), 1);
    });
}

/// A writer that gives up lets the readers behind it in.
#[test]
fn a_dropped_writer_lets_readers_in() {
    model(2, || {
        let lock = keep(RwLock::new(Number::new()));
        let guard = lock.try_read().unwrap();
        let mut writer = Box::pin(lock.write());
        assert!(poll_once(writer.as_mut()).is_pending());
        let reader = spawn(|| block_on(lock.read()).unwrap().get());
        let dropper = spawn(move || drop(writer));
        reader.join().unwrap();
        dropper.join().unwrap();
        drop(guard);
    });
}

#[test]
fn permits_are_never_lost() {
    model(1, || {
        let pool = keep(PermitPool::new(2));
        let take = |count| move || run(async |ctx| drop(ctx.permits(pool, count).await.unwrap()));
        threads([Box::new(take(2)), Box::new(take(1)), Box::new(take(1))]);
        assert_eq!(pool.available(), 2);
    });
}

/// A future takes its turn outside of its activity, while that one, which does not poll it, ends a poll, and ends.
#[test]
fn a_grant_is_taken_outside_of_its_activity_or_passed_on() {
    model(1, || {
        let lock = keep(RwLock::new(Number::new()));
        let writes = lock.try_write().unwrap();
        let place = Cell::new(None);
        let mut begins = Box::pin(activity_owning(|locks| {
            let (locks, place) = (Arc::new(locks), &place);
            // SAFETY: whoever gets the wait gets the context, and drops it after the wait.
            let context: &'static OwnedContext = unsafe { &*Arc::as_ptr(&locks) };
            async move {
                let mut wait = Box::pin(context.write(lock));
                poll_fn(|cx| Poll::Ready(assert!(wait.as_mut().poll(cx).is_pending()))).await;
                place.set(Some((wait, locks)));
                suspend().await;
                suspend().await;
            }
        }));
        assert!(poll_once(begins.as_mut()).is_pending());
        drop(writes);
        let (wait, locks) = place.take().unwrap();
        let taker = spawn(|| {
            block_on(wait).unwrap().add_one();
            drop(locks);
        });
        while poll_once(begins.as_mut()).is_pending() {}
        drop(begins);
        write(lock);
        taker.join().unwrap();
        assert_eq!(read(lock), 2);
    });
}

//! Waits that were forgotten (`mem::forget`) instead of dropped, and locks that end while somebody may still look at their
//! waiters.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{LockError, Mutex, PermitPool, activity};
use std::{
    future::poll_fn,
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};
use support::{limited, ms, poll_once};

/// A wait that has failed is in no queue, so the drop of its lock does not look for it; and the end of the activity must
/// not follow it to where the lock was. (Seen by AddressSanitizer.)
#[tokio::test]
async fn an_expired_wait_that_was_forgotten_outlives_its_lock() {
    limited(activity(async |ctx| {
        let m = Box::new(Mutex::new([0_u8; 4096]));
        let held = ctx.try_lock(&m)?.expect("it is free");
        let mut wait = Box::pin(ctx.lock_within(&m, ms(1)));
        poll_once(wait.as_mut()).await;
        // One look at the activity's deadlines ends all that have passed: this one too, once the later one has.
        let later = ctx.within(ms(2), std::future::pending::<()>()).await;
        assert!(later.is_err());
        mem::forget(wait);
        drop(held);
        drop(m);
        Ok::<_, LockError>(())
    }))
    .await
    .unwrap()
    .unwrap();
}

#[tokio::test]
async fn a_closed_wait_that_was_forgotten_outlives_its_pool() {
    limited(activity(async |ctx| {
        let pool = Box::new(PermitPool::new(1));
        let held = ctx.try_permits(&pool, 1)?.expect("it is free");
        let mut wait = Box::pin(ctx.permit(&pool));
        poll_once(wait.as_mut()).await;
        pool.close();
        mem::forget(wait);
        drop(held);
        drop(pool);
        Ok::<_, LockError>(())
    }))
    .await
    .unwrap()
    .unwrap();
}

/// A lock that was locked for ever looks for forgotten waiters when it is dropped. A cell that once waited for it, and
/// waits for another lock by then, is none.
#[test]
fn the_end_of_a_lock_leaves_alone_who_waits_for_another() {
    const TURNS: usize = 2_000;
    let other = Mutex::new(());
    let turn_of = AtomicUsize::new(0);
    let place: StdMutex<Option<Arc<Mutex<()>>>> = StdMutex::new(None);
    let come = |turn: usize| {
        while turn_of.load(Ordering::Acquire) < turn {
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 1..=TURNS {
                come(turn * 2 - 1);
                let ending = place.lock().unwrap().take();
                turn_of.fetch_add(1, Ordering::AcqRel);
                spin(turn % 61);
                drop(ending);
            }
        });
        let held = other.try_lock().unwrap();
        let mut waits = Box::pin(activity(async |ctx| {
            for turn in 1..=TURNS {
                let ending = Arc::new(Mutex::new(()));
                mem::forget(ending.try_lock());
                poll_once(Box::pin(ctx.lock(&ending)).as_mut()).await;
                *place.lock().unwrap() = Some(ending);
                turn_of.fetch_add(1, Ordering::AcqRel);
                come(turn * 2);
                spin((turn / 61) % 31);
                let mut wait = Box::pin(ctx.lock(&other).without_deadline());
                poll_once(wait.as_mut()).await;
                spin(200);
                poll_once(wait.as_mut()).await;
            }
        }));
        assert!(poll_by_hand(waits.as_mut()).is_ready());
        drop(held);
    });
}

fn spin(turns: usize) {
    (0..turns).for_each(|_| std::hint::spin_loop());
}

fn poll_by_hand<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

/// The same lock taken again and again by waits of which every other one is forgotten: the queue stays whole.
#[tokio::test]
async fn forgotten_waits_in_between_lose_nobodys_turn() {
    limited(activity(async |ctx| {
        let m = Mutex::new(0);
        for _ in 0..20 {
            let held = ctx.lock(&m).await?;
            let (mut gone, mut good) = (Box::pin(ctx.lock(&m)), Box::pin(ctx.lock(&m)));
            poll_once(gone.as_mut()).await;
            poll_once(good.as_mut()).await;
            mem::forget(gone);
            drop(held);
            *poll_fn(|cx| good.as_mut().poll(cx)).await? += 1;
        }
        let count = *ctx.lock(&m).await?;
        assert_eq!(count, 20);
        Ok::<_, LockError>(())
    }))
    .await
    .unwrap()
    .unwrap();
}

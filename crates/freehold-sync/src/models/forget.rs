//! The end of a lock whose waiters were forgotten, against those who still look at them.

use super::exhaustive::{Gate, Number, keep, model, poll_once, run, spawn};
use crate::{Mutex, clock::NEVER, driver};
use std::{mem, pin::Pin, task::Poll};

/// Forgets a queued wait for a lock, and drops the lock while the driver follows the wait.
fn lock_ends_under(look: fn()) {
    model(1, move || {
        let (forgotten, end) = (keep(Gate::new()), keep(Gate::new()));
        let mutex = std::sync::Arc::new(Mutex::new(Number::new()));
        let holder = mutex.clone();
        let guard = keep_guard(&holder);
        let waiter = spawn(move || {
            run(async |ctx| {
                {
                    let mutex = &*mutex;
                    let mut wait = Box::pin(ctx.lock(mutex));
                    let pinned = wait.as_mut();
                    assert!(poll_in_place(pinned).await.is_pending());
                    mem::forget(wait);
                }
                drop(mutex);
                forgotten.open();
                end.passed().await;
            });
        });
        let looker = spawn(look);
        let mut gone = Box::pin(forgotten.passed());
        let _ = poll_once(gone.as_mut());
        super::exhaustive::block_on(gone);
        mem::forget(guard);
        drop(holder);
        end.open();
        waiter.join().unwrap();
        looker.join().unwrap();
    });
}

/// A guard that does not borrow, so that the lock may end under it.
fn keep_guard(mutex: &Mutex<Number>) -> crate::MutexGuard<'static, Number> {
    // SAFETY: the guard is forgotten before the mutex is dropped.
    unsafe { mem::transmute(mutex.try_lock().unwrap()) }
}

async fn poll_in_place<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[test]
fn a_lock_ends_while_its_forgotten_waiter_expires() {
    lock_ends_under(|| {
        driver::expire(NEVER - 1);
    });
}

#[test]
fn a_lock_ends_while_its_forgotten_waiter_is_observed() {
    lock_ends_under(|| drop(crate::observe()));
}

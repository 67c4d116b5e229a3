//! A look at an activity, which freezes it, against its polls.

use super::exhaustive::{Gate, Number, keep, model, run, spawn};
use crate::{Mutex, observe};

#[test]
fn a_look_holds_nobody_up_for_good() {
    model(1, || {
        let mutex = keep(Mutex::new(Number::new()));
        let guard = mutex.try_lock().unwrap();
        let waiter = spawn(|| run(async |ctx| ctx.lock(mutex).await.unwrap().add_one()));
        let observer = spawn(|| drop(observe()));
        drop(guard);
        waiter.join().unwrap();
        observer.join().unwrap();
        assert_eq!(mutex.try_lock().expect("nobody has it").get(), 1);
    });
}

/// A holder that is idle, but will be woken by something outside of the graph, is never taken for stuck.
#[test]
fn a_holder_that_somebody_may_wake_is_left_alone() {
    model(1, || {
        let mutex = keep(Mutex::new(Number::new()));
        let gate = keep(Gate::new());
        let mut holder = Box::pin(crate::activity(async |ctx| {
            let number = ctx.lock(mutex).await.unwrap();
            gate.passed().await;
            number.add_one();
        }));
        assert!(super::exhaustive::poll_once(holder.as_mut()).is_pending());
        let waiter = spawn(|| run(async |ctx| ctx.lock(mutex).await.unwrap().add_one()));
        let opener = spawn(|| gate.open());
        super::exhaustive::block_on(holder).expect("it is not ended from outside");
        waiter.join().unwrap();
        opener.join().unwrap();
        assert_eq!(mutex.try_lock().expect("nobody has it").get(), 2);
    });
}

//! What loom models are made of.

use crate::{Context, LockError, activity, slot::pool};
use loom::{
    cell::UnsafeCell,
    sync::{Mutex, Notify},
    thread::{self, JoinHandle},
};
use std::{
    any::Any,
    cell::RefCell,
    future::{Future, poll_fn},
    mem::ManuallyDrop,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context as TaskContext, Poll, Wake, Waker},
};

/// In words. The detector formats names and hashes pointers, which the 32 KiB of loom's default are too small for.
const STACK: usize = 0x4000;
/// Steps of one run: a bound on endless loops.
const BRANCHES: usize = 20_000;

/// Runs `run` under every interleaving with at most `preemptions` preemptions (or `LOOM_MAX_PREEMPTIONS`).
pub(super) fn model(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = BRANCHES;
    let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = runs.clone();
    builder.check(move || {
        pool::model::begin_run();
        KEPT.take();
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        run();
        assert_eq!(pool::model::in_use(), 0, "every slot goes back to the pool");
    });
    println!("{} interleavings", runs.load(std::sync::atomic::Ordering::Relaxed));
}

pub(super) fn spawn<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::Builder::new().stack_size(STACK).spawn(run).unwrap()
}

/// Runs all of `runs` on threads of their own until they end.
pub(super) fn threads<const N: usize>(runs: [Box<dyn FnOnce() + Send>; N]) {
    let threads = runs.map(|run| spawn(run));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

std::thread_local!(static KEPT: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) });

/// Keeps `value` for the rest of this run. It is never dropped: its loom objects end with the run.
pub(super) fn keep<T: 'static>(value: T) -> &'static T {
    let kept = Box::new(ManuallyDrop::new(value));
    // SAFETY: the allocation is freed when the next run begins, and nothing of this one is left then.
    let value: &'static T = unsafe { &*std::ptr::from_ref::<T>(&kept) };
    KEPT.with_borrow_mut(|all| all.push(kept));
    value
}

/// Wakes a thread of the model. The standard library's `Arc`, so that its count adds no interleavings.
struct Alarm(Notify);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify();
    }
}

pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let alarm = Arc::new(Alarm(Notify::new()));
    let waker = Waker::from(alarm.clone());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
            return output;
        }
        alarm.0.wait();
    }
}

/// Polls once, with a waker that wakes nobody.
pub(super) fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut TaskContext::from_waker(Waker::noop()))
}

/// Runs `body` as an activity on this thread.
pub(super) fn run<T>(body: impl AsyncFnOnce(&Context) -> T) -> T {
    block_on(activity(body)).expect("it is not ended from outside")
}

/// Polls the rest of the body only in the activity's next poll, to which it wakes itself.
pub(super) async fn suspend() {
    let mut first = true;
    poll_fn(|cx| {
        if !std::mem::take(&mut first) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Something outside of the graph that an activity waits for, and another thread ends.
pub(super) struct Gate {
    state: Mutex<(bool, Option<Waker>)>,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new((false, None)) }
    }

    pub(super) fn open(&self) {
        let waker = {
            let mut state = self.state.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn passed(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            let mut state = self.state.lock().unwrap();
            if state.0 {
                return Poll::Ready(());
            }
            let old = state.1.replace(cx.waker().clone());
            drop(state);
            drop(old);
            Poll::Pending
        })
    }
}

/// A number that only the holder of a lock may touch, which loom checks.
pub(super) struct Number(UnsafeCell<u32>);

// SAFETY: behind a lock; that the lock excludes is what the model is about, and loom tells if not.
unsafe impl Sync for Number {}

impl Number {
    pub(super) fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    pub(super) fn add_one(&self) {
        // SAFETY: loom checks that nobody else is at it.
        self.0.with_mut(|number| unsafe { *number += 1 });
    }

    pub(super) fn get(&self) -> u32 {
        // SAFETY: loom checks that nobody writes.
        self.0.with(|number| unsafe { *number })
    }
}

/// Whether `result` is the verdict of a deadlock; any other error fails the model.
pub(super) fn is_victim(result: &Result<(), LockError>) -> bool {
    match result {
        Ok(()) => false,
        Err(error) => {
            assert!(error.deadlock().is_some(), "{error}");
            true
        }
    }
}

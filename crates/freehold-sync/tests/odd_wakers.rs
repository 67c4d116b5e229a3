//! Wakers that are slow, panic, end what they belong to, or live a moment longer than the activity.

#![expect(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold_sync::{LockError, Mutex, PermitPool, RwLock, activity, blocking, within};
use std::{
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context as TaskContext, Poll, RawWaker, RawWakerVTable, Wake, Waker},
    thread::{self, Thread},
};
use support::ms;

fn poll_with<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut TaskContext::from_waker(waker))
}

/// Waits on this thread until `event` is so; 10 s at most.
#[track_caller]
fn until(what: &str, mut event: impl FnMut() -> bool) {
    let end = support::now() + ms(10_000);
    while !event() {
        assert!(support::now() < end, "{what}");
        thread::sleep(ms(1));
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn of(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

struct CountsDrops(Arc<AtomicUsize>);

impl Wake for CountsDrops {
    fn wake(self: Arc<Self>) {}
}

impl Drop for CountsDrops {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The end of an activity, and the last clone of its waker, dropped by another thread at that moment: one of them drops
/// the waker of the task, once.
#[test]
fn the_tasks_waker_is_dropped_once() {
    let turns: usize =
        std::env::var("FREEHOLD_STRESS").ok().and_then(|turns| turns.parse().ok()).unwrap_or(20_000);
    let (send, receive) = mpsc::sync_channel::<Waker>(0);
    let go = Arc::new(AtomicUsize::new(0));
    let started = go.clone();
    let dropper = thread::spawn(move || {
        for (turn, waker) in receive.into_iter().enumerate() {
            while started.load(Ordering::Acquire) <= turn {
                thread::yield_now();
            }
            (0..turn % 97).for_each(|_| std::hint::spin_loop());
            drop(waker);
        }
    });
    let drops = Arc::new(AtomicUsize::new(0));
    for turn in 0..turns {
        let kept: Arc<StdMutex<Option<Waker>>> = Arc::default();
        let keep = kept.clone();
        let mut a = Box::pin(activity(async move |_| {
            poll_fn(|cx| {
                *keep.lock().unwrap() = Some(cx.waker().clone());
                Poll::<()>::Pending
            })
            .await;
        }));
        assert!(poll_with(a.as_mut(), &Waker::from(Arc::new(CountsDrops(drops.clone())))).is_pending());
        send.send(kept.lock().unwrap().take().unwrap()).unwrap();
        go.store(turn + 1, Ordering::Release);
        drop(a);
    }
    drop(send);
    dropper.join().unwrap();
    assert_eq!(drops.load(Ordering::SeqCst), turns);
}

/// The deadline passes while the waker is being cloned, when there is nothing to signal yet.
#[test]
fn a_deadline_that_passes_during_the_registration_is_not_lost() {
    static WOKEN: AtomicBool = AtomicBool::new(false);
    static SLOW: RawWakerVTable = RawWakerVTable::new(
        |data| {
            thread::sleep(ms(60));
            RawWaker::new(data, &SLOW)
        },
        |_| WOKEN.store(true, Ordering::SeqCst),
        |_| WOKEN.store(true, Ordering::SeqCst),
        |_| (),
    );
    // Somebody who waits keeps the driver looking.
    let m = Mutex::new(());
    let _held = m.try_lock().unwrap();
    let mut other = pin!(m.lock());
    assert!(poll_with(other.as_mut(), Waker::noop()).is_pending());
    // SAFETY: the vtable's functions need no data.
    let slow = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &SLOW)) };
    let mut late = pin!(within(ms(20), pending::<()>()));
    assert!(poll_with(late.as_mut(), &slow).is_pending());
    until("the deadline is lost", || WOKEN.load(Ordering::SeqCst));
}

#[derive(Default)]
struct Panics(AtomicBool);

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
        panic!("in a waker");
    }
}

/// A clone that goes for the lock which the future waits for: it must not happen inside of that lock's section.
#[test]
fn a_waker_whose_clone_uses_the_lock_hangs_nobody() {
    static POOL: PermitPool = PermitPool::new(1);
    static CLONED: AtomicUsize = AtomicUsize::new(0);
    static USES_IT: RawWakerVTable = RawWakerVTable::new(
        |data| {
            assert!(POOL.try_acquire().is_none());
            CLONED.fetch_add(1, Ordering::SeqCst);
            RawWaker::new(data, &USES_IT)
        },
        |_| (),
        |_| (),
        |_| (),
    );
    let waits = thread::spawn(|| {
        let _held = POOL.try_acquire().unwrap();
        let mut wait = pin!(POOL.acquire());
        assert!(poll_with(wait.as_mut(), Waker::noop()).is_pending());
        // SAFETY: the vtable's functions need no data.
        let uses_it = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &USES_IT)) };
        assert!(poll_with(wait.as_mut(), &uses_it).is_pending());
    });
    until("the clone waits for the section it is in", || waits.is_finished());
    waits.join().unwrap();
    assert_eq!(CLONED.load(Ordering::SeqCst), 1);
}

#[test]
fn deadlines_outlive_a_waker_that_panics() {
    let panics = Arc::new(Panics::default());
    let mut bad = pin!(within(ms(5), pending::<()>()));
    assert!(poll_with(bad.as_mut(), &Waker::from(panics.clone())).is_pending());
    until("it is not woken", || panics.0.load(Ordering::SeqCst));
    let count = Arc::new(Count::default());
    let mut good = pin!(within(ms(5), pending::<()>()));
    assert!(poll_with(good.as_mut(), &Waker::from(count.clone())).is_pending());
    until("there is no deadline any more", || count.of() > 0);
}

#[test]
fn a_waker_that_panics_takes_nobody_elses_wake() {
    let lock = RwLock::new(());
    let held = lock.try_write().unwrap();
    let count = Arc::new(Count::default());
    let good = Waker::from(count.clone());
    let bad = Waker::from(Arc::new(Panics::default()));
    let mut readers: Vec<_> = (0..4).map(|_| Box::pin(lock.read())).collect();
    for (reader, waker) in readers.iter_mut().zip([&bad, &good, &bad, &good]) {
        assert!(poll_with(reader.as_mut(), waker).is_pending());
    }
    let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(held)));
    assert!(end.is_err(), "the panic goes to who woke");
    assert_eq!(count.of(), 2);
}

/// The turn of a future that is dropped goes to one whose waker panics. The wait is left all the same: the end of the activity
/// must not follow it to where the lock was. (Seen by AddressSanitizer.)
#[test]
fn a_waker_that_panics_leaves_no_wait_behind() {
    let mut drops = pin!(activity(async |ctx| {
        let m = Box::new(Mutex::new([0_u8; 4096]));
        let held = ctx.try_lock(&m)?.expect("it is free");
        let mut first = Box::pin(ctx.lock(&m));
        support::poll_once(first.as_mut()).await;
        let mut second = Box::pin(m.lock());
        assert!(poll_with(second.as_mut(), &Waker::from(Arc::new(Panics::default()))).is_pending());
        drop(held);
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(first)));
        assert!(end.is_err(), "the panic goes to who dropped");
        drop(second);
        drop(m);
        Ok::<_, LockError>(())
    }));
    assert!(poll_with(drops.as_mut(), Waker::noop()).is_ready());
}

/// A thread that is about to park breaks a ring, and what it wakes panics: it gives its place in the queue up, as whatever
/// comes to it there nobody would use.
#[test]
fn a_waker_that_panics_leaves_no_blocking_wait_behind() {
    // The machine may stall once; a sweep that has to pass the turn on takes its time always.
    assert!((0..3).any(|_| next_is_told_at_once()), "a sweep had to pass the turn on");
}

fn next_is_told_at_once() -> bool {
    static A: Mutex<()> = Mutex::new(());
    static B: blocking::Mutex<()> = blocking::Mutex::new(());
    let (holds, is_held) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    let blocks = thread::spawn(move || {
        let mut blocks = Box::pin(activity(async |ctx| {
            let _a = ctx.lock(&A).await?;
            holds.send(()).unwrap();
            may_go.recv().unwrap();
            ctx.lock_blocking(&B).map(drop)
        }));
        let poll = || poll_with(blocks.as_mut(), Waker::noop()).is_ready();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll)).is_err()
    });
    is_held.recv().unwrap();
    let mut victim = Box::pin(activity(async |ctx| {
        let _b = ctx.lock_blocking(&B)?;
        ctx.lock(&A).await.map(drop)
    }));
    assert!(poll_with(victim.as_mut(), &Waker::from(Arc::new(Panics::default()))).is_pending());
    go.send(()).unwrap();
    assert!(blocks.join().unwrap(), "the panic goes to who broke the ring");
    let Poll::Ready(Ok(Err(error))) = poll_with(victim.as_mut(), Waker::noop()) else { panic!("no victim") };
    support::proven(&error);
    // A turn that went to the thread's wait would keep the next one from being told.
    let held = B.try_lock().expect("nobody has it");
    let next = thread::spawn(|| B.lock_within(ms(2000)).map(drop));
    until("it does not wait", || waits_for(&B));
    let begun = support::now();
    drop(held);
    next.join().unwrap().unwrap();
    begun.elapsed() < ms(400)
}

/// Takes a lock of this crate when it wakes, as an executor does whose queue is behind one.
struct Locks(&'static blocking::Mutex<u32>);

impl Wake for Locks {
    fn wake(self: Arc<Self>) {
        *self.0.lock().unwrap() += 1;
    }
}

/// A thread that waits breaks a ring that it only stands behind. What it wakes blocks it elsewhere for a moment; afterwards it
/// is parked in its own wait again, for the graph, too.
#[test]
fn a_waker_that_blocks_hides_no_ring() {
    static QUEUE: blocking::Mutex<u32> = blocking::Mutex::new(0);
    static A: blocking::Mutex<()> = blocking::Mutex::new(());
    static B: blocking::Mutex<()> = blocking::Mutex::new(());
    static M: Mutex<()> = Mutex::new(());
    static N: Mutex<()> = Mutex::new(());
    // With a waker left outside: it lives, for all the graph knows.
    let suspended = async || {
        let mut kept = None;
        poll_fn(|cx| match kept.replace(cx.waker().clone()) {
            None => Poll::Pending,
            Some(_) => Poll::Ready(()),
        })
        .await;
    };
    let mut holds_a = Box::pin(activity(async |ctx| {
        let _a = ctx.lock_blocking(&A)?;
        let m = ctx.lock(&M).await?;
        suspended().await;
        drop(ctx.lock(&N).without_deadline().await?);
        drop(m);
        suspended().await;
        ctx.lock_blocking(&B).map(drop)
    }));
    assert!(poll_with(holds_a.as_mut(), Waker::noop()).is_pending());
    let kept: StdMutex<Option<Waker>> = StdMutex::new(None);
    let mut victim = Box::pin(activity(async |ctx| {
        let _n = ctx.lock(&N).await?;
        *kept.lock().unwrap() = Some(poll_fn(|cx| Poll::Ready(cx.waker().clone())).await);
        ctx.lock(&M).without_deadline().await.map(drop)
    }));
    assert!(poll_with(victim.as_mut(), &Waker::from(Arc::new(Locks(&QUEUE)))).is_pending());
    assert!(poll_with(holds_a.as_mut(), Waker::noop()).is_pending());
    let queue = QUEUE.lock().unwrap();
    // From here on the two are a ring, and the first to look is the thread.
    drop(kept.lock().unwrap().take());
    let blocks = thread::spawn(|| {
        let _b = B.lock()?;
        A.lock_without_deadline().map(drop)
    });
    until("it wakes nobody", || waits_for(&QUEUE));
    drop(queue);
    until("it does not go on", || QUEUE.try_lock().is_some_and(|woken| *woken == 1));
    assert!(matches!(poll_with(victim.as_mut(), Waker::noop()), Poll::Ready(Ok(Err(_)))));
    assert!(poll_with(holds_a.as_mut(), Waker::noop()).is_pending());
    let begun = support::now();
    let end = poll_with(holds_a.as_mut(), Waker::noop());
    assert!(begun.elapsed() < support::SOON, "nobody saw the ring");
    let Poll::Ready(Ok(end)) = end else { panic!("it does not go on") };
    drop(holds_a);
    support::one_victim(&[end, blocks.join().unwrap()]);
}

fn waits_for<T>(lock: &blocking::Mutex<T>) -> bool {
    let name = lock.class().name();
    freehold_sync::observe().locks().iter().any(|(lock, _, waiting)| lock.class == name && *waiting > 0)
}

type Place = Arc<StdMutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>>;

/// Ends the future it belongs to, as an executor does that is gone.
struct Ends(Place);

impl Wake for Ends {
    fn wake(self: Arc<Self>) {
        let future = self.0.lock().unwrap().take();
        drop(future);
    }
}

#[test]
fn a_cancel_whose_wake_ends_the_activity_returns() {
    let place = Place::default();
    let mut cancelled = activity(async |ctx| ctx.cancelled().await);
    let handle = cancelled.handle();
    let mut future: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move { drop(cancelled.await) });
    assert!(poll_with(future.as_mut(), &Waker::from(Arc::new(Ends(place.clone())))).is_pending());
    *place.lock().unwrap() = Some(future);
    let canceller = thread::spawn(move || handle.cancel());
    until("the cancel hangs", || canceller.is_finished());
    assert!(place.lock().unwrap().is_none(), "it was woken");
}

struct Unparks(Thread);

impl Wake for Unparks {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The executor of the standard library's own example: it parks the thread, and so does a blocking lock in its poll.
#[test]
fn a_blocking_lock_swallows_no_wake_of_an_executor_that_parks() {
    static LOCK: blocking::Mutex<()> = blocking::Mutex::new(());
    let (send, receive) = tokio::sync::oneshot::channel::<()>();
    let (at_the_lock, is_at_the_lock) = mpsc::channel();
    let held = LOCK.lock().unwrap();
    let executor = thread::spawn(move || {
        let blocks = async move {
            at_the_lock.send(()).unwrap();
            drop(LOCK.lock().unwrap());
        };
        let mut both = pin!(async { tokio::join!(receive, blocks).0.unwrap() });
        let waker = Waker::from(Arc::new(Unparks(thread::current())));
        while poll_with(both.as_mut(), &waker).is_pending() {
            thread::park();
        }
    });
    is_at_the_lock.recv().unwrap();
    until("it does not park", || {
        freehold_sync::observe()
            .members
            .iter()
            .any(|member| !member.waits.is_empty() && member.actor.name.starts_with("thread ThreadId"))
    });
    thread::sleep(ms(20));
    send.send(()).unwrap();
    thread::sleep(ms(20));
    drop(held);
    until("the wake is lost", || executor.is_finished());
}

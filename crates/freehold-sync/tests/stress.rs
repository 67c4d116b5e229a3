//! Hammers: many tasks, many rounds, and exact sums at the end.
//!
//! `FREEHOLD_STRESS=n` multiplies the rounds by n.
#![expect(clippy::disallowed_methods, reason = "the tests are made of tokio's own timers and tasks")]

use freehold_sync::{
    ActivityHandle, Context, LockError, Mutex, PermitPool, RwLock, activity, metrics, set_wait_limit,
};
use std::{
    cell::UnsafeCell,
    future::Future,
    pin::Pin,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};
use tokio::runtime::Runtime;

/// No test takes this long; what does hangs.
const HANG: Duration = Duration::from_secs(60);

fn rounds(of_a_normal_run: usize) -> usize {
    let factor = std::env::var("FREEHOLD_STRESS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    of_a_normal_run * factor
}

/// Two workers. A wait that ends at the default limit ends only because its wake-up was lost.
fn runtime() -> Runtime {
    set_wait_limit(Duration::from_secs(30));
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime")
}

/// Tests run beside each other, but for the one that measures the memory of the process.
static ALONE: std::sync::RwLock<()> = std::sync::RwLock::new(());

fn in_time<T>(future: impl Future<Output = T>) -> T {
    let _beside_others = ALONE.read().unwrap_or_else(PoisonError::into_inner);
    run(future)
}

fn alone<T>(future: impl Future<Output = T>) -> T {
    let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
    run(future)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(async { tokio::time::timeout(HANG, future).await.expect("it hangs") })
}

// ---- abort while queued or notified --------------------------------------------------------------------------------

/// The three kinds of waits, by what a holder of each excludes.
struct Three {
    mutex: Mutex<u64>,
    lock: RwLock<u64>,
    pool: PermitPool,
    inside: [AtomicUsize; 3],
}

impl Three {
    fn new() -> Self {
        Self {
            mutex: Mutex::new(0),
            lock: RwLock::new(0),
            pool: PermitPool::new(2),
            inside: Default::default(),
        }
    }

    /// Holds one of the three over `yields` turns of the scheduler.
    async fn visit(&self, ctx: &Context, which: usize, yields: usize) -> Result<(), LockError> {
        match which {
            0 => {
                let mut value = ctx.lock(&self.mutex).await?;
                *value += 1;
                self.stay(0, 1, 1, yields).await;
            }
            1 => {
                let _value = ctx.read(&self.lock).await?;
                self.stay(1, 1, 1000, yields).await;
            }
            2 => {
                let mut value = ctx.write(&self.lock).await?;
                *value += 1;
                self.stay(1, 1000, 1000, yields).await;
            }
            3 => {
                let _permit = ctx.permit(&self.pool).await?;
                self.stay(2, 1, 2, yields).await;
            }
            _ => {
                let _permits = ctx.permits(&self.pool, 2).await?;
                self.stay(2, 2, 2, yields).await;
            }
        }
        Ok(())
    }

    async fn stay(&self, which: usize, weight: usize, most: usize, yields: usize) {
        struct Out<'a>(&'a AtomicUsize, usize);
        impl Drop for Out<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(self.1, Ordering::SeqCst);
            }
        }
        let before = self.inside[which].fetch_add(weight, Ordering::SeqCst);
        let _out = Out(&self.inside[which], weight);
        assert!(before + weight <= most, "{before} inside when {weight} came in");
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
    }

    fn assert_free(&self) {
        assert!(self.mutex.try_lock().is_some(), "the mutex is locked");
        assert!(self.lock.try_write().is_some(), "the read-write lock is locked");
        assert_eq!(self.pool.available(), 2);
    }
}

/// Waiters are aborted wherever they are: queued, notified, granted, inside. Nobody's turn is lost with them.
#[test]
fn aborts_of_waiters_lose_no_turn() {
    in_time(async {
        for kind in 0..5 {
            let three = Arc::new(Three::new());
            for round in 0..rounds(400) {
                hammer(&three, kind, round).await;
            }
            three.assert_free();
        }
    });
}

async fn hammer(three: &Arc<Three>, kind: usize, round: usize) {
    let mut tasks = Vec::new();
    for index in 0..12 {
        let mine = three.clone();
        // Readers and writers, single and double permits wait in one queue.
        let which = match kind {
            1 | 2 => 1 + (index + kind) % 2,
            3 | 4 => 3 + (index + kind) % 2,
            other => other,
        };
        let visit = activity(async move |ctx: &Context| mine.visit(ctx, which, index % 3).await);
        tasks.push(tokio::spawn(visit));
    }
    for (index, task) in tasks.iter().enumerate() {
        if (index * 7 + round).is_multiple_of(3) {
            task.abort();
        }
        if (index + round).is_multiple_of(4) {
            tokio::task::yield_now().await;
        }
    }
    for task in tasks {
        match task.await {
            Ok(done) => done.expect("no deadlock").expect("no wait is lost"),
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
    }
}

/// The same from outside of activities, where a watchdog passes turns on.
#[test]
fn aborts_of_waiters_outside_of_activities_lose_no_turn() {
    in_time(async {
        let mutex = Arc::new(Mutex::new(0_u64));
        for round in 0..rounds(1_000) {
            let tasks: Vec<_> = (0..8)
                .map(|index| {
                    let mutex = mutex.clone();
                    tokio::spawn(async move {
                        let _guard = mutex.lock().await.expect("no wait is lost");
                        if index % 2 == 0 {
                            tokio::task::yield_now().await;
                        }
                    })
                })
                .collect();
            for (index, task) in tasks.iter().enumerate() {
                if (index + round) % 3 == 0 {
                    task.abort();
                }
            }
            for task in tasks {
                if let Err(error) = task.await {
                    assert!(error.is_cancelled(), "{error}");
                }
            }
        }
        assert!(mutex.try_lock().is_some());
    });
}

/// Spawns `body`, and returns once it was polled.
async fn queue<T: Send + 'static>(
    body: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    let pending = Arc::new(tokio::sync::Notify::new());
    let tell = pending.clone();
    let mut body = Box::pin(body);
    let task = tokio::spawn(std::future::poll_fn(move |cx| {
        let poll = body.as_mut().poll(cx);
        tell.notify_one();
        poll
    }));
    pending.notified().await;
    task
}

/// Who waits behind one that gives up gets in at once, if that one was all that kept it out.
#[test]
fn who_gives_up_lets_those_behind_in() {
    in_time(async {
        let both = Arc::new((RwLock::new(0), PermitPool::new(2)));
        let _held = (both.0.read().await.unwrap(), both.1.acquire().await.unwrap());
        let (ahead, behind) = (both.clone(), both.clone());
        let writer = queue(activity(async move |ctx: &Context| ctx.write(&ahead.0).await.map(drop))).await;
        let reader = queue(activity(async move |ctx: &Context| ctx.read(&behind.0).await.map(drop))).await;
        let (ahead, behind) = (both.clone(), both.clone());
        let two = queue(activity(async move |ctx: &Context| ctx.permits(&ahead.1, 2).await.map(drop))).await;
        let one = queue(activity(async move |ctx: &Context| ctx.permit(&behind.1).await.map(drop))).await;
        assert!(!reader.is_finished() && !one.is_finished(), "first come, first served");
        writer.abort();
        two.abort();
        reader.await.unwrap().unwrap().unwrap();
        one.await.unwrap().unwrap().unwrap();
    });
}

// ---- exact totals --------------------------------------------------------------------------------------------------

/// A counter whose updates are lost if two tasks are in it at once.
struct Racy(UnsafeCell<u64>);

// SAFETY: whether this is true is what the tests find out.
unsafe impl Sync for Racy {}

impl Racy {
    fn add(&self) {
        // SAFETY: as above. Volatile, so that the compiler does not make it one instruction.
        unsafe {
            let before = self.0.get().read_volatile();
            std::hint::black_box(());
            self.0.get().write_volatile(before + 1);
        }
    }
}

#[test]
fn contended_mutexes_lose_no_update() {
    let each = rounds(3_000);
    in_time(async {
        let both = Arc::new((Mutex::new(()), Racy(UnsafeCell::new(0))));
        let tasks: Vec<_> = (0..16)
            .map(|index| {
                let both = both.clone();
                tokio::spawn(async move {
                    if index % 4 == 0 {
                        for _ in 0..each {
                            let _guard = both.0.lock().await.unwrap();
                            both.1.add();
                        }
                        return;
                    }
                    let add = activity(async |ctx: &Context| {
                        for turn in 0..each {
                            let _guard = ctx.lock(&both.0).await.unwrap();
                            both.1.add();
                            if turn % 64 == index {
                                tokio::task::yield_now().await;
                            }
                        }
                    });
                    add.await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let _guard = both.0.try_lock().expect("it is free");
        // SAFETY: we hold the lock, and all others are done.
        assert_eq!(unsafe { *both.1.0.get() }, 16 * each as u64);
    });
}

#[test]
fn contended_read_write_locks_and_pools_lose_no_update() {
    let each = rounds(1_500);
    in_time(async {
        let lock = Arc::new(RwLock::new([0_u64; 2]));
        let pool = Arc::new((PermitPool::new(3), Racy(UnsafeCell::new(0))));
        let tasks: Vec<_> = (0..12)
            .map(|index| {
                let (lock, pool) = (lock.clone(), pool.clone());
                tokio::spawn(activity(async move |ctx: &Context| {
                    for turn in 0..each {
                        if turn % 3 == index % 3 {
                            let mut pair = ctx.write(&lock).await.unwrap();
                            pair[0] += 1;
                            if turn % 16 == 0 {
                                tokio::task::yield_now().await;
                            }
                            pair[1] += 1;
                        } else {
                            let pair = ctx.read(&lock).await.unwrap();
                            assert_eq!(pair[0], pair[1], "a writer was inside beside us");
                        }
                        let alone = ctx.permits(&pool.0, 2).await.unwrap();
                        pool.1.add();
                        drop(alone);
                    }
                }))
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(*lock.try_read().unwrap(), [12 * each as u64 / 3; 2]);
        assert_eq!(pool.0.available(), 3);
        // SAFETY: all others are done.
        assert_eq!(unsafe { *pool.1.0.get() }, 12 * each as u64);
    });
}

/// Waits change all the time, in an order that allows no ring. A detector that puts together what it saw at different
/// moments finds rings here.
#[test]
fn ordered_locks_under_churn_get_no_verdict() {
    let each = rounds(4_000);
    in_time(async {
        let locks: Arc<Vec<Mutex<u64>>> = Arc::new((0..5).map(Mutex::new).collect());
        let tasks: Vec<_> = (0..10)
            .map(|index: usize| {
                let locks = locks.clone();
                tokio::spawn(activity(async move |ctx: &Context| {
                    for turn in 0..each {
                        // Pairs (0, 1), (1, 2), (2, 3), (3, 4), and now and then (0, 4), which closes the circle.
                        let (low, high) = match (index + turn) % 5 {
                            4 => (0, 4),
                            low => (low, low + 1),
                        };
                        let _low = ctx.lock(&locks[low]).await.expect("no ring is possible");
                        let _high = ctx.lock(&locks[high]).await.expect("no ring is possible");
                        if (index * 7 + turn).is_multiple_of(11) {
                            tokio::task::yield_now().await;
                        }
                    }
                }))
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let seen = metrics::global();
        println!("{} walks, {} phantoms rejected", seen.walks, seen.phantoms);
    });
}

// ---- victims -------------------------------------------------------------------------------------------------------

/// 64 activities take two of eight locks each, in no order, and start again as victims with the age they had, until all
/// are done.
#[test]
fn a_storm_of_victims_ends() {
    in_time(async {
        let locks: Arc<Vec<Mutex<u64>>> = Arc::new((0..8).map(Mutex::new).collect());
        let victims = Arc::new(AtomicUsize::new(0));
        let before = metrics::global().proven;
        let tasks: Vec<_> = (0..64)
            .map(|index: usize| {
                let (locks, victims) = (locks.clone(), victims.clone());
                tokio::spawn(async move {
                    let mut birth = None;
                    for turn in 0..rounds(20) {
                        let (first, second) = ((index + turn) % 8, (index * 3 + turn * 5 + 1) % 8);
                        if first != second {
                            until_done(&locks, first, second, &mut birth, &victims).await;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let victims = victims.load(Ordering::SeqCst);
        println!("{victims} victims, {} verdicts", metrics::global().proven - before);
        assert!(victims > 0, "nothing collided");
        assert!(locks.iter().all(|lock| lock.try_lock().is_some()));
    });
}

async fn until_done(
    locks: &[Mutex<u64>],
    first: usize,
    second: usize,
    birth: &mut Option<u64>,
    victims: &AtomicUsize,
) {
    loop {
        let mut attempt = activity(async |ctx: &Context| {
            let mut a = ctx.lock(&locks[first]).await?;
            tokio::task::yield_now().await;
            let mut b = ctx.lock(&locks[second]).await?;
            *a += 1;
            *b += 1;
            Ok::<_, LockError>(())
        });
        attempt = match *birth {
            Some(birth) => attempt.born(birth),
            None => attempt,
        };
        *birth = Some(attempt.birth());
        match attempt.await.expect("nobody is ended here") {
            Ok(()) => return,
            Err(error) => {
                assert!(error.deadlock().is_some(), "{error}");
                victims.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

// ---- long queues ---------------------------------------------------------------------------------------------------

/// Each of ten thousand activities holds its own lock and waits for that of the one before.
#[test]
fn a_chain_of_ten_thousand_builds_and_drains() {
    // Each new member walks past 64 others, which takes a debug build twenty times as long.
    const LENGTH: usize = if cfg!(debug_assertions) { 3_000 } else { 10_000 };
    in_time(async {
        let locks: Arc<Vec<Mutex<usize>>> = Arc::new((0..=LENGTH).map(Mutex::new).collect());
        let first = locks[0].lock().await.unwrap();
        let holding = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::new();
        for index in 1..=LENGTH {
            let (locks, mine) = (locks.clone(), holding.clone());
            tasks.push(tokio::spawn(activity(async move |ctx: &Context| {
                let mut own = ctx.lock(&locks[index]).await?;
                mine.fetch_add(1, Ordering::SeqCst);
                let before = ctx.lock(&locks[index - 1]).await?;
                *own += *before;
                Ok::<_, LockError>(())
            })));
            // One after the other, or somebody takes the lock of the one before it first, and the chain has a gap.
            while holding.load(Ordering::SeqCst) < index {
                tokio::task::yield_now().await;
            }
        }
        drop(first);
        for task in tasks {
            task.await.unwrap().unwrap().unwrap();
        }
        assert_eq!(*locks[LENGTH].try_lock().unwrap(), LENGTH * (LENGTH + 1) / 2);
    });
}

/// Ten thousand wait for one lock, are let in one by one, and half of them give up on the way.
#[test]
fn a_queue_of_ten_thousand_drains() {
    const LENGTH: usize = 10_000;
    in_time(async {
        let lock = Arc::new(Mutex::new(0_usize));
        let first = lock.lock().await.unwrap();
        let tasks: Vec<_> = (0..LENGTH)
            .map(|_| {
                let lock = lock.clone();
                tokio::spawn(activity(async move |ctx: &Context| {
                    *ctx.lock(&lock).await? += 1;
                    Ok::<_, LockError>(())
                }))
            })
            .collect();
        tasks.iter().step_by(2).for_each(tokio::task::JoinHandle::abort);
        drop(first);
        let mut done = 0;
        for task in tasks {
            match task.await {
                Ok(outcome) => {
                    outcome.unwrap().unwrap();
                    done += 1;
                }
                Err(error) => assert!(error.is_cancelled(), "{error}"),
            }
        }
        // One that was aborted right after its turn may have counted already.
        let counted = *lock.try_lock().expect("it is free");
        assert!(done >= LENGTH / 2 && counted >= done, "{done} done, {counted} counted");
    });
}

// ---- slots ---------------------------------------------------------------------------------------------------------

/// Resident memory, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number")
}

/// Activities that are gone leave nothing behind, however they went.
#[test]
fn short_activities_leave_no_memory_behind() {
    if !cfg!(target_os = "linux") {
        return;
    }
    alone(async {
        let lock = Arc::new(Mutex::new(0_u64));
        let mut after_warming = 0;
        for round in 0..20 {
            for _ in 0..100 {
                let tasks: Vec<_> = (0..100).map(|index| short(&lock, index)).collect();
                for (index, task) in tasks.into_iter().enumerate() {
                    if index % 10 == 9 {
                        task.abort();
                    }
                    let _ = task.await;
                }
            }
            if round == 3 {
                after_warming = resident();
            }
        }
        // 160,000 slots of a kilobyte would be 160 MiB.
        let grown = resident().saturating_sub(after_warming);
        println!("grown by {grown} KiB");
        assert!(grown < 16 * 1024, "grown by {grown} KiB over 160,000 activities");
    });
}

fn short(lock: &Arc<Mutex<u64>>, index: usize) -> tokio::task::JoinHandle<()> {
    let lock = lock.clone();
    tokio::spawn(async move {
        let work = activity(async |ctx: &Context| {
            let mut value = ctx.lock(&lock).await?;
            *value += 1;
            if index.is_multiple_of(7) {
                drop(value);
                tokio::task::yield_now().await;
            }
            Ok::<_, LockError>(())
        });
        let _ = work.named(format!("short {index}")).await;
    })
}

// ---- what is forgotten ---------------------------------------------------------------------------------------------

/// Polls `future` once in a poll of its own activity, then forgets it.
async fn poll_and_forget<F: Future + Unpin>(mut future: F) {
    std::future::poll_fn(|cx| {
        let _ = Pin::new(&mut future).poll(cx);
        Poll::Ready(())
    })
    .await;
    std::mem::forget(future);
}

/// Lock futures are forgotten while queued, notified or granted, and the lock is dropped, while another thread detects,
/// sweeps and observes without a pause.
#[test]
fn forgotten_waits_and_dropped_locks_crash_nobody() {
    in_time(async {
        let stop = Arc::new(AtomicBool::new(false));
        let looking = stop.clone();
        let observer = std::thread::spawn(move || {
            while !looking.load(Ordering::Relaxed) {
                std::hint::black_box(freehold_sync::observe());
            }
        });
        let rings = tokio::spawn(keep_closing_rings(stop.clone()));
        for round in 0..rounds(1_500) {
            forget_one(round).await;
        }
        stop.store(true, Ordering::Relaxed);
        observer.join().unwrap();
        rings.await.unwrap();
    });
}

/// One round: the lock's last owner may be the holder, the one that forgets, or we.
async fn forget_one(round: usize) {
    let (mutex, lock, pool) =
        (Arc::new(Mutex::new(vec![round])), Arc::new(RwLock::new(0)), Arc::new(PermitPool::new(1)));
    let (mutex2, lock2, pool2) = (mutex.clone(), lock.clone(), pool.clone());
    let holder = tokio::spawn(activity(async move |ctx: &Context| {
        let _held = (ctx.lock(&mutex2).await?, ctx.write(&lock2).await?, ctx.permit(&pool2).await?);
        for _ in 0..round % 4 {
            tokio::task::yield_now().await;
        }
        Ok::<_, LockError>(())
    }));
    let forgets = tokio::spawn(activity(async move |ctx: &Context| {
        match round % 3 {
            0 => poll_and_forget(ctx.lock(&mutex)).await,
            1 => poll_and_forget(ctx.read(&lock)).await,
            _ => poll_and_forget(ctx.permit(&pool)).await,
        }
        for _ in 0..round % 5 {
            tokio::task::yield_now().await;
        }
        if round.is_multiple_of(2) {
            // The locks go before the activity that waits for one of them.
            drop((mutex, lock, pool));
            tokio::task::yield_now().await;
        }
    }));
    let _ = holder.await.unwrap();
    if round.is_multiple_of(7) {
        forgets.abort();
    }
    let _ = forgets.await;
}

/// Keeps the detector busy.
async fn keep_closing_rings(stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let (a, b) = (Mutex::new(0), Mutex::new(0));
        let ring = activity(async |ctx: &Context| {
            let one = async |ctx: &Context| {
                let _a = ctx.lock(&a).await?;
                tokio::task::yield_now().await;
                ctx.lock(&b).await.map(drop)
            };
            let other = async |ctx: &Context| {
                let _b = ctx.lock(&b).await?;
                tokio::task::yield_now().await;
                ctx.lock(&a).await.map(drop)
            };
            ctx.join(one, other).await
        });
        let (one, other) = ring.await.unwrap();
        let outcomes: [Result<(), LockError>; 2] = [one.unwrap(), other.unwrap()];
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1);
        tokio::task::yield_now().await;
    }
}

// ---- stale wakers --------------------------------------------------------------------------------------------------

/// Wakers are kept beyond the end of their activities, and woken and dropped while others use the slots.
#[test]
fn stale_wakers_outlive_their_activities() {
    in_time(async {
        let kept: Arc<std::sync::Mutex<Vec<Waker>>> = Arc::default();
        let lock = Arc::new(Mutex::new(0_u64));
        let mut handles: Vec<ActivityHandle> = Vec::new();
        for round in 0..rounds(3_000) {
            let (mine, keep) = (lock.clone(), kept.clone());
            let mut leaves = activity(async move |ctx: &Context| {
                std::future::poll_fn(|cx| {
                    keep.lock().unwrap().push(cx.waker().clone());
                    Poll::Ready(())
                })
                .await;
                *ctx.lock(&mine).await? += 1;
                Ok::<_, LockError>(())
            });
            handles.push(leaves.handle());
            let task = tokio::spawn(leaves);
            if kept.lock().unwrap().len() > 64 {
                let old: Vec<Waker> = kept.lock().unwrap().drain(..32).collect();
                old.into_iter().enumerate().for_each(|(index, waker)| match (index + round) % 3 {
                    0 => waker.wake(),
                    1 => waker.wake_by_ref(),
                    _ => drop(waker),
                });
                handles.drain(..32).for_each(|handle| handle.cancel());
            }
            task.await.unwrap().unwrap().unwrap();
        }
        let taken = *lock.try_lock().expect("it is free");
        assert_eq!(taken, rounds(3_000) as u64);
    });
}

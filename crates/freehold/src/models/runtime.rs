//! The seam of the runtime on shuttle: each task is a thread of the model, which others can interrupt inside of a poll.
//!
//! Time is virtual. It passes when nobody can go on, and when the program says so although somebody could: then a deadline
//! comes upon work that is under way. The locks of `freehold-sync` have the same clock, and what their own thread does, a look
//! at deadlines and at the graph, is done where time could pass.

use crate::runtime::{BoxFuture, Runtime, Timer};
use freehold_sync::model;
use shuttle::{
    rand::{Rng, RngCore, thread_rng},
    thread::{self, Thread},
};
use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

/// No program takes longer, of virtual time: who waits then waits for ever.
const HORIZON: Duration = Duration::from_secs(3_600);

/// The time and the threads of one run. All threads of a model run on one, and its section is left before anybody else runs.
pub(crate) struct World {
    started: Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    now: Instant,
    timers: BTreeMap<(Instant, u64), Waker>,
    next_timer: u64,
    /// The names of threads that have not ended.
    threads: BTreeMap<u64, &'static str>,
    next_thread: u64,
    /// How many of them do not sleep.
    awake: usize,
    /// Who waits until no other thread is left.
    last: Option<Waker>,
}

/// Any instant does as the origin, if it is the same in all runs.
#[expect(clippy::disallowed_methods, reason = "from here on time is virtual")]
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    // After the first look of the locks at the clock, from which their times count.
    *ORIGIN.get_or_init(|| Instant::now() + Duration::from_secs(1))
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        let started = origin();
        model::begin_run(started);
        let inner = Inner {
            now: started,
            timers: BTreeMap::new(),
            next_timer: 0,
            threads: BTreeMap::new(),
            next_thread: 0,
            awake: 0,
            last: None,
        };
        Arc::new(Self { started, inner: Mutex::new(inner) })
    }

    fn with<R>(&self, section: impl FnOnce(&mut Inner) -> R) -> R {
        section(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn now(&self) -> Instant {
        self.with(|inner| inner.now)
    }

    /// Runs the program itself on this thread.
    pub(crate) fn run<F: Future>(self: &Arc<Self>, program: F) -> F::Output {
        let number = self.begin("program");
        let output = self.block_on(program);
        self.end(number);
        output
    }

    pub(crate) fn spawn(
        self: &Arc<Self>,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) {
        let (world, number) = (self.clone(), self.begin(name));
        thread::spawn(move || {
            // Its values are dropped before it has ended.
            world.block_on(future);
            world.end(number);
        });
    }

    fn begin(&self, name: &'static str) -> u64 {
        self.with(|inner| {
            inner.next_thread += 1;
            inner.awake += 1;
            inner.threads.insert(inner.next_thread, name);
            inner.next_thread
        })
    }

    fn end(&self, number: u64) {
        let (awake, last) = self.with(|inner| {
            inner.threads.remove(&number);
            inner.awake -= 1;
            (inner.awake, inner.last.take())
        });
        if let Some(last) = last {
            last.wake();
        }
        if awake == 0 {
            self.nobody_runs();
        }
    }

    fn block_on<F: Future>(self: &Arc<Self>, future: F) -> F::Output {
        let mut future = pin!(future);
        let alarm =
            Arc::new(Alarm { world: self.clone(), thread: thread::current(), state: AtomicU8::new(RUNS) });
        let waker = Waker::from(alarm.clone());
        loop {
            alarm.state.store(RUNS, Ordering::SeqCst);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
            let sleeps =
                alarm.state.compare_exchange(RUNS, SLEEPS, Ordering::SeqCst, Ordering::SeqCst).is_ok();
            if !sleeps {
                // Who wakes itself lets others run, as in an executor.
                thread::yield_now();
                continue;
            }
            let awake = self.with(|inner| {
                inner.awake -= 1;
                inner.awake
            });
            if awake == 0 {
                self.nobody_runs();
            }
            while alarm.state.load(Ordering::SeqCst) == SLEEPS {
                thread::park();
            }
        }
    }

    /// Lets time pass until somebody can go on.
    fn nobody_runs(&self) {
        loop {
            let of_locks = model::look(self.now());
            let over = self.with(|inner| inner.awake > 0 || inner.threads.is_empty());
            // If nothing is due, all that is left for shuttle is to say so.
            if over || !self.advance(of_locks) {
                return;
            }
        }
    }

    /// Time passes although somebody could go on.
    pub(crate) fn hurry(&self) {
        let of_locks = model::look(self.now());
        self.advance(of_locks);
    }

    /// Goes on to the next instant at which anything is due; whether there is one.
    fn advance(&self, of_locks: Option<Instant>) -> bool {
        let next = self.with(|inner| {
            let timer = inner.timers.keys().next().map(|(at, _)| *at);
            let next = timer.into_iter().chain(of_locks).min()?.max(inner.now);
            inner.now = next;
            Some(next)
        });
        let Some(next) = next else { return false };
        assert!(next < self.started + HORIZON, "somebody waits for ever; there are {:?}", self.threads());
        loop {
            let due = self.with(|inner| {
                let first = inner.timers.first_entry().filter(|first| first.key().0 <= inner.now)?;
                Some(first.remove())
            });
            match due {
                Some(waker) => waker.wake(),
                None => break,
            }
        }
        model::look(next);
        true
    }

    /// Waits until all other threads have ended.
    pub(crate) async fn alone(&self) {
        poll_fn(|cx| {
            self.with(|inner| {
                if inner.threads.len() == 1 {
                    return Poll::Ready(());
                }
                inner.last = Some(cx.waker().clone());
                Poll::Pending
            })
        })
        .await;
    }

    /// Waits until no other threads are left but those that are there as long as the engine is.
    pub(crate) async fn quiet(&self) {
        poll_fn(|cx| {
            self.with(|inner| {
                let lasts = |name: &&&str| !["program", "session sweep", "reader"].contains(*name);
                if !inner.threads.values().any(|name| lasts(&name)) {
                    return Poll::Ready(());
                }
                inner.last = Some(cx.waker().clone());
                Poll::Pending
            })
        })
        .await;
    }

    /// The threads that have not ended.
    pub(crate) fn threads(&self) -> Vec<&'static str> {
        self.with(|inner| inner.threads.values().copied().collect())
    }
}

const RUNS: u8 = 0;
const SLEEPS: u8 = 1;
const WOKEN: u8 = 2;

/// Wakes one thread.
struct Alarm {
    world: Arc<World>,
    thread: Thread,
    state: AtomicU8,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::SeqCst) == SLEEPS {
            self.world.with(|inner| inner.awake += 1);
            self.thread.unpark();
        }
    }
}

/// [`Runtime`] in a [`World`].
pub(crate) struct ModelRuntime(pub(crate) Arc<World>);

impl Runtime for ModelRuntime {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn unix_time(&self) -> Duration {
        self.0.now() - self.0.started
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        Box::pin(ModelTimer { world: self.0.clone(), at, key: None })
    }

    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        self.0.spawn(name, future);
    }

    /// Both happen.
    fn starts_inline(&self) -> bool {
        thread_rng().r#gen()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        thread_rng().fill_bytes(bytes);
    }
}

struct ModelTimer {
    world: Arc<World>,
    at: Instant,
    key: Option<(Instant, u64)>,
}

impl ModelTimer {
    fn forget(&mut self) {
        if let Some(key) = self.key.take() {
            let waker = self.world.with(|inner| inner.timers.remove(&key));
            drop(waker);
        }
    }
}

impl Future for ModelTimer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.forget();
        let (world, at) = (self.world.clone(), self.at);
        // Cloned outside of the section: it may be that of an activity, and then others run.
        let mut waker = Some(cx.waker().clone());
        self.key = world.with(|inner| {
            if at <= inner.now {
                return None;
            }
            inner.next_timer += 1;
            let key = (at, inner.next_timer);
            inner.timers.insert(key, waker.take()?);
            Some(key)
        });
        drop(waker);
        if self.key.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Timer for ModelTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.forget();
        self.at = at;
    }
}

impl Drop for ModelTimer {
    fn drop(&mut self) {
        self.forget();
    }
}

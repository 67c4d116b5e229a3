//! A signal against a wait: fired by one thread at a random instant around the moment at which another one begins to
//! wait, many times.

use crate::{Random, limits::PROMPT};
use std::{
    future::Future,
    ops::RangeInclusive,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    task::{Context, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// How often each race is run, unless the environment says otherwise.
const RUNS: u64 = 5_000;
const RUNS_VARIABLE: &str = "FREEHOLD_RACES";
/// How often at the least where others use the processors, and runs take long: no more than these are begun after `LONG`, unless the
/// environment says how many.
const FEWEST: u64 = 1_000;
const LONG: Duration = Duration::from_secs(5);
/// Turns of a loop that either side waits at the most, so that the signal comes before and after the wait began.
const TURNS: u64 = 600;
/// By so many turns more the side waits next time that was too early this time: which of the two threads is faster
/// depends on the machine and on who else uses it.
const CORRECTION: i64 = 100;
/// The most turns that come of that.
const MOST_CORRECTED: i64 = 20_000;

/// Fires the signal; made and called by the thread that signals.
pub type Fire = Box<dyn FnOnce()>;
type Arm = Box<dyn FnOnce() -> Fire + Send>;

/// What came of the races.
#[derive(Clone, Copy, Debug, Default)]
pub struct Races {
    /// Runs.
    pub runs: u64,
    /// Of those, in how many the signal was fired before the wait was first polled.
    pub early: u64,
    /// The longest time from the signal (or the wait's beginning, if that was later) to the wait's end.
    pub longest: Duration,
}

/// Runs the race so often: `prepare` makes what arms the signal (on the other thread, before the race) and the wait.
///
/// # Panics
///
/// If a wait outlives its signal, or all signals came on one side of the wait's beginning.
pub fn race<W: Future>(what: &str, prepare: impl FnMut(u64) -> (Arm, W)) -> Races {
    let wanted = std::env::var(RUNS_VARIABLE).ok().map(|runs| runs.parse().expect("a number of runs"));
    let (runs, fewest) = (wanted.unwrap_or(RUNS), wanted.unwrap_or(FEWEST));
    let (referee, handle) = (Arc::new(Referee::default()), Handle::current());
    let signaller = thread::spawn({
        let referee = referee.clone();
        move || {
            let _runtime = handle.enter();
            referee.signal(runs);
        }
    });
    let over = Over(&referee);
    let races = referee.wait(what, fewest..=runs, prepare);
    drop(over);
    signaller.join().expect("the signaller does not panic");
    println!("{what}: {races:?}");
    assert!(
        races.early > 0 && races.early < races.runs,
        "{what}: the signal never came before, or never after"
    );
    races
}

/// Both threads go through the same steps of each run; each counts its own.
#[derive(Default)]
struct Referee {
    arm: Mutex<Option<Arm>>,
    given: AtomicU64,
    armed: AtomicU64,
    begun: AtomicU64,
    fired: AtomicU64,
    fired_at: Mutex<Option<Instant>>,
    /// Turns that the waiter waits in addition; the signaller, if it is less than nothing.
    bias: AtomicI64,
}

/// Ends the signaller's waits for the next step when the races are over, however they end.
struct Over<'a>(&'a Referee);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.given.store(u64::MAX, Ordering::Release);
        self.0.begun.store(u64::MAX, Ordering::Release);
    }
}

fn until(step: &AtomicU64, run: u64) {
    let mut turns = 0_u32;
    while step.load(Ordering::Acquire) < run {
        turns += 1;
        if turns > 2_000 { thread::yield_now() } else { std::hint::spin_loop() }
    }
}

fn spin(random: &mut Random, more: i64) {
    for _ in 0..random.below(TURNS) + more.max(0) as u64 {
        std::hint::spin_loop();
    }
}

impl Referee {
    fn signal(&self, runs: u64) {
        let mut random = Random::new(0x5eed);
        for run in 1..=runs {
            until(&self.given, run);
            let arm = self.arm.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Without one the races are over, because a wait has failed.
            let Some(arm) = arm else { return };
            let fire = arm();
            self.armed.store(run, Ordering::Release);
            until(&self.begun, run);
            spin(&mut random, -self.bias.load(Ordering::Relaxed));
            let now = Instant::now();
            fire();
            *self.fired_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
            self.fired.store(run, Ordering::Release);
        }
    }

    fn wait<W: Future>(
        &self,
        what: &str,
        runs: RangeInclusive<u64>,
        mut prepare: impl FnMut(u64) -> (Arm, W),
    ) -> Races {
        let mut random = Random::new(0xba5e);
        let mut races = Races::default();
        let unpark = Arc::new(Unpark(thread::current()));
        let since = Instant::now();
        for run in 1..=*runs.end() {
            if run > *runs.start() && since.elapsed() > LONG {
                break;
            }
            races.runs = run;
            let (arm, wait) = prepare(run);
            *self.arm.lock().unwrap_or_else(PoisonError::into_inner) = Some(arm);
            self.given.store(run, Ordering::Release);
            until(&self.armed, run);
            self.begun.store(run, Ordering::Release);
            spin(&mut random, self.bias.load(Ordering::Relaxed));
            let began = Instant::now();
            block_on(what, run, began, wait, &unpark);
            let ended = Instant::now();
            until(&self.fired, run);
            let fired_at = *self.fired_at.lock().unwrap_or_else(PoisonError::into_inner);
            let fired_at = fired_at.expect("it was fired");
            races.longest = races.longest.max(ended.saturating_duration_since(fired_at.max(began)));
            let early = fired_at < began;
            races.early += u64::from(early);
            self.correct(if early { -CORRECTION } else { CORRECTION });
        }
        races
    }
}

impl Referee {
    fn correct(&self, by: i64) {
        let bias = self.bias.load(Ordering::Relaxed) + by;
        self.bias.store(bias.clamp(-MOST_CORRECTED, MOST_CORRECTED), Ordering::Relaxed);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<W: Future>(what: &str, run: u64, began: Instant, wait: W, unpark: &Arc<Unpark>) {
    let waker = Waker::from(unpark.clone());
    let (mut cx, mut wait) = (Context::from_waker(&waker), pin!(wait));
    while wait.as_mut().poll(&mut cx).is_pending() {
        thread::park_timeout(PROMPT.saturating_sub(began.elapsed()));
        // Not polled once more: it might be ready, although nobody woke it.
        assert!(began.elapsed() < PROMPT, "{what}, run {run}: the wait outlived its signal");
    }
}

//! Runs a program: each activity on a thread of its own, beside one that opens the gates and one that looks around.

use super::{plan::Plan, steps::Program, world::World};
use crate::{Context, Deadlock, LockError, activity, clock::NEVER, driver, graph::sweep, slot::Slot};
use shuttle::thread::{self, Thread, ThreadId};
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context as TaskContext, Poll, Wake, Waker},
};

/// Something outside of the graph.
pub(super) struct Gate(shuttle::sync::Mutex<(bool, Vec<Waker>)>);

impl Gate {
    pub(super) fn new() -> Self {
        Self(shuttle::sync::Mutex::new((false, Vec::new())))
    }

    pub(super) fn open(&self) {
        let mut state = self.0.lock().unwrap();
        state.0 = true;
        let wakers = std::mem::take(&mut state.1);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Leaves a waker for each time it was polled, until it opens.
    pub(super) fn passed(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            let mut state = self.0.lock().unwrap();
            if state.0 {
                return Poll::Ready(());
            }
            state.1.push(cx.waker().clone());
            Poll::Pending
        })
    }
}

/// By which the books know an activity.
pub(super) fn key(ctx: &Context) -> usize {
    key_of(ctx.slot())
}

fn key_of(slot: &Slot) -> usize {
    std::ptr::from_ref(slot).addr()
}

// SAFETY: all threads of a model run on one.
unsafe impl Send for World {}
// SAFETY: as above.
unsafe impl Sync for World {}

/// The books of the program that runs, and who is in a sweep.
type Now = (World, Vec<ThreadId>);

// Of the one thread that all threads of a model run on.
std::thread_local!(static NOW: RefCell<Option<Now>> = const { RefCell::new(None) });

/// This thread begins or ends a sweep.
fn sweeps(begins: bool) {
    let me = thread::current().id();
    NOW.with_borrow_mut(|now| {
        let Some((_, sweepers)) = now else { return };
        sweepers.retain(|sweeper| *sweeper != me);
        if begins {
            sweepers.push(me);
        }
    });
}

/// Called by the detector while the members are frozen: compares what it found with what the program knows.
pub(crate) fn pronounced(members: &[&'static Slot], culprit: Option<&'static Slot>, report: &Arc<Deadlock>) {
    let Some((world, sweepers)) = NOW.with_borrow(Clone::clone) else { return };
    let members: Vec<_> = members.iter().map(|member| key_of(member)).collect();
    let swept = sweepers.contains(&thread::current().id());
    let judged = world.pronounced(&members, culprit.map(key_of), swept, report);
    judged.unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// Everything of one run.
struct Run {
    program: Program,
    /// Threads that have not ended, and those that sleep and were not woken.
    threads: Cell<usize>,
    asleep: Arc<AtomicUsize>,
}

// SAFETY: all threads of a model run on one.
unsafe impl Sync for Run {}
// SAFETY: as above.
unsafe impl Send for Run {}

/// Whoever is woken does not sleep any more, though it may be long until its thread goes on: a sweep beside the poll that
/// comes then may be quicker than the look at that poll's end. Its atomics are not shuttle's, so what it says and
/// what is true change in one step.
struct Alarm {
    thread: Thread,
    woken: AtomicBool,
    sleeps: AtomicBool,
    asleep: Arc<AtomicUsize>,
}

impl Alarm {
    /// False if it was woken in the poll that has just ended.
    fn goes_to_sleep(&self) -> bool {
        let sleeps = !self.woken.load(Ordering::Relaxed);
        if sleeps {
            self.sleeps.store(true, Ordering::Relaxed);
            self.asleep.fetch_add(1, Ordering::Relaxed);
        }
        sleeps
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        if self.sleeps.swap(false, Ordering::Relaxed) {
            self.asleep.fetch_sub(1, Ordering::Relaxed);
        }
        self.thread.unpark();
    }
}

impl Run {
    /// The last one to go to sleep does what the driver's thread does: what no end of a poll could see is left to it.
    fn sweep_if_nobody_runs(&self) {
        if self.threads.get() > 0 && self.asleep.load(Ordering::Relaxed) == self.threads.get() {
            sweeps(true);
            sweep::sweep(NEVER - 1);
            sweeps(false);
        }
    }

    fn end_thread(&self) {
        self.threads.set(self.threads.get() - 1);
        self.sweep_if_nobody_runs();
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let alarm = Arc::new(Alarm {
            thread: thread::current(),
            woken: AtomicBool::new(false),
            sleeps: AtomicBool::new(false),
            asleep: self.asleep.clone(),
        });
        let waker = Waker::from(alarm.clone());
        loop {
            alarm.woken.store(false, Ordering::Relaxed);
            if let Poll::Ready(output) = future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
                return output;
            }
            if alarm.goes_to_sleep() {
                self.sweep_if_nobody_runs();
            }
            while !alarm.woken.load(Ordering::Relaxed) {
                thread::park();
            }
        }
    }
}

/// What became of a run.
pub(super) struct Outcome {
    pub(super) world: World,
    pub(super) results: Vec<Result<(), LockError>>,
}

/// Runs `plan` to its end.
pub(super) fn run(plan: Plan) -> Outcome {
    let program = Program::new(plan);
    NOW.set(Some((program.world.clone(), Vec::new())));
    let threads = Cell::new(program.plan.activities.len() + 1);
    let run = Rc::new(Run { program, threads, asleep: Arc::default() });
    let activities: Vec<_> = (0..run.program.plan.activities.len())
        .map(|index| {
            on_thread(&run, move |run| {
                let block = &run.program.plan.activities[index];
                run.block_on(activity(async |ctx| run.program.body(ctx, block, None).await))
                    .expect("nobody is an orphan")
            })
        })
        .collect();
    let others = on_thread(&run, others);
    let results = activities.into_iter().map(|thread| thread.join().unwrap()).collect();
    others.join().unwrap();
    run.program.check_free();
    Outcome { world: run.program.world.clone(), results }
}

/// What happens beside the activities.
fn others(run: &Run) {
    for round in 0..run.program.rounds() {
        run.program.round(round, || {
            driver::expire(NEVER - 1);
        });
    }
}

struct OnOneThread<T>(T);
// SAFETY: all threads of a model run on one.
unsafe impl<T> Send for OnOneThread<T> {}

fn on_thread<T: Send + 'static>(
    run: &Rc<Run>,
    what: impl FnOnce(&Run) -> T + 'static,
) -> thread::JoinHandle<T> {
    let all = OnOneThread((run.clone(), what));
    thread::spawn(move || {
        let all = all;
        let OnOneThread((run, what)) = all;
        let output = what(&run);
        run.end_thread();
        output
    })
}

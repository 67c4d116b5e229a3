//! Runs a program: one step after the other, each of an activity that the schedule chooses; time passes when nobody can
//! go on.

use super::{host::LockError, plan::Plan, steps::Program, verdicts::Judged, world::World};
use crate::choices::Choices;
use freehold_sync::{activity, observe, set_wait_limit, simulation::SimulatedClock};
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

/// The limit of all waits. Long beside the second or so in which sweeps pass on what somebody leaves lying, so whoever
/// comes to it was missed.
const WAIT: Duration = Duration::from_secs(600);
/// Polls of one program: it takes some hundred.
const POLLS: usize = 100_000;
/// Looks of the clock with nobody polled between them: more than there are sweeps before a wait comes to its limit.
const LOOKS: usize = 20_000;

/// Something outside of the graph.
pub(super) struct Gate(RefCell<(bool, Vec<Waker>)>);

impl Gate {
    pub(super) fn new() -> Self {
        Self(RefCell::default())
    }

    pub(super) fn open(&self) {
        let mut state = self.0.borrow_mut();
        state.0 = true;
        let wakers = std::mem::take(&mut state.1);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Leaves a waker for each time it was polled, until it opens.
    pub(super) fn passed(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            let mut state = self.0.borrow_mut();
            if state.0 {
                return Poll::Ready(());
            }
            state.1.push(cx.waker().clone());
            Poll::Pending
        })
    }
}

/// What became of a run.
pub(super) struct Outcome {
    pub(super) world: World,
    pub(super) results: Vec<Result<(), LockError>>,
}

struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task<'a> {
    future: Pin<Box<dyn Future<Output = Result<(), LockError>> + 'a>>,
    alarm: Arc<Alarm>,
    result: Option<Result<(), LockError>>,
}

impl<'a> Task<'a> {
    fn new(future: impl Future<Output = Result<(), LockError>> + 'a) -> Self {
        Self { future: Box::pin(future), alarm: Arc::new(Alarm(AtomicBool::new(true))), result: None }
    }

    fn is_ready(&self) -> bool {
        self.result.is_none() && self.alarm.0.load(Ordering::Relaxed)
    }

    fn poll(&mut self) {
        self.alarm.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(self.alarm.clone());
        if let Poll::Ready(result) = self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.result = Some(result);
        }
    }
}

struct Executor<'a> {
    program: &'a Program,
    /// Nothing but turns and verdicts ends a wait: no poll may have ended without the verdict that it gave cause for.
    strict: bool,
    tasks: Vec<Task<'a>>,
    /// Of what happens beside the activities.
    round: usize,
    now: Rc<Cell<Instant>>,
    clock: SimulatedClock,
    judged: Judged,
    choices: Choices<'a>,
}

/// Runs `plan` to its end, under the schedule that `choices` make.
pub(super) fn run(plan: Plan, strict: bool, choices: Choices<'_>) -> Outcome {
    set_wait_limit(WAIT);
    let program = Program::new(plan);
    #[expect(clippy::disallowed_methods, reason = "where virtual time begins")]
    let now = Rc::new(Cell::new(Instant::now()));
    let told = now.clone();
    let clock = SimulatedClock::enter(1, move || told.get());
    let judged = Judged::by(program.world.clone());
    let tasks = program.plan.activities.iter().map(|block| {
        let body = activity(async |ctx| program.body(ctx, block, None).await);
        Task::new(async { body.await.expect("nobody is an orphan") })
    });
    let tasks = tasks.collect();
    let mut executor = Executor { program: &program, strict, tasks, round: 0, now, clock, judged, choices };
    executor.run();
    let results = executor.tasks.iter_mut().map(|task| task.result.take().expect("it has ended")).collect();
    drop(executor);
    program.check_free();
    Outcome { world: program.world.clone(), results }
}

impl Executor<'_> {
    fn run(&mut self) {
        let (mut polls, mut looks) = (0, 0);
        while self.tasks.iter().any(|task| task.result.is_none()) {
            let ready: Vec<_> = (0..self.tasks.len()).filter(|task| self.tasks[*task].is_ready()).collect();
            let rounds = usize::from(self.round < self.program.rounds());
            if ready.len() + rounds == 0 {
                looks += 1;
                assert!(looks < LOOKS, "it hangs: {:#?}", observe());
                self.pass_time();
                continue;
            }
            // What happens beside the activities is one more of them.
            match ready.get(self.choices.back(ready.len() + rounds)) {
                Some(task) => self.tasks[*task].poll(),
                None => self.go_round(),
            }
            self.judged.check();
            (polls, looks) = (polls + 1, 0);
            assert!(polls < POLLS, "it spins: {:#?}", observe());
        }
    }

    fn go_round(&mut self) {
        let round = self.round;
        self.round += 1;
        self.program.round(round, || {
            self.now.set(self.now.get() + 2 * WAIT);
            self.look();
        });
    }

    fn pass_time(&mut self) {
        if self.strict {
            let (world, stuck) = (&self.program.world, self.program.world.surely_stuck());
            assert!(stuck.is_empty(), "stuck without a verdict: {stuck:?} of {world:#?}");
        }
        let soonest = self.now.get() + Duration::from_millis(1);
        let next = self.look().map_or(soonest, |next| next.max(soonest));
        self.now.set(next);
        self.judged.check();
    }

    fn look(&self) -> Option<Instant> {
        self.judged.sweeping(|| self.clock.look())
    }
}

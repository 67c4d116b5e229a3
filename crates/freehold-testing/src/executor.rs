//! One step after the other, each of a task that the schedule chooses, while anybody can go on; then time passes.

use crate::{
    finding::{Finding, message_of},
    limits,
    world::{Spawned, TaskWaker, World},
};
use freehold::{
    runtime::{Runtime, Timer, TokioRuntime},
    sync::simulation::SimulatedClock,
};
use std::{
    collections::BTreeMap,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

type Body<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

struct Task<'a> {
    name: &'static str,
    future: Body<'a>,
    waker: Waker,
}

pub(crate) struct Executor<'a> {
    world: Arc<World>,
    clock: &'a SimulatedClock,
    tasks: BTreeMap<u64, Task<'a>>,
    /// For what the clock of the locks has next.
    timer: Pin<Box<dyn Timer>>,
    /// The last step's instant, and how many there were at it.
    instant: (Instant, u64),
}

/// The program itself.
const PROGRAM: u64 = 0;

impl<'a> Executor<'a> {
    pub(crate) fn new(world: &Arc<World>, clock: &'a SimulatedClock, program: Body<'a>) -> Self {
        let now = TokioRuntime.now();
        let mut executor = Self {
            world: world.clone(),
            clock,
            tasks: BTreeMap::new(),
            timer: TokioRuntime.timer(now),
            instant: (now, 0),
        };
        executor.add(PROGRAM, "program", program);
        world.woken(PROGRAM);
        executor
    }

    /// Whether the program has ended.
    pub(crate) fn program_ended(&self) -> bool {
        !self.tasks.contains_key(&PROGRAM)
    }

    fn add(&mut self, task: u64, name: &'static str, future: Body<'a>) {
        let waker = Waker::from(Arc::new(TaskWaker { task, world: self.world.clone() }));
        // The budget of tokio's tasks is for tasks of tokio's; ours would come to its end at places of its own.
        let future = Box::pin(tokio::task::unconstrained(future));
        self.tasks.insert(task, Task { name, future, waker });
    }

    /// Runs tasks until `ended` says so; false if somebody spins.
    pub(crate) async fn run(&mut self, ended: impl Fn(&Self) -> bool) -> bool {
        std::future::poll_fn(|cx| self.poll(cx, &ended)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, ended: &dyn Fn(&Self) -> bool) -> Poll<bool> {
        self.world.driven_by(cx.waker());
        for _ in 0..limits::STEPS_IN_A_ROW {
            for Spawned { task, name, future } in self.world.with(|inner| std::mem::take(&mut inner.spawned))
            {
                self.add(task, name, future);
            }
            if ended(self) {
                return Poll::Ready(true);
            }
            if self.instant.1 > limits::STEPS_AT_ONE_INSTANT {
                return Poll::Ready(false);
            }
            match self.world.choose() {
                Some(task) => self.step(task),
                None if self.is_idle(cx) => return Poll::Pending,
                None => {}
            }
        }
        // Tasks that handlers spawned on tokio have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Nobody can go on: is there anything for the clock of the locks to do? If not, it sets a timer.
    fn is_idle(&mut self, cx: &mut Context<'_>) -> bool {
        let next = self.clock.look();
        if self.world.anybody_ready() {
            return false;
        }
        if let Some(next) = next {
            // Time goes in milliseconds here.
            let soonest = TokioRuntime.now() + Duration::from_millis(1);
            self.timer.as_mut().reset(next.max(soonest));
            return self.timer.as_mut().poll(cx).is_pending();
        }
        true
    }

    fn step(&mut self, number: u64) {
        let Some(task) = self.tasks.get_mut(&number) else { return };
        let now = TokioRuntime.now();
        self.instant = if self.instant.0 == now { (now, self.instant.1 + 1) } else { (now, 0) };
        self.world.step(number, task.name);
        let Task { future, waker, .. } = task;
        let mut cx = Context::from_waker(waker);
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx))) {
            Ok(Poll::Pending) => self.world.polled(number),
            Ok(Poll::Ready(())) => self.end(number),
            Err(panic) => {
                let (name, message) = (task.name, message_of(&*panic));
                self.world.found(Finding::Panicked { task: name, message });
                self.end(number);
            }
        }
    }

    fn end(&mut self, number: u64) {
        self.world.ended(number);
        if let Some(task) = self.tasks.remove(&number) {
            self.world.drops(task.name, task);
        }
    }
}

impl Drop for Executor<'_> {
    fn drop(&mut self) {
        for task in std::mem::take(&mut self.tasks).into_values() {
            self.world.drops(task.name, task);
        }
    }
}

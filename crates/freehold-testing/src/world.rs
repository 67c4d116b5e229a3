//! What the tasks, the engines and the executor of one run share.

use crate::{
    finding::{Finding, Findings, message_of},
    order::Order,
    random::Random,
    trace::Trace,
};
use freehold::{
    Engine, State,
    runtime::{BoxFuture, Runtime, Timer, TokioRuntime},
};
use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Wake, Waker},
    time::{Duration, Instant},
};

/// When 1970 began is this long ago at the start of each run.
const UNIX_TIME: Duration = Duration::from_secs(1_750_000_000);

/// One run's shared part. Nothing of a user's runs in a section of it, and no waker is woken in one.
pub(crate) struct World {
    started: Instant,
    inner: Mutex<Inner>,
}

pub(crate) struct Inner {
    pub(crate) spawned: Vec<Spawned>,
    ready: BTreeSet<u64>,
    next_task: u64,
    /// The executor itself.
    driver: Option<Waker>,
    pub(crate) trace: Trace,
    order: Order,
    /// Of the schedule.
    schedule: Random,
    /// Of what the engine draws.
    engine: Random,
    /// Of the program.
    program: Random,
    pub(crate) findings: Findings,
    engines: Vec<Arc<dyn Watched>>,
}

/// A task that the executor has not seen yet.
pub(crate) struct Spawned {
    pub(crate) task: u64,
    pub(crate) name: &'static str,
    pub(crate) future: BoxFuture<'static, ()>,
}

/// An engine, whatever its state is.
pub(crate) trait Watched: Send + Sync {
    /// Whether it has ended all calls.
    fn is_quiet(&self) -> bool;
    /// What it has not ended yet.
    fn unfinished(&self) -> Vec<String>;
}

impl<S: State> Watched for Engine<S> {
    fn is_quiet(&self) -> bool {
        self.call_count() == 0
    }

    fn unfinished(&self) -> Vec<String> {
        let calls = self.calls();
        if calls.is_empty() && self.call_count() > 0 {
            return vec![format!("{} calls that no list has", self.call_count())];
        }
        let told = |call: &freehold::CallSnapshot| {
            let id = call.id.as_ref().map_or_else(|| "no id".to_owned(), ToString::to_string);
            format!("a call of {} ({id}), at the stage {:?}", call.method, call.stage)
        };
        calls.iter().map(told).collect()
    }
}

impl World {
    pub(crate) fn new(seed: u64, started: Instant, recorded: bool) -> Self {
        let mut random = Random::new(seed);
        let (mut schedule, engine, program) = (random.fork(), random.fork(), random.fork());
        let order = Order::new(&mut schedule);
        let inner = Inner {
            spawned: Vec::new(),
            ready: BTreeSet::new(),
            next_task: 1,
            driver: None,
            trace: Trace::new(recorded),
            order,
            schedule,
            engine,
            program,
            findings: Findings::default(),
            engines: Vec::new(),
        };
        Self { started, inner: Mutex::new(inner) }
    }

    pub(crate) fn with<R>(&self, section: impl FnOnce(&mut Inner) -> R) -> R {
        section(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Virtual time since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        TokioRuntime.now().saturating_duration_since(self.started)
    }

    pub(crate) fn spawn(self: &Arc<Self>, name: &'static str, future: BoxFuture<'static, ()>) -> u64 {
        let task = self.with(|inner| {
            let task = inner.next_task;
            inner.next_task += 1;
            inner.spawned.push(Spawned { task, name, future });
            task
        });
        self.woken(task);
        task
    }

    pub(crate) fn woken(&self, task: u64) {
        let driver = self.with(|inner| inner.ready.insert(task).then(|| inner.driver.clone()).flatten());
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    pub(crate) fn driven_by(&self, driver: &Waker) {
        let old = self.with(|inner| inner.driver.replace(driver.clone()));
        drop(old);
    }

    pub(crate) fn anybody_ready(&self) -> bool {
        self.with(|inner| !inner.ready.is_empty())
    }

    /// Takes the one that runs next.
    pub(crate) fn choose(&self) -> Option<u64> {
        self.with(|Inner { ready, order, schedule, .. }| {
            let task = (!ready.is_empty()).then(|| order.choose(ready, schedule))?;
            ready.remove(&task);
            Some(task)
        })
    }

    pub(crate) fn step(&self, task: u64, name: &str) {
        let at = self.elapsed();
        self.with(|inner| inner.trace.step(at, task, name));
    }

    /// A poll of it ended without a result.
    pub(crate) fn polled(&self, task: u64) {
        self.with(|Inner { ready, order, schedule, .. }| {
            if ready.contains(&task) {
                order.spins(task, schedule);
            }
        });
    }

    pub(crate) fn ended(&self, task: u64) {
        self.with(|inner| {
            inner.ready.remove(&task);
            inner.order.ended(task);
        });
    }

    pub(crate) fn log(&self, what: &str) {
        let at = self.elapsed();
        self.with(|inner| inner.trace.event(at, what));
    }

    pub(crate) fn found(&self, finding: Finding) {
        self.log(&finding.summary());
        let unused = self.with(|inner| inner.findings.add(finding));
        drop(unused);
    }

    pub(crate) fn watch(&self, engine: Arc<dyn Watched>) {
        self.with(|inner| inner.engines.push(engine));
    }

    /// Whether nothing is unfinished.
    pub(crate) fn is_quiet(&self) -> bool {
        let engines = self.with(|inner| inner.engines.clone());
        engines.iter().all(|engine| engine.is_quiet()) && freehold::sync::observe().members.is_empty()
    }

    /// What the engines have not ended yet, and who still holds a lock or waits for one.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let engines = self.with(|inner| inner.engines.clone());
        let mut all: Vec<_> = engines.iter().flat_map(|engine| engine.unfinished()).collect();
        for member in freehold::sync::observe().members {
            let name = member.actor.name;
            all.extend(member.holds.iter().map(|hold| format!("{name}, which holds a {}", hold.lock.class)));
            all.extend(
                member.waits.iter().map(|wait| format!("{name}, which waits for a {}", wait.lock.class)),
            );
        }
        all
    }

    pub(crate) fn program_random(&self) -> Random {
        self.with(|inner| inner.program.fork())
    }

    /// Breaks the ring of engine, runtime and world.
    pub(crate) fn let_go(&self) {
        let (engines, spawned) =
            self.with(|inner| (std::mem::take(&mut inner.engines), std::mem::take(&mut inner.spawned)));
        engines.into_iter().for_each(|engine| self.drops("a value that an engine kept", engine));
        spawned.into_iter().for_each(|Spawned { name, future, .. }| self.drops(name, future));
    }

    /// Drops what has values of the user's in it. One that panics then is found; it must not meet another one in its unwinding,
    /// which would end the process.
    pub(crate) fn drops<T>(&self, of: &'static str, values: T) {
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(values))) else { return };
        self.found(Finding::Panicked { task: of, message: message_of(&*panic) });
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(again);
        }
    }
}

/// [`Runtime`] in the virtual time of a run, with its schedule.
pub(crate) struct SimulatedRuntime(pub(crate) Arc<World>);

impl Runtime for SimulatedRuntime {
    fn now(&self) -> Instant {
        TokioRuntime.now()
    }

    fn unix_time(&self) -> Duration {
        UNIX_TIME + self.0.elapsed()
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        TokioRuntime.timer(at)
    }

    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        self.0.spawn(name, future);
    }

    /// Sometimes in the task that waits, sometimes in one of its own: both happen.
    fn starts_inline(&self) -> bool {
        self.0.with(|inner| inner.engine.chance(1, 2))
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.0.with(|inner| {
            for chunk in bytes.chunks_mut(8) {
                let random = inner.engine.next_u64().to_le_bytes();
                chunk.copy_from_slice(&random[..chunk.len()]);
            }
        });
    }
}

/// Wakes one task.
pub(crate) struct TaskWaker {
    pub(crate) task: u64,
    pub(crate) world: Arc<World>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.world.woken(self.task);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.world.woken(self.task);
    }
}

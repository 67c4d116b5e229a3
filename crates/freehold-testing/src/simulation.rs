use crate::{
    executor::Executor,
    explore::Rules,
    finding::Finding,
    limits,
    random::Random,
    trace::Trace,
    world::{SimulatedRuntime, World},
};
use freehold::{
    Engine, EngineBuilder, Event, Message, Request, Response, Session, State,
    runtime::{Runtime, TokioRuntime, pause, until},
    sync::{self, Grade, Subscription, simulation::SimulatedClock},
};
use serde::Serialize;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::oneshot;

/// One run of a program: its tasks, its virtual time, its random numbers. A cheap handle.
#[derive(Clone)]
pub struct Simulation {
    world: Arc<World>,
    seed: u64,
    next_id: Arc<AtomicI64>,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Simulation {
    /// What everything in this run follows from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Random numbers for the program. Each call gives others; all follow from the seed.
    #[must_use]
    pub fn random(&self) -> Random {
        self.world.program_random()
    }

    /// The runtime of this run: its time, its tasks, its random numbers.
    #[must_use]
    pub fn runtime(&self) -> Arc<dyn Runtime> {
        Arc::new(SimulatedRuntime(self.world.clone()))
    }

    /// Builds an engine that runs in this run and is watched: what its handlers do wrong is found.
    ///
    /// # Panics
    ///
    /// If it cannot be built.
    pub fn engine<S: State>(&self, builder: EngineBuilder<S>) -> Engine<S> {
        let engine = self.configure(builder).build();
        let engine = engine.unwrap_or_else(|error| panic!("the engine cannot be built: {error}"));
        self.watch(&engine);
        engine
    }

    /// Gives an engine that somebody else builds the runtime of this run, and notes what its handlers do wrong. Once it is
    /// built it is to be [watched](Self::watch). For a server of `freehold-mcp`:
    ///
    /// ```ignore
    /// let server = builder.engine(|engine| sim.configure(engine)).build()?;
    /// sim.watch(server.engine());
    /// let session = server.engine().open()?;
    /// sim.call(&session, "initialize", &initialize).await;
    /// let answer = sim.call(&session, "tools/call", &json!({ "name": "transfer", "arguments": arguments })).await;
    /// ```
    pub fn configure<S: State>(&self, builder: EngineBuilder<S>) -> EngineBuilder<S> {
        let world = Arc::downgrade(&self.world);
        builder.runtime(self.runtime()).observer(move |event: &Event<'_>| {
            let Some(world) = world.upgrade() else { return };
            world.log(&format!("{event:?}"));
            if let Event::CalledWhileHolding { caller, method, held, .. } = event {
                let (caller, method) = ((*caller).to_owned(), (*method).to_owned());
                world.found(Finding::CalledWhileHolding { caller, method, held: *held });
            }
        })
    }

    /// Watches an engine of this run: its calls must end with the program.
    pub fn watch<S: State>(&self, engine: &Engine<S>) {
        self.world.watch(Arc::new(engine.clone()));
    }

    /// Calls a method, under an id of its own, as a client does.
    ///
    /// # Cancel safety
    ///
    /// Dropping it is the client going away: the call is cancelled.
    ///
    /// # Panics
    ///
    /// If `params` cannot be written as JSON.
    pub async fn call<S: State>(
        &self,
        session: &Session<S>,
        method: &str,
        params: &impl Serialize,
    ) -> Response<'static> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request: Message<'_> = Request::new(id, method, params).expect("parameters are JSON").into();
        let answer = session.engine().process(session, request).await;
        answer.expect("a request has one answer")
    }

    /// Runs `future` as a task of its own. A panic in it is found, whether or not anybody waits for it.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Joined<T> {
        let (done, result) = oneshot::channel();
        let task = async move {
            // Nobody may wait for it.
            let _ = done.send(future.await);
        };
        self.world.spawn(name, Box::pin(task));
        Joined(result)
    }

    /// Waits until so much virtual time has passed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn pause(&self, time: Duration) {
        pause(&TokioRuntime, time).await;
    }

    /// Lets others run, as many of them as the schedule wants to.
    pub async fn give_way(&self) {
        let mut gave_way = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut gave_way, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Virtual time since the run began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.world.elapsed()
    }

    /// How many steps of tasks there were so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.world.with(|inner| inner.trace.steps())
    }

    /// Adds a line to the trace. What it says must be the same in each run with this seed.
    pub fn log(&self, line: &str) {
        self.world.log(line);
    }

    /// What was found so far, allowed or not.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.world.with(|inner| inner.findings.all())
    }
}

/// The result of a task of [`Simulation::spawn`]. Dropping it changes nothing for the task.
#[derive(Debug)]
pub struct Joined<T>(oneshot::Receiver<T>);

impl<T> Future for Joined<T> {
    /// Nothing if the task panicked.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}

/// What one run was.
pub(crate) struct Run {
    pub(crate) trace: Trace,
    pub(crate) findings: Vec<Finding>,
    pub(crate) deadlocks: u64,
    pub(crate) elapsed: Duration,
}

/// Runs a program once, on this thread.
pub(crate) fn run<Fut: Future<Output = ()>>(
    seed: u64,
    rules: &Rules,
    recorded: bool,
    program: impl FnOnce(Simulation) -> Fut,
) -> Run {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let tokio = tokio.unwrap_or_else(|error| panic!("no runtime: {error}"));
    tokio.block_on(async {
        let world = Arc::new(World::new(seed, TokioRuntime.now(), recorded));
        let clock = SimulatedClock::enter(seed, || TokioRuntime.now());
        let _told = subscribe(&world);
        let simulation = Simulation { world: world.clone(), seed, next_id: Arc::new(AtomicI64::new(1)) };
        // Called inside of the task: what it does before its first wait may panic as well.
        let body = Box::pin(async move { program(simulation).await });
        drive(&mut Executor::new(&world, &clock, body), &world, rules).await;
        world.let_go();
        let elapsed = world.elapsed();
        world.with(|inner| Run {
            trace: inner.trace.clone(),
            findings: inner.findings.all(),
            deadlocks: inner.findings.deadlocks,
            elapsed,
        })
    })
}

/// Runs the program to its end, and what it has begun.
async fn drive(executor: &mut Executor<'_>, world: &World, rules: &Rules) {
    let within = |limit| TokioRuntime.now() + limit;
    match until(&TokioRuntime, within(rules.time_limit), executor.run(Executor::program_ended)).await {
        None => world.found(Finding::Hangs(world.unfinished())),
        Some(false) => world.found(Finding::Spins),
        Some(true) => {
            let quiet = |_: &Executor<'_>| world.is_quiet();
            match until(&TokioRuntime, within(limits::AFTERWARDS), executor.run(quiet)).await {
                None => world.found(Finding::LeftBehind(world.unfinished())),
                Some(false) => world.found(Finding::Spins),
                Some(true) => {}
            }
        }
    }
}

/// What the locks tell, as far as it is of this thread.
fn subscribe(world: &Arc<World>) -> Subscription {
    let (world, here) = (Arc::downgrade(world), std::thread::current().id());
    sync::subscribe(move |event| {
        if std::thread::current().id() != here {
            return;
        }
        let finding = match event {
            sync::Event::Deadlock(report) if report.grade == Grade::Proven => {
                Finding::Deadlock(report.clone())
            }
            sync::Event::Order(violation) => Finding::Order(violation.clone()),
            _ => return,
        };
        if let Some(world) = world.upgrade() {
            world.found(finding);
        }
    })
}

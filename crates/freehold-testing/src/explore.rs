use crate::{
    finding::Finding,
    limits,
    simulation::{self, Run, Simulation},
    trace::Trace,
};
use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Runs a program under many schedules, each from a seed of its own.
///
/// What a run may not show: a deadlock among handlers, a lock against the order, a call made while locks are held, an end
/// that never comes, anything left behind after the end, a panic. The first three can be allowed.
///
/// Two environment variables change every exploration: `FREEHOLD_SEED` runs that one seed alone and prints its trace,
/// `FREEHOLD_SCHEDULES` chooses another number of schedules.
///
/// # Examples
///
/// ```
/// use freehold::{Context, Engine, ErrorObject, sync::Mutex};
/// use freehold_testing::Explore;
/// use std::sync::Arc;
///
/// struct Accounts([Mutex<i64>; 2]);
///
/// /// Moves money between two accounts, each under its lock; always in one order.
/// async fn transfer(ctx: &Context<()>, (from, to, amount): (usize, usize, i64)) -> Result<(), ErrorObject> {
///     let accounts = ctx.app::<Accounts>();
///     let mut low = ctx.lock(&accounts.0[from.min(to)]).await?;
///     let mut high = ctx.lock(&accounts.0[from.max(to)]).await?;
///     let (source, target) = if from < to { (&mut *low, &mut *high) } else { (&mut *high, &mut *low) };
///     *source -= amount;
///     *target += amount;
///     Ok(())
/// }
///
/// Explore::new().schedules(50).run(|sim| async move {
///     let accounts = Arc::new(Accounts([Mutex::new(100), Mutex::new(100)]));
///     let engine = sim.engine(Engine::builder(()).app(accounts.clone()).method("transfer", transfer));
///     let (a, b) = (engine.open().unwrap(), engine.open().unwrap());
///     let there = sim.spawn("there", { let sim = sim.clone(); async move { sim.call(&a, "transfer", &(0, 1, 5)).await } });
///     let back = sim.spawn("back", { let sim = sim.clone(); async move { sim.call(&b, "transfer", &(1, 0, 7)).await } });
///     assert!(there.await.unwrap().result.is_ok());
///     assert!(back.await.unwrap().result.is_ok());
///     let sum = *accounts.0[0].try_lock().unwrap() + *accounts.0[1].try_lock().unwrap();
///     assert_eq!(sum, 200);
/// });
/// ```
///
/// A `transfer` that locks `from` first and `to` second fails:
///
/// ```should_panic
/// # use freehold::{Context, Engine, ErrorObject, sync::Mutex};
/// # use freehold_testing::Explore;
/// # use std::sync::Arc;
/// # struct Accounts([Mutex<i64>; 2]);
/// async fn transfer(ctx: &Context<()>, (from, to, amount): (usize, usize, i64)) -> Result<(), ErrorObject> {
///     let accounts = ctx.app::<Accounts>();
///     let mut source = ctx.lock(&accounts.0[from]).await?;
///     *ctx.lock(&accounts.0[to]).await? += amount;
///     *source -= amount;
///     Ok(())
/// }
/// # Explore::new().schedules(200).run(|sim| async move {
/// #     let accounts = Arc::new(Accounts([Mutex::new(100), Mutex::new(100)]));
/// #     let engine = sim.engine(Engine::builder(()).app(accounts.clone()).method("transfer", transfer));
/// #     let (a, b) = (engine.open().unwrap(), engine.open().unwrap());
/// #     let there = sim.spawn("there", { let sim = sim.clone(); async move { sim.call(&a, "transfer", &(0, 1, 5)).await } });
/// #     let back = sim.spawn("back", { let sim = sim.clone(); async move { sim.call(&b, "transfer", &(1, 0, 7)).await } });
/// #     there.await; back.await;
/// # });
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing runs before run()"]
pub struct Explore {
    first: u64,
    schedules: u64,
    threads: usize,
    rules: Rules,
}

/// What a run may show, and how long it may take.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) time_limit: Duration,
    deadlocks: bool,
    order: bool,
    calls_while_holding: bool,
}

impl Rules {
    fn allows(&self, finding: &Finding) -> bool {
        match finding {
            Finding::Deadlock(_) => self.deadlocks,
            Finding::Order(_) => self.order,
            Finding::CalledWhileHolding { .. } => self.calls_while_holding,
            _ => false,
        }
    }

    fn not_allowed(&self, run: &Run) -> Vec<Finding> {
        run.findings.iter().filter(|finding| !self.allows(finding)).cloned().collect()
    }
}

impl Default for Explore {
    fn default() -> Self {
        Self::new()
    }
}

impl Explore {
    /// 200 schedules, from seed 1 on, on as many threads as there are cores; nothing is allowed.
    pub fn new() -> Self {
        Self {
            first: 1,
            schedules: limits::SCHEDULES,
            threads: thread::available_parallelism().map_or(1, NonZero::get),
            rules: Rules {
                time_limit: limits::VIRTUAL,
                deadlocks: false,
                order: false,
                calls_while_holding: false,
            },
        }
    }

    /// Runs so many schedules.
    pub fn schedules(mut self, schedules: u64) -> Self {
        self.schedules = schedules;
        self
    }

    /// Begins with this seed; the others are those after it.
    pub fn first_seed(mut self, seed: u64) -> Self {
        self.first = seed;
        self
    }

    /// Uses so many threads, at least one. Each run is on one of them, whatever their number.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// A run that takes longer in virtual time does not end. An hour at first.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.rules.time_limit = limit;
        self
    }

    /// Deadlocks are no failure: the engine breaks them, and the program says what is to come of it.
    pub fn allow_deadlocks(mut self) -> Self {
        self.rules.deadlocks = true;
        self
    }

    /// Locks against the order are no failure.
    pub fn allow_order_violations(mut self) -> Self {
        self.rules.order = true;
        self
    }

    /// Calls made while locks are held are no failure.
    pub fn allow_calls_while_holding(mut self) -> Self {
        self.rules.calls_while_holding = true;
        self
    }

    /// Runs all schedules.
    ///
    /// # Panics
    ///
    /// At the first seed that shows what is not allowed, with the [`Failure`]; also if an environment variable is no number.
    pub fn run<F, Fut>(&self, program: F) -> Explored
    where
        F: Fn(Simulation) -> Fut + Sync,
        Fut: Future<Output = ()>,
    {
        match self.try_run(program) {
            Ok(explored) => explored,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// As [`run`](Self::run), but returns the failure.
    ///
    /// # Errors
    ///
    /// The failure of the lowest seed that shows what is not allowed.
    ///
    /// # Panics
    ///
    /// If an environment variable is no number.
    pub fn try_run<F, Fut>(&self, program: F) -> Result<Explored, Box<Failure>>
    where
        F: Fn(Simulation) -> Fut + Sync,
        Fut: Future<Output = ()>,
    {
        if let Some(seed) = number("FREEHOLD_SEED") {
            let replayed = self.replay(seed, program);
            let (Ok((_, trace)) | Err(Failure { trace, .. })) = match &replayed {
                Ok(good) => Ok(good),
                Err(failure) => Err(&**failure),
            };
            eprint!("{trace}");
            return replayed.map(|(explored, _)| explored);
        }
        let last = self.first + number("FREEHOLD_SCHEDULES").unwrap_or(self.schedules);
        let (next, failed) = (AtomicU64::new(self.first), AtomicU64::new(u64::MAX));
        let sum = Mutex::new(Explored::default());
        let first_seen = Mutex::new(BTreeMap::new());
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                // Those before a failure are run to their end: the lowest one is told, however many threads there are.
                if seed >= last || seed > failed.load(Ordering::Relaxed) {
                    return;
                }
                let run = simulation::run(seed, &self.rules, false, &program);
                let findings = self.rules.not_allowed(&run);
                if !findings.is_empty() {
                    failed.fetch_min(seed, Ordering::Relaxed);
                    first_seen.lock().unwrap_or_else(PoisonError::into_inner).insert(seed, findings);
                }
                sum.lock().unwrap_or_else(PoisonError::into_inner).add(&run);
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(work);
            }
        });
        let lowest = first_seen.into_inner().unwrap_or_else(PoisonError::into_inner).pop_first();
        let Some((seed, findings)) = lowest else {
            return Ok(sum.into_inner().unwrap_or_else(PoisonError::into_inner));
        };
        let (_, trace) = self.replay(seed, program)?;
        let test = thread::current().name().map(str::to_owned);
        Err(Box::new(Failure { seed, findings, trace, test, repeats: false }))
    }

    /// Runs one seed alone, and records it.
    ///
    /// # Errors
    ///
    /// The failure, if it shows what is not allowed.
    pub fn replay<F, Fut>(&self, seed: u64, program: F) -> Result<(Explored, Trace), Box<Failure>>
    where
        F: Fn(Simulation) -> Fut + Sync,
        Fut: Future<Output = ()>,
    {
        let test = thread::current().name().map(str::to_owned);
        // On a thread of its own: this one may be in a runtime of tokio's.
        let run =
            thread::scope(|scope| scope.spawn(|| simulation::run(seed, &self.rules, true, &program)).join());
        let run = run.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let mut explored = Explored::default();
        explored.add(&run);
        let findings = self.rules.not_allowed(&run);
        if findings.is_empty() {
            return Ok((explored, run.trace));
        }
        Err(Box::new(Failure { seed, findings, trace: run.trace, test, repeats: true }))
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

const NOT_AGAIN: &str = "
It did not show that when it was run again: something of it does not follow from the seed, such as a thread, the clock of
the system, a static that several runs share, or the order of a hash map.
";

/// What an exploration came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explored {
    /// How many schedules were run.
    pub schedules: u64,
    /// Steps of tasks in all of them.
    pub steps: u64,
    /// Deadlocks that the engine broke in all of them.
    pub deadlocks: u64,
    /// Virtual time that passed in all of them.
    pub elapsed: Duration,
}

impl Explored {
    fn add(&mut self, run: &Run) {
        self.schedules += 1;
        self.steps += run.trace.steps();
        self.deadlocks += run.deadlocks;
        self.elapsed += run.elapsed;
    }
}

/// A run that showed what is not allowed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// What it showed.
    pub findings: Vec<Finding>,
    /// How it came to it.
    pub trace: Trace,
    /// Whether it showed the same when it was run again.
    pub repeats: bool,
    /// The test, by the name of its thread.
    test: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.trace.lines().collect();
        let told = &lines[lines.len().saturating_sub(limits::PRINTED_LINES)..];
        writeln!(
            f,
            "the schedule of seed {} shows what is not allowed.\n\nThe end of its trace:",
            self.seed
        )?;
        told.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        for finding in &self.findings {
            writeln!(f, "\n{finding}")?;
        }
        if !self.repeats {
            f.write_str(NOT_AGAIN)?;
        }
        let test = self.test.as_deref().filter(|name| *name != "main").unwrap_or_default();
        write!(f, "\nTo run it again, with the whole trace:\n  FREEHOLD_SEED={} cargo test ", self.seed)?;
        if test.is_empty() { write!(f, "-- --nocapture") } else { write!(f, "{test} -- --exact --nocapture") }
    }
}

//! Runs a program: each activity on a thread of its own, beside one that opens the gates and one that looks around.

use super::{
    plan::{Block, Kind, Plan, Step, Take},
    world::{Strand, World},
};
use crate::{
    Context, LockError, Mutex, MutexGuard, Permit, PermitPool, RwLock, RwLockReadGuard, RwLockWriteGuard,
    activity, clock::NEVER, driver, graph::sweep, observe,
};
use shuttle::thread::{self, Thread};
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context as TaskContext, Poll, Wake, Waker},
};

enum Lock {
    Mutex(Mutex<()>),
    RwLock(RwLock<()>),
    Pool(PermitPool),
}

impl From<&Kind> for Lock {
    fn from(kind: &Kind) -> Self {
        match kind {
            Kind::Mutex => Self::Mutex(Mutex::new(())),
            Kind::RwLock => Self::RwLock(RwLock::new(())),
            Kind::Pool(size) => Self::Pool(PermitPool::new(*size)),
        }
    }
}

#[expect(dead_code, reason = "they give back when they are dropped")]
enum Guard<'a> {
    Mutex(MutexGuard<'a, ()>),
    Read(RwLockReadGuard<'a, ()>),
    Write(RwLockWriteGuard<'a, ()>),
    Permit(Permit<'a>),
}

impl Lock {
    async fn take<'a>(&'a self, ctx: &'a Context, take: Take) -> Result<Guard<'a>, LockError> {
        Ok(match (self, take) {
            (Self::Mutex(mutex), _) => Guard::Mutex(ctx.lock(mutex).await?),
            (Self::RwLock(lock), Take::Write) => Guard::Write(ctx.write(lock).await?),
            (Self::RwLock(lock), _) => Guard::Read(ctx.read(lock).await?),
            (Self::Pool(pool), Take::Permits(count)) => Guard::Permit(ctx.permits(pool, count).await?),
            (Self::Pool(_), take) => unreachable!("{take:?} of a pool"),
        })
    }

    fn try_take<'a>(&'a self, ctx: &'a Context, take: Take) -> Option<Guard<'a>> {
        match (self, take) {
            (Self::Mutex(mutex), _) => ctx.try_lock(mutex).unwrap().map(Guard::Mutex),
            (Self::RwLock(lock), Take::Write) => ctx.try_write(lock).unwrap().map(Guard::Write),
            (Self::RwLock(lock), _) => ctx.try_read(lock).unwrap().map(Guard::Read),
            (Self::Pool(pool), Take::Permits(count)) => {
                ctx.try_permits(pool, count).unwrap().map(Guard::Permit)
            }
            (Self::Pool(_), take) => unreachable!("{take:?} of a pool"),
        }
    }

    fn is_free(&self) -> bool {
        match self {
            Self::Mutex(mutex) => mutex.try_lock().is_some(),
            Self::RwLock(lock) => lock.try_write().is_some(),
            Self::Pool(pool) => pool.available() == pool.size(),
        }
    }
}

/// Something outside of the graph.
struct Gate(shuttle::sync::Mutex<(bool, Vec<Waker>)>);

impl Gate {
    fn new() -> Self {
        Self(shuttle::sync::Mutex::new((false, Vec::new())))
    }

    fn open(&self) {
        let mut state = self.0.lock().unwrap();
        state.0 = true;
        let wakers = std::mem::take(&mut state.1);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Leaves a waker for each time it was polled, until it opens.
    fn passed(&self) -> impl Future<Output = ()> {
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

/// Everything of one run.
struct Run {
    world: World,
    plan: Plan,
    locks: Vec<Lock>,
    gates: Vec<Gate>,
    /// Threads that have not ended, and those that sleep.
    threads: Cell<usize>,
    asleep: Cell<usize>,
}

// SAFETY: all threads of a model run on one.
unsafe impl Sync for Run {}
// SAFETY: as above.
unsafe impl Send for Run {}

struct Alarm(Thread);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Run {
    /// The last one to go to sleep does what the driver's thread does: what no end of a poll could see is left to it.
    fn sweep_if_nobody_runs(&self) {
        if self.threads.get() > 0 && self.asleep.get() == self.threads.get() {
            self.world.sweeps(true);
            sweep::sweep(NEVER - 1);
            self.world.sweeps(false);
        }
    }

    fn end_thread(&self) {
        self.threads.set(self.threads.get() - 1);
        self.sweep_if_nobody_runs();
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let waker = Waker::from(Arc::new(Alarm(thread::current())));
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
                return output;
            }
            self.asleep.set(self.asleep.get() + 1);
            self.sweep_if_nobody_runs();
            thread::park();
            self.asleep.set(self.asleep.get() - 1);
        }
    }

    /// The body of an activity.
    async fn body(&self, ctx: &Context, block: &Block, parent: Option<usize>) -> Result<(), LockError> {
        let entry = self.world.node(ctx.slot(), parent);
        let mut body = self.strand(ctx, entry.node, block);
        poll_fn(|cx| {
            self.world.polls(entry.node);
            body.as_mut().poll(cx)
        })
        .await
    }

    /// Runs a block as one thread of control.
    fn block<'a>(
        &'a self,
        ctx: &'a Context,
        strand: Strand,
        block: &'a Block,
    ) -> Pin<Box<dyn Future<Output = Result<(), LockError>> + 'a>> {
        Box::pin(async move {
            for step in block.iter() {
                self.step(ctx, &strand, step).await?;
            }
            Ok(())
        })
    }

    async fn step(&self, ctx: &Context, strand: &Strand, step: &Step) -> Result<(), LockError> {
        let node = strand.node;
        match step {
            Step::Hold { lock, take, body } => self.hold(ctx, node, *lock, *take, body).await,
            Step::Try { lock, take, body } => {
                let Some(_guard) = self.locks[*lock].try_take(ctx, *take) else { return Ok(()) };
                let _booked = self.world.holds(node, *lock, *take);
                self.branch(ctx, node, body).await
            }
            Step::Suspend => {
                suspend().await;
                Ok(())
            }
            Step::Gate(gate) => {
                self.gates[*gate].passed().await;
                Ok(())
            }
            Step::Join(one, two) => {
                let _branched = self.world.branches(node);
                let branch = async |ctx: &Context, block| self.body(ctx, block, Some(node)).await;
                let (one, two) =
                    ctx.join(async |ctx| branch(ctx, one).await, async |ctx| branch(ctx, two).await).await;
                one.expect("nobody is an orphan").and(two.expect("nobody is an orphan"))
            }
            Step::JoinPlain(one, two) => {
                let _branched = self.world.branches(node);
                let (one, two) = (self.strand(ctx, node, one), self.strand(ctx, node, two));
                let (one, two) = join(one, two).await;
                one.and(two)
            }
            Step::Select(one, two) => {
                let _branched = self.world.branches(node);
                let branch = async |ctx: &Context, block| self.body(ctx, block, Some(node)).await;
                let first =
                    ctx.select(async |ctx| branch(ctx, one).await, async |ctx| branch(ctx, two).await).await;
                match first {
                    crate::Selected::First(result) | crate::Selected::Second(result) => {
                        result.expect("nobody is an orphan")
                    }
                }
            }
            Step::Abandon(body, polls) => {
                let branched = self.world.branches(node);
                let result = poll_at_most(self.strand(ctx, node, body), *polls).await;
                drop(branched);
                result.unwrap_or(Ok(()))
            }
            Step::Neglect { lock, take, body } => {
                let mut left = Box::pin(self.locks[*lock].take(ctx, *take));
                let _left = self.world.leaves(node, *lock, *take);
                if poll_at_most(left.as_mut(), 1).await.is_some() {
                    return Ok(());
                }
                self.branch(ctx, node, body).await
            }
        }
    }

    async fn hold(
        &self,
        ctx: &Context,
        node: usize,
        lock: usize,
        take: Take,
        body: &Block,
    ) -> Result<(), LockError> {
        let waits = self.world.waits(node, lock, take);
        let taken = self.locks[lock].take(ctx, take).await;
        drop(waits);
        if let Some(report) = taken.as_ref().err().and_then(LockError::deadlock) {
            self.world.hears(node, report);
        }
        let _guard = taken?;
        let _booked = self.world.holds(node, lock, take);
        self.branch(ctx, node, body).await
    }

    fn strand<'a>(
        &'a self,
        ctx: &'a Context,
        node: usize,
        block: &'a Block,
    ) -> Pin<Box<dyn Future<Output = Result<(), LockError>> + 'a>> {
        self.block(ctx, self.world.strand(node), block)
    }

    /// Goes on with `block` in place.
    async fn branch(&self, ctx: &Context, node: usize, block: &Block) -> Result<(), LockError> {
        let _branched = self.world.branches(node);
        self.strand(ctx, node, block).await
    }
}

async fn suspend() {
    let mut first = true;
    poll_fn(|cx| {
        if !std::mem::take(&mut first) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn join<T: Unpin>(
    mut one: impl Future<Output = T> + Unpin,
    mut two: impl Future<Output = T> + Unpin,
) -> (T, T) {
    let (mut a, mut b) = (None, None);
    poll_fn(move |cx| {
        if a.is_none() {
            a = ready(Pin::new(&mut one).poll(cx));
        }
        if b.is_none() {
            b = ready(Pin::new(&mut two).poll(cx));
        }
        if a.is_some() && b.is_some() { Poll::Ready(a.take().zip(b.take()).unwrap()) } else { Poll::Pending }
    })
    .await
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Its output, if so many polls are enough.
async fn poll_at_most<F: Future + Unpin>(mut future: F, mut polls: usize) -> Option<F::Output> {
    poll_fn(move |cx| match Pin::new(&mut future).poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            polls -= 1;
            if polls == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

/// What became of a run.
pub(super) struct Outcome {
    pub(super) world: World,
    pub(super) results: Vec<Result<(), LockError>>,
}

/// Runs `plan` to its end.
pub(super) fn run(plan: Plan) -> Outcome {
    let world = World::begin(&plan);
    let locks = plan.locks.iter().map(Lock::from).collect();
    let gates = (0..plan.gates).map(|_| Gate::new()).collect();
    let threads = Cell::new(plan.activities.len() + 1);
    let run = Rc::new(Run { world, plan, locks, gates, threads, asleep: Cell::new(0) });
    let activities: Vec<_> = (0..run.plan.activities.len())
        .map(|index| {
            on_thread(&run, move |run| {
                let block = &run.plan.activities[index];
                run.block_on(activity(async |ctx| run.body(ctx, block, None).await))
                    .expect("nobody is an orphan")
            })
        })
        .collect();
    let others = on_thread(&run, others);
    let results = activities.into_iter().map(|thread| thread.join().unwrap()).collect();
    others.join().unwrap();
    for (index, lock) in run.locks.iter().enumerate() {
        assert!(lock.is_free(), "lock {index} is still held");
    }
    Outcome { world: run.world.clone(), results }
}

/// What happens beside the activities.
fn others(run: &Run) {
    for round in 0..run.plan.gates.max(run.plan.expiries).max(run.plan.looks) {
        if round < run.plan.looks {
            drop(observe());
        }
        if round < run.plan.expiries {
            driver::expire(NEVER - 1);
        }
        if let Some(gate) = run.gates.get(round) {
            gate.open();
        }
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

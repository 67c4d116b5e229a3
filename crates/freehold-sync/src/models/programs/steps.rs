//! What the steps of a program do, with its books kept. Shared with the fuzz targets: nothing in here is shuttle's.

use super::{
    host::{
        self, Context, Gate, LockError, Mutex, MutexGuard, Permit, PermitPool, RwLock, RwLockReadGuard,
        RwLockWriteGuard, Selected,
    },
    plan::{Block, Kind, Plan, Step, Take},
    world::{Strand, World},
};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
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

/// A program with its locks and its books.
pub(super) struct Program {
    pub(super) world: World,
    pub(super) plan: Plan,
    locks: Vec<Lock>,
    gates: Vec<Gate>,
}

impl Program {
    pub(super) fn new(plan: Plan) -> Self {
        let locks = plan.locks.iter().map(Lock::from).collect();
        let gates = (0..plan.gates).map(|_| Gate::new()).collect();
        Self { world: World::new(&plan), plan, locks, gates }
    }

    /// How many rounds there are of what happens beside the activities.
    pub(super) fn rounds(&self) -> usize {
        self.plan.gates.max(self.plan.expiries).max(self.plan.looks)
    }

    /// One of them: somebody looks at everything, all deadlines pass, a gate opens, each as long as there are some.
    pub(super) fn round(&self, round: usize, pass_deadlines: impl FnOnce()) {
        if round < self.plan.looks {
            drop(host::observe());
        }
        if round < self.plan.expiries {
            pass_deadlines();
        }
        if let Some(gate) = self.gates.get(round) {
            gate.open();
        }
    }

    /// To be called when all activities have ended.
    pub(super) fn check_free(&self) {
        for (index, lock) in self.locks.iter().enumerate() {
            assert!(lock.is_free(), "lock {index} is still held");
        }
    }

    /// The body of an activity.
    pub(super) async fn body(
        &self,
        ctx: &Context,
        block: &Block,
        parent: Option<usize>,
    ) -> Result<(), LockError> {
        let entry = self.world.node(host::key(ctx), parent);
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
                    Selected::First(result) | Selected::Second(result) => {
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

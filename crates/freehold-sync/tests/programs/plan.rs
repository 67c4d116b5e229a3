//! What a program is, and how a seed becomes one.

use super::random::Random;
use std::sync::Arc;

/// What a family of programs may contain, and so what must be true of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    /// Locks are taken in ascending order by every thread of control, whatever else happens: no deadlock is possible.
    Ordered,
    /// Any order, and no wait outside of the graph that lasts: every deadlock must be proven.
    Known,
    /// As `Known`, and nothing drops a wait from outside: every victim must hear of its verdict.
    Strict,
    /// As `Known`, with wakers left behind in channels: what the probe is for.
    Stale,
    /// As `Known`, with waits that the graph cannot see: some deadlocks end at their deadline only.
    Foreign,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Mutex,
    RwLock,
    Pool(u32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Take {
    Lock,
    Read,
    Write,
    Permits(u32),
}

pub(crate) type Block = Arc<Vec<Step>>;

/// Times are in microseconds.
#[derive(Debug)]
pub(crate) enum Step {
    /// Takes a lock, waiting for `limit` at most if there is one, and runs the body while it has it.
    Hold {
        lock: usize,
        take: Take,
        limit: Option<u64>,
        body: Block,
    },
    /// As `Hold`, but only if the lock is free now.
    Try {
        lock: usize,
        take: Take,
        body: Block,
    },
    /// Takes two mutexes together.
    Both {
        first: usize,
        second: usize,
        body: Block,
    },
    /// Short sections under blocking locks, one inside the other, on this thread or on one for blocking work.
    Sections {
        first: usize,
        second: Option<usize>,
        elsewhere: bool,
    },
    Yield(usize),
    Sleep(u64),
    /// `tokio::join!` of two branches of this activity.
    JoinPlain(Block, Block),
    /// `tokio::select!` of a branch and a timer.
    SelectTimer(Block, u64),
    /// `tokio::select!` of two branches.
    SelectPlain(Block, Block),
    /// `tokio::time::timeout`.
    TimeoutPlain(Block, u64),
    /// `Context::within`.
    Within(Block, u64),
    /// `tokio::select!` of a branch and `Context::cancelled`.
    Cancellable(Block),
    /// `tokio::select!` of a branch and a receiver under `Context::aside`.
    Aside(Block),
    /// `Context::join`, `select`, `join_all`: branches that are activities.
    JoinOwn(Block, Block),
    SelectOwn(Block, Block),
    JoinAll(Vec<Block>),
    /// A spawned activity, which runs beside `meanwhile` and is joined after it through the graph.
    Spawn {
        child: Block,
        meanwhile: Block,
    },
    /// A spawned activity that nobody waits for.
    Detach(Block),
    /// Runs the body, and goes on whatever became of it.
    Swallow(Block),
    /// Leaves a waker in a channel by losing a `select!` against it, then runs the body.
    Stale(Block),
    /// Work of this length on a thread for blocking work, awaited.
    Blocking(u64),
    /// The same, blocking the worker where the runtime allows it.
    InPlace(u64),

    // ---- waits that the graph does not see ----
    /// Branches in a `FuturesUnordered`.
    Unordered(Vec<Block>),
    /// Spawned activities in a `JoinSet`, awaited as plain tasks.
    JoinSet(Vec<Block>),
    /// `tokio::select!` of the body and a receiver that is polled beside it all the time.
    Listen(Block),
    /// A plain task that takes the lock from outside of any activity and is awaited.
    PlainTask {
        lock: usize,
        take: Take,
        hold: u64,
    },
    /// Holds a mutex with an owned guard.
    Owned {
        lock: usize,
        body: Block,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Abort,
    Cancel,
}

/// An activity is ended from outside after so many microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kill {
    pub(crate) activity: usize,
    pub(crate) after: u64,
    pub(crate) how: End,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) family: Family,
    pub(crate) locks: Vec<Kind>,
    pub(crate) blocking: usize,
    pub(crate) activities: Vec<Block>,
    pub(crate) kills: Vec<Kill>,
}

impl Plan {
    pub(crate) fn new(family: Family, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let locks: Vec<Kind> = (0..random.between(2, 6)).map(|_| kind(&mut random)).collect();
        let blocking = random.between(2, 3);
        let count = random.between(2, 8);
        let mut maker = Maker { random, family, locks, blocking, left: 0 };
        let activities = (0..count).map(|_| maker.activity()).collect();
        let kills = maker.kills(count);
        Self { seed, family, locks: maker.locks, blocking, activities, kills }
    }
}

fn kind(random: &mut Random) -> Kind {
    match random.below(10) {
        0..6 => Kind::Mutex,
        6..8 => Kind::RwLock,
        _ => Kind::Pool(random.between(1, 3) as u32),
    }
}

struct Maker {
    random: Random,
    family: Family,
    locks: Vec<Kind>,
    blocking: usize,
    /// Steps that this activity may still get.
    left: usize,
}

impl Maker {
    fn kills(&mut self, count: usize) -> Vec<Kill> {
        if self.family == Family::Strict || !self.random.chance(40) {
            return Vec::new();
        }
        (0..self.random.between(1, 3))
            .map(|_| Kill {
                activity: self.random.below(count),
                after: self.random.below(2_000) as u64,
                how: if self.random.chance(60) { End::Abort } else { End::Cancel },
            })
            .collect()
    }

    fn activity(&mut self) -> Block {
        self.left = 24;
        self.block(0, 5)
    }

    /// A block whose locks all come at or after `floor`, if the family is ordered.
    fn block(&mut self, floor: usize, depth: usize) -> Block {
        let mut steps = Vec::new();
        for _ in 0..self.random.between(1, 3) {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            steps.push(self.step(floor, depth));
        }
        Arc::new(steps)
    }

    fn two(&mut self, floor: usize, depth: usize) -> (Block, Block) {
        (self.block(floor, depth - 1), self.block(floor, depth - 1))
    }

    fn children(&mut self, floor: usize, depth: usize) -> Vec<Block> {
        (0..self.random.between(2, 3)).map(|_| self.block(floor, depth - 1)).collect()
    }

    /// Locks are what it is about: half of all steps take one.
    fn step(&mut self, floor: usize, depth: usize) -> Step {
        match self.random.below(100) {
            0..50 if depth > 0 && floor < self.locks.len() => self.hold(floor, depth),
            50..78 if depth > 0 => self.combinator(floor, depth),
            78..84 => self.sections(),
            84..90 => Step::Sleep(self.random.between(1, 300) as u64),
            90..92 => Step::Blocking(self.random.between(1, 200) as u64),
            92..94 => Step::InPlace(self.random.between(1, 200) as u64),
            _ => Step::Yield(self.random.between(1, 3)),
        }
    }

    fn pick(&mut self, floor: usize) -> (usize, usize) {
        let low = if self.family == Family::Ordered { floor } else { 0 };
        let lock = self.random.between(low, self.locks.len() - 1);
        (lock, lock + 1)
    }

    fn take(&mut self, lock: usize) -> Take {
        match self.locks[lock] {
            Kind::Mutex => Take::Lock,
            Kind::RwLock if self.random.chance(60) => Take::Read,
            Kind::RwLock => Take::Write,
            Kind::Pool(size) => Take::Permits(self.random.between(1, size as usize) as u32),
        }
    }

    fn hold(&mut self, floor: usize, depth: usize) -> Step {
        let (lock, above) = self.pick(floor);
        let take = self.take(lock);
        match (self.random.below(100), self.locks[lock]) {
            (0..8, _) => Step::Try { lock, take, body: self.block(above, depth - 1) },
            (8..14, Kind::Mutex) => self.both(lock, depth),
            (14..20, Kind::Mutex) if self.family == Family::Foreign => {
                Step::Owned { lock, body: self.block(above, depth - 1) }
            }
            (20..26, _) if self.family == Family::Foreign => {
                Step::PlainTask { lock, take, hold: self.random.between(1, 300) as u64 }
            }
            (n, _) => {
                let limit = (n < 34).then(|| self.random.between(100, 3_000) as u64);
                Step::Hold { lock, take, limit, body: self.block(above, depth - 1) }
            }
        }
    }

    /// Two mutexes together: `lock_all` takes them by address, which is by index here.
    fn both(&mut self, first: usize, depth: usize) -> Step {
        let later = |index: &usize| *index != first && matches!(self.locks[*index], Kind::Mutex);
        let low = if self.family == Family::Ordered { first } else { 0 };
        match (low..self.locks.len()).find(later) {
            Some(second) => Step::Both { first, second, body: self.block(first.max(second) + 1, depth - 1) },
            None => Step::Hold {
                lock: first,
                take: Take::Lock,
                limit: None,
                body: self.block(first + 1, depth - 1),
            },
        }
    }

    fn sections(&mut self) -> Step {
        let first = self.random.below(self.blocking);
        let second = self.random.below(self.blocking);
        let inner = match self.family {
            Family::Ordered => second > first,
            _ => second != first,
        };
        Step::Sections { first, second: inner.then_some(second), elsewhere: self.random.chance(40) }
    }

    fn combinator(&mut self, floor: usize, depth: usize) -> Step {
        match (self.random.below(100), self.family) {
            (0..25, Family::Stale) => Step::Stale(self.block(floor, depth - 1)),
            (0..40, Family::Foreign) => self.foreign(floor, depth),
            (0..30, Family::Known | Family::Ordered) => self.dropping(floor, depth),
            (30..45, Family::Ordered) => self.foreign(floor, depth),
            (..60, _) => {
                let (first, second) = self.two(floor, depth);
                Step::JoinPlain(first, second)
            }
            (60..74, _) => Step::JoinOwn(self.block(floor, depth - 1), self.block(floor, depth - 1)),
            (74..80, _) => Step::JoinAll(self.children(floor, depth)),
            (80..90, _) => {
                let child = self.block(floor, depth - 1);
                Step::Spawn { child, meanwhile: self.block(floor, depth - 1) }
            }
            (90..93, _) => Step::Detach(self.block(0, depth - 1)),
            (93..97, Family::Ordered | Family::Stale) => Step::Stale(self.block(floor, depth - 1)),
            _ => Step::Swallow(self.block(floor, depth - 1)),
        }
    }

    /// What drops a wait from outside.
    fn dropping(&mut self, floor: usize, depth: usize) -> Step {
        let limit = self.random.between(50, 3_000) as u64;
        match self.random.below(8) {
            0 => Step::SelectTimer(self.block(floor, depth - 1), limit),
            1 => {
                let (first, second) = self.two(floor, depth);
                Step::SelectPlain(first, second)
            }
            2 => Step::TimeoutPlain(self.block(floor, depth - 1), limit),
            3 => Step::Within(self.block(floor, depth - 1), limit),
            4 => Step::Cancellable(self.block(floor, depth - 1)),
            5 => Step::Aside(self.block(floor, depth - 1)),
            _ => Step::SelectOwn(self.block(floor, depth - 1), self.block(floor, depth - 1)),
        }
    }

    fn foreign(&mut self, floor: usize, depth: usize) -> Step {
        match self.random.below(3) {
            0 => Step::Unordered((0..3).map(|_| self.block(floor, depth - 1)).collect()),
            1 => Step::JoinSet(self.children(floor, depth)),
            _ => Step::Listen(self.block(floor, depth - 1)),
        }
    }
}

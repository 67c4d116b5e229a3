//! What a program is, and how choices become one. Shared with the fuzz targets: nothing in here is shuttle's.

use std::rc::Rc;

/// What a family of programs may contain, and so what must be true of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    /// Locks are taken in ascending order by every thread of control: no deadlock is possible, whatever else happens.
    Ordered,
    /// Any order, and nothing ends a wait but its turn or a verdict: every victim must hear of its verdict.
    Strict,
    /// As `Strict`, and waits are dropped, left alone, or run into their deadline.
    Loose,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Mutex,
    RwLock,
    Pool(u32),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Take {
    Lock,
    Read,
    Write,
    Permits(u32),
}

pub(super) type Block = Rc<Vec<Step>>;

#[derive(Debug)]
pub(super) enum Step {
    /// Takes a lock and runs the body while it has it.
    Hold { lock: usize, take: Take, body: Block },
    /// The same, but only if it is free now.
    Try { lock: usize, take: Take, body: Block },
    /// Wakes itself, and goes on in the next poll.
    Suspend,
    /// Waits for something outside of the graph, which somebody opens.
    Gate(usize),
    /// Branches that are activities.
    Join(Block, Block),
    /// Branches of this activity.
    JoinPlain(Block, Block),
    /// The branch that ends first; the other one is dropped.
    Select(Block, Block),
    /// Polls the body so many times at most, then drops it.
    Abandon(Block, usize),
    /// Asks for a lock once, and leaves the wait alone while the body runs.
    Neglect { lock: usize, take: Take, body: Block },
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) locks: Vec<Kind>,
    pub(super) gates: usize,
    pub(super) activities: Vec<Block>,
    /// How often all deadlines pass.
    pub(super) expiries: usize,
    /// How often somebody looks at everything.
    pub(super) looks: usize,
}

const GATES: usize = 2;
const DEPTH: usize = 3;

impl Plan {
    /// The program that `below` chooses: it is asked for numbers below its argument.
    pub(super) fn new(family: Family, below: &mut dyn FnMut(usize) -> usize) -> Self {
        let locks: Vec<Kind> = (0..2 + below(3)).map(|_| kind(below)).collect();
        let count = 2 + below(3);
        let mut maker = Maker { below, family, locks, left: 0 };
        let activities = (0..count).map(|_| maker.activity()).collect();
        let sometimes =
            |maker: &mut Maker<'_>| usize::from(family != Family::Strict && (maker.below)(4) == 0);
        let (expiries, looks) = (sometimes(&mut maker), sometimes(&mut maker));
        let gates = if family == Family::Strict { 0 } else { GATES };
        Self { locks: maker.locks, gates, activities, expiries, looks }
    }
}

fn kind(below: &mut dyn FnMut(usize) -> usize) -> Kind {
    match below(10) {
        0..6 => Kind::Mutex,
        6..8 => Kind::RwLock,
        _ => Kind::Pool(1 + below(3) as u32),
    }
}

struct Maker<'a> {
    below: &'a mut dyn FnMut(usize) -> usize,
    family: Family,
    locks: Vec<Kind>,
    /// Steps that this activity may still get.
    left: usize,
}

impl Maker<'_> {
    fn activity(&mut self) -> Block {
        self.left = 7;
        self.block(0, DEPTH)
    }

    /// A block whose locks all come at or after `floor`, if the family is ordered.
    fn block(&mut self, floor: usize, depth: usize) -> Block {
        let mut steps = Vec::new();
        for _ in 0..1 + (self.below)(2) {
            if self.left > 0 {
                self.left -= 1;
                steps.push(self.step(floor, depth));
            }
        }
        Rc::new(steps)
    }

    fn step(&mut self, floor: usize, depth: usize) -> Step {
        match (self.below)(10) {
            0..6 if depth > 0 && floor < self.locks.len() => self.hold(floor, depth - 1),
            6..9 if depth > 0 => self.combinator(floor, depth - 1),
            _ if self.family != Family::Strict && (self.below)(3) == 0 => Step::Gate((self.below)(GATES)),
            _ => Step::Suspend,
        }
    }

    fn hold(&mut self, floor: usize, depth: usize) -> Step {
        let low = if self.family == Family::Ordered { floor } else { 0 };
        let lock = low + (self.below)(self.locks.len() - low);
        let take = match self.locks[lock] {
            Kind::Mutex => Take::Lock,
            Kind::RwLock if (self.below)(10) < 6 => Take::Read,
            Kind::RwLock => Take::Write,
            Kind::Pool(size) => Take::Permits(1 + (self.below)(size as usize) as u32),
        };
        match (self.below)(10) {
            0 => Step::Try { lock, take, body: self.block(lock + 1, depth) },
            1 if self.family != Family::Strict => {
                Step::Neglect { lock, take, body: self.block(floor, depth) }
            }
            _ => Step::Hold { lock, take, body: self.block(lock + 1, depth) },
        }
    }

    fn combinator(&mut self, floor: usize, depth: usize) -> Step {
        let (one, two) = (self.block(floor, depth), self.block(floor, depth));
        match (self.below)(6) {
            0..2 => Step::Join(one, two),
            2 if self.family != Family::Strict => Step::Select(one, two),
            3 if self.family != Family::Strict => Step::Abandon(one, 1 + (self.below)(3)),
            _ => Step::JoinPlain(one, two),
        }
    }
}

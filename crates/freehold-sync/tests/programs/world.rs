//! The locks of one program, and what was seen of it.

use super::plan::{Kind, Plan};
use freehold_sync::{Context, Ended, LockError, Mutex, PermitPool, RwLock, blocking};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex as StdMutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

/// How many are inside of a lock; writers count a million.
#[derive(Default)]
pub(crate) struct Inside(AtomicI64);

const WRITER: i64 = 1_000_000;

pub(crate) enum Lock {
    Mutex(Mutex<u64>, Inside),
    ReadWrite(RwLock<u64>, Inside),
    Pool(PermitPool, Inside),
}

pub(crate) struct World {
    pub(crate) name: String,
    /// In one allocation, so that a higher index is a higher address.
    pub(crate) locks: Vec<Lock>,
    pub(crate) blocking: Vec<blocking::Mutex<u64>>,
    /// Acquisitions of each lock that changed its value, which must come to the same.
    pub(crate) taken: Vec<AtomicU64>,
    pub(crate) sections: Vec<AtomicU64>,
    /// Whether the runtime has workers that may block.
    pub(crate) workers: bool,
    pub(crate) seen: StdMutex<Seen>,
    /// Tasks that nobody in the program waits for.
    pub(crate) tasks: StdMutex<Vec<tokio::task::JoinHandle<()>>>,
}

/// What happened in a program.
#[derive(Default, Debug)]
pub(crate) struct Seen {
    /// By report: the activities that got it as an error. Zero stands for a thread.
    pub(crate) victims: HashMap<String, HashSet<u64>>,
    /// Reports that activities were ended with.
    pub(crate) ended: HashSet<String>,
    /// Waits that ended at the default limit, each with its error's text.
    pub(crate) late: Vec<String>,
    /// Waits that ended at a limit of their own.
    pub(crate) limited: usize,
    /// What must never happen.
    pub(crate) wrong: Vec<String>,
}

impl World {
    pub(crate) fn new(plan: &Plan, workers: bool) -> Self {
        let locks = plan.locks.iter().map(|kind| match kind {
            Kind::Mutex => Lock::Mutex(Mutex::new(0), Inside::default()),
            Kind::RwLock => Lock::ReadWrite(RwLock::new(0), Inside::default()),
            Kind::Pool(size) => Lock::Pool(PermitPool::new(*size), Inside::default()),
        });
        Self {
            name: format!("{:?} {}", plan.family, plan.seed),
            locks: locks.collect(),
            blocking: (0..plan.blocking).map(|_| blocking::Mutex::new(0)).collect(),
            taken: plan.locks.iter().map(|_| AtomicU64::new(0)).collect(),
            sections: (0..plan.blocking).map(|_| AtomicU64::new(0)).collect(),
            workers,
            seen: StdMutex::default(),
            tasks: StdMutex::default(),
        }
    }

    pub(crate) fn see<R>(&self, note: impl FnOnce(&mut Seen) -> R) -> R {
        note(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn wrong(&self, what: impl Into<String>) {
        self.see(|seen| seen.wrong.push(what.into()));
    }

    /// Notes how a wait ended. Nothing: at a limit of its own, so the program goes on without.
    pub(crate) fn note<G>(
        &self,
        context: Option<&Context>,
        own_limit: bool,
        result: Result<G, LockError>,
    ) -> Result<Option<G>, LockError> {
        let error = match result {
            Ok(guard) => return Ok(Some(guard)),
            Err(error) => error,
        };
        match &error {
            LockError::Deadlock(report) => {
                let who = context.map_or(0, Context::birth);
                self.see(|seen| seen.victims.entry(report.id.clone()).or_default().insert(who));
            }
            LockError::Timeout(_) if own_limit => {
                self.see(|seen| seen.limited += 1);
                return Ok(None);
            }
            LockError::Timeout(timeout) => self.see(|seen| seen.late.push(timeout.to_string())),
            // The child was ended from outside before it was done.
            LockError::Ended(Ended::Orphan(_) | Ended::Dropped) => {}
            other => self.wrong(format!("unexpected: {other}")),
        }
        Err(error)
    }

    /// What is still held or lost at the end.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        for (index, lock) in self.locks.iter().enumerate() {
            let taken = self.taken[index].load(Ordering::SeqCst);
            match lock {
                Lock::Mutex(mutex, _) => match mutex.try_lock() {
                    Some(value) if *value == taken => {}
                    Some(value) => left.push(format!("mutex {index}: {} of {taken} updates", *value)),
                    None => left.push(format!("mutex {index} is still locked")),
                },
                Lock::ReadWrite(lock, _) => match lock.try_write() {
                    Some(value) if *value == taken => {}
                    Some(value) => left.push(format!("lock {index}: {} of {taken} updates", *value)),
                    None => left.push(format!("read-write lock {index} is still locked")),
                },
                Lock::Pool(pool, _) if pool.available() == pool.size() && pool.try_acquire().is_some() => {}
                Lock::Pool(pool, _) => {
                    left.push(format!("pool {index} has {} of {}", pool.available(), pool.size()));
                }
            }
        }
        for (index, mutex) in self.blocking.iter().enumerate() {
            let taken = self.sections[index].load(Ordering::SeqCst);
            match mutex.try_lock() {
                Some(value) if *value == taken => {}
                Some(value) => left.push(format!("blocking mutex {index}: {} of {taken} updates", *value)),
                None => left.push(format!("blocking mutex {index} is still locked")),
            }
        }
        left
    }
}

/// One who is inside of a lock, until it is dropped.
pub(crate) struct Visit<'a> {
    inside: &'a Inside,
    count: i64,
}

impl Inside {
    /// Comes in alone.
    pub(crate) fn alone<'a>(&'a self, world: &World) -> Visit<'a> {
        self.enter(world, WRITER, 0)
    }

    /// Comes in with other readers.
    pub(crate) fn reading<'a>(&'a self, world: &World) -> Visit<'a> {
        self.enter(world, 1, WRITER - 1)
    }

    /// Comes in with permits, of which there are `size`.
    pub(crate) fn with_permits<'a>(&'a self, world: &World, count: u32, size: u32) -> Visit<'a> {
        self.enter(world, count.into(), i64::from(size) - i64::from(count))
    }

    fn enter<'a>(&'a self, world: &World, count: i64, others_at_most: i64) -> Visit<'a> {
        let others = self.0.fetch_add(count, Ordering::SeqCst);
        if others > others_at_most {
            world.wrong(format!("not exclusive: {others} inside when {count} came in"));
        }
        Visit { inside: self, count }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.inside.0.fetch_sub(self.count, Ordering::SeqCst);
    }
}

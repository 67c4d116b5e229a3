use super::{Task, TaskLimits, id::TaskId, limits::PAGE};
use crate::{lock_order, owner::Owner};
use foldhash::fast::RandomState;
use freehold::{SessionId, State};
use freehold_sync::ScopedMutex;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// The tasks of a server.
pub(crate) struct TaskTable<S: State> {
    pub(super) limits: TaskLimits,
    next: AtomicU64,
    /// Bytes of all results that are kept.
    kept: AtomicUsize,
    tasks: ScopedMutex<Tasks<S>, lock_order::Tasks>,
}

/// By owner, in the order of their creation.
type ByOwner<S> = HashMap<Owner, BTreeMap<u64, Arc<Task<S>>>, RandomState>;

struct Tasks<S: State> {
    by_id: HashMap<TaskId, Arc<Task<S>>, RandomState>,
    by_owner: ByOwner<S>,
    /// How many count as one client's; none that has none.
    counts: HashMap<Owner, usize, RandomState>,
}

/// There is no room for another task.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    Owner,
    Server,
}

/// One page of an owner's tasks.
pub(super) struct Page<S: State> {
    pub(super) tasks: Vec<Arc<Task<S>>>,
    /// Where the next one begins, if there is one.
    pub(super) next: Option<u64>,
}

impl<S: State> TaskTable<S> {
    pub(crate) fn new(limits: TaskLimits) -> Self {
        let tasks =
            Tasks { by_id: HashMap::default(), by_owner: HashMap::default(), counts: HashMap::default() };
        Self { limits, next: AtomicU64::new(1), kept: AtomicUsize::new(0), tasks: ScopedMutex::of(tasks) }
    }

    /// The number of a new task; they grow.
    pub(super) fn next_serial(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn insert(&self, task: &Arc<Task<S>>) -> Result<(), Full> {
        self.tasks.with(|tasks| {
            if tasks.by_id.len() >= self.limits.total {
                return Err(Full::Server);
            }
            if tasks.counts.get(&task.counts_as).copied().unwrap_or(0) >= self.limits.per_owner {
                return Err(Full::Owner);
            }
            *tasks.counts.entry(task.counts_as.clone()).or_default() += 1;
            tasks.by_owner.entry(task.owner.clone()).or_default().insert(task.serial, task.clone());
            tasks.by_id.insert(task.id, task.clone());
            Ok(())
        })
    }

    /// The task with this id, if it is the owner's.
    pub(super) fn find(&self, id: TaskId, owner: &Owner) -> Option<Arc<Task<S>>> {
        let found = self.tasks.with(|tasks| tasks.by_id.get(&id).cloned());
        found.filter(|task| task.owner == *owner)
    }

    /// The owner's tasks from this number on.
    pub(super) fn page(&self, owner: &Owner, from: u64) -> Page<S> {
        let mut tasks = self.tasks.with(|tasks| match tasks.by_owner.get(owner) {
            Some(own) => own.range(from..).take(PAGE + 1).map(|(_, task)| task.clone()).collect(),
            None => Vec::new(),
        });
        let next = (tasks.len() > PAGE).then(|| tasks.pop()).flatten();
        Page { tasks, next: next.map(|first| first.serial) }
    }

    /// Takes it out and ends it.
    pub(super) fn remove(&self, task: &Arc<Task<S>>) {
        let removed = self.tasks.with(|tasks| {
            let removed = tasks.by_id.remove(&task.id);
            let counted = removed.as_ref().and_then(|task| tasks.uncount(&task.counts_as));
            let own = tasks.by_owner.get_mut(&task.owner);
            let twin = own.and_then(|own| own.remove(&task.serial));
            let empty = tasks.by_owner.get(&task.owner).is_some_and(BTreeMap::is_empty);
            let owner = if empty { tasks.by_owner.remove_entry(&task.owner) } else { None };
            (removed, twin, owner, counted)
        });
        if removed.0.is_some() {
            self.release(task);
        }
    }

    /// Takes out and ends what the session has: it was closed.
    pub(crate) fn session_closed(&self, session: SessionId) {
        for owner in Owner::all_of_session(session) {
            let own = self.tasks.with(|tasks| {
                let own = tasks.by_owner.remove(&owner).unwrap_or_default();
                let take_out = |task: &Arc<Task<S>>| {
                    let removed = tasks.by_id.remove(&task.id);
                    (removed.as_ref().and_then(|task| tasks.uncount(&task.counts_as)), removed)
                };
                let removed: Vec<_> = own.values().map(take_out).collect();
                (own, removed)
            });
            own.0.values().for_each(|task| self.release(task));
        }
    }

    fn release(&self, task: &Arc<Task<S>>) {
        let kept = task.leave();
        self.kept.fetch_sub(kept, Ordering::Relaxed);
    }

    /// Reserves room for a result; whether there is some.
    pub(super) fn keeps(&self, bytes: usize) -> bool {
        let fits = |kept: usize| kept.checked_add(bytes).filter(|kept| *kept <= self.limits.results_bytes);
        // Relaxed: the count guards no other memory.
        self.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// Gives back what [`keeps`](Self::keeps) reserved.
    pub(super) fn forgets(&self, bytes: usize) {
        self.kept.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How many there are, and how many bytes of results are kept.
    pub(crate) fn gauge(&self) -> (usize, usize) {
        (self.tasks.with(|tasks| tasks.by_id.len()), self.kept.load(Ordering::Relaxed))
    }
}

impl<S: State> Tasks<S> {
    /// One less; what is left of an owner that has none, to be dropped elsewhere.
    fn uncount(&mut self, owner: &Owner) -> Option<(Owner, usize)> {
        let count = self.counts.get_mut(owner)?;
        *count -= 1;
        if *count == 0 { self.counts.remove_entry(owner) } else { None }
    }
}

impl<S: State> Drop for TaskTable<S> {
    fn drop(&mut self) {
        let tasks = self.tasks.with(|tasks| std::mem::take(&mut tasks.by_id));
        for task in tasks.into_values() {
            task.leave();
        }
    }
}

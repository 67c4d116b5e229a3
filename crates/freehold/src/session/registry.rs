//! The table of sessions. Look-ups take no lock; what leaves this module are cloned handles, never guards.
//!
//! # Invariants
//!
//! 1. A session is in the table from its opening to its closing; `count` bounds how many may be.
//! 2. An id is `Loading` while exactly one task loads its state; everybody else who wants it waits for that one.

use super::{SessionId, SessionState};
use crate::state::State;
use foldhash::fast::RandomState;
use freehold_sync::{HasSignal, Signal};
use papaya::HashMap;
use std::{
    num::NonZeroU8,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

pub(crate) struct Registry<S: State> {
    entries: HashMap<SessionId, Entry<S>, RandomState>,
    count: AtomicUsize,
}

enum Entry<S: State> {
    Ready(Arc<SessionState<S>>),
    Loading(Arc<Loading>),
}

/// Set when the loading ended; then look again.
#[derive(Default)]
pub(crate) struct Loading {
    ended: Signal,
}

impl HasSignal for Loading {
    fn signal(&self) -> &Signal {
        &self.ended
    }
}

/// What the table holds for an id.
pub(crate) enum Found<S: State> {
    Ready(Arc<SessionState<S>>),
    /// Somebody is loading it.
    Loading(Arc<Loading>),
    /// Nothing: the caller is now the one who loads it, and must end it with `loaded` or `not_loaded`.
    Load(Arc<Loading>),
}

/// All places are taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<S: State> Default for Registry<S> {
    fn default() -> Self {
        let entries = HashMap::builder().hasher(RandomState::default()).build();
        Self { entries, count: AtomicUsize::new(0) }
    }
}

impl<S: State> Registry<S> {
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The session, if it is here and loaded.
    pub(crate) fn get(&self, id: SessionId) -> Option<Arc<SessionState<S>>> {
        match self.entries.pin().get(&id)? {
            Entry::Ready(session) => Some(session.clone()),
            Entry::Loading(_) => None,
        }
    }

    pub(crate) fn insert(&self, session: Arc<SessionState<S>>, most: usize) -> Result<(), Full> {
        self.reserve(most)?;
        self.entries.pin().insert(session.id, Entry::Ready(session));
        Ok(())
    }

    fn reserve(&self, most: usize) -> Result<(), Full> {
        // Relaxed: the count guards no other memory.
        if self.count.fetch_add(1, Ordering::Relaxed) >= most {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(Full);
        }
        Ok(())
    }

    pub(crate) fn remove(&self, id: SessionId) -> bool {
        let removed = self.entries.pin().remove(&id).is_some();
        if removed {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        removed
    }

    /// Looks an id up, or takes on the duty to load it. A `Loading` entry counts as a session.
    pub(crate) fn get_or_load(&self, id: SessionId, most: usize) -> Result<Found<S>, Full> {
        let mine = Arc::new(Loading::default());
        self.reserve(most)?;
        let entries = self.entries.pin();
        let found = match entries.try_insert(id, Entry::Loading(mine.clone())) {
            Ok(_) => return Ok(Found::Load(mine)),
            Err(occupied) => match occupied.current {
                Entry::Ready(session) => Found::Ready(session.clone()),
                Entry::Loading(loading) => Found::Loading(loading.clone()),
            },
        };
        self.count.fetch_sub(1, Ordering::Relaxed);
        Ok(found)
    }

    /// The loading of `session` succeeded.
    pub(crate) fn loaded(&self, loading: &Loading, session: Arc<SessionState<S>>) {
        self.entries.pin().insert(session.id, Entry::Ready(session));
        loading.ended.set(NonZeroU8::MIN);
    }

    /// The loading of `id` failed, or was given up.
    pub(crate) fn not_loaded(&self, loading: &Loading, id: SessionId) {
        self.remove(id);
        loading.ended.set(NonZeroU8::MIN);
    }

    /// Clones the handles of all sessions, or of the first `most`.
    pub(crate) fn sessions(&self, most: usize) -> Vec<Arc<SessionState<S>>> {
        let entries = self.entries.pin();
        let ready = entries.values().filter_map(|entry| match entry {
            Entry::Ready(session) => Some(session.clone()),
            Entry::Loading(_) => None,
        });
        ready.take(most).collect()
    }

    /// Clones the handles of the sessions for which `wanted` holds.
    pub(crate) fn filter(&self, wanted: impl Fn(&Arc<SessionState<S>>) -> bool) -> Vec<Arc<SessionState<S>>> {
        let entries = self.entries.pin();
        let ready = entries.values().filter_map(|entry| match entry {
            Entry::Ready(session) if wanted(session) => Some(session.clone()),
            _ => None,
        });
        ready.collect()
    }
}

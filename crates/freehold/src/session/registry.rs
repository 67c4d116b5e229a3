//! The table of sessions. Look-ups take no lock; what leaves this module are cloned handles, never guards.
//!
//! # Invariants
//!
//! 1. A session is in the table from its opening until it is closed and its state removed from the store; `count` is
//!    the number of entries and bounded.
//! 2. An id is `Loading` while exactly one task loads its state; everybody else who wants it waits for that one.
//! 3. A closed session is found by nobody, and nobody loads it anew while its entry stays.

use super::{SessionId, SessionState};
use crate::{
    fault,
    hash::Hashing,
    shim::{AtomicUsize, Ordering, branch},
    state::State,
};
use freehold_sync::{HasSignal, Signal};
use papaya::{Guard, HashMap};
use std::{num::NonZeroU8, sync::Arc};

pub(crate) struct Registry<S: State> {
    entries: HashMap<SessionId, Entry<S>, Hashing>,
    count: AtomicUsize,
}

enum Entry<S: State> {
    Ready(Arc<SessionState<S>>),
    Loading(Arc<Loading>),
}

impl<S: State> Entry<S> {
    fn found(&self) -> Found<S> {
        match self {
            Self::Ready(session) if session.is_closed() => Found::Closed,
            Self::Ready(session) => Found::Ready(session.clone()),
            Self::Loading(loading) => Found::Loading(loading.clone()),
        }
    }
}

/// Set when the loading ended, with a [`LoadEnd`].
#[derive(Default)]
pub(crate) struct Loading {
    ended: Signal,
}

impl HasSignal for Loading {
    fn signal(&self) -> &Signal {
        &self.ended
    }
}

/// How a loading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum LoadEnd {
    /// The session is here now, or whoever loaded it gave up: look again.
    LookAgain = 1,
    /// There is no such session.
    NotFound = 2,
    /// The store failed.
    Unavailable = 3,
}

impl LoadEnd {
    pub(crate) fn from_code(code: NonZeroU8) -> Self {
        match code.get() {
            2 => Self::NotFound,
            3 => Self::Unavailable,
            _ => Self::LookAgain,
        }
    }

    fn code(self) -> NonZeroU8 {
        NonZeroU8::new(self as u8).unwrap_or(NonZeroU8::MIN)
    }
}

/// What the table holds for an id.
pub(crate) enum Found<S: State> {
    Ready(Arc<SessionState<S>>),
    /// It has ended.
    Closed,
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
        let entries = HashMap::builder().hasher(Hashing::default()).build();
        Self { entries, count: AtomicUsize::new(0) }
    }
}

impl<S: State> Registry<S> {
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The session, if it is here and loaded.
    pub(crate) fn get(&self, id: SessionId) -> Option<Arc<SessionState<S>>> {
        fault::enter_registry();
        branch();
        match self.entries.pin().get(&id)? {
            Entry::Ready(session) if !session.is_closed() => Some(session.clone()),
            _ => None,
        }
    }

    pub(crate) fn insert(&self, session: Arc<SessionState<S>>, most: usize) -> Result<(), Full> {
        fault::enter_registry();
        self.reserve(most)?;
        branch();
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

    /// Removes this very session, if it is there.
    pub(crate) fn remove_session(&self, session: &Arc<SessionState<S>>) {
        self.remove_if(
            session.id,
            |entry| matches!(entry, Entry::Ready(found) if Arc::ptr_eq(found, session)),
        );
    }

    fn remove_if(&self, id: SessionId, mine: impl Fn(&Entry<S>) -> bool) {
        fault::enter_registry();
        branch();
        let guard = self.entries.guard();
        if let Ok(Some(_)) = self.entries.remove_if(&id, |_, entry| mine(entry), &guard) {
            self.count.fetch_sub(1, Ordering::Relaxed);
            // Or the session's memory waits until enough others are removed too.
            guard.flush();
        }
    }

    /// Looks an id up, or takes on the duty to load it. A `Loading` entry counts as a session.
    pub(crate) fn get_or_load(&self, id: SessionId, most: usize) -> Result<Found<S>, Full> {
        branch();
        let entries = self.entries.pin();
        // What is there needs no place of its own.
        if let Some(entry) = entries.get(&id) {
            return Ok(entry.found());
        }
        let mine = Arc::new(Loading::default());
        self.reserve(most)?;
        let found = match entries.try_insert(id, Entry::Loading(mine.clone())) {
            Ok(_) => return Ok(Found::Load(mine)),
            Err(occupied) => occupied.current.found(),
        };
        self.count.fetch_sub(1, Ordering::Relaxed);
        Ok(found)
    }

    /// The loading of `session` succeeded.
    pub(crate) fn loaded(&self, loading: &Loading, session: Arc<SessionState<S>>) {
        branch();
        self.entries.pin().insert(session.id, Entry::Ready(session));
        loading.ended.set(LoadEnd::LookAgain.code());
    }

    /// The loading of `id` failed, or was given up.
    pub(crate) fn not_loaded(&self, loading: &Arc<Loading>, id: SessionId, end: LoadEnd) {
        self.remove_if(id, |entry| matches!(entry, Entry::Loading(found) if Arc::ptr_eq(found, loading)));
        loading.ended.set(end.code());
    }

    /// Clones the handles of all sessions, or of the first `most`.
    pub(crate) fn sessions(&self, most: usize) -> Vec<Arc<SessionState<S>>> {
        fault::enter_registry();
        branch();
        let entries = self.entries.pin();
        let ready = entries.values().filter_map(|entry| match entry {
            Entry::Ready(session) if !session.is_closed() => Some(session.clone()),
            _ => None,
        });
        ready.take(most).collect()
    }

    /// Clones the handles of the sessions for which `wanted` holds.
    pub(crate) fn filter(&self, wanted: impl Fn(&Arc<SessionState<S>>) -> bool) -> Vec<Arc<SessionState<S>>> {
        let entries = self.entries.pin();
        let ready = entries.values().filter_map(|entry| match entry {
            Entry::Ready(session) if !session.is_closed() && wanted(session) => Some(session.clone()),
            _ => None,
        });
        ready.collect()
    }
}

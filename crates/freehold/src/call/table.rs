//! The calls of one session that have no outcome yet.

use super::Call;
use crate::{
    event::OutcomeKind,
    hash::Hashing,
    lock_order,
    message::{ErrorCode, ErrorObject, RequestId},
    session::{SessionId, SessionNotFound},
    shim::{AtomicBool, AtomicUsize, Notify, Ordering},
    state::State,
};
use freehold_sync::ScopedMutex;
use hashbrown::{HashTable, hash_table::Entry};
use std::{hash::BuildHasher, sync::Arc};

/// What a call is kept under. Notifications and calls that handlers make have no id of a client's, but must be found when
/// the session closes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CallKey {
    Request(RequestId),
    Unnamed(u64),
}

impl CallKey {
    pub(crate) fn id(&self) -> Option<&RequestId> {
        match self {
            Self::Request(id) => Some(id),
            Self::Unnamed(_) => None,
        }
    }
}

pub(crate) struct CallTable<S: State> {
    inner: ScopedMutex<Table<S>, lock_order::CallTable>,
    /// Of keys, which clients choose.
    hasher: Hashing,
    undelivered: Undelivered,
}

/// Calls whose outcome is not delivered. They leave the table before, so that their id is free when the peer reads the
/// answer.
#[derive(Default)]
pub(crate) struct Undelivered {
    count: AtomicUsize,
    /// Whether anybody ever waited for the last one; then `all_delivered` is notified when there are none.
    awaited: AtomicBool,
    all_delivered: Notify,
}

impl Undelivered {
    pub(crate) fn entered(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn delivered(&self) {
        // SeqCst, here and in `none`: it stores `awaited`, then loads the count; this lowers the count, then loads
        // `awaited`. Not both can miss the other.
        if self.count.fetch_sub(1, Ordering::SeqCst) == 1 && self.awaited.load(Ordering::SeqCst) {
            self.all_delivered.notify_waiters();
        }
    }

    /// Waits until there are none.
    pub(crate) async fn none(&self) {
        self.awaited.store(true, Ordering::SeqCst);
        loop {
            let mut notified = std::pin::pin!(self.all_delivered.notified());
            // Registered before the look, so that the last call cannot end in between unseen.
            notified.as_mut().enable();
            if self.count.load(Ordering::SeqCst) == 0 {
                return;
            }
            notified.await;
        }
    }
}

struct Table<S: State> {
    /// By their keys, which are in the calls.
    calls: HashTable<Arc<Call<S>>>,
    closed: bool,
}

impl<S: State> Default for CallTable<S> {
    fn default() -> Self {
        let table = Table { calls: HashTable::new(), closed: false };
        Self {
            inner: ScopedMutex::of(table),
            hasher: Hashing::default(),
            undelivered: Undelivered::default(),
        }
    }
}

/// Why a call cannot be entered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A call with this id has no outcome yet.
    Duplicate,
    /// The session is closed.
    Closed,
}

impl<S: State> CallTable<S> {
    pub(crate) fn insert(&self, call: &Arc<Call<S>>) -> Result<(), Refused> {
        let hash = self.hasher.hash_one(&call.key);
        let same_key = |found: &Arc<Call<S>>| found.key == call.key;
        self.inner.with(|table| {
            if table.closed {
                return Err(Refused::Closed);
            }
            match table.calls.entry(hash, same_key, |call| self.hasher.hash_one(&call.key)) {
                Entry::Occupied(_) => Err(Refused::Duplicate),
                Entry::Vacant(place) => {
                    place.insert(call.clone());
                    self.undelivered.entered();
                    Ok(())
                }
            }
        })
    }

    /// Removes this very call; another one with the same key stays.
    pub(crate) fn remove(&self, call: &Call<S>) {
        let hash = self.hasher.hash_one(&call.key);
        let itself = |found: &Arc<Call<S>>| std::ptr::eq(Arc::as_ptr(found), call);
        let removed =
            self.inner.with(|table| table.calls.find_entry(hash, itself).ok().map(|entry| entry.remove().0));
        drop(removed);
    }

    /// The outcome of a call that was entered is delivered.
    pub(crate) fn delivered(&self) {
        self.undelivered.delivered();
    }

    /// Waits until every call that was entered has its outcome delivered.
    pub(crate) async fn ended(&self) {
        self.undelivered.none().await;
    }

    pub(crate) fn find(&self, id: &RequestId) -> Option<Arc<Call<S>>> {
        let key = CallKey::Request(id.clone());
        let hash = self.hasher.hash_one(&key);
        self.inner.with(|table| table.calls.find(hash, |found| found.key == key).cloned())
    }

    /// Refuses further calls and hands out those that are there.
    pub(crate) fn close(&self) -> Vec<Arc<Call<S>>> {
        self.inner.with(|table| {
            table.closed = true;
            table.calls.drain().collect()
        })
    }

    pub(crate) fn all(&self) -> Vec<Arc<Call<S>>> {
        self.inner.with(|table| table.calls.iter().cloned().collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inner.with(|table| table.calls.is_empty())
    }

    pub(crate) fn shrink(&self) {
        self.inner.with(|table| {
            if table.calls.is_empty() {
                table.calls = HashTable::new();
            }
        });
    }
}

/// The outcome of a call that could not be entered.
pub(crate) fn table_refusal(
    refused: Refused,
    session: SessionId,
    id: Option<&RequestId>,
) -> (OutcomeKind, ErrorObject) {
    match refused {
        Refused::Duplicate => {
            let id = id.map(ToString::to_string).unwrap_or_default();
            let message = format!("the id {id} is in use by a request that has no answer yet; use another");
            (OutcomeKind::DuplicateId, ErrorObject::new(ErrorCode::INVALID_REQUEST, message))
        }
        Refused::Closed => {
            let message = SessionNotFound(session).to_string();
            (OutcomeKind::Stopping, ErrorObject::new(ErrorCode::SESSION_NOT_FOUND, message))
        }
    }
}

//! The calls of all sessions that have a task of their own: those that a drain must cancel and an operator wants to see.

use super::Call;
use crate::{hash::Hashing, lock_order, state::State};
use freehold_sync::ScopedMutex;
use std::{collections::HashMap, sync::Arc};

pub(crate) struct LiveCalls<S: State> {
    calls: ScopedMutex<HashMap<usize, Arc<Call<S>>, Hashing>, lock_order::LiveCalls>,
}

impl<S: State> Default for LiveCalls<S> {
    fn default() -> Self {
        Self { calls: ScopedMutex::of(HashMap::default()) }
    }
}

/// A call's address is its key: it is unique while the table holds the call.
fn key<S: State>(call: &Arc<Call<S>>) -> usize {
    Arc::as_ptr(call).addr()
}

impl<S: State> LiveCalls<S> {
    pub(crate) fn insert(&self, call: &Arc<Call<S>>) {
        self.calls.with(|calls| calls.insert(key(call), call.clone()));
    }

    pub(crate) fn remove(&self, call: &Arc<Call<S>>) {
        let removed = self.calls.with(|calls| calls.remove(&key(call)));
        drop(removed);
    }

    /// The call that is there under this number.
    pub(crate) fn find(&self, tag: usize) -> Option<Arc<Call<S>>> {
        self.calls.with(|calls| calls.get(&tag).cloned())
    }

    /// Those for which `wanted` holds, which must be quick and look at atomics only.
    pub(crate) fn filter(&self, wanted: impl Fn(&Call<S>) -> bool) -> Vec<Arc<Call<S>>> {
        in_order(self.calls.with(|calls| calls.values().filter(|call| wanted(call)).cloned().collect()))
    }

    pub(crate) fn all(&self) -> Vec<Arc<Call<S>>> {
        in_order(self.calls.with(|calls| calls.values().cloned().collect()))
    }
}

/// Addresses are others in each run, so in a simulation or a model their order must not count.
#[cfg(any(feature = "simulation", shuttle))]
fn in_order<S: State>(mut calls: Vec<Arc<Call<S>>>) -> Vec<Arc<Call<S>>> {
    calls.sort_by_cached_key(|call| (call.session.id(), format!("{:?}", call.key)));
    calls
}

#[cfg(not(any(feature = "simulation", shuttle)))]
fn in_order<S: State>(calls: Vec<Arc<Call<S>>>) -> Vec<Arc<Call<S>>> {
    calls
}

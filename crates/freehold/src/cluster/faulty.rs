//! Stores, directories and buses that fail as told: to see every error of the closed set without a network.

use super::{
    Bus, BusError, Directory, DirectoryError, NodeId, Place, RemoteCall, RemoteNotification, RemoteResult,
};
use crate::{
    call::CallId,
    lock_order,
    runtime::BoxFuture,
    session::SessionId,
    state::{CommitOutcome, CommitToken, Resolution, Store, StoreError, Version, Versioned},
};
use freehold_sync::ScopedMutex;
use std::{collections::VecDeque, fmt, sync::Arc};

/// One failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Injected {
    /// It cannot be reached; nothing happens.
    Unavailable,
    /// It happens, and its answer is lost.
    UnknownDone,
    /// It does not happen, and nobody is told.
    UnknownNotDone,
    /// As `UnknownDone`, and what became of it is not found out either.
    StillUnknown,
    /// What is sent is too large; nothing happens.
    TooLarge,
    /// Somebody else was first; nothing happens. Of a commit.
    Conflict,
    /// The session is said to be in this engine.
    StaleAt(NodeId),
    /// The session is said to be nowhere.
    Nowhere,
    /// It is lost without a trace. Of a cancel.
    Lost,
}

/// What is to fail next: one entry for each operation of the directory, the bus and the store that share it, in order;
/// `None` lets one through. When it is empty, nothing fails. A cheap handle.
#[derive(Clone, Default)]
pub struct Injections {
    next: Arc<ScopedMutex<VecDeque<Option<Injected>>, lock_order::Injections>>,
}

impl Injections {
    /// Adds to what is to fail.
    pub fn add(&self, failures: impl IntoIterator<Item = Option<Injected>>) {
        let failures: Vec<_> = failures.into_iter().collect();
        self.next.with(|next| next.extend(failures));
    }

    /// How many entries have not been used.
    #[must_use]
    pub fn left(&self) -> usize {
        self.next.with(|next| next.len())
    }

    fn take(&self) -> Option<Injected> {
        self.next.with(VecDeque::pop_front).flatten()
    }
}

impl fmt::Debug for Injections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Injections").field("left", &self.left()).finish()
    }
}

/// A directory that fails as told.
#[derive(Debug)]
pub struct FaultyDirectory<D> {
    inner: D,
    injections: Injections,
}

impl<D> FaultyDirectory<D> {
    /// Lets `inner` fail.
    pub fn new(inner: D, injections: &Injections) -> Self {
        Self { inner, injections: injections.clone() }
    }
}

impl<D: Directory> Directory for FaultyDirectory<D> {
    fn locate(&self, session: SessionId) -> BoxFuture<'_, Result<Place, DirectoryError>> {
        let failed = match self.injections.take() {
            None => return self.inner.locate(session),
            Some(Injected::StaleAt(node)) => Ok(Place::At(node)),
            Some(Injected::Nowhere) => Ok(Place::Nowhere),
            Some(_) => Err(DirectoryError::Unavailable),
        };
        Box::pin(std::future::ready(failed))
    }

    fn claim(&self, session: SessionId) {
        self.inner.claim(session);
    }

    fn release(&self, session: SessionId) {
        self.inner.release(session);
    }
}

/// A bus that fails as told.
#[derive(Debug)]
pub struct FaultyBus<B> {
    inner: B,
    injections: Injections,
}

impl<B> FaultyBus<B> {
    /// Lets `inner` fail.
    pub fn new(inner: B, injections: &Injections) -> Self {
        Self { inner, injections: injections.clone() }
    }
}

/// The failure of a message, and whether it is delivered all the same.
fn failure(injected: Injected) -> (BusError, bool) {
    match injected {
        Injected::UnknownDone | Injected::StillUnknown => (BusError::Unknown, true),
        Injected::UnknownNotDone | Injected::Lost => (BusError::Unknown, false),
        Injected::TooLarge => (BusError::TooLarge, false),
        Injected::Nowhere | Injected::StaleAt(_) | Injected::Conflict => (BusError::NotThere, false),
        Injected::Unavailable => (BusError::Unavailable, false),
    }
}

impl<B: Bus> Bus for FaultyBus<B> {
    fn call(&self, to: NodeId, call: RemoteCall) -> BoxFuture<'_, Result<RemoteResult, BusError>> {
        let Some((error, delivered)) = self.injections.take().map(failure) else {
            return self.inner.call(to, call);
        };
        Box::pin(async move {
            if delivered {
                let _lost = self.inner.call(to, call).await;
            }
            Err(error)
        })
    }

    fn cancel(&self, to: NodeId, call: CallId) {
        if self.injections.take().is_none() {
            self.inner.cancel(to, call);
        }
    }

    fn push(&self, to: NodeId, notification: RemoteNotification) -> BoxFuture<'_, Result<(), BusError>> {
        let Some((error, delivered)) = self.injections.take().map(failure) else {
            return self.inner.push(to, notification);
        };
        Box::pin(async move {
            if delivered {
                let _lost = self.inner.push(to, notification).await;
            }
            Err(error)
        })
    }
}

/// A store that fails as told. Loads, commits, and removals use up entries; what a commit became is told by the entry of
/// that commit.
pub struct FaultyStore<S, T> {
    inner: T,
    injections: Injections,
    /// What became of commits that were not told.
    unknown: ScopedMutex<Vec<(CommitToken, Resolution<S>)>, lock_order::Untold>,
}

impl<S, T> FaultyStore<S, T> {
    /// Lets `inner` fail.
    pub fn new(inner: T, injections: &Injections) -> Self {
        Self { inner, injections: injections.clone(), unknown: ScopedMutex::default() }
    }
}

impl<S, T> fmt::Debug for FaultyStore<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("injections", &self.injections).finish_non_exhaustive()
    }
}

impl<S: Clone + Send + Sync + 'static, T: Store<S>> FaultyStore<S, T> {
    /// Remembers what became of a commit, and does not tell.
    fn keep(&self, resolution: Resolution<S>) -> CommitOutcome<S> {
        let token = self.unknown.with(|unknown| {
            let token = CommitToken(unknown.len() as u128 + 1);
            unknown.push((token, resolution));
            token
        });
        CommitOutcome::Unknown(token)
    }

    async fn current(&self, id: SessionId, expected: Version) -> Versioned<S>
    where
        S: Default,
    {
        let loaded = self.inner.load(id).await.ok().flatten();
        loaded.unwrap_or_else(|| Versioned { version: expected, state: Arc::new(S::default()) })
    }
}

impl<S: Clone + Default + Send + Sync + 'static, T: Store<S>> Store<S> for FaultyStore<S, T> {
    fn load(&self, id: SessionId) -> BoxFuture<'_, Result<Option<Versioned<S>>, StoreError>> {
        match self.injections.take() {
            None => self.inner.load(id),
            Some(Injected::Nowhere) => Box::pin(std::future::ready(Ok(None))),
            Some(_) => Box::pin(std::future::ready(Err(StoreError::Unavailable))),
        }
    }

    fn commit(&self, id: SessionId, expected: Version, next: Arc<S>) -> BoxFuture<'_, CommitOutcome<S>> {
        let Some(injected) = self.injections.take() else { return self.inner.commit(id, expected, next) };
        Box::pin(async move {
            match injected {
                Injected::TooLarge => CommitOutcome::TooLarge,
                Injected::Conflict => CommitOutcome::Conflict(self.current(id, expected).await),
                Injected::UnknownDone => match self.inner.commit(id, expected, next).await {
                    CommitOutcome::Committed(version) => self.keep(Resolution::Committed(version)),
                    CommitOutcome::Conflict(newer) => self.keep(Resolution::NotCommitted(newer)),
                    other => other,
                },
                Injected::UnknownNotDone => {
                    let current = self.current(id, expected).await;
                    self.keep(Resolution::NotCommitted(current))
                }
                Injected::StillUnknown => {
                    let _untold = self.inner.commit(id, expected, next).await;
                    self.keep(Resolution::StillUnknown)
                }
                _ => CommitOutcome::Unavailable,
            }
        })
    }

    fn resolve(&self, id: SessionId, token: CommitToken) -> BoxFuture<'_, Resolution<S>> {
        let known = self.unknown.with(|unknown| {
            let found = unknown.iter().find(|(known, _)| *known == token);
            found.map(|(_, resolution)| resolution.clone())
        });
        match known {
            Some(resolution) => Box::pin(std::future::ready(resolution)),
            None => self.inner.resolve(id, token),
        }
    }

    fn touch(&self, id: SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.touch(id)
    }

    fn remove(&self, id: SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        match self.injections.take() {
            None => self.inner.remove(id),
            Some(_) => Box::pin(std::future::ready(Err(StoreError::Unavailable))),
        }
    }
}

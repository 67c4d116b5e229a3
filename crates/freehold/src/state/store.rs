use crate::{contain::Contained, hash::Hashing, runtime::BoxFuture, session::SessionId, shim::branch};
use papaya::{Compute, Guard, HashMap, Operation};
use std::sync::Arc;

/// The version of a session's state: 0 before the first commit, then one more for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

/// A state and its version: a store makes it of what it kept, so it has no more than this.
#[derive(Debug)]
pub struct Versioned<S> {
    /// The version.
    pub version: Version,
    /// The state.
    pub state: Arc<S>,
}

impl<S> Versioned<S> {
    /// The state of a session that nobody has committed to.
    pub fn initial(state: S) -> Self {
        Self { version: Version(0), state: Arc::new(state) }
    }
}

impl<S> Clone for Versioned<S> {
    fn clone(&self) -> Self {
        Self { version: self.version, state: self.state.clone() }
    }
}

/// Names a commit whose outcome is not known, for [`Store::resolve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommitToken(pub u128);

/// What became of a commit.
///
/// Closed, as [`Resolution`] is: a store that wraps another one has to do something about each.
#[derive(Clone, Debug)]
pub enum CommitOutcome<S> {
    /// It is done; the state has this version now.
    Committed(Version),
    /// Another commit came first; here is what it left.
    Conflict(Versioned<S>),
    /// The answer was lost: it may have happened. Ask [`Store::resolve`].
    Unknown(CommitToken),
    /// It did not happen: the store cannot be reached.
    Unavailable,
    /// It did not happen: the state is larger than the store takes.
    TooLarge,
}

/// What became of a commit that was [`CommitOutcome::Unknown`].
#[derive(Clone, Debug)]
pub enum Resolution<S> {
    /// It happened.
    Committed(Version),
    /// It did not; this is the state.
    NotCommitted(Versioned<S>),
    /// Still not known.
    StillUnknown,
}

/// The store failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Nothing was changed.
    #[error("the state store cannot be reached; nothing was changed, try again")]
    Unavailable,
    /// It is not known whether the change happened.
    #[error(
        "the state store did not confirm; the change may or may not have happened, read before you repeat it"
    )]
    Unknown,
    /// Nothing was changed.
    #[error("the session's state is larger than the store takes; nothing was changed")]
    TooLarge,
}

/// Where the states of sessions live. One process keeps them in memory ([`MemoryStore`]); a store that several
/// processes share goes behind the same trait.
pub trait Store<S>: Send + Sync + 'static {
    /// The committed state of a session; `None` if there is none.
    fn load(&self, id: SessionId) -> BoxFuture<'_, Result<Option<Versioned<S>>, StoreError>>;

    /// Makes `next` the state if the version is still `expected` (0: nothing committed yet).
    fn commit(&self, id: SessionId, expected: Version, next: Arc<S>) -> BoxFuture<'_, CommitOutcome<S>>;

    /// Finds out what became of an unknown commit.
    fn resolve(&self, id: SessionId, token: CommitToken) -> BoxFuture<'_, Resolution<S>>;

    /// The session is alive; a store with expiry of its own extends it.
    fn touch(&self, id: SessionId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The session is over; its state may go.
    fn remove(&self, id: SessionId) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// [`Store`] in this process's memory. Never unknown, unavailable or too large.
#[derive(Debug)]
pub struct MemoryStore<S> {
    states: HashMap<SessionId, Contained<Versioned<S>>, Hashing>,
}

impl<S> Default for MemoryStore<S> {
    fn default() -> Self {
        Self { states: HashMap::builder().hasher(Hashing::default()).build() }
    }
}

impl<S: Send + Sync + 'static> MemoryStore<S> {
    fn commit_now(&self, id: SessionId, expected: Version, next: &Arc<S>) -> CommitOutcome<S> {
        let version = Version(expected.0 + 1);
        branch();
        let states = self.states.pin();
        // The closure may run several times; it has no effect of its own.
        let outcome = states.compute(id, |entry| {
            let committed = entry.map_or(Version(0), |(_, current)| current.version);
            if committed == expected {
                Operation::Insert(Contained::new(Versioned { version, state: next.clone() }))
            } else {
                Operation::Abort(entry.map(|(_, current)| Versioned::clone(current)))
            }
        });
        match outcome {
            Compute::Aborted(Some(newer)) => CommitOutcome::Conflict(newer),
            // Expected a version of a state that was removed: the session has ended.
            Compute::Aborted(None) => CommitOutcome::Unavailable,
            _ => CommitOutcome::Committed(version),
        }
    }
}

impl<S: Send + Sync + 'static> Store<S> for MemoryStore<S> {
    fn load(&self, id: SessionId) -> BoxFuture<'_, Result<Option<Versioned<S>>, StoreError>> {
        branch();
        let found = self.states.pin().get(&id).map(|found| Versioned::clone(found));
        Box::pin(std::future::ready(Ok(found)))
    }

    fn commit(&self, id: SessionId, expected: Version, next: Arc<S>) -> BoxFuture<'_, CommitOutcome<S>> {
        Box::pin(std::future::ready(self.commit_now(id, expected, &next)))
    }

    fn resolve(&self, _id: SessionId, _token: CommitToken) -> BoxFuture<'_, Resolution<S>> {
        // Memory never answers `Unknown`, so no token of its exists.
        Box::pin(std::future::ready(Resolution::StillUnknown))
    }

    fn touch(&self, _id: SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove(&self, id: SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        branch();
        let guard = self.states.guard();
        self.states.remove(&id, &guard);
        guard.flush();
        drop(guard);
        Box::pin(std::future::ready(Ok(())))
    }
}

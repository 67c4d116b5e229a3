//! The state of a session: a snapshot to read, and atomic changes of it. No lock on it exists, so none can be held.

pub(crate) mod nesting;
mod reruns;
mod store;

pub use store::{CommitOutcome, CommitToken, MemoryStore, Resolution, Store, StoreError, Version, Versioned};

use crate::{
    limits::Limits, message::ErrorCode, message::ErrorObject, runtime::Runtime, session::SessionId,
    shim::branch,
};
use arc_swap::ArcSwap;
use reruns::Reruns;
use std::{future::Future, sync::Arc};

/// What can be the state of a session. A change works on a clone, so make it cheap: put large parts behind `Arc`.
pub trait State: Clone + Send + Sync + 'static {}

impl<T: Clone + Send + Sync + 'static> State for T {}

/// A change of state did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Others committed in between, each time. Nothing was changed; try again later.
    #[error("the session's state changed {attempts} times while this call tried to change it; try again")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// The change was begun inside of a transaction on the same session, which it would make run again, and again. Nothing
    /// was changed; make it part of the transaction.
    #[error(
        "a change inside of a transaction on the same session would make it run again for ever; make it in the transaction"
    )]
    Nested,
    /// The session has ended; its state is gone.
    #[error("the session has ended and its state with it")]
    Ended,
    /// The store could not do it; see [`StoreError`] for whether it may have happened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<StateError> for ErrorObject {
    fn from(error: StateError) -> Self {
        Self::new(ErrorCode::CONFLICT, error.to_string())
    }
}

/// The latest state this process knows for one session. What the store says wins: a commit succeeds there first.
///
/// Without a store (for a session that nobody can find, and whose state nobody would ever remove) it is the state.
pub(crate) struct StateCell<S> {
    latest: ArcSwap<Versioned<S>>,
    reruns: Reruns,
}

impl<S: State> StateCell<S> {
    pub(crate) fn new(initial: Arc<Versioned<S>>) -> Self {
        Self { latest: ArcSwap::new(initial), reruns: Reruns::default() }
    }

    pub(crate) fn snapshot(&self) -> Arc<Versioned<S>> {
        branch();
        self.latest.load_full()
    }

    /// Takes `seen` over unless something newer is known: two commits may report in the opposite order.
    fn learn(&self, seen: &Arc<Versioned<S>>) {
        branch();
        self.latest.rcu(|latest| if latest.version < seen.version { seen.clone() } else { latest.clone() });
    }

    /// Applies `change` to a clone of the latest state until a commit succeeds.
    pub(crate) async fn update<R>(
        &self,
        id: SessionId,
        store: Option<&dyn Store<S>>,
        limits: &Limits,
        mut change: impl FnMut(&mut S) -> R + Send,
    ) -> Result<R, StateError>
    where
        R: Send,
    {
        for _ in 0..limits.update_attempts {
            let seen = self.snapshot();
            let mut next = S::clone(&seen.state);
            let output = change(&mut next);
            if self.commit(id, store, &seen, next).await? {
                return Ok(output);
            }
        }
        Err(StateError::Contended { attempts: limits.update_attempts })
    }

    /// Runs `body` on a clone of the latest state until a commit succeeds or `body` fails. After a conflict it runs in turn
    /// with the others that had one.
    pub(crate) async fn transact<R, E, F, Fut>(
        &self,
        id: SessionId,
        store: Option<&dyn Store<S>>,
        limits: &Limits,
        runtime: &dyn Runtime,
        mut body: F,
    ) -> Result<R, E>
    where
        F: FnMut(S) -> Fut + Send,
        Fut: Future<Output = Result<(S, R), E>> + Send,
        R: Send,
        E: From<StateError> + Send,
    {
        let mut _turn = None;
        for attempt in 1..=limits.transact_attempts {
            let seen = self.snapshot();
            let (next, output) = nesting::inside(&[id], body(S::clone(&seen.state))).await?;
            if self.commit(id, store, &seen, next).await? {
                return Ok(output);
            }
            if attempt == 1 {
                _turn = self.reruns.turn(runtime, limits.transact_turn).await;
            }
        }
        Err(StateError::Contended { attempts: limits.transact_attempts }.into())
    }

    /// Whether `next` became the state after `seen`. On a conflict the newer state is known afterwards.
    async fn commit(
        &self,
        id: SessionId,
        store: Option<&dyn Store<S>>,
        seen: &Arc<Versioned<S>>,
        next: S,
    ) -> Result<bool, StateError> {
        let next = Arc::new(next);
        let Some(store) = store else {
            let next = Versioned { version: Version(seen.version.0 + 1), state: next };
            branch();
            let before = self.latest.compare_and_swap(seen, Arc::new(next));
            return Ok(Arc::ptr_eq(&before, seen));
        };
        match store.commit(id, seen.version, next.clone()).await {
            CommitOutcome::Committed(version) => {
                self.learn(&Arc::new(Versioned { version, state: next }));
                Ok(true)
            }
            CommitOutcome::Conflict(newer) => {
                self.learn(&Arc::new(newer));
                Ok(false)
            }
            CommitOutcome::Unknown(token) => match store.resolve(id, token).await {
                Resolution::Committed(version) => {
                    self.learn(&Arc::new(Versioned { version, state: next }));
                    Ok(true)
                }
                Resolution::NotCommitted(newer) => {
                    self.learn(&Arc::new(newer));
                    Ok(false)
                }
                Resolution::StillUnknown => Err(StoreError::Unknown.into()),
            },
            CommitOutcome::Unavailable => Err(StoreError::Unavailable.into()),
            CommitOutcome::TooLarge => Err(StoreError::TooLarge.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MemoryStore, StateCell, StateError, Store, Versioned};
    use crate::{limits::Limits, runtime::TokioRuntime, session::SessionId};
    use std::sync::Arc;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_thousand_concurrent_updates_lose_nothing() {
        let in_store: &'static MemoryStore<u64> = Box::leak(Box::default());
        lose_nothing(Some(in_store)).await;
        lose_nothing(None).await;
    }

    async fn lose_nothing(store: Option<&'static dyn Store<u64>>) {
        let cell = Arc::new(StateCell::new(Arc::new(Versioned::initial(0_u64))));
        let id = SessionId::unaddressed(1);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..1_000 {
            let cell = cell.clone();
            tasks.spawn(async move {
                cell.update(id, store, &Limits::default(), |count| *count += 1).await.unwrap();
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(*cell.snapshot().state, 1_000);
    }

    #[tokio::test]
    async fn a_transaction_runs_again_when_another_commits_in_between_and_gives_up_at_its_bound() {
        let cell = StateCell::new(Arc::new(Versioned::initial(0_u32)));
        let store = MemoryStore::default();
        let id = SessionId::unaddressed(1);
        let limits = Limits { transact_attempts: 3, ..Limits::default() };
        let (cell, store, limits) = (&cell, Some(&store as _), &limits);
        let mut runs = 0;
        let disturbed = cell
            .transact(id, store, limits, &TokioRuntime, |seen| {
                runs += 1;
                async move {
                    if seen == 0 {
                        cell.update(id, store, limits, |state| *state = 10).await?;
                    }
                    Ok::<_, StateError>((seen + 1, seen))
                }
            })
            .await;
        assert_eq!((disturbed, runs, *cell.snapshot().state), (Ok(10), 2, 11));

        let always = cell
            .transact(id, store, limits, &TokioRuntime, |seen| async move {
                cell.update(id, store, limits, |state| *state += 1).await?;
                Ok::<_, StateError>((seen, ()))
            })
            .await;
        assert_eq!(always, Err(StateError::Contended { attempts: 3 }));
    }
}

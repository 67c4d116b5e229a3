//! A store that takes its time, as one over a network does.

use crate::program::Plan;
use freehold::{
    CommitOutcome, CommitToken, Resolution, SessionId, Store, StoreError, Version, Versioned,
    runtime::BoxFuture,
};
use freehold_testing::{Random, Simulation};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub(crate) struct SlowStore<T> {
    inner: T,
    sim: Simulation,
    most: Duration,
    random: Mutex<Random>,
}

impl<T> SlowStore<T> {
    pub(crate) fn new(sim: &Simulation, plan: &Plan, inner: T) -> Self {
        Self { inner, sim: sim.clone(), most: plan.store_takes, random: Mutex::new(sim.random()) }
    }

    async fn takes(&self) {
        let micros = self.most.as_micros() as usize;
        if micros > 0 {
            let micros = self.random.lock().unwrap_or_else(PoisonError::into_inner).below(micros);
            self.sim.pause(Duration::from_micros(micros as u64)).await;
        }
    }
}

impl<S: Send + Sync + 'static, T: Store<S>> Store<S> for SlowStore<T> {
    fn load(&self, id: SessionId) -> BoxFuture<'_, Result<Option<Versioned<S>>, StoreError>> {
        Box::pin(async move {
            self.takes().await;
            self.inner.load(id).await
        })
    }

    /// It may be done before it is told, and told long after it was done.
    fn commit(&self, id: SessionId, expected: Version, next: Arc<S>) -> BoxFuture<'_, CommitOutcome<S>> {
        Box::pin(async move {
            self.takes().await;
            let outcome = self.inner.commit(id, expected, next).await;
            self.takes().await;
            outcome
        })
    }

    fn resolve(&self, id: SessionId, token: CommitToken) -> BoxFuture<'_, Resolution<S>> {
        Box::pin(async move {
            self.takes().await;
            self.inner.resolve(id, token).await
        })
    }

    fn touch(&self, id: SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.touch(id)
    }

    fn remove(&self, id: SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.takes().await;
            self.inner.remove(id).await
        })
    }
}

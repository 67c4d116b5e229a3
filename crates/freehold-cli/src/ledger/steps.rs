//! Steps that must not end half-way, whatever becomes of who asked for them.

use super::{account::Account, error::LedgerError};
use freehold::{
    Session, StateError,
    runtime::{BoxFuture, Runtime},
};
use std::{
    future::Future,
    sync::Arc,
    task::{Context, Waker},
};
use tokio::sync::oneshot;

/// Rounds of attempts, each bounded by the engine, before a change that others are owed is given up.
const PERSISTENT_ROUNDS: u32 = 1_000;

#[derive(Clone)]
pub(super) struct Steps {
    runtime: Arc<dyn Runtime>,
}

impl Steps {
    pub(super) fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self { runtime }
    }

    /// Runs `step` to its end and returns its output; dropped, the step goes on by itself, and its output is dropped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        step: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (tell, told) = oneshot::channel();
        self.detach(async move {
            // Whoever asked may be gone; the output then ends here.
            drop(tell.send(step.await));
        });
        told.await.map_err(|_| LedgerError::Stopping)
    }

    /// Runs `step` to its end: at once as far as it goes without waiting, which with states in memory is nearly always
    /// all of it, and the rest in a task of its own.
    pub(super) fn detach(&self, step: impl Future<Output = ()> + Send + 'static) {
        let mut step: BoxFuture<'static, ()> = Box::pin(step);
        if step.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.runtime.spawn("ledger step", step);
        }
    }
}

/// A change that must happen: tried again for as long as others get in between.
pub(super) async fn persist(session: &Session<Account>, change: impl Fn(&mut Account) + Send + Sync) {
    for _ in 0..PERSISTENT_ROUNDS {
        match session.update(&change).await {
            Ok(()) => return,
            Err(StateError::Contended { .. }) => tokio::task::yield_now().await,
            Err(error) => {
                tracing::error!(account = %session.id(), %error, "the ledger lost track of a reservation");
                return;
            }
        }
    }
    tracing::error!(account = %session.id(), "the ledger gave a reservation up: too much traffic");
}

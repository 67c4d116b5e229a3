//! Who may run a transaction again first.
//!
//! When many change one session at once, each commit makes all the others run again. Those that met a conflict therefore
//! take turns, in order of arrival. It is a courtesy and no lock: who has waited for long enough runs without it, so nobody
//! waits for ever, whatever a transaction does.

use crate::{
    runtime::{Runtime, after, until},
    shim::OnceLock,
};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

#[derive(Default)]
pub(crate) struct Reruns(OnceLock<Box<Semaphore>>);

impl Reruns {
    /// Waits for the turn, for at most `patience`.
    pub(crate) async fn turn(
        &self,
        runtime: &dyn Runtime,
        patience: Duration,
    ) -> Option<SemaphorePermit<'_>> {
        let turn = self.0.get_or_init(|| Box::new(Semaphore::new(1)));
        until(runtime, after(runtime.now(), patience), turn.acquire()).await?.ok()
    }
}

//! Sessions that are in the store only: loaded once, however many ask for them.

use super::{
    Session, SessionId, SessionNotFound, SessionState,
    registry::{Found, LoadEnd, Loading},
};
use crate::{
    engine::{Engine, EngineState, OpenError},
    runtime::{after, until},
    state::{State, StoreError},
};
use freehold_sync::SignalWait;
use std::{future::Future, sync::Arc};

/// A session could not be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// Neither here nor in the store.
    #[error(transparent)]
    NotFound(#[from] SessionNotFound),
    /// There is no room for it here.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: State> Engine<S> {
    /// The session with this id, loaded from the store if it is not here. Of many that ask at the same time one loads
    /// it and the others wait for that one.
    ///
    /// # Cancel safety
    ///
    /// Dropping it gives the loading up; who waits for it then loads itself.
    ///
    /// # Errors
    ///
    /// [`ResumeError`]; that the store is not available also when it takes longer than
    /// [`Limits::store_wait`](crate::Limits::store_wait).
    pub async fn resume(&self, id: SessionId) -> Result<Session<S>, ResumeError> {
        loop {
            if self.inner.drain.has_begun() {
                return Err(OpenError::Stopping.into());
            }
            let most = self.inner.limits.sessions;
            match self.with_room(|| self.inner.registry.get_or_load(id, most))? {
                Found::Closed => return Err(SessionNotFound(id).into()),
                Found::Ready(inner) => return Ok(Session { inner, engine: self.inner.clone() }),
                Found::Loading(loading) => {
                    match self.within(SignalWait::new(loading)).await.map(LoadEnd::from_code)? {
                        LoadEnd::LookAgain => {}
                        LoadEnd::NotFound => return Err(SessionNotFound(id).into()),
                        LoadEnd::Unavailable => return Err(StoreError::Unavailable.into()),
                    }
                }
                Found::Load(loading) => return self.load(id, loading).await,
            }
        }
    }

    /// Loads a session; everybody else waits for it.
    async fn load(&self, id: SessionId, loading: Arc<Loading>) -> Result<Session<S>, ResumeError> {
        let mut duty = LoadingDuty { engine: &self.inner, loading, id, end: Some(LoadEnd::LookAgain) };
        let state = match self.within(self.inner.store.load(id)).await.and_then(|loaded| loaded) {
            Ok(Some(state)) => state,
            Ok(None) => {
                duty.end = Some(LoadEnd::NotFound);
                return Err(SessionNotFound(id).into());
            }
            Err(error) => {
                duty.end = Some(LoadEnd::Unavailable);
                return Err(error.into());
            }
        };
        let session = self.session_of(SessionState::new(id, Arc::new(state), self.inner.now_ms()));
        duty.done(&session);
        self.entered(&session);
        Ok(session)
    }

    /// Waits for the store, but not for ever.
    async fn within<F: Future>(&self, wait: F) -> Result<F::Output, StoreError> {
        let runtime = &*self.inner.runtime;
        let at = after(runtime.now(), self.inner.limits.store_wait);
        until(runtime, at, wait).await.ok_or(StoreError::Unavailable)
    }
}

/// The duty to end a `Loading`, also when the loading is given up.
struct LoadingDuty<'a, S: State> {
    engine: &'a EngineState<S>,
    loading: Arc<Loading>,
    id: SessionId,
    /// What the others are told; nothing once it is done.
    end: Option<LoadEnd>,
}

impl<S: State> LoadingDuty<'_, S> {
    fn done(mut self, session: &Session<S>) {
        self.end = None;
        self.engine.registry.loaded(&self.loading, session.inner.clone());
    }
}

impl<S: State> Drop for LoadingDuty<'_, S> {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            self.engine.registry.not_loaded(&self.loading, self.id, end);
        }
    }
}

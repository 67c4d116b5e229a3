//! Calls and notifications for sessions that are not in this engine.

use super::{BusError, DirectoryError, NodeId, Place, RemoteCall, RemoteNotification};
use crate::{
    call::{CallError, CallId, effect::Effect, nested::Wanted},
    context::Context,
    engine::OpenError,
    session::{ResumeError, Session, SessionId, SessionNotFound},
    state::{State, StoreError},
};
use serde::Serialize;
use std::{future::Future, pin::pin, task::Poll};

/// How often a session is looked up that was gone from where it was said to be: it may have moved in between, once.
const LOOKS: usize = 2;

/// Where a session turned out to be.
enum Found<S: State> {
    Here(Session<S>),
    At(NodeId),
}

impl From<DirectoryError> for CallError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Unavailable => Self::Unavailable,
        }
    }
}

impl From<ResumeError> for CallError {
    fn from(error: ResumeError) -> Self {
        match error {
            ResumeError::NotFound(id) => Self::NoSession(id),
            ResumeError::Open(OpenError::Stopping) => Self::Stopping,
            ResumeError::Store(StoreError::TooLarge) => Self::TooLarge,
            // A load changes nothing, so nothing happened.
            ResumeError::Open(OpenError::Full) | ResumeError::Store(_) => Self::Unavailable,
        }
    }
}

impl<S: State> Context<S> {
    /// Calls in a session that is not open here.
    pub(crate) async fn call_elsewhere(
        &self,
        id: SessionId,
        wanted: Wanted<'_>,
    ) -> Result<Answered, CallError> {
        for _ in 0..LOOKS {
            match self.find(id).await? {
                Found::Here(session) => return self.call_here(&session, wanted).await,
                Found::At(node) => match self.call_at(node, id, &wanted).await {
                    Err(BusError::NotThere) => {}
                    Err(BusError::Unavailable) => return Err(CallError::Unavailable),
                    Err(BusError::Unknown) => return Err(CallError::Unknown),
                    Err(BusError::TooLarge) => return Err(CallError::TooLarge),
                    Ok(answer) => return answer,
                },
            }
        }
        Err(SessionNotFound(id).into())
    }

    async fn find(&self, id: SessionId) -> Result<Found<S>, CallError> {
        let engine = self.engine();
        let place = self.unless_cancelled(engine.inner.directory.locate(id)).await??;
        match place {
            Place::Nowhere => Err(SessionNotFound(id).into()),
            Place::At(node) if node != engine.inner.node => Ok(Found::At(node)),
            _ => Ok(Found::Here(self.unless_cancelled(engine.resume(id)).await??)),
        }
    }

    /// Waits for `future`, or for the cancel of this call.
    async fn unless_cancelled<F: Future>(&self, future: F) -> Result<F::Output, CallError> {
        let mut future = pin!(future);
        let mut cancelled = pin!(self.cancelled());
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            cancelled.as_mut().poll(cx).map(|reason| Err(CallError::Cancelled(reason)))
        })
        .await
    }

    async fn call_at(
        &self,
        node: NodeId,
        session: SessionId,
        wanted: &Wanted<'_>,
    ) -> Result<Result<Answered, CallError>, BusError> {
        let engine = self.engine();
        let header = self.header_for_callee();
        let call = RemoteCall {
            remaining: header.deadline.saturating_duration_since(engine.inner.runtime.now()),
            session,
            method: wanted.method.to_owned(),
            subject: wanted.subject.as_deref().map(ToOwned::to_owned),
            params: wanted.params.clone(),
            header,
        };
        // What it does there this engine cannot know.
        self.served().mark_effect(Effect::Called);
        let mut sent = Sent { context: self, node, call: call.header.call, answered: false };
        let answer = match self.unless_cancelled(engine.inner.bus.call(node, call)).await {
            Ok(answer) => answer,
            Err(cancelled) => return Ok(Err(cancelled)),
        };
        sent.answered = true;
        Ok(answer?.map_err(CallError::Failed))
    }

    /// Sends a notification to the client of another session, wherever that is. Ready when it is queued there; what is queued
    /// may be dropped at a full stream, as with [`notify`](Self::notify).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it was sent or not.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn notify_session(
        &self,
        session: SessionId,
        method: &str,
        params: &(impl Serialize + Sync),
    ) -> Result<(), CallError> {
        self.served().mark_effect(Effect::Sent);
        let params = serde_json::value::to_raw_value(params).map_err(CallError::invalid)?;
        if let Ok(session) = self.engine().session(session) {
            return session.notify(method, &params).map_err(CallError::invalid);
        }
        for _ in 0..LOOKS {
            match self.find(session).await? {
                Found::Here(session) => return session.notify(method, &params).map_err(CallError::invalid),
                Found::At(node) => {
                    let (method, params) = (method.to_owned(), Some(params.clone()));
                    let notification = RemoteNotification { session, method, params };
                    match self.unless_cancelled(self.engine().inner.bus.push(node, notification)).await? {
                        Ok(()) => return Ok(()),
                        Err(BusError::NotThere) => {}
                        Err(BusError::Unavailable) => return Err(CallError::Unavailable),
                        Err(BusError::Unknown) => return Err(CallError::Unknown),
                        Err(BusError::TooLarge) => return Err(CallError::TooLarge),
                    }
                }
            }
        }
        Err(SessionNotFound(session).into())
    }
}

type Answered = Box<serde_json::value::RawValue>;

/// A call that was sent; cancelled there if nobody waits for its answer any more.
struct Sent<'a, S: State> {
    context: &'a Context<S>,
    node: NodeId,
    call: CallId,
    answered: bool,
}

impl<S: State> Drop for Sent<'_, S> {
    fn drop(&mut self) {
        if !self.answered {
            self.context.engine().inner.bus.cancel(self.node, self.call);
        }
    }
}

//! What comes from other engines.

use super::{BusError, RemoteCall, RemoteNotification, RemoteResult};
use crate::{
    call::{
        Call, CallError, CallId, CancelReason, Origin,
        nested::{self, Wanted},
    },
    engine::{Engine, EngineState},
    hash::Hashing,
    lock_order,
    message::{ErrorCode, ErrorObject, encode_notification},
    outbox::{Frame, Pushed},
    runtime::{BoxFuture, after},
    session::{Session, SessionId},
    state::State,
};
use freehold_sync::ScopedMutex;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

/// The side of an engine that a [`Bus`](super::Bus) delivers to; see [`Engine::inbound`]. It does not keep the engine alive:
/// of an engine that is gone nothing is there.
pub trait Inbound: Send + Sync + 'static {
    /// Runs a call in a session of this engine, and waits for its answer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting, as with a sender that went away; [`cancel`](Self::cancel) ends the call, or its
    /// deadline does.
    fn call(&self, call: RemoteCall) -> BoxFuture<'static, Result<RemoteResult, BusError>>;

    /// Cancels a call that came before; nothing happens if it is over.
    fn cancel(&self, call: CallId);

    /// Queues a notification on the session's stream.
    ///
    /// # Errors
    ///
    /// [`BusError::NotThere`].
    fn push(&self, notification: &RemoteNotification) -> Result<(), BusError>;
}

/// Calls of other engines that run here, by their ids.
pub(crate) struct InboundCalls<S: State>(
    ScopedMutex<HashMap<CallId, Arc<Call<S>>, Hashing>, lock_order::InboundCalls>,
);

impl<S: State> Default for InboundCalls<S> {
    fn default() -> Self {
        Self(ScopedMutex::of(HashMap::default()))
    }
}

struct Door<S: State>(Weak<EngineState<S>>);

impl<S: State> Engine<S> {
    /// Where a bus delivers what comes for this engine.
    #[must_use]
    pub fn inbound(&self) -> Arc<dyn Inbound> {
        Arc::new(Door(Arc::downgrade(&self.inner)))
    }
}

impl<S: State> Door<S> {
    fn session(&self, id: SessionId) -> Result<Session<S>, BusError> {
        let engine = self.0.upgrade().ok_or(BusError::NotThere)?;
        Engine::from_state(engine).session(id).map_err(|_| BusError::NotThere)
    }
}

impl<S: State> Inbound for Door<S> {
    fn call(&self, call: RemoteCall) -> BoxFuture<'static, Result<RemoteResult, BusError>> {
        let session = match self.session(call.session) {
            Ok(session) => session,
            Err(gone) => return Box::pin(std::future::ready(Err(gone))),
        };
        let (done, answer) = freehold_sync::reply();
        let runtime = session.engine().runtime().clone();
        let running = async move {
            done.send(run(&session, call).await);
        };
        runtime.spawn("a call of another engine", Box::pin(running));
        // Lost with its runtime, it may have done anything.
        Box::pin(async move { answer.into_future().without_deadline().await.map_err(|_| BusError::Unknown) })
    }

    fn cancel(&self, call: CallId) {
        let Some(engine) = self.0.upgrade() else { return };
        let found = engine.inbound.0.with(|calls| calls.get(&call).cloned());
        if let Some(call) = found {
            call.cancel(CancelReason::CallerGone, None);
        }
    }

    fn push(&self, notification: &RemoteNotification) -> Result<(), BusError> {
        let session = self.session(notification.session)?;
        let bytes = encode_notification(&notification.method, &notification.params);
        // Parameters that are JSON already have a JSON form.
        let bytes = bytes.map_err(|_| BusError::TooLarge)?;
        match session.push(Frame::Notification(bytes.into())) {
            Pushed::Overflowed | Pushed::Closed => Err(BusError::NotThere),
            _ => Ok(()),
        }
    }
}

async fn run<S: State>(session: &Session<S>, call: RemoteCall) -> RemoteResult {
    let engine = session.engine();
    let RemoteCall { mut header, remaining, method, subject, params, .. } = call;
    if header.path.len() > engine.limits().nesting {
        return Err(CallError::too_deep(engine.limits().nesting, &header.path, &method).into());
    }
    header.deadline = after(engine.inner.runtime.now(), remaining);
    let id = header.call;
    let origin = Origin::elsewhere(header);
    let wanted = Wanted { method: &method, subject: subject.map(Into::into), params };
    let _listed = Listed { engine: &engine, id };
    let entered = nested::enter(session, wanted, origin, |call, _end| {
        let twice = engine.inner.inbound.0.with(|calls| calls.insert(id, call.clone())).is_some();
        debug_assert!(!twice, "ids of calls are never used again");
        Ok(())
    });
    let answer = match entered {
        Ok(nested::Made::Done(result)) => return result.map_err(Into::into),
        Ok(nested::Made::Waits { callee, answer }) => {
            let answer = answer.into_future().without_deadline().await;
            drop(callee);
            answer
        }
        Err(error) => return Err(error.into()),
    };
    match answer {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(ErrorObject::new(ErrorCode::CANCELLED, "the call was lost with its engine")),
    }
}

/// A call in the list of those that other engines may cancel.
struct Listed<'a, S: State> {
    engine: &'a Engine<S>,
    id: CallId,
}

impl<S: State> Drop for Listed<'_, S> {
    fn drop(&mut self) {
        let removed = self.engine.inner.inbound.0.with(|calls| calls.remove(&self.id));
        drop(removed);
    }
}

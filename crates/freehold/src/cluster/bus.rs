//! From engine to engine.

use super::NodeId;
use crate::{
    call::{CallHeader, CallId},
    message::ErrorObject,
    runtime::BoxFuture,
    session::SessionId,
};
use serde_json::value::RawValue;
use std::time::Duration;

/// A call on its way to another engine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RemoteCall {
    /// Who calls, and what the call inherits. Its deadline is an instant of the sender's clock; on the way it is `remaining`.
    pub header: CallHeader,
    /// How long the callee has, from its arrival.
    pub remaining: Duration,
    /// The session to call in.
    pub session: SessionId,
    /// The method.
    pub method: String,
    /// What it is about, if the method does not say.
    pub subject: Option<String>,
    /// Its parameters.
    pub params: Option<Box<RawValue>>,
}

/// A notification for the client of a session that another engine has.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RemoteNotification {
    /// The session.
    pub session: SessionId,
    /// The method.
    pub method: String,
    /// Its parameters.
    pub params: Option<Box<RawValue>>,
}

/// What the other engine answered.
pub type RemoteResult = Result<Box<RawValue>, ErrorObject>;

/// A message gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// It was not delivered, and will not be. Nothing happened: try again.
    #[error("the other engine cannot be reached; nothing happened, try again")]
    Unavailable,
    /// It was sent, and nobody knows what became of it.
    #[error("the other engine did not answer; it may or may not have happened")]
    Unknown,
    /// It was delivered, and that engine does not have the session. Nothing happened.
    #[error("the session is not there any more; nothing happened")]
    NotThere,
    /// It is larger than the bus takes. Nothing happened.
    #[error("the message is too large for the bus; nothing happened")]
    TooLarge,
}

/// Carries messages between engines.
///
/// Every future is dropped when its waiter has no time left or does not care any more; what was sent by then may happen all
/// the same.
pub trait Bus: Send + Sync + 'static {
    /// Calls a method, and waits for its answer.
    fn call(&self, to: NodeId, call: RemoteCall) -> BoxFuture<'_, Result<RemoteResult, BusError>>;

    /// Cancels a call that was sent. Nobody waits for it: a cancel that is lost leaves the call to its deadline.
    fn cancel(&self, to: NodeId, call: CallId);

    /// Sends a notification to the client of a session; ready when it is queued there.
    fn push(&self, to: NodeId, notification: RemoteNotification) -> BoxFuture<'_, Result<(), BusError>>;
}

/// The bus of an engine that is alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NoBus;

impl Bus for NoBus {
    fn call(&self, _to: NodeId, _call: RemoteCall) -> BoxFuture<'_, Result<RemoteResult, BusError>> {
        Box::pin(std::future::ready(Err(BusError::Unavailable)))
    }

    fn cancel(&self, _to: NodeId, _call: CallId) {}

    fn push(&self, _to: NodeId, _notification: RemoteNotification) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(std::future::ready(Err(BusError::Unavailable)))
    }
}

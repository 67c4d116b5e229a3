//! What prompts, resources and completions have in common: their functions, their errors, and how their requests begin.

use crate::{
    context::RequestContext,
    model::{Meta, RequestMeta},
    mrtr::{End, Request, Rounds},
    tools::{Failure, ToolError},
};
use freehold::{Context, ErrorCode, ErrorObject, State, Subject};
use serde_json::value::RawValue;
use std::{fmt, future::Future, sync::Arc};

/// An asynchronous function `async fn(&RequestContext<S>, A) -> Result<R, E>`; also an `async` closure that captures
/// nothing. Implemented for all of those, never by hand.
///
/// The context is borrowed, so nothing that a handler gets from it can outlive the request or be sent to another task.
pub trait RequestHandler<'a, S: State, A>: Send + Sync {
    /// What the function returns.
    type Output;
    /// Its future.
    type Future: Future<Output = Self::Output> + Send + 'a;

    /// Calls the function.
    fn call(&self, context: &'a RequestContext<S>, arguments: A) -> Self::Future;
}

impl<'a, S: State, A, F, Fut> RequestHandler<'a, S, A> for F
where
    F: Fn(&'a RequestContext<S>, A) -> Fut + Send + Sync,
    Fut: Future + Send + 'a,
{
    type Output = Fut::Output;
    type Future = Fut;

    fn call(&self, context: &'a RequestContext<S>, arguments: A) -> Fut {
        self(context, arguments)
    }
}

/// Why a prompt, a resource or a completion has no answer: the request gets a JSON-RPC error.
///
/// Every error type converts into it and becomes an internal error (-32603) with that error's text; that of a lock of
/// `freehold-sync` tells who was in the way.
#[derive(Debug)]
pub struct RequestError(Reason);

#[derive(Debug)]
enum Reason {
    Failed(Failure),
    NoSuchResource,
}

impl RequestError {
    /// An internal error with this message.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(Reason::Failed(ToolError::new(message).0))
    }

    /// This error as it stands.
    #[must_use]
    pub fn protocol(error: ErrorObject) -> Self {
        Self(Reason::Failed(Failure::Protocol(error)))
    }

    /// The arguments do not fit (-32602).
    #[must_use]
    pub fn invalid_params(reason: impl fmt::Display) -> Self {
        Self::protocol(ErrorObject::invalid_params(reason))
    }

    /// There is no resource of the URI that was asked for, though a template fits it. The client is told with the code of
    /// its revision.
    #[must_use]
    pub fn no_such_resource() -> Self {
        Self(Reason::NoSuchResource)
    }

    /// As the client is told it, in a request about `subject`.
    pub(crate) fn into_error(self, subject: &str, stateless: bool) -> ErrorObject {
        match self.0 {
            Reason::Failed(Failure::Tool(error) | Failure::Protocol(error)) => error,
            Reason::NoSuchResource => no_such_resource(subject, stateless),
        }
    }
}

impl<E: std::error::Error + 'static> From<E> for RequestError {
    fn from(error: E) -> Self {
        Self(Reason::Failed(ToolError::from(error).0))
    }
}

impl From<ToolError> for RequestError {
    fn from(error: ToolError) -> Self {
        Self(Reason::Failed(error.0))
    }
}

/// Resource not found, in revisions with sessions.
const RESOURCE_NOT_FOUND: ErrorCode = ErrorCode(-32002);

/// There is no resource of this URI: the code differs between revisions.
pub(crate) fn no_such_resource(uri: &str, stateless: bool) -> ErrorObject {
    let code = if stateless { ErrorCode::INVALID_PARAMS } else { RESOURCE_NOT_FOUND };
    ErrorObject::new(code, format!("there is no resource {uri:?}; resources/list has those there are"))
        .with_data(&serde_json::json!({ "uri": uri }))
        .of_request()
}

/// What a request says in its `_meta`.
#[derive(Debug, Default)]
pub(crate) struct Said<'a> {
    meta: Meta<'a>,
    stateless: Option<RequestMeta>,
}

impl<'a> Said<'a> {
    /// Reads the member `_meta` of a request.
    pub(crate) fn read(meta: Option<&'a RawValue>) -> Result<Self, ErrorObject> {
        let meta = meta.map(Meta::from_raw).transpose()?.unwrap_or_default();
        let stateless = if meta.claims_stateless() { Some(meta.read()?) } else { None };
        Ok(Self { meta, stateless })
    }

    pub(crate) fn is_stateless(&self) -> bool {
        self.stateless.is_some()
    }

    /// The context of a request about `about` that may ask, which is treated as the options of `subject` say; and what
    /// drives its handler.
    ///
    /// # Errors
    ///
    /// If the subject's circuit breaker is open, or the request goes on from a round that was not this server's.
    pub(crate) fn enter<S: State>(
        self,
        context: Context<S>,
        subject: &Arc<Subject<S>>,
        about: Arc<str>,
        params: &RawValue,
        rounds: &Arc<Rounds>,
    ) -> Result<(RequestContext<S>, End), ErrorObject> {
        context.enter(subject)?;
        let Self { meta, stateless } = self;
        let request = Request { subject: about, params: Some(params), meta: &meta, stateless };
        rounds.begin(context, request)
    }

    /// The context of a request about `about` that may not ask.
    pub(crate) fn context<S: State>(self, context: Context<S>, about: Arc<str>) -> RequestContext<S> {
        RequestContext::new(context, about, self.meta.progress_token, self.stateless)
            .of_trace(self.meta.trace())
    }
}

//! Handlers: asynchronous functions of a borrowed context and typed parameters.

use crate::{
    call::Extension,
    context::Context,
    message::{ErrorObject, Raw, raw_json},
    recovery::{BreakerChoice, BreakerOptions, RetryPolicy, Treatment},
    runtime::BoxFuture,
    session::Session,
    state::State,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::{fmt, future::Future, marker::PhantomData, sync::Arc, time::Duration};

/// What a call's handler leaves: the result as JSON, or the error of the answer.
pub type HandlerResult = Result<Box<RawValue>, ErrorObject>;

/// An asynchronous function `async fn(&Context<S>, P) -> Result<R, E>`; also an `async` closure that captures nothing.
/// Implemented for all of those, never by hand. State of the application comes from [`Context::app`].
///
/// The context is borrowed, so nothing that a handler gets from it can outlive the call or be sent to another task.
/// Lifetime `'a` is the borrow; a bound reads `for<'a> Handler<'a, S, P>`.
pub trait Handler<'a, S: State, P>: Send + Sync {
    /// What the function returns.
    type Output;
    /// Its future.
    type Future: Future<Output = Self::Output> + Send + 'a;

    /// Calls the function.
    fn call(&self, context: &'a Context<S>, params: P) -> Self::Future;
}

impl<'a, S: State, P, F, Fut> Handler<'a, S, P> for F
where
    F: Fn(&'a Context<S>, P) -> Fut + Send + Sync,
    Fut: Future + Send + 'a,
{
    type Output = Fut::Output;
    type Future = Fut;

    fn call(&self, context: &'a Context<S>, params: P) -> Fut {
        self(context, params)
    }
}

/// A handler of raw parameters, for protocols that dispatch further themselves. It owns its context, and lends it: what
/// is locked through a context must not leave the future that is returned here, or its holder would be named wrongly
/// ([`activity_owning`](freehold_sync::activity_owning)).
pub trait RawHandler<S: State>: Send + Sync + 'static {
    /// Starts the handling. Must not block; whatever takes time belongs into the future.
    fn start(&self, context: Context<S>, params: Option<Box<RawValue>>) -> BoxFuture<'static, HandlerResult>;

    /// As [`start`](Self::start); but after it, `params` still has the parameters if `keep` says that they may be needed
    /// again: for another attempt, or for the fallback. At first that is a copy; a handler that only reads them may leave
    /// them where they are, whatever `keep` says.
    fn start_keeping(
        &self,
        context: Context<S>,
        params: &mut Option<Box<RawValue>>,
        keep: bool,
    ) -> BoxFuture<'static, HandlerResult> {
        let own = if keep { params.clone() } else { params.take() };
        self.start(context, own)
    }
}

/// A [`Handler`] with its types erased.
pub(crate) struct Typed<H, P> {
    handler: Arc<H>,
    params: PhantomData<fn(P)>,
}

impl<H, P> Typed<H, P> {
    pub(crate) fn new(handler: H) -> Self {
        Self { handler: Arc::new(handler), params: PhantomData }
    }
}

impl<S, P, R, E, H> RawHandler<S> for Typed<H, P>
where
    S: State,
    P: DeserializeOwned + Send + 'static,
    R: Serialize + Send + 'static,
    E: Into<ErrorObject> + Send + 'static,
    H: for<'a> Handler<'a, S, P, Output = Result<R, E>> + 'static,
{
    fn start(
        &self,
        context: Context<S>,
        mut params: Option<Box<RawValue>>,
    ) -> BoxFuture<'static, HandlerResult> {
        self.start_keeping(context, &mut params, false)
    }

    fn start_keeping(
        &self,
        context: Context<S>,
        params: &mut Option<Box<RawValue>>,
        _keep: bool,
    ) -> BoxFuture<'static, HandlerResult> {
        let handler = self.handler.clone();
        let params = match read_params::<P>(params.as_deref()) {
            Ok(params) => params,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        Box::pin(async move {
            let output = handler.call(&context, params).await.map_err(Into::into)?;
            write_result(&output)
        })
    }
}

/// Reads typed parameters. Absent ones are read as `null` (for `()` and `Option`), then as `{}`.
///
/// # Errors
///
/// [`ErrorCode::INVALID_PARAMS`](crate::ErrorCode::INVALID_PARAMS), saying what does not fit.
pub fn read_params<P: DeserializeOwned>(params: Option<&RawValue>) -> Result<P, ErrorObject> {
    match params {
        Some(raw) => serde_json::from_str(raw.get()),
        None => serde_json::from_str("null").or_else(|_| serde_json::from_str("{}")),
    }
    .map_err(ErrorObject::invalid_params)
}

/// Writes a result as JSON.
///
/// # Errors
///
/// [`ErrorCode::INTERNAL_ERROR`](crate::ErrorCode::INTERNAL_ERROR) if it has no JSON form, such as a map with keys that
/// are no strings.
pub fn write_result(output: &impl Serialize) -> HandlerResult {
    raw_json(output).map_err(|error| {
        tracing::error!(%error, "a handler's result has no JSON form");
        ErrorObject::internal()
    })
}

/// How calls of one method are treated.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MethodOptions {
    /// The deadline of a call; [`Limits::deadline`](crate::Limits::deadline) if not set.
    pub timeout: Option<Duration>,
    /// Higher ones are more worth keeping when a deadlock has to be broken, under
    /// [`VictimPolicy::LowestPriority`](freehold_sync::VictimPolicy::LowestPriority); calls that the handler makes inherit it.
    pub priority: u8,
    /// Whether a second call with the same parameters changes nothing more; no at first.
    pub idempotent: bool,
    /// Whether a call changes nothing; no at first.
    pub read_only: bool,
    /// How often a call is run again; as the engine says
    /// ([`EngineBuilder::retry`](crate::EngineBuilder::retry)) if not set.
    pub retry: Option<RetryPolicy>,
    pub(crate) breaker: BreakerChoice,
    pub(crate) beside: bool,
    /// How long a call may run before the watchdog reports it; [`Limits::soft_limit`](crate::Limits::soft_limit) if not set.
    pub soft_limit: Option<Duration>,
    /// Whether its calls may be about subjects that are treated in their own way; no at first.
    pub has_subjects: bool,
}

impl MethodOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the deadline of a call of this method, counted from its arrival.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the priority.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// Its calls take neither a slot of their session nor its turn: for handlers that do no work and only wait for what other
    /// calls do, which may need just those. They still count against [`Limits::calls_total`](crate::Limits::calls_total), and
    /// a session has at most one more from outside than [`Limits::queued_per_session`](crate::Limits::queued_per_session);
    /// the next is told `overloaded` at once.
    #[must_use]
    pub fn beside(mut self) -> Self {
        self.beside = true;
        self
    }

    /// Sets how long a call of this method may run, or run on after it told progress, before the watchdog reports it. Ends
    /// nothing.
    #[must_use]
    pub fn soft_limit(mut self, limit: Duration) -> Self {
        self.soft_limit = Some(limit);
        self
    }

    /// Sets whether a second call with the same parameters changes nothing more. If so, a call that was chosen to end a
    /// deadlock, or whose lock could not be had in time, is run again as its [`RetryPolicy`] says, unless it had an effect
    /// already. Its parameters are kept for that. The engine sees what goes through it; whether a second run of what the
    /// handler did elsewhere, such as to a value under a lock, is harmless is what you say here.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// Sets whether a call changes nothing; then it is run again as an [`idempotent`](Self::idempotent) one is.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Sets whether its calls may be about subjects that are run again, or have a fallback
    /// ([`Context::enter`](crate::Context::enter)). If so, their parameters are kept until their subject is known.
    #[must_use]
    pub fn has_subjects(mut self, has: bool) -> Self {
        self.has_subjects = has;
        self
    }

    /// Sets how often a call is run again.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// Gives the method a circuit breaker of its own: while too many of its calls fail, further ones are refused at once with
    /// [`ErrorCode::CIRCUIT_OPEN`](crate::ErrorCode::CIRCUIT_OPEN).
    #[must_use]
    pub fn breaker(mut self, options: BreakerOptions) -> Self {
        self.breaker = BreakerChoice::With(options);
        self
    }

    /// No circuit breaker, also if the engine has a default ([`EngineBuilder::breaker`](crate::EngineBuilder::breaker)).
    #[must_use]
    pub fn without_breaker(mut self) -> Self {
        self.breaker = BreakerChoice::Without;
        self
    }
}

/// A request in the reader, before anything was done with it; see [`EngineBuilder::overtake`](crate::EngineBuilder::overtake).
#[non_exhaustive]
pub struct Arriving<'a, S: State> {
    /// Whose it is.
    pub session: &'a Session<S>,
    /// Its method, which need not exist.
    pub method: &'a str,
    /// Its parameters.
    pub params: Option<&'a RawValue>,
    /// What the transport knows of it ([`Engine::dispatch_with`](crate::Engine::dispatch_with)).
    pub extension: Option<&'a Extension>,
}

impl<S: State> fmt::Debug for Arriving<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arriving")
            .field("session", &self.session.id())
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// Answers a request in the reader, or leaves it.
pub(crate) type Overtake<S> = Box<dyn Fn(&Arriving<'_, S>) -> Option<HandlerResult> + Send + Sync>;

/// A synchronous function that answers at once, in the reader: for pings, cancels and handshakes, which must overtake
/// a full house.
pub(crate) type ControlFn<S> = dyn Fn(&Session<S>, Option<&Raw<'_>>) -> HandlerResult + Send + Sync;

pub(crate) enum MethodKind<S: State> {
    Call(Box<dyn RawHandler<S>>),
    Control(Box<ControlFn<S>>),
}

pub(crate) struct Method<S: State> {
    pub(crate) name: Arc<str>,
    pub(crate) options: MethodOptions,
    pub(crate) treatment: Treatment<S>,
    pub(crate) kind: MethodKind<S>,
}

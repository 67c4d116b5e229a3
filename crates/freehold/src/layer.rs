//! Layers: asynchronous code around the handlers of all calls.
//!
//! A layer runs where the handler would: in the call's activity and under its deadline, with its cancel and its grace, so
//! one that never ends costs its call and nothing else. Without layers a handler is called as if there were no such thing.

use crate::{
    context::Context,
    handler::{HandlerResult, MethodKind, RawHandler, read_params},
    message::ErrorObject,
    runtime::BoxFuture,
    session::Session,
    state::State,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};
use std::{fmt, future::Future, sync::Arc};

/// Code around the handlers of all calls: an asynchronous function
/// `async fn(LayeredCall<S>, Next<S>) -> HandlerResult`, for which it is implemented. It sees the call, may change its
/// parameters, may answer in place of the handler, and sees and may change the outcome.
///
/// It runs once an *attempt*: a call that is [run again](crate::MethodOptions::idempotent) passes it again. What it does
/// with the context counts as done by the handler: a layer that sends or commits makes its calls unrepeatable. What the
/// method's [fallback](crate::EngineBuilder::fallback) answers does not pass it, nor do methods that are answered at
/// once ([`EngineBuilder::control`](crate::EngineBuilder::control)) and calls that were refused before a handler was due.
pub trait Layer<S: State>: Send + Sync + 'static {
    /// Handles the call, most often by way of `next`. Must not block; whatever takes time belongs into the future.
    fn handle(&self, call: LayeredCall<S>, next: Next<S>) -> BoxFuture<'static, HandlerResult>;
}

impl<S, F, Fut> Layer<S> for F
where
    S: State,
    F: Fn(LayeredCall<S>, Next<S>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = HandlerResult> + Send + 'static,
{
    fn handle(&self, call: LayeredCall<S>, next: Next<S>) -> BoxFuture<'static, HandlerResult> {
        Box::pin(self(call, next))
    }
}

/// A call on its way to its handler.
pub struct LayeredCall<S: State> {
    context: Context<S>,
    params: Option<Box<RawValue>>,
}

impl<S: State> LayeredCall<S> {
    /// The handler's context. What is locked through it is free again before the call goes on: a layer cannot hold a lock
    /// of its own around the handler.
    #[must_use]
    pub fn context(&self) -> &Context<S> {
        &self.context
    }

    /// The session that the call came in. A clone is good for after the handler, too.
    #[must_use]
    pub fn session(&self) -> &Session<S> {
        self.context.session()
    }

    /// The method's name.
    #[must_use]
    pub fn method(&self) -> &str {
        self.context.method()
    }

    /// The parameters as they came, or as a layer before changed them.
    #[must_use]
    pub fn params(&self) -> Option<&RawValue> {
        self.params.as_deref()
    }

    /// The parameters as a type.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::INVALID_PARAMS`](crate::ErrorCode::INVALID_PARAMS), saying what does not fit.
    pub fn read_params<P: DeserializeOwned>(&self) -> Result<P, ErrorObject> {
        read_params(self.params())
    }

    /// Gives the handler other parameters.
    ///
    /// # Errors
    ///
    /// If they have no JSON form; nothing changes then.
    pub fn set_params(&mut self, params: &impl Serialize) -> Result<(), serde_json::Error> {
        self.params = Some(to_raw_value(params)?);
        Ok(())
    }
}

impl<S: State> fmt::Debug for LayeredCall<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayeredCall").field("method", &self.method()).finish_non_exhaustive()
    }
}

/// What a [`Layer`] has around: the other layers, then the handler.
pub struct Next<S: State> {
    way: Arc<Way<S>>,
    /// How many layers were passed.
    passed: usize,
}

impl<S: State> Next<S> {
    /// Goes on, and waits for the outcome. Dropped unused, the handler does not run.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the handler's.
    ///
    /// # Errors
    ///
    /// Those of the layers inside, and of the handler.
    pub fn run(self, call: LayeredCall<S>) -> BoxFuture<'static, HandlerResult> {
        let Self { way, passed } = self;
        match way.layers.get(passed) {
            Some(layer) => layer.handle(call, Self { way: way.clone(), passed: passed + 1 }),
            None => way.handler.start(call.context, call.params),
        }
    }
}

impl<S: State> fmt::Debug for Next<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("passed", &self.passed).finish_non_exhaustive()
    }
}

/// The layers of an engine, the outermost first.
pub(crate) type Layers<S> = Arc<[Box<dyn Layer<S>>]>;

struct Way<S: State> {
    layers: Layers<S>,
    handler: Box<dyn RawHandler<S>>,
}

/// A handler with layers around it.
struct Layered<S: State>(Arc<Way<S>>);

impl<S: State> RawHandler<S> for Layered<S> {
    fn start(&self, context: Context<S>, params: Option<Box<RawValue>>) -> BoxFuture<'static, HandlerResult> {
        Next { way: self.0.clone(), passed: 0 }.run(LayeredCall { context, params })
    }
}

/// The method with `layers` around its handler, if it has one that is called.
pub(crate) fn layered<S: State>(kind: MethodKind<S>, layers: &Layers<S>) -> MethodKind<S> {
    match kind {
        MethodKind::Call(handler) => {
            MethodKind::Call(Box::new(Layered(Arc::new(Way { layers: layers.clone(), handler }))))
        }
        control @ MethodKind::Control(_) => control,
    }
}

//! Functions that are tools, and how their types are erased.

use super::{
    context::ToolContext,
    output::{Failure, ToolError, ToolOutput},
    validation::Validator,
};
use crate::{limits::MISFIT_BYTES, model::CallToolResult};
use freehold::{State, runtime::BoxFuture};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, value::RawValue};
use std::{collections::BTreeMap, future::Future, marker::PhantomData, sync::Arc};

/// An asynchronous function `async fn(&ToolContext<S>, A) -> R`; also an `async` closure that captures nothing.
/// Implemented for all of those, never by hand.
///
/// The context is borrowed, so nothing that a tool gets from it can outlive the call or be sent to another task.
pub trait ToolHandler<'a, S: State, A>: Send + Sync {
    /// What the function returns.
    type Output;
    /// Its future.
    type Future: Future<Output = Self::Output> + Send + 'a;

    /// Calls the function.
    fn call(&self, context: &'a ToolContext<S>, arguments: A) -> Self::Future;
}

impl<'a, S: State, A, F, Fut> ToolHandler<'a, S, A> for F
where
    F: Fn(&'a ToolContext<S>, A) -> Fut + Send + Sync,
    Fut: Future + Send + 'a,
{
    type Output = Fut::Output;
    type Future = Fut;

    fn call(&self, context: &'a ToolContext<S>, arguments: A) -> Fut {
        self(context, arguments)
    }
}

/// An asynchronous method `async fn(&self, &ToolContext<S>, A) -> R` of a `T`. Implemented for all of those, never by hand.
pub trait ToolMethod<'a, T, S: State, A>: Send + Sync {
    /// What the method returns.
    type Output;
    /// Its future.
    type Future: Future<Output = Self::Output> + Send + 'a;

    /// Calls the method of `receiver`.
    fn call(&self, receiver: &'a T, context: &'a ToolContext<S>, arguments: A) -> Self::Future;
}

impl<'a, T: 'a, S: State, A, F, Fut> ToolMethod<'a, T, S, A> for F
where
    F: Fn(&'a T, &'a ToolContext<S>, A) -> Fut + Send + Sync,
    Fut: Future + Send + 'a,
{
    type Output = Fut::Output;
    type Future = Fut;

    fn call(&self, receiver: &'a T, context: &'a ToolContext<S>, arguments: A) -> Fut {
        self(receiver, context, arguments)
    }
}

/// Runs a tool whose types are erased.
pub(crate) trait Run<S: State>: Send + Sync {
    /// Reads the arguments and starts; `Err` is the text for the model if they do not fit.
    fn start(&self, context: ToolContext<S>, arguments: &str) -> Result<Running, String>;
}

/// A tool under way. The context is in there; the result is not yet in the form of a revision.
pub(crate) type Running = BoxFuture<'static, Result<CallToolResult, Failure>>;

fn misfit(reason: impl std::fmt::Display) -> String {
    format!("the arguments do not fit: {reason}")
}

fn read<A: DeserializeOwned>(arguments: &str) -> Result<A, String> {
    // A tool without arguments takes `null` as much as `{}`.
    let read = serde_json::from_str::<A>(arguments).or_else(|error| {
        let empty = serde_json::from_str::<Map<String, Value>>(arguments).is_ok_and(|map| map.is_empty());
        if empty { serde_json::from_str("null").map_err(|_| error) } else { Err(error) }
    });
    read.map_err(|error| match argument_at(arguments, &error) {
        Some(name) => misfit(format_args!("in {name:?}: {error}")),
        None => misfit(error),
    })
}

/// The argument in which reading failed, if it was in the value of one: the error itself has a line and a column only.
fn argument_at(arguments: &str, error: &serde_json::Error) -> Option<String> {
    let line = arguments.split_inclusive('\n').nth(error.line().checked_sub(1)?)?;
    let at = line.as_ptr() as usize + error.column();
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(arguments).ok()?;
    let (name, _) = members.into_iter().find(|(_, value)| {
        let begin = value.get().as_ptr() as usize;
        // A column counts what was read: nothing of a value that has the wrong form, all of one that is out of range.
        (begin..=begin + value.get().len()).contains(&at)
    })?;
    (name.len() <= MISFIT_BYTES).then_some(name)
}

fn end<S: State, R: ToolOutput>(output: R, context: &ToolContext<S>) -> Result<CallToolResult, Failure> {
    output.into_result().map_err(|ToolError(failure)| failure.explained(context))
}

/// A function whose arguments have a type.
pub(super) struct Typed<H, A> {
    handler: Arc<H>,
    arguments: PhantomData<fn(A)>,
}

impl<H, A> Typed<H, A> {
    pub(super) fn new(handler: H) -> Self {
        Self { handler: Arc::new(handler), arguments: PhantomData }
    }
}

impl<S, A, R, H> Run<S> for Typed<H, A>
where
    S: State,
    A: DeserializeOwned + Send + 'static,
    R: ToolOutput + Send + 'static,
    H: for<'a> ToolHandler<'a, S, A, Output = R> + 'static,
{
    fn start(&self, context: ToolContext<S>, arguments: &str) -> Result<Running, String> {
        let arguments = read(arguments)?;
        let handler = self.handler.clone();
        Ok(Box::pin(async move {
            let output = handler.call(&context, arguments).await;
            end(output, &context)
        }))
    }
}

/// A method of something that is shared by all calls.
pub(super) struct Method<T, M, A> {
    receiver: Arc<T>,
    method: Arc<M>,
    arguments: PhantomData<fn(A)>,
}

impl<T, M, A> Method<T, M, A> {
    pub(super) fn new(receiver: Arc<T>, method: M) -> Self {
        Self { receiver, method: Arc::new(method), arguments: PhantomData }
    }
}

impl<T, S, A, R, M> Run<S> for Method<T, M, A>
where
    T: Send + Sync + 'static,
    S: State,
    A: DeserializeOwned + Send + 'static,
    R: ToolOutput + Send + 'static,
    M: for<'a> ToolMethod<'a, T, S, A, Output = R> + 'static,
{
    fn start(&self, context: ToolContext<S>, arguments: &str) -> Result<Running, String> {
        let arguments = read(arguments)?;
        let (receiver, method) = (self.receiver.clone(), self.method.clone());
        Ok(Box::pin(async move {
            let output = method.call(&receiver, &context, arguments).await;
            end(output, &context)
        }))
    }
}

/// A function that gets an object, which has to fit a schema.
pub(super) struct Untyped<H> {
    handler: Arc<H>,
    /// None if the schema cannot be used, and so the tool neither.
    schema: Option<Validator>,
}

impl<H> Untyped<H> {
    pub(super) fn new(handler: H, schema: Option<Validator>) -> Self {
        Self { handler: Arc::new(handler), schema }
    }
}

impl<S, R, H> Run<S> for Untyped<H>
where
    S: State,
    R: ToolOutput + Send + 'static,
    H: for<'a> ToolHandler<'a, S, Map<String, Value>, Output = R> + 'static,
{
    fn start(&self, context: ToolContext<S>, arguments: &str) -> Result<Running, String> {
        let arguments = Value::Object(read(arguments)?);
        if let Some(schema) = &self.schema {
            schema.check(&arguments).map_err(misfit)?;
        }
        let arguments = if let Value::Object(arguments) = arguments { arguments } else { Map::new() };
        let handler = self.handler.clone();
        Ok(Box::pin(async move {
            let output = handler.call(&context, arguments).await;
            end(output, &context)
        }))
    }
}

/// A tool whose structured output has to fit its schema.
pub(super) struct CheckedOutput<S: State> {
    pub(super) run: Arc<dyn Run<S>>,
    pub(super) tool: Arc<str>,
    pub(super) schema: Arc<Validator>,
}

impl<S: State> Run<S> for CheckedOutput<S> {
    fn start(&self, context: ToolContext<S>, arguments: &str) -> Result<Running, String> {
        let running = self.run.start(context, arguments)?;
        let (tool, schema) = (self.tool.clone(), self.schema.clone());
        Ok(Box::pin(async move {
            let result = running.await?;
            check_output(&tool, &schema, result).map_err(|ToolError(failure)| failure)
        }))
    }
}

/// The result, if its structured part fits; a failure needs none.
pub(super) fn check_output(
    tool: &str,
    schema: &Validator,
    result: CallToolResult,
) -> Result<CallToolResult, ToolError> {
    if result.is_error {
        return Ok(result);
    }
    let reason = match &result.structured {
        None => "it has no structured content".to_owned(),
        Some(value) => match schema.check(value) {
            Ok(()) => return Ok(result),
            Err(misfit) => misfit.to_string(),
        },
    };
    tracing::error!(tool, reason, "the tool's output does not fit its output schema");
    Err(ToolError::new(format_args!(
        "the tool's output does not fit its own schema, so it is not told: {reason}"
    )))
}

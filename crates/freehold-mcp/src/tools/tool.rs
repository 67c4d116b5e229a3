use super::{
    context::ToolContext,
    output::{Failure, ToolError, ToolOutput},
    schema::input_schema_of,
};
use crate::model::CallToolResult;
use freehold::{
    BreakerOptions, DegradeReason, MethodOptions, RetryPolicy, Session, State, runtime::BoxFuture,
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, value::RawValue};
use std::{fmt, future::Future, marker::PhantomData, sync::Arc, time::Duration};

/// An asynchronous function `async fn(&ToolContext<S>, A) -> Result<R, E>`; also an `async` closure that captures
/// nothing. Implemented for all of those, never by hand.
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

/// Hints for clients about what a tool does. Clients must not trust those of a server they do not trust.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Annotations {
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// It changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only_hint: Option<bool>,
    /// It may destroy something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destructive_hint: Option<bool>,
    /// Calling it again with the same arguments changes nothing more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent_hint: Option<bool>,
    /// It deals with things outside of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_world_hint: Option<bool>,
}

/// Runs a tool whose types are erased.
pub(crate) trait Run<S: State>: Send + Sync {
    /// Reads the arguments and starts; `Err` is the text for the model if they do not fit.
    fn start(&self, context: ToolContext<S>, arguments: &str) -> Result<Running, String>;
}

/// A tool under way. The context is in there; the result is not yet in the form of a revision.
pub(crate) type Running = BoxFuture<'static, Result<CallToolResult, Failure>>;

/// A tool: its name, its description, its schemas and its function.
///
/// # Examples
///
/// ```
/// use freehold_mcp::{Tool, ToolContext, ToolError};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Greet {
///     /// Who is greeted.
///     name: String,
/// }
///
/// async fn greet(_ctx: &ToolContext, args: Greet) -> Result<String, ToolError> {
///     Ok(format!("Hello, {}!", args.name))
/// }
///
/// let tool = Tool::new("greet", "Greets somebody.", greet).read_only();
/// assert_eq!(tool.name(), "greet");
/// ```
pub struct Tool<S: State> {
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    pub(crate) description: String,
    pub(crate) annotations: Annotations,
    pub(crate) input_schema: Value,
    pub(crate) output_schema: Option<Value>,
    treatment: MethodOptions,
    pub(crate) fallback: Option<ToolFallback<S>>,
    pub(crate) run: Arc<dyn Run<S>>,
}

impl<S: State> Tool<S> {
    /// A tool of a function. The schema of its arguments comes from their type, that of its output too if it returns
    /// [`Json`](super::Json).
    ///
    /// A name has 1 to 128 characters of `A-Z`, `a-z`, `0-9`, `_`, `-` and `.`; others may be refused by clients.
    pub fn new<A, R, E, H>(name: &str, description: &str, handler: H) -> Self
    where
        A: DeserializeOwned + JsonSchema + Send + 'static,
        R: ToolOutput + Send + 'static,
        E: Into<ToolError> + Send + 'static,
        H: for<'a> ToolHandler<'a, S, A, Output = Result<R, E>> + 'static,
    {
        let run = Arc::new(Typed { handler: Arc::new(handler), arguments: PhantomData::<fn(A)> });
        Self {
            name: name.to_owned(),
            title: None,
            description: description.to_owned(),
            annotations: Annotations::default(),
            input_schema: input_schema_of::<A>(),
            output_schema: R::output_schema(),
            treatment: MethodOptions::new(),
            fallback: None,
            run,
        }
    }

    /// A tool with a schema of your own for its arguments, which come as a JSON object.
    pub fn with_schema<R, E, H>(name: &str, description: &str, input_schema: Value, handler: H) -> Self
    where
        R: ToolOutput + Send + 'static,
        E: Into<ToolError> + Send + 'static,
        H: for<'a> ToolHandler<'a, S, Map<String, Value>, Output = Result<R, E>> + 'static,
    {
        Self { input_schema, ..Self::new(name, description, handler) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives it a name for people.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Replaces its hints.
    #[must_use]
    pub fn annotations(mut self, annotations: Annotations) -> Self {
        self.annotations = annotations;
        self
    }

    /// Hints that it changes nothing (and so is idempotent).
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.annotations.read_only_hint = Some(true);
        self.annotations.idempotent_hint = Some(true);
        self
    }

    /// Hints that calling it again changes nothing more.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.annotations.idempotent_hint = Some(true);
        self
    }

    /// Gives its calls a deadline of their own, counted from their arrival.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.treatment = self.treatment.timeout(timeout);
        self
    }

    /// Sets how long one of its calls may run, or run on after it told progress, before it is reported as slow.
    #[must_use]
    pub fn soft_limit(mut self, limit: Duration) -> Self {
        self.treatment = self.treatment.soft_limit(limit);
        self
    }

    /// Sets how often a call of it is run again that was ended to break a deadlock, or whose lock could not be had in time;
    /// only if it is hinted to be [`idempotent`](Self::idempotent) or [`read_only`](Self::read_only), and only if the attempt
    /// committed, sent, asked and called nothing. As the engine says otherwise.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.treatment = self.treatment.retry(policy);
        self
    }

    /// Gives it a circuit breaker of its own: while too many of its calls fail, further ones are refused at once with
    /// [`ErrorCode::CIRCUIT_OPEN`](freehold::ErrorCode::CIRCUIT_OPEN).
    #[must_use]
    pub fn breaker(mut self, options: BreakerOptions) -> Self {
        self.treatment = self.treatment.breaker(options);
        self
    }

    /// No circuit breaker, also if the engine has a default.
    #[must_use]
    pub fn without_breaker(mut self) -> Self {
        self.treatment = self.treatment.without_breaker();
        self
    }

    /// Sets what answers when the tool cannot: when its locks could not be had, or its circuit breaker is open; see
    /// [`EngineBuilder::fallback`](freehold::EngineBuilder::fallback). It gets the session and the arguments. Its answer says
    /// in its `_meta` that it is degraded, and why.
    #[must_use]
    pub fn fallback<R, E, F, Fut>(mut self, fallback: F) -> Self
    where
        R: ToolOutput + 'static,
        E: Into<ToolError> + 'static,
        F: Fn(Session<S>, Map<String, Value>, DegradeReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        self.fallback = Some(Arc::new(move |session, arguments, reason| {
            let answer = fallback(session, arguments, reason);
            Box::pin(async move { answer.await.map_err(Into::into).and_then(R::into_result) })
        }));
        self
    }

    /// How its calls are treated: what it hints to clients, the engine goes by, too.
    pub(crate) fn options(&self) -> MethodOptions {
        let hints = &self.annotations;
        let options = self.treatment.clone();
        options.idempotent(hints.idempotent_hint == Some(true)).read_only(hints.read_only_hint == Some(true))
    }
}

impl<S: State> fmt::Debug for Tool<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool").field("name", &self.name).finish_non_exhaustive()
    }
}

struct Typed<H, A> {
    handler: Arc<H>,
    arguments: PhantomData<fn(A)>,
}

impl<S, A, R, E, H> Run<S> for Typed<H, A>
where
    S: State,
    A: DeserializeOwned + Send + 'static,
    R: ToolOutput + Send + 'static,
    E: Into<ToolError> + Send + 'static,
    H: for<'a> ToolHandler<'a, S, A, Output = Result<R, E>> + 'static,
{
    fn start(&self, context: ToolContext<S>, arguments: &str) -> Result<Running, String> {
        let read = serde_json::from_str::<A>(arguments);
        // A tool without arguments takes `null` as much as `{}`.
        let read = read.or_else(|error| {
            let empty = serde_json::from_str::<Map<String, Value>>(arguments).is_ok_and(|map| map.is_empty());
            if empty { serde_json::from_str("null").map_err(|_| error) } else { Err(error) }
        });
        let arguments = read.map_err(|error| format!("the arguments do not fit: {error}"))?;
        let handler = self.handler.clone();
        Ok(Box::pin(async move {
            let output = handler.call(&context, arguments).await;
            output
                .map_err(Into::into)
                .and_then(R::into_result)
                .map_err(|ToolError(failure)| failure.explained(&context))
        }))
    }
}

/// What answers for a tool that cannot.
pub(crate) type ToolFallback<S> = Arc<
    dyn Fn(
            Session<S>,
            Map<String, Value>,
            DegradeReason,
        ) -> BoxFuture<'static, Result<CallToolResult, ToolError>>
        + Send
        + Sync,
>;

/// `{}`, for calls that bring no arguments.
pub(crate) const NO_ARGUMENTS: &str = "{}";

/// The text of `arguments`, or that of none.
pub(crate) fn arguments_text(arguments: Option<&RawValue>) -> &str {
    arguments.map_or(NO_ARGUMENTS, RawValue::get)
}

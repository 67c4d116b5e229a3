use super::{
    annotations::ToolAnnotations,
    handler::{CheckedOutput, Method, Run, ToolHandler, ToolMethod, Typed, Untyped, check_output},
    mirrored::{MirroredArgument, mirrored_arguments},
    name::{self, InvalidToolName},
    output::{ToolError, ToolOutput},
    schema::input_schema_of,
    validation::{SchemaError, Validator},
};
use crate::{
    model::{CallToolResult, Icon},
    tasks::ToolTasks,
};
use freehold::{
    BreakerOptions, DegradeReason, MethodOptions, RetryPolicy, Session, State, runtime::BoxFuture,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, value::RawValue};
use std::{fmt, future::Future, sync::Arc, time::Duration};

pub(crate) use super::handler::Running;

/// A tool that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTool {
    /// By its name.
    #[error(transparent)]
    Name(#[from] InvalidToolName),
    /// By the schema of its arguments.
    #[error("the schema of the arguments of the tool {tool:?} cannot be used: {reason}")]
    InputSchema {
        /// Its name.
        tool: String,
        /// What is wrong with the schema.
        reason: SchemaError,
    },
    /// By the schema of its output.
    #[error("the schema of the output of the tool {tool:?} cannot be used: {reason}")]
    OutputSchema {
        /// Its name.
        tool: String,
        /// What is wrong with the schema.
        reason: SchemaError,
    },
}

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
pub struct Tool<S: State = ()> {
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    pub(crate) description: String,
    pub(crate) annotations: ToolAnnotations,
    pub(crate) icons: Vec<Icon>,
    pub(crate) meta: Map<String, Value>,
    pub(crate) input_schema: Value,
    pub(crate) mirrored: Vec<MirroredArgument>,
    pub(crate) output_schema: Option<Value>,
    /// Whether every output has to be held against that schema.
    checks_output: bool,
    treatment: MethodOptions,
    pub(crate) tasks: ToolTasks,
    pub(crate) fallback: Option<ToolFallback<S>>,
    pub(crate) run: Arc<dyn Run<S>>,
    /// What makes it impossible, told when it is given to a server.
    flaw: Option<InvalidTool>,
}

impl<S: State> Tool<S> {
    /// A tool of a function. The schema of its arguments comes from their type, that of its output too if it returns
    /// [`Json`](super::Json). The attribute [`tool`](macro@crate::tool) writes this, and the type of the arguments.
    ///
    /// Arguments are read as `serde` reads that type, which is stricter than the schema in one thing: to JSON Schema `1.0` is an
    /// `integer`, to `serde` it is no `u64`. Nothing is rounded or guessed: the function does not run, and the model is told
    /// which argument it is and what was expected.
    ///
    /// A name has 1 to 128 characters of `A-Z`, `a-z`, `0-9`, `_`, `-` and `.`; a server refuses to be built with others.
    pub fn new<A, R, H>(name: &str, description: &str, handler: H) -> Self
    where
        A: DeserializeOwned + JsonSchema + Send + 'static,
        R: ToolOutput + Send + 'static,
        H: for<'a> ToolHandler<'a, S, A, Output = R> + 'static,
    {
        Self::made::<R>(name, description, input_schema_of::<A>(), Arc::new(Typed::new(handler)))
    }

    /// A tool of a method of `receiver`, which all calls share: `async fn(&self, &ToolContext<S>, A) -> R`. The attribute
    /// [`tools`](macro@crate::tools) writes this for the methods of an `impl` block.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold_mcp::{Tool, ToolContext};
    /// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
    ///
    /// #[derive(Default)]
    /// struct Counter(AtomicU64);
    ///
    /// impl Counter {
    ///     async fn count(&self, _ctx: &ToolContext, (): ()) -> u64 {
    ///         self.0.fetch_add(1, Ordering::Relaxed)
    ///     }
    /// }
    /// let counter = Arc::new(Counter::default());
    /// let tool: Tool = Tool::method("count", "Counts its calls.", counter, Counter::count);
    /// ```
    pub fn method<T, A, R, M>(name: &str, description: &str, receiver: Arc<T>, method: M) -> Self
    where
        T: Send + Sync + 'static,
        A: DeserializeOwned + JsonSchema + Send + 'static,
        R: ToolOutput + Send + 'static,
        M: for<'a> ToolMethod<'a, T, S, A, Output = R> + 'static,
    {
        Self::made::<R>(name, description, input_schema_of::<A>(), Arc::new(Method::new(receiver, method)))
    }

    /// A tool with a schema of your own for its arguments, which come as a JSON object. Arguments that do not fit the schema
    /// do not reach the function; the model is told where and why.
    ///
    /// The schema is of JSON Schema 2020-12, or of the dialect that its `$schema` names: 2019-09, draft-07, -06 or -04. A
    /// `$ref` may lead to other parts of it; nothing is ever fetched. `format` only describes, as 2020-12 says.
    ///
    /// An argument whose schema has `"x-mcp-header": "Name"` is repeated by stateless requests over HTTP in the header
    /// `Mcp-Param-Name`, and compared with it. It must be a string, an integer or a boolean, to which `properties` alone lead.
    pub fn with_schema<R, H>(name: &str, description: &str, input_schema: Value, handler: H) -> Self
    where
        R: ToolOutput + Send + 'static,
        H: for<'a> ToolHandler<'a, S, Map<String, Value>, Output = R> + 'static,
    {
        let (validator, input_schema) = match Validator::new(&input_schema) {
            Ok(validator) => (Some(validator), Ok(input_schema)),
            Err(reason) => (None, Err(reason)),
        };
        Self::made::<R>(name, description, input_schema, Arc::new(Untyped::new(handler, validator)))
    }

    fn made<R: ToolOutput>(
        name: &str,
        description: &str,
        input_schema: Result<Value, SchemaError>,
        run: Arc<dyn Run<S>>,
    ) -> Self {
        let input_schema = input_schema.and_then(|schema| {
            let of_objects = schema.get("type").is_some_and(|kind| kind == "object");
            if !of_objects {
                return Err(SchemaError::NotOfObjects);
            }
            let mirrored = mirrored_arguments(&schema)?;
            Ok((schema, mirrored))
        });
        let bad_name = name::check(name).err().map(InvalidTool::Name);
        let (input_schema, mirrored, bad_schema) = match input_schema {
            Ok((schema, mirrored)) => (schema, mirrored, None),
            Err(reason) => {
                (Value::Null, Vec::new(), Some(InvalidTool::InputSchema { tool: name.to_owned(), reason }))
            }
        };
        Self {
            name: name.to_owned(),
            title: None,
            description: description.to_owned(),
            annotations: ToolAnnotations::default(),
            icons: Vec::new(),
            meta: Map::new(),
            input_schema,
            mirrored,
            output_schema: R::output_schema(),
            checks_output: !R::fits_by_construction() || cfg!(debug_assertions),
            treatment: MethodOptions::new(),
            tasks: ToolTasks::default(),
            fallback: None,
            run,
            flaw: bad_name.or(bad_schema),
        }
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

    /// Sets the schema of its structured output, for a tool that writes that itself ([`CallToolResult::structured`]). An
    /// output that does not fit is not told: the call fails, and says where and why. The schema is read as that of
    /// [`with_schema`](Self::with_schema).
    #[must_use]
    pub fn output_schema(mut self, schema: Value) -> Self {
        self.output_schema = Some(schema);
        self.checks_output = true;
        self
    }

    /// Adds an icon.
    #[must_use]
    pub fn icon(mut self, icon: Icon) -> Self {
        self.icons.push(icon);
        self
    }

    /// Adds icons.
    #[must_use]
    pub fn icons(mut self, icons: impl IntoIterator<Item = Icon>) -> Self {
        self.icons.extend(icons);
        self
    }

    /// Puts `value` into the `_meta` that clients see in the list of tools. A key has a prefix of your own, such as
    /// `com.example/`.
    #[must_use]
    pub fn meta(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.meta.insert(key.into(), value.into());
        self
    }

    /// Replaces its hints.
    #[must_use]
    pub fn annotations(mut self, annotations: ToolAnnotations) -> Self {
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

    /// Hints whether it may destroy something, or only adds. Clients take it that it may.
    #[must_use]
    pub fn destructive(mut self, destructive: bool) -> Self {
        self.annotations.destructive_hint = Some(destructive);
        self
    }

    /// Hints whether it deals with things outside of the server. Clients take it that it does.
    #[must_use]
    pub fn open_world(mut self, open_world: bool) -> Self {
        self.annotations.open_world_hint = Some(open_world);
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
    pub fn fallback<R, F, Fut>(mut self, fallback: F) -> Self
    where
        R: ToolOutput + 'static,
        F: Fn(Session<S>, Map<String, Value>, DegradeReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
    {
        self.fallback = Some(Arc::new(move |session, arguments, reason| {
            let answer = fallback(session, arguments, reason);
            Box::pin(async move { answer.await.into_result() })
        }));
        self
    }

    /// The tool as a server takes it: refused if it cannot be one, and with its output checked where it has to be.
    pub(crate) fn checked(mut self) -> Result<Self, InvalidTool> {
        if let Some(flaw) = self.flaw.take() {
            return Err(flaw);
        }
        let Some(schema) = self.output_schema.as_ref() else { return Ok(self) };
        let invalid = |reason| InvalidTool::OutputSchema { tool: self.name.clone(), reason };
        let schema = Arc::new(Validator::new(schema).map_err(invalid)?);
        let name = Arc::<str>::from(&*self.name);
        // Nothing says that a fallback returns what its tool does.
        self.fallback =
            self.fallback.map(|fallback| checked_fallback(fallback, name.clone(), schema.clone()));
        if self.checks_output {
            self.run = Arc::new(CheckedOutput { run: self.run, tool: name, schema });
        }
        Ok(self)
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

fn checked_fallback<S: State>(
    fallback: ToolFallback<S>,
    tool: Arc<str>,
    schema: Arc<Validator>,
) -> ToolFallback<S> {
    Arc::new(move |session, arguments, reason| {
        let answer = fallback(session, arguments, reason);
        let (tool, schema) = (tool.clone(), schema.clone());
        Box::pin(async move { check_output(&tool, &schema, answer.await?) })
    })
}

/// `{}`, for calls that bring no arguments.
pub(crate) const NO_ARGUMENTS: &str = "{}";

/// The text of `arguments`, or that of none.
pub(crate) fn arguments_text(arguments: Option<&RawValue>) -> &str {
    arguments.map_or(NO_ARGUMENTS, RawValue::get)
}

//! Builds a server.

use super::{McpServer, ServerState, lifecycle::cancelled, methods::Parts};
use crate::{
    cache::{CacheHint, CacheHints, Cacheable},
    changes::{Announcer, ChangeFeed},
    completion::{CompletionLimits, CompletionRates},
    delegate::{Delegate, Delegated, register},
    limits::{PAGE_ENTRIES, PAGE_ENTRIES_MOST},
    model::{Icon, ServerMeta},
    mrtr::{RequestStateOptions, Rounds},
    offer::{Offer, Offers, RegisterError},
    operators::Operators,
    prompts::{Prompt, PromptTable},
    protocol::{Implementation, ServerDescription},
    resources::{Resource, ResourceTable, ResourceTemplate},
    tasks::{TaskLimits, TaskSupport, TaskTable},
    tools::{AddToolError, Tool, ToolTable},
};
use freehold::{BuildError, Engine, EngineBuilder, Layer, Limits, State};
use serde_json::value::RawValue;
use std::{
    fmt,
    sync::{Arc, Weak},
};

/// The server could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildServerError {
    /// A tool cannot be one, or there are two of one name.
    #[error(transparent)]
    Tool(#[from] AddToolError),
    /// A prompt, a resource or a template that cannot be registered.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// A method of the application's own has the name of one of the protocol's.
    #[error(transparent)]
    Engine(#[from] BuildError),
    /// A server that delegates has a tool, a prompt or a resource of its own, which nobody could reach.
    #[error("the server delegates its methods, so {0} of its own could not be reached; leave it out")]
    BesideDelegate(&'static str),
}

/// Builds an [`McpServer`].
#[must_use = "nothing exists before build()"]
pub struct McpServerBuilder<S: State> {
    engine: EngineBuilder<S>,
    tools: Vec<Tool<S>>,
    prompts: Vec<Prompt<S>>,
    resources: Vec<Resource<S>>,
    templates: Vec<ResourceTemplate<S>>,
    dynamic: Dynamic,
    page: usize,
    description: ServerDescription,
    pub(crate) request_state: RequestStateOptions,
    tasks: Option<TaskLimits>,
    completions: CompletionLimits,
    delegate: Option<Delegated<S>>,
    operators: Option<Operators<S>>,
}

impl<S: State> fmt::Debug for McpServerBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpServerBuilder").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// What will come after the build.
#[derive(Clone, Copy, Debug, Default)]
struct Dynamic {
    prompts: bool,
    resources: bool,
}

impl<S: State> McpServerBuilder<S> {
    pub(super) fn new(name: &str, version: &str, initial: S) -> Self {
        Self {
            engine: Engine::builder(initial),
            tools: Vec::new(),
            prompts: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
            dynamic: Dynamic::default(),
            page: PAGE_ENTRIES,
            description: ServerDescription {
                info: Implementation::new(name, version),
                instructions: None,
                offers: Offers::default(),
                cache: CacheHints::default(),
            },
            request_state: RequestStateOptions::default(),
            tasks: None,
            completions: CompletionLimits::default(),
            delegate: None,
            operators: None,
        }
    }

    /// Adds a tool.
    pub fn tool(mut self, tool: Tool<S>) -> Self {
        self.tools.push(tool);
        self
    }

    /// Adds a prompt.
    pub fn prompt(mut self, prompt: Prompt<S>) -> Self {
        self.prompts.push(prompt);
        self
    }

    /// Adds a resource.
    pub fn resource(mut self, resource: Resource<S>) -> Self {
        self.resources.push(resource);
        self
    }

    /// Adds a template of resources.
    pub fn resource_template(mut self, template: ResourceTemplate<S>) -> Self {
        self.templates.push(template);
        self
    }

    /// Says that prompts will come by [`McpServer::prompts`], maybe with completions. Clients are told at their start what a
    /// server offers; one that has none of a kind then, and does not say this, never has.
    pub fn dynamic_prompts(mut self) -> Self {
        self.dynamic.prompts = true;
        self
    }

    /// Says that resources or templates will come by [`McpServer::resources`]; as
    /// [`dynamic_prompts`](Self::dynamic_prompts).
    pub fn dynamic_resources(mut self) -> Self {
        self.dynamic.resources = true;
        self
    }

    /// Sets how long a kind of result holds, and for whom. At first none holds for any time; lists are public, contents
    /// private.
    pub fn cache(mut self, of: Cacheable, hint: CacheHint) -> Self {
        self.description.cache.set(of, hint);
        self
    }

    /// Sets how many entries a page of a list has, from 1 to 10,000; 500 at first.
    pub fn page_size(mut self, entries: usize) -> Self {
        self.page = entries.clamp(1, PAGE_ENTRIES_MOST);
        self
    }

    /// Adds tools, such as those of an `impl` block with the attribute [`tools`](macro@crate::tools).
    pub fn tools(mut self, tools: impl IntoIterator<Item = Tool<S>>) -> Self {
        self.tools.extend(tools);
        self
    }

    /// Gives the server a name for people.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.description.info.title = Some(title.into());
        self
    }

    /// Says what the server does.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description.info.description = Some(description.into());
        self
    }

    /// Says where people find more about the server.
    pub fn website_url(mut self, url: impl Into<String>) -> Self {
        self.description.info.website_url = Some(url.into());
        self
    }

    /// Adds an icon of the server.
    pub fn icon(mut self, icon: Icon) -> Self {
        self.description.info.icons.push(icon);
        self
    }

    /// Tells models how to use the server.
    pub fn instructions(mut self, instructions: impl Into<String>) -> Self {
        self.description.instructions = Some(instructions.into());
        self
    }

    /// Offers tasks to clients, within these limits: calls that outlive their request, of tools that allow it
    /// ([`Tool::task_support`]). Without it, a server with such a tool offers them within [`TaskLimits::default`].
    ///
    /// In revision 2025-11-25 tasks belong to their session and end with it; over HTTP a stateless request's tasks belong to
    /// its [`Principal`](crate::Principal), or, where clients need not say who they are, to whoever knows their ids, which
    /// nobody can guess.
    pub fn tasks(mut self, limits: TaskLimits) -> Self {
        self.tasks = Some(limits);
        self
    }

    /// Sets how often clients may ask for completions; beyond, a request gets
    /// [`ErrorCode::RATE_LIMITED`](freehold::ErrorCode::RATE_LIMITED) at once, which says when to try again. Also what a
    /// [`Delegate`] completes is limited so.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold_mcp::{CompletionLimits, McpServer};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limits = CompletionLimits { per_second: 5, ..CompletionLimits::default() };
    /// let server = McpServer::builder("slow", "1.0.0").completions(limits).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn completions(mut self, limits: CompletionLimits) -> Self {
        self.completions = limits;
        self
    }

    /// Puts a [`Layer`] around tools, and around everything else that is called: it sees the request, may refuse or change it,
    /// and sees the outcome. [`ToolCall`](crate::ToolCall) tells it the tool and its arguments. Layers that were given before
    /// are outside of it. What is answered at once (lists, pings, handshakes) does not pass.
    ///
    /// A layer runs within the call, under its deadline, so it cannot hold up anything else.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold_mcp::{
    ///     McpServer, ToolCall, tool,
    ///     freehold::{ErrorCode, ErrorObject, HandlerResult, LayeredCall, Next},
    /// };
    ///
    /// /// Tells the log which tools are called, and what becomes of it.
    /// async fn log(call: LayeredCall<()>, next: Next<()>) -> HandlerResult {
    ///     let (session, tool) = (call.session().id(), ToolCall::of(&call).map(|call| call.name().to_owned()));
    ///     let outcome = next.run(call).await;
    ///     tracing::info!(%session, tool, failed = outcome.is_err(), "called");
    ///     outcome
    /// }
    ///
    /// /// Lets nobody delete.
    /// async fn authorise(call: LayeredCall<()>, next: Next<()>) -> HandlerResult {
    ///     match ToolCall::of(&call) {
    ///         Some(tool) if tool.name().starts_with("delete_") => {
    ///             Err(ErrorObject::new(ErrorCode(-31100), "you may not delete here"))
    ///         }
    ///         _ => next.run(call).await,
    ///     }
    /// }
    ///
    /// /// Deletes everything.
    /// #[tool(destructive)]
    /// async fn delete_everything() {}
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = McpServer::builder("careful", "1.0.0")
    ///     .tool(delete_everything::tool())
    ///     .layer(log)
    ///     .layer(authorise)
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn layer(self, layer: impl Layer<S>) -> Self {
        self.engine(|engine| engine.layer(layer))
    }

    /// Sets the engine's limits.
    pub fn limits(self, limits: Limits) -> Self {
        self.engine(|engine| engine.limits(limits))
    }

    /// Gives tools state of the application, found by its type with [`Context::app`](freehold::Context::app).
    pub fn app<T: Send + Sync + 'static>(self, state: Arc<T>) -> Self {
        self.engine(|engine| engine.app(state))
    }

    /// Has `delegate` answer the protocol's methods, from both transports, in place of what this crate offers. Its answers
    /// say what the server is called and can do.
    pub fn delegate(mut self, delegate: impl Delegate<S>) -> Self {
        self.delegate = Some(Arc::new(delegate));
        self
    }

    /// Adds what only operators see, and what answers them while everything else is stuck; see [`Operators`]. Without it
    /// there is nothing of that kind.
    pub fn operators(mut self, operators: Operators<S>) -> Self {
        self.operators = Some(operators);
        self
    }

    /// Configures the engine beneath: hooks, observer, store, methods of the application's own.
    pub fn engine(mut self, configure: impl FnOnce(EngineBuilder<S>) -> EngineBuilder<S>) -> Self {
        self.engine = configure(self.engine);
        self
    }

    /// Builds the server.
    ///
    /// # Errors
    ///
    /// [`BuildServerError`].
    ///
    /// # Panics
    ///
    /// As [`EngineBuilder::build`].
    pub fn build(mut self) -> Result<McpServer<S>, BuildServerError> {
        let delegate = self.delegate.take();
        if let (Some(_), Some(own)) = (&delegate, self.own()) {
            return Err(BuildServerError::BesideDelegate(own));
        }
        let tool_with_tasks = self.tools.iter().any(|tool| tool.tasks.support != TaskSupport::Forbidden);
        let task_limits = self.tasks.take().or_else(|| tool_with_tasks.then(TaskLimits::default));
        let tasks = task_limits.map(|limits| Arc::new(TaskTable::new(limits)));
        let offers = Offers { tasks: tasks.is_some(), ..self.offers() };
        self.description.offers = offers;
        let description = Arc::new(self.description);
        let server_info =
            serde_json::value::to_raw_value(&description.info).unwrap_or_else(|_| RawValue::NULL.to_owned());
        let server_meta = Arc::new(ServerMeta { server_info });
        let rounds = Arc::new(Rounds::new(self.request_state, server_meta.clone()));
        let announcer = Announcer::default();
        let completions = offers.completions;
        let prompts =
            Offer { kind: "prompts", builder: "dynamic_prompts", offered: offers.prompts, completions };
        let resources =
            Offer { kind: "resources", builder: "dynamic_resources", offered: offers.resources, completions };
        let parts = Parts {
            tools: Arc::new(ToolTable::new(
                self.tools,
                server_meta.clone(),
                announcer.clone(),
                tasks.is_some(),
            )?),
            prompts: Arc::new(PromptTable::new(self.prompts, prompts, announcer.clone())?),
            resources: Arc::new(ResourceTable::new(
                self.resources,
                self.templates,
                resources,
                announcer.clone(),
            )?),
            changes: ChangeFeed::default(),
            description,
            server_meta,
            rounds,
            page: self.page,
            tasks,
            completions: Arc::new(CompletionRates::new(self.completions)),
        };
        let engine = match &delegate {
            Some(delegate) => {
                let engine = self.engine.answer_cancelled(false);
                register(engine, delegate, &parts.completions, cancelled).build()?
            }
            None => {
                let engine = match self.operators {
                    None => self.engine,
                    Some(operators) => parts.operators(self.engine, operators)?,
                };
                parts.methods(engine).build()?
            }
        };
        let Parts { tools, prompts, resources, changes, description, tasks, .. } = parts;
        let inner = Arc::new(ServerState {
            engine,
            tools,
            prompts,
            resources,
            description,
            tasks,
            changes,
            delegate,
        });
        let weak: Weak<ServerState<S>> = Arc::downgrade(&inner);
        announcer.connect(weak);
        Ok(McpServer { inner })
    }

    /// The first kind of thing that it has itself.
    fn own(&self) -> Option<&'static str> {
        let own = [
            ("a tool", self.tools.is_empty()),
            ("a prompt", self.prompts.is_empty()),
            ("a resource", self.resources.is_empty() && self.templates.is_empty()),
            ("something for operators", self.operators.is_none()),
        ];
        own.into_iter().find(|(_, none)| !none).map(|(own, _)| own)
    }

    /// What clients are told that the server has.
    fn offers(&self) -> Offers {
        let completed = self.prompts.iter().any(Prompt::completes)
            || self.templates.iter().any(ResourceTemplate::completes);
        Offers {
            prompts: self.dynamic.prompts || !self.prompts.is_empty(),
            resources: self.dynamic.resources
                || !self.resources.is_empty()
                || !self.templates.is_empty()
                || self.operators.as_ref().is_some_and(Operators::has_resources),
            completions: self.dynamic.prompts || self.dynamic.resources || completed,
            tasks: false,
        }
    }
}

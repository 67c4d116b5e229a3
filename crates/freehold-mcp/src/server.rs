//! A server: tools on an engine, and the methods of the protocol that both transports share.

use crate::{
    cache::{CacheHint, CacheHints, Cacheable},
    catalog::ListPages,
    changes::{Announcer, Change, ChangeFeed, TellClients, tell_sessions},
    completion::{CompleteArgument, CompletionLimits, CompletionRates},
    delegate::{Delegate, Delegated, already_initialized, register},
    limits::{PAGE_ENTRIES, PAGE_ENTRIES_MOST},
    listen::ListenToChanges,
    model::{Capabilities, Icon, LogLevel, ServerMeta},
    mrtr::{RequestStateOptions, Rounds},
    offer::{Offer, Offers, RegisterError},
    operators::{Desk, Operators},
    peer::Peer,
    prompts::{GetPrompt, Prompt, PromptTable},
    protocol::{Implementation, ServerDescription, method, negotiate},
    resources::{ReadResource, Resource, ResourceTable, ResourceTemplate, subscribe, unsubscribe},
    tasks::{self, TaskLimits, TaskSupport, TaskTable},
    tools::{AddToolError, CallTool, Tool, ToolTable, mark_degraded},
};
use freehold::{
    BuildError, Engine, EngineBuilder, ErrorObject, Layer, Limits, MethodOptions, RequestId, Session, State,
    message::Raw,
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{
    fmt,
    sync::{Arc, Weak},
};

/// A server of the Model Context Protocol. A cheap handle; clones are the same server.
///
/// `S` is the state of a session, `()` if there is none.
///
/// # Examples
///
/// ```
/// use freehold_mcp::{McpServer, Tool, ToolContext, ToolError};
///
/// async fn hello(_ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
///     Ok("Hello!")
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = McpServer::builder("hello", "1.0.0").tool(Tool::new("hello", "Says hello.", hello)).build()?;
/// assert_eq!(server.engine().session_count(), 0);
/// # Ok(())
/// # }
/// ```
pub struct McpServer<S: State = ()> {
    pub(crate) inner: Arc<ServerState<S>>,
}

impl<S: State> Clone for McpServer<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

pub(crate) struct ServerState<S: State> {
    pub(crate) engine: Engine<S>,
    pub(crate) tools: Arc<ToolTable<S>>,
    prompts: Arc<PromptTable<S>>,
    resources: Arc<ResourceTable<S>>,
    pub(crate) description: Arc<ServerDescription>,
    tasks: Option<Arc<TaskTable<S>>>,
    changes: ChangeFeed,
    /// Who answers in place of all of these.
    pub(crate) delegate: Option<Delegated<S>>,
}

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

impl McpServer<()> {
    /// Starts to build a server whose sessions have no state.
    pub fn builder(name: &str, version: &str) -> McpServerBuilder<()> {
        Self::builder_with_state(name, version, ())
    }
}

impl<S: State> McpServer<S> {
    /// Starts to build a server whose sessions begin with `initial` as their state.
    pub fn builder_with_state(name: &str, version: &str, initial: S) -> McpServerBuilder<S> {
        let info = Implementation::new(name, version);
        McpServerBuilder {
            engine: Engine::builder(initial),
            tools: Vec::new(),
            prompts: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
            dynamic: Dynamic::default(),
            page: PAGE_ENTRIES,
            description: ServerDescription {
                info,
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

    /// The engine beneath.
    #[must_use]
    pub fn engine(&self) -> &Engine<S> {
        &self.inner.engine
    }

    /// How many tasks there are, and how many bytes of results they keep.
    #[must_use]
    pub fn task_gauge(&self) -> (usize, usize) {
        self.inner.tasks.as_ref().map_or((0, 0), |tasks| tasks.gauge())
    }

    /// The tools, to which others can be added at any time.
    #[must_use]
    pub fn tools(&self) -> &ToolTable<S> {
        &self.inner.tools
    }

    /// The prompts, to which others can be added at any time, if it had some when it was built or
    /// [`dynamic_prompts`](McpServerBuilder::dynamic_prompts) was called.
    #[must_use]
    pub fn prompts(&self) -> &PromptTable<S> {
        &self.inner.prompts
    }

    /// The resources and templates, to which others can be added at any time, if it had some when it was built or
    /// [`dynamic_resources`](McpServerBuilder::dynamic_resources) was called; and the way to tell subscribers of an update.
    #[must_use]
    pub fn resources(&self) -> &ResourceTable<S> {
        &self.inner.resources
    }
}

impl<S: State> fmt::Debug for McpServer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpServer").field("tools", &self.inner.tools).finish_non_exhaustive()
    }
}

impl<S: State> TellClients for ServerState<S> {
    fn tell(&self, change: Change) {
        tell_sessions(&self.engine, &change);
        self.changes.send(change);
    }
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

/// What the methods of a server share.
struct Parts<S: State> {
    tools: Arc<ToolTable<S>>,
    prompts: Arc<PromptTable<S>>,
    resources: Arc<ResourceTable<S>>,
    changes: ChangeFeed,
    description: Arc<ServerDescription>,
    server_meta: Arc<ServerMeta>,
    rounds: Arc<Rounds>,
    page: usize,
    tasks: Option<Arc<TaskTable<S>>>,
    completions: Arc<CompletionRates>,
}

impl<S: State> Parts<S> {
    /// All methods of the protocol that the server offers.
    fn methods(&self, engine: EngineBuilder<S>) -> EngineBuilder<S> {
        let offers = self.description.offers;
        let mut engine = self.tools(self.lifecycle(engine));
        if let Some(tasks) = &self.tasks {
            engine = tasks::register(engine, tasks, &self.server_meta);
        }
        if offers.prompts {
            engine = self.prompts(engine);
        }
        if offers.resources {
            engine = self.resources(engine);
        }
        if offers.completions {
            let handler = CompleteArgument {
                prompts: self.prompts.clone(),
                resources: self.resources.clone(),
                server_meta: self.server_meta.clone(),
                rates: self.completions.clone(),
            };
            engine = engine.raw_method(method::COMPLETE, MethodOptions::new().read_only(true), handler);
        }
        engine
    }

    /// Lets operators be answered before all others.
    fn operators(
        &self,
        engine: EngineBuilder<S>,
        operators: Operators<S>,
    ) -> Result<EngineBuilder<S>, BuildServerError> {
        let desk = Desk {
            operators: operators.checked(&self.tools, &self.resources)?,
            tools: (self.tools.clone(), self.pages("tools", Cacheable::ToolsList)),
            resources: self.resources.clone(),
            resource_pages: self.pages("resources", Cacheable::ResourcesList),
            template_pages: self.pages("resourceTemplates", Cacheable::ResourceTemplatesList),
            server_meta: self.server_meta.clone(),
        };
        Ok(engine.overtake(move |request| desk.answer(request)))
    }

    fn pages(&self, member: &'static str, of: Cacheable) -> ListPages {
        let hint = self.description.cache.get(of);
        ListPages { member, page: self.page, hint, server_meta: self.server_meta.clone() }
    }

    fn lifecycle(&self, engine: EngineBuilder<S>) -> EngineBuilder<S> {
        let initialize = self.description.clone();
        let discover = self.description.clone();
        let listen = ListenToChanges {
            changes: self.changes.clone(),
            resources: self.resources.clone(),
            offers: self.description.offers,
            tasks: self.tasks.clone(),
        };
        engine
            .answer_cancelled(false)
            .mark_degraded(mark_degraded)
            .control(method::INITIALIZE, move |session, params| handshake(&initialize, session, params))
            .control(method::INITIALIZED, |session, _| {
                session.mark_initialized();
                Ok(())
            })
            .control(method::PING, |_, _| Ok(json!({})))
            .control(method::CANCELLED, cancelled)
            .control(method::SET_LEVEL, set_level)
            .control(method::DISCOVER, move |_, _| Ok(discover.discover_result()))
            .raw_method(method::LISTEN, MethodOptions::new().without_breaker(), listen)
    }

    fn tools(&self, engine: EngineBuilder<S>) -> EngineBuilder<S> {
        let (tools, pages) = (self.tools.clone(), self.pages("tools", Cacheable::ToolsList));
        let call = CallTool {
            tools: self.tools.clone(),
            server_meta: self.server_meta.clone(),
            rounds: self.rounds.clone(),
            tasks: self.tasks.clone(),
        };
        engine
            .control(method::TOOLS_LIST, move |_, params| {
                pages.answer(&tools.tools.snapshot(), params.map(|raw| &**raw))
            })
            .raw_method(method::TOOLS_CALL, each_its_own(), call)
    }

    fn prompts(&self, engine: EngineBuilder<S>) -> EngineBuilder<S> {
        let (prompts, pages) = (self.prompts.clone(), self.pages("prompts", Cacheable::PromptsList));
        let get = GetPrompt {
            prompts: self.prompts.clone(),
            server_meta: self.server_meta.clone(),
            rounds: self.rounds.clone(),
        };
        engine
            .control(method::PROMPTS_LIST, move |_, params| {
                pages.answer(&prompts.prompts.snapshot(), params.map(|raw| &**raw))
            })
            .raw_method(method::PROMPTS_GET, each_its_own(), get)
    }

    fn resources(&self, engine: EngineBuilder<S>) -> EngineBuilder<S> {
        let (resources, pages) = (self.resources.clone(), self.pages("resources", Cacheable::ResourcesList));
        let templates = self.resources.clone();
        let template_pages = self.pages("resourceTemplates", Cacheable::ResourceTemplatesList);
        let subscribed = self.resources.clone();
        let read = ReadResource {
            resources: self.resources.clone(),
            hint: self.description.cache.get(Cacheable::ResourcesRead),
            server_meta: self.server_meta.clone(),
            rounds: self.rounds.clone(),
        };
        engine
            .control(method::RESOURCES_LIST, move |_, params| {
                pages.answer(&resources.resources.snapshot(), params.map(|raw| &**raw))
            })
            .control(method::RESOURCE_TEMPLATES_LIST, move |_, params| {
                template_pages.answer(&templates.templates.snapshot(), params.map(|raw| &**raw))
            })
            .control(method::RESOURCES_SUBSCRIBE, move |session, params| {
                subscribe(&subscribed, session, params)
            })
            .control(method::RESOURCES_UNSUBSCRIBE, unsubscribe)
            .raw_method(method::RESOURCES_READ, each_its_own(), read)
    }
}

/// Of a method that is treated as each tool, prompt or resource says for itself.
fn each_its_own() -> MethodOptions {
    MethodOptions::new().without_breaker().has_subjects(true)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initialize {
    protocol_version: String,
    #[serde(default)]
    capabilities: Capabilities,
}

/// Reads the params of `initialize`: the client, and the revision to speak with it.
pub(crate) fn read_initialize(params: Option<&RawValue>) -> Result<Peer, ErrorObject> {
    let params: Initialize = freehold::read_params(params)?;
    Ok(Peer::new(negotiate(&params.protocol_version), params.capabilities))
}

/// `initialize` on a session that exists: the first one wins, others are refused and disturb nothing.
fn handshake<S: State>(
    description: &ServerDescription,
    session: &Session<S>,
    params: Option<&Raw<'_>>,
) -> Result<Value, ErrorObject> {
    let peer = read_initialize(params.map(|raw| &**raw))?;
    let version = peer.version;
    session.attach(peer).map_err(|_| already_initialized())?;
    Ok(description.initialize_result(version))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cancelled {
    request_id: Value,
    reason: Option<String>,
}

/// `notifications/cancelled`: of a request that is unknown or over, nothing happens.
fn cancelled<S: State>(session: &Session<S>, params: Option<&Raw<'_>>) -> Result<(), ErrorObject> {
    let params: Cancelled = freehold::read_params(params.map(|raw| &**raw))?;
    let id = match &params.request_id {
        Value::String(id) => Some(RequestId::from(id.as_str())),
        Value::Number(id) => id.as_i64().map(RequestId::from),
        _ => None,
    };
    if let Some(id) = id {
        session.cancel(&id, params.reason.as_deref());
    }
    Ok(())
}

#[derive(Deserialize)]
struct SetLevel {
    level: LogLevel,
}

fn set_level<S: State>(session: &Session<S>, params: Option<&Raw<'_>>) -> Result<Value, ErrorObject> {
    let SetLevel { level } = freehold::read_params(params.map(|raw| &**raw))?;
    if let Some(peer) = Peer::of(session) {
        peer.set_log_level(level);
    }
    Ok(json!({}))
}

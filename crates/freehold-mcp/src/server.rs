//! A server: tools on an engine, and the methods of the protocol that both transports share.

use crate::{
    listen::ListenToChanges,
    model::{Capabilities, LogLevel, ServerMeta},
    peer::Peer,
    protocol::{Implementation, ServerDescription, method, negotiate},
    tools::{CallTool, DuplicateTool, Tool, ToolChanges, ToolTable, list_tools, mark_degraded},
};
use freehold::{
    BuildError, Engine, EngineBuilder, ErrorCode, ErrorObject, Limits, MethodOptions, RequestId, Session,
    State, message::Raw,
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{
    fmt,
    sync::{Arc, Weak},
};
use tokio::sync::watch;

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
    pub(crate) description: Arc<ServerDescription>,
    changes: watch::Sender<u64>,
}

/// The server could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildServerError {
    /// Two tools of one name.
    #[error(transparent)]
    Tool(#[from] DuplicateTool),
    /// A method of the application's own has the name of one of the protocol's.
    #[error(transparent)]
    Engine(#[from] BuildError),
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
        let info = Implementation { name: name.to_owned(), title: None, version: version.to_owned() };
        McpServerBuilder {
            engine: Engine::builder(initial),
            tools: Vec::new(),
            description: ServerDescription { info, instructions: None },
        }
    }

    /// The engine beneath.
    #[must_use]
    pub fn engine(&self) -> &Engine<S> {
        &self.inner.engine
    }

    /// The tools, to which others can be added at any time.
    #[must_use]
    pub fn tools(&self) -> &ToolTable<S> {
        &self.inner.tools
    }
}

impl<S: State> fmt::Debug for McpServer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpServer").field("tools", &self.inner.tools).finish_non_exhaustive()
    }
}

impl<S: State> ToolChanges for ServerState<S> {
    fn tools_changed(&self) {
        self.changes.send_modify(|version| *version += 1);
        let listens = |session: &Session<S>| session.is_initialized();
        let told = self.engine.broadcast(method::TOOLS_CHANGED, &json!({}), listens);
        debug_assert!(told.is_ok(), "an empty object has a JSON form");
    }
}

/// Builds an [`McpServer`].
#[must_use = "nothing exists before build()"]
pub struct McpServerBuilder<S: State> {
    engine: EngineBuilder<S>,
    tools: Vec<Tool<S>>,
    description: ServerDescription,
}

impl<S: State> McpServerBuilder<S> {
    /// Adds a tool.
    pub fn tool(mut self, tool: Tool<S>) -> Self {
        self.tools.push(tool);
        self
    }

    /// Gives the server a name for people.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.description.info.title = Some(title.into());
        self
    }

    /// Tells models how to use the server.
    pub fn instructions(mut self, instructions: impl Into<String>) -> Self {
        self.description.instructions = Some(instructions.into());
        self
    }

    /// Sets the engine's limits.
    pub fn limits(self, limits: Limits) -> Self {
        self.engine(|engine| engine.limits(limits))
    }

    /// Gives tools state of the application, found by its type with [`Context::app`](freehold::Context::app).
    pub fn app<T: Send + Sync + 'static>(self, state: Arc<T>) -> Self {
        self.engine(|engine| engine.app(state))
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
    pub fn build(self) -> Result<McpServer<S>, BuildServerError> {
        let description = Arc::new(self.description);
        let server_info = json!(description.info);
        let raw_info =
            serde_json::value::to_raw_value(&server_info).unwrap_or_else(|_| RawValue::NULL.to_owned());
        let server_meta = Arc::new(ServerMeta { server_info: raw_info });
        let tools = Arc::new(ToolTable::new(self.tools, server_meta.clone())?);
        let (changes, _) = watch::channel(0);
        let list = tools.clone();
        let discover = description.clone();
        let initialize = description.clone();
        let engine = self
            .engine
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
            .control(method::TOOLS_LIST, move |_, params| {
                list_tools(&list.snapshot(), params.map(|raw| &**raw), &server_info)
            })
            .raw_method(
                method::TOOLS_CALL,
                // Each tool has its own.
                MethodOptions::new().without_breaker().has_subjects(true),
                CallTool { tools: tools.clone(), server_meta },
            )
            .raw_method(
                method::LISTEN,
                MethodOptions::new().without_breaker(),
                ListenToChanges { changes: changes.clone() },
            )
            .build()?;
        let inner = Arc::new(ServerState { engine, tools, description, changes });
        let weak: Weak<ServerState<S>> = Arc::downgrade(&inner);
        inner.tools.tell(weak);
        Ok(McpServer { inner })
    }
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
    session.attach(peer).map_err(|_| {
        ErrorObject::new(ErrorCode::INVALID_REQUEST, "this session is initialized already; open another one")
    })?;
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

//! A server: tools on an engine, and the methods of the protocol that both transports share.

mod builder;
mod lifecycle;
mod methods;

use crate::{
    changes::{Change, ChangeFeed, TellClients, tell_sessions},
    delegate::Delegated,
    prompts::PromptTable,
    protocol::ServerDescription,
    resources::ResourceTable,
    tasks::TaskTable,
    tools::ToolTable,
};
use freehold::{Engine, State};
use std::{fmt, sync::Arc};

pub use builder::{BuildServerError, McpServerBuilder};
pub(crate) use lifecycle::read_initialize;

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

impl McpServer<()> {
    /// Starts to build a server whose sessions have no state.
    pub fn builder(name: &str, version: &str) -> McpServerBuilder<()> {
        Self::builder_with_state(name, version, ())
    }
}

impl<S: State> McpServer<S> {
    /// Starts to build a server whose sessions begin with `initial` as their state.
    pub fn builder_with_state(name: &str, version: &str, initial: S) -> McpServerBuilder<S> {
        McpServerBuilder::new(name, version, initial)
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

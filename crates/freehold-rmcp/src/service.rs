use crate::adapter::{Adapter, Sessions, Source};
use freehold_mcp::{
    BuildServerError, McpServer, McpServerBuilder,
    freehold::{EngineBuilder, Limits, MethodOptions},
};
use rmcp::ServerHandler;
use std::{collections::HashMap, fmt, io, sync::Arc};

/// Starts to build a server that serves `handler` on Freehold's transports. One handler serves all clients; see
/// [`service_per_session`] for one each.
///
/// # Examples
///
/// ```no_run
/// use rmcp::ServerHandler;
///
/// struct Nothing;
/// impl ServerHandler for Nothing {}
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Instead of `Nothing.serve(stdio()).await?.waiting().await?`:
/// freehold_rmcp::service(Nothing).build()?.serve_stdio().await?;
/// # Ok(())
/// # }
/// ```
pub fn service<H: ServerHandler>(handler: H) -> ServiceBuilder<H> {
    let info = handler.get_info().server_info;
    ServiceBuilder::new(Source::Shared(Arc::new(handler)), &info.name, &info.version)
}

/// Starts to build a server that makes a handler for each session, and for each stateless request, as rmcp's
/// `StreamableHttpService` does. A handler that cannot be made is an internal error to the client, and logged.
pub fn service_per_session<H: ServerHandler>(
    make: impl Fn() -> io::Result<H> + Send + Sync + 'static,
) -> ServiceBuilder<H> {
    ServiceBuilder::new(Source::Each(Box::new(make)), "rmcp", "")
}

/// Builds a server for an rmcp handler.
#[must_use = "nothing exists before build()"]
pub struct ServiceBuilder<H: ServerHandler> {
    source: Source<H>,
    server: McpServerBuilder<()>,
    own_methods: Vec<String>,
    options: HashMap<String, MethodOptions>,
}

impl<H: ServerHandler> fmt::Debug for ServiceBuilder<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceBuilder").field("server", &self.server).finish_non_exhaustive()
    }
}

impl<H: ServerHandler> ServiceBuilder<H> {
    fn new(source: Source<H>, name: &str, version: &str) -> Self {
        let server = McpServer::builder(name, version);
        Self { source, server, own_methods: Vec::new(), options: HashMap::new() }
    }

    /// Sets the engine's limits: deadlines, how long the client may take to answer, how many calls there may be.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.server = self.server.limits(limits);
        self
    }

    /// Configures the engine beneath: hooks, observer, runtime.
    pub fn engine(mut self, configure: impl FnOnce(EngineBuilder<()>) -> EngineBuilder<()>) -> Self {
        self.server = self.server.engine(configure);
        self
    }

    /// Sets how requests (or notifications) of one method are treated: their deadline, their circuit breaker.
    pub fn method_options(mut self, method: &str, options: MethodOptions) -> Self {
        self.options.insert(method.to_owned(), options);
        self
    }

    /// Lets requests, or notifications, of a method that the protocol does not have reach the handler, in
    /// [`on_custom_request`](ServerHandler::on_custom_request) or
    /// [`on_custom_notification`](ServerHandler::on_custom_notification). Notifications' names begin with
    /// `notifications/`. Others are answered with "method not found".
    pub fn custom_method(mut self, method: &str) -> Self {
        self.own_methods.push(method.to_owned());
        self
    }

    /// Builds the server: [`serve_stdio`](McpServer::serve_stdio), [`serve_http`](McpServer::serve_http), or
    /// [`HttpService`](freehold_mcp::HttpService) to mount it.
    ///
    /// Requests are handled within a tokio runtime, since rmcp needs one.
    ///
    /// # Errors
    ///
    /// [`BuildServerError`], if [`custom_method`](Self::custom_method) names a method of the protocol's.
    ///
    /// # Panics
    ///
    /// As [`EngineBuilder::build`].
    pub fn build(self) -> Result<McpServer, BuildServerError> {
        let sessions: Sessions<H> = Arc::default();
        let adapter = Adapter::new(self.source, self.own_methods, self.options, sessions.clone());
        let end = move |engine: EngineBuilder<()>| {
            engine.on_closed(move |session, _| {
                let home = sessions.pin().remove(&session.id()).cloned();
                if let Some(home) = home {
                    home.peers.end();
                }
            })
        };
        self.server.engine(end).delegate(adapter).build()
    }
}

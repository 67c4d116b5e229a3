//! A server written with rmcp, and rmcp's client on each of our transports. What happens in the handler is told to the test,
//! so that no test has to guess when.

#![allow(dead_code, reason = "each test uses its own part")]
#![allow(deprecated, reason = "revisions with sessions have roots and logging")]

use freehold_rmcp::{
    freehold_mcp::{
        HttpOptions, McpServer,
        freehold::{
            Limits,
            runtime::{Runtime, TokioRuntime, until},
        },
    },
    rmcp::{
        ClientHandler, ErrorData, RoleClient, RoleServer, ServerHandler, ServiceError,
        handler::server::{router::tool::ToolRouter, wrapper::Parameters},
        model::{
            CallToolRequestParams, CallToolResult, CancelledNotificationParam, ClientCapabilities,
            ClientConfig, CustomNotification, CustomRequest, CustomResult, Implementation, ListRootsResult,
            LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam, ProtocolVersion, Root,
            ServerCapabilities, ServerConfig, SubscriptionFilter,
        },
        service::{
            ClientLifecycleMode, ClientServiceExt, NotificationContext, RequestContext, RunningService,
            SubscriptionContext,
        },
        tool, tool_handler, tool_router,
        transport::{
            StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
        },
    },
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::{Notify, Semaphore, mpsc};

/// How long a test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `future`, but not for ever.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    let end = TokioRuntime.now() + PATIENCE;
    until(&TokioRuntime, end, future).await.expect("what the test waits for never came")
}

/// The server.
#[derive(Clone)]
pub(crate) struct Stage {
    tell: mpsc::UnboundedSender<String>,
    go: Arc<Semaphore>,
    changed: Arc<Notify>,
    tool_router: ToolRouter<Self>,
}

/// The test's end of it.
pub(crate) struct Audience {
    heard: mpsc::UnboundedReceiver<String>,
    go: Arc<Semaphore>,
    changed: Arc<Notify>,
}

impl Audience {
    /// What the server says next.
    pub(crate) async fn hears(&mut self) -> String {
        within(self.heard.recv()).await.expect("the server is gone")
    }

    /// Waits until the server says this.
    pub(crate) async fn hears_of(&mut self, what: &str) {
        while self.hears().await != what {}
    }

    /// Lets one `wait` return.
    pub(crate) fn release(&self) {
        self.go.add_permits(1);
    }

    /// Has the list of tools change, for one subscription.
    pub(crate) fn change(&self) {
        self.changed.notify_one();
    }
}

pub(crate) fn stage() -> (Stage, Audience) {
    let (tell, heard) = mpsc::unbounded_channel();
    let go = Arc::new(Semaphore::new(0));
    let changed = Arc::new(Notify::new());
    let stage = Stage { tell, go: go.clone(), changed: changed.clone(), tool_router: Stage::tool_router() };
    (stage, Audience { heard, go, changed })
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Echo {
    text: String,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Flood {
    n: u32,
    bytes: usize,
}

impl Stage {
    fn say(&self, what: impl Into<String>) {
        // A test that is over no longer listens.
        let _ = self.tell.send(what.into());
    }
}

/// Tells when it is dropped.
struct Told<'a>(&'a Stage, &'static str);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.say(self.1);
    }
}

#[tool_router]
impl Stage {
    #[tool(description = "Returns its text.")]
    async fn echo(&self, Parameters(Echo { text }): Parameters<Echo>) -> String {
        text
    }

    #[tool(description = "Panics.")]
    async fn panics(&self) -> String {
        panic!("as the test wants it");
    }

    #[tool(description = "Never returns, whatever it is told.")]
    async fn stuck(&self) -> String {
        let _told = Told(self, "stuck is dropped");
        self.say("stuck");
        std::future::pending().await
    }

    #[tool(description = "Waits to be released, or cancelled.")]
    async fn wait(&self, context: RequestContext<RoleServer>) -> String {
        self.say("waiting");
        tokio::select! {
            go = self.go.acquire() => go.expect("it is never closed").forget(),
            () = context.ct.cancelled() => self.say("cancelled"),
        }
        "released".to_owned()
    }

    #[tool(description = "Asks the client for its roots.")]
    async fn roots(&self, context: RequestContext<RoleServer>) -> Result<String, ErrorData> {
        self.say("asking");
        match context.peer.list_roots().await {
            Ok(roots) => Ok(roots.roots.iter().map(|root| root.uri.clone()).collect::<Vec<_>>().join(" ")),
            Err(error) => Err(ErrorData::internal_error(error.to_string(), None)),
        }
    }

    #[tool(description = "Asks the client for its roots after it has answered.")]
    async fn roots_later(&self, context: RequestContext<RoleServer>) -> String {
        let stage = self.clone();
        let later = async move {
            stage.go.acquire().await.expect("it is never closed").forget();
            let found = match context.peer.list_roots().await {
                Ok(roots) => roots.roots.len().to_string(),
                Err(error) => error.to_string(),
            };
            stage.say(format!("later: {found}"));
        };
        TokioRuntime.spawn("later", Box::pin(later));
        "later".to_owned()
    }

    #[tool(description = "Reports its progress, again and again.")]
    async fn flood(
        &self,
        Parameters(Flood { n, bytes }): Parameters<Flood>,
        context: RequestContext<RoleServer>,
    ) -> Result<String, ErrorData> {
        let token =
            context.meta.get_progress_token().ok_or_else(|| ErrorData::invalid_params("no token", None))?;
        let message = "x".repeat(bytes);
        for sent in 1..=n {
            let step =
                ProgressNotificationParam::new(token.clone(), f64::from(sent)).with_message(message.clone());
            context
                .peer
                .notify_progress(step)
                .await
                .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        }
        self.say("flooded");
        Ok("done".to_owned())
    }

    #[tool(description = "Logs, and says that resources and tools changed.")]
    async fn tells(&self, context: RequestContext<RoleServer>) -> Result<String, ErrorData> {
        let failed = |error: ServiceError| ErrorData::internal_error(error.to_string(), None);
        let log = |level| LoggingMessageNotificationParam::new(level, json!("hello"));
        context.peer.notify_logging_message(log(LoggingLevel::Debug)).await.map_err(failed)?;
        context.peer.notify_logging_message(log(LoggingLevel::Error)).await.map_err(failed)?;
        context.peer.notify_tool_list_changed().await.map_err(failed)?;
        Ok("told".to_owned())
    }

    #[tool(description = "Says who asks.")]
    async fn who(&self, context: RequestContext<RoleServer>) -> String {
        let client = context.client_info().map(|client| client.name).unwrap_or_default();
        let version = context.protocol_version().map(|version| version.to_string()).unwrap_or_default();
        format!("{client} {version}")
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Stage {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(
            ServerCapabilities::builder().enable_tools().enable_tool_list_changed().enable_logging().build(),
        )
        .with_server_info(Implementation::new("stage", "1"))
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let _told = Told(self, "listened");
        self.say("listening");
        loop {
            tokio::select! {
                () = subscription.cancelled() => return Ok(()),
                () = self.changed.notified() => {
                    let told = subscription.sink().notify_tool_list_changed().await;
                    told.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
                }
            }
        }
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let name = context.peer.peer_info().map(|client| client.client_info.name.clone());
        self.say(format!("initialized by {}", name.unwrap_or_default()));
    }

    async fn on_cancelled(
        &self,
        notification: CancelledNotificationParam,
        _context: NotificationContext<RoleServer>,
    ) {
        self.say(format!("on_cancelled {}", notification.reason.unwrap_or_default()));
    }

    async fn on_roots_list_changed(&self, context: NotificationContext<RoleServer>) {
        let found = match context.peer.list_roots().await {
            Ok(roots) => roots.roots.len().to_string(),
            Err(error) => error.to_string(),
        };
        self.say(format!("roots changed: {found}"));
    }

    async fn on_custom_notification(
        &self,
        notification: CustomNotification,
        _context: NotificationContext<RoleServer>,
    ) {
        self.say(format!("custom {} {:?}", notification.method, notification.params));
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        Ok(CustomResult::new(json!({ "asked": request.method })))
    }
}

/// What a client is told, and how it answers.
#[derive(Clone)]
pub(crate) struct Person {
    tell: mpsc::UnboundedSender<String>,
    answers: bool,
    capabilities: Value,
}

impl Person {
    pub(crate) fn new(tell: mpsc::UnboundedSender<String>, answers: bool, capabilities: Value) -> Self {
        Self { tell, answers, capabilities }
    }

    fn say(&self, what: impl Into<String>) {
        let _ = self.tell.send(what.into());
    }
}

impl ClientHandler for Person {
    fn get_info(&self) -> ClientConfig {
        let capabilities: ClientCapabilities =
            serde_json::from_value(self.capabilities.clone()).expect("they are capabilities");
        ClientConfig::new(capabilities, Implementation::new("person", "1"))
    }

    async fn list_roots(&self, _context: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        self.say("asked for roots");
        if !self.answers {
            std::future::pending::<()>().await;
        }
        Ok(ListRootsResult::new(vec![Root::new("file:///a"), Root::new("file:///b")]))
    }

    async fn on_progress(
        &self,
        progress: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        self.say(format!("progress {}", progress.progress));
    }

    async fn on_logging_message(
        &self,
        message: LoggingMessageNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        self.say(format!("log {:?}", message.level));
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.say("tools changed");
    }
}

/// A client, and what it is told.
pub(crate) struct Client {
    pub(crate) sdk: RunningService<RoleClient, Person>,
    heard: mpsc::UnboundedReceiver<String>,
}

/// How a client reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Http,
    HttpStateless,
    Stdio,
    StdioStateless,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [Self::Http, Self::HttpStateless, Self::Stdio, Self::StdioStateless];
    pub(crate) const SESSIONS: [Self; 2] = [Self::Http, Self::Stdio];

    pub(crate) fn is_stateless(self) -> bool {
        matches!(self, Self::HttpStateless | Self::StdioStateless)
    }
}

/// A client that answers what it is asked.
pub(crate) async fn connect(server: &McpServer, way: Way) -> Client {
    connect_as(server, way, true, json!({ "roots": { "listChanged": true } })).await
}

pub(crate) async fn connect_as(server: &McpServer, way: Way, answers: bool, capabilities: Value) -> Client {
    let (tell, heard) = mpsc::unbounded_channel();
    let person = Person { tell, answers, capabilities };
    let lifecycle = match way.is_stateless() {
        true => ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] },
        false => ClientLifecycleMode::Initialize,
    };
    let sdk = within(Box::pin(async {
        match way {
            Way::Http | Way::HttpStateless => {
                let listener =
                    server.bind_http("127.0.0.1:0", HttpOptions::default()).await.expect("a free port");
                let mut config = StreamableHttpClientTransportConfig::with_uri(listener.url());
                // Its worker waits for ever for a reader when this is full while the client leaves.
                config.channel_buffer_capacity = 4096;
                TokioRuntime.spawn("server", Box::pin(listener.serve()));
                person
                    .serve_with_lifecycle(StreamableHttpClientTransport::from_config(config), lifecycle)
                    .await
            }
            Way::Stdio | Way::StdioStateless => person.serve_with_lifecycle(pipes(server), lifecycle).await,
        }
    }))
    .await
    .expect("the client connects");
    Client { sdk, heard }
}

/// Serves one client over pipes, and returns its ends.
pub(crate) fn pipes(
    server: &McpServer,
) -> (tokio::io::ReadHalf<tokio::io::DuplexStream>, tokio::io::WriteHalf<tokio::io::DuplexStream>) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (input, output) = tokio::io::split(ours);
    let server = server.clone();
    let serving = async move {
        let served = server.serve_io(input, output).await;
        served.expect("the pipes hold");
    };
    TokioRuntime.spawn("pipes", Box::pin(serving));
    tokio::io::split(theirs)
}

impl Client {
    /// What the client is told next.
    pub(crate) async fn hears(&mut self) -> String {
        within(self.heard.recv()).await.expect("the client is gone")
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Result<String, ServiceError> {
        within(self.sdk.call_tool(params(tool, arguments))).await.map(|result| text_of(&result))
    }

    /// Checks that others are answered.
    pub(crate) async fn echoes(&self) {
        assert_eq!(self.call("echo", json!({ "text": "hi" })).await.expect("an answer"), "hi");
    }
}

pub(crate) fn params(tool: &str, arguments: Value) -> CallToolRequestParams {
    CallToolRequestParams::new(tool.to_owned())
        .with_arguments(arguments.as_object().cloned().unwrap_or_default())
}

pub(crate) fn text_of(result: &CallToolResult) -> String {
    let json = serde_json::to_value(result).expect("a result is JSON");
    json["content"][0]["text"].as_str().unwrap_or_default().to_owned()
}

/// The stage on our transports.
pub(crate) fn server(limits: Limits) -> (McpServer, Audience) {
    let (stage, audience) = stage();
    let server = freehold_rmcp::service(stage)
        .limits(limits)
        .custom_method("acme/sum")
        .custom_method("notifications/acme/sum")
        .build()
        .expect("methods are unique");
    (server, audience)
}

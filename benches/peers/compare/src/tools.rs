//! The tools of `freehold_scenarios::outside`, which has what each of them does.

// Logging is deprecated, but what the session revisions have to send something to a session.
#![expect(deprecated, reason = "the tools speak a revision that has it")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    ElicitRequestParams, ElicitationSchema, LoggingLevel, LoggingMessageNotificationParam,
    ProgressNotificationParam, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, Peer, RoleServer, ServerHandler, schemars, tool, tool_handler, tool_router};
use serde::Deserialize;

/// Between two messages that are published.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct Text {
    text: String,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct Ms {
    ms: u64,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct Number {
    n: u64,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct Size {
    bytes: usize,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct Sizes {
    count: u32,
    bytes: usize,
}

/// What all sessions share.
#[derive(Debug, Default)]
struct Shared {
    handlers: AtomicUsize,
    joined: Mutex<Vec<Peer<RoleServer>>>,
}

/// A handler that runs.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.handlers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Clone)]
pub struct Tools {
    shared: Arc<Shared>,
    tool_router: Arc<ToolRouter<Self>>,
}

impl Default for Tools {
    fn default() -> Self {
        Self { shared: Arc::default(), tool_router: Arc::new(Self::tool_router()) }
    }
}

impl Tools {
    fn begin(&self) -> Running {
        self.shared.handlers.fetch_add(1, Ordering::Relaxed);
        Running(self.shared.clone())
    }
}

#[tool_router]
impl Tools {
    #[tool(description = "Returns its text")]
    async fn echo(&self, Parameters(Text { text }): Parameters<Text>) -> String {
        text
    }

    #[tool(description = "How many handlers run")]
    async fn running(&self) -> String {
        self.shared.handlers.load(Ordering::Relaxed).to_string()
    }

    #[tool(description = "Returns when it is cancelled")]
    async fn never(&self, context: RequestContext<RoleServer>) -> String {
        let _running = self.begin();
        context.ct.cancelled().await;
        "cancelled".to_owned()
    }

    #[tool(description = "Never returns")]
    async fn stubborn(&self) -> String {
        let _running = self.begin();
        std::future::pending().await
    }

    #[tool(description = "Waits, and returns")]
    async fn sleep(&self, Parameters(Ms { ms }): Parameters<Ms>) -> String {
        let _running = self.begin();
        tokio::time::sleep(Duration::from_millis(ms)).await;
        "slept".to_owned()
    }

    #[tool(description = "Blocks its thread, and returns")]
    async fn block(&self, Parameters(Ms { ms }): Parameters<Ms>) -> String {
        let _running = self.begin();
        std::thread::sleep(Duration::from_millis(ms));
        "blocked".to_owned()
    }

    #[tool(description = "Asks the client")]
    async fn ask(
        &self,
        client: Peer<RoleServer>,
        Parameters(Number { n }): Parameters<Number>,
    ) -> Result<String, ErrorData> {
        let _running = self.begin();
        let question = ElicitRequestParams::FormElicitationParams {
            meta: None,
            message: format!("question {n}"),
            requested_schema: ElicitationSchema::new(Default::default()),
        };
        let answer = client.create_elicitation(question).await;
        let answer = answer.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(format!("{:?}", answer.action))
    }

    #[tool(description = "Sends notifications, and returns")]
    async fn progress(
        &self,
        context: RequestContext<RoleServer>,
        Parameters(Sizes { count, bytes }): Parameters<Sizes>,
    ) -> Result<String, ErrorData> {
        let _running = self.begin();
        let token = context.meta.get_progress_token();
        let token = token.ok_or_else(|| ErrorData::invalid_params("needs a progress token", None))?;
        let message = "x".repeat(bytes);
        for sent in 1..=count {
            let progress = ProgressNotificationParam::new(token.clone(), f64::from(sent))
                .with_total(f64::from(count))
                .with_message(message.clone());
            let told = context.peer.notify_progress(progress).await;
            told.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        }
        Ok("sent".to_owned())
    }

    #[tool(description = "Returns a text of this size")]
    async fn burst(&self, Parameters(Size { bytes }): Parameters<Size>) -> String {
        "x".repeat(bytes)
    }

    #[tool(description = "Panics")]
    async fn panic(&self) -> String {
        let _running = self.begin();
        panic!("a panic on purpose")
    }

    #[tool(description = "Is sent what is published")]
    async fn join(&self, client: Peer<RoleServer>) -> String {
        self.shared.joined.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        "joined".to_owned()
    }

    #[tool(description = "Sends messages to all who joined")]
    async fn publish(&self, Parameters(sizes): Parameters<Sizes>) -> String {
        let _running = self.begin();
        let joined = self.shared.joined.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sending: Vec<_> =
            joined.into_iter().map(|client| tokio::spawn(send(client, sizes.count, sizes.bytes))).collect();
        for client in sending {
            let _ = client.await;
        }
        "published".to_owned()
    }
}

async fn send(client: Peer<RoleServer>, count: u32, bytes: usize) {
    let text = "x".repeat(bytes);
    for number in 1..=count {
        let data = format!("{number} {text}").into();
        let message = LoggingMessageNotificationParam::new(LoggingLevel::Error, data);
        if client.notify_logging_message(message).await.is_err() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_logging().build())
    }
}

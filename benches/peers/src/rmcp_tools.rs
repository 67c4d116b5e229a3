//! The tools `echo`, `slow` and `flood` on the official SDK.

use std::sync::Arc;
use std::time::Duration;

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolResult, ContentBlock, ProgressNotificationParam, RequestMetaObject, ServerCapabilities,
    ServerConfig,
};
use rmcp::{ErrorData, Peer, RoleServer, ServerHandler, schemars, tool, tool_handler, tool_router};
use serde::Deserialize;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct Echo {
    text: String,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct Slow {
    ms: u64,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct Flood {
    n: u32,
    bytes: usize,
}

/// The server under comparison. The router is built once and shared, the cheapest way rmcp offers.
#[derive(Clone)]
pub struct BenchTools {
    tool_router: Arc<ToolRouter<Self>>,
}

impl Default for BenchTools {
    fn default() -> Self {
        Self { tool_router: Arc::new(Self::tool_router()) }
    }
}

#[tool_router]
impl BenchTools {
    #[tool(description = "Answers its text")]
    async fn echo(&self, Parameters(Echo { text }): Parameters<Echo>) -> CallToolResult {
        CallToolResult::success(vec![ContentBlock::text(text)])
    }

    #[tool(description = "Answers after ms milliseconds")]
    async fn slow(&self, Parameters(Slow { ms }): Parameters<Slow>) -> CallToolResult {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        CallToolResult::success(vec![ContentBlock::text(format!("slept {ms} ms"))])
    }

    #[tool(description = "Sends n progress notifications of about the given size, then answers")]
    async fn flood(
        &self,
        meta: RequestMetaObject,
        client: Peer<RoleServer>,
        Parameters(Flood { n, bytes }): Parameters<Flood>,
    ) -> Result<CallToolResult, ErrorData> {
        let token = meta
            .get_progress_token()
            .ok_or_else(|| ErrorData::invalid_params("flood needs a progress token", None))?;
        let filler = "x".repeat(bytes);
        for step in 1..=n {
            let progress = ProgressNotificationParam::new(token.clone(), f64::from(step))
                .with_total(f64::from(n))
                .with_message(filler.clone());
            if client.notify_progress(progress).await.is_err() {
                break;
            }
        }
        Ok(CallToolResult::success(vec![ContentBlock::text(format!("{n} notifications"))]))
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for BenchTools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}

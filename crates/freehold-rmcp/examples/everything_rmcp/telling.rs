//! What a tool can tell its client while it runs, and that lists changed.

use crate::{Changed, Everything, failed};
use freehold_rmcp::{
    freehold_mcp::freehold::runtime::{TokioRuntime, pause},
    rmcp::{
        ErrorData, RoleServer,
        model::{LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam},
        service::RequestContext,
        tool, tool_router,
    },
};
use serde_json::json;
use std::time::Duration;

/// How long a piece of work takes.
const WORK: Duration = Duration::from_millis(50);

async fn work() {
    pause(&TokioRuntime, WORK).await;
}

async fn log(context: &RequestContext<RoleServer>, what: &str) -> Result<(), ErrorData> {
    let message = LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(what));
    context.peer.notify_logging_message(message).await.map_err(failed)
}

async fn logs(context: &RequestContext<RoleServer>) -> Result<String, ErrorData> {
    log(context, "Tool execution started").await?;
    work().await;
    log(context, "Tool processing data").await?;
    work().await;
    log(context, "Tool execution completed").await?;
    Ok("Tool with logging executed successfully".to_owned())
}

#[tool_router(router = telling_router, vis = "pub(crate)")]
impl Everything {
    #[tool(description = "Logs what it does.")]
    async fn test_tool_with_logging(&self, context: RequestContext<RoleServer>) -> Result<String, ErrorData> {
        logs(&context).await
    }

    #[tool(description = "Logs what it does, to clients that ask for it.")]
    async fn test_logging_tool(&self, context: RequestContext<RoleServer>) -> Result<String, ErrorData> {
        logs(&context).await
    }

    #[tool(description = "Reports its progress.")]
    async fn test_tool_with_progress(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<String, ErrorData> {
        const TOTAL: f64 = 100.0;
        let token = context.meta.get_progress_token();
        for progress in [0.0, TOTAL / 2.0, TOTAL] {
            if let Some(token) = &token {
                let step = ProgressNotificationParam::new(token.clone(), progress).with_total(TOTAL);
                context.peer.notify_progress(step).await.map_err(failed)?;
            }
            work().await;
        }
        Ok("Tool with progress executed successfully".to_owned())
    }

    #[tool(description = "Says that the list of tools changed.")]
    async fn test_trigger_tool_change(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<String, ErrorData> {
        // Without a subscription nobody is told.
        let _ = self.changes.send(Changed::Tools);
        context.peer.notify_tool_list_changed().await.map_err(failed)?;
        Ok("The list of tools changed".to_owned())
    }

    #[tool(description = "Says that the list of prompts changed.")]
    async fn test_trigger_prompt_change(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<String, ErrorData> {
        let _ = self.changes.send(Changed::Prompts);
        context.peer.notify_prompt_list_changed().await.map_err(failed)?;
        Ok("The list of prompts changed".to_owned())
    }

    #[tool(description = "Takes longer than the client may stay connected.")]
    async fn test_reconnection(&self) -> String {
        work().await;
        "Reconnection test completed successfully".to_owned()
    }
}

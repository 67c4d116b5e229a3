//! What a tool can tell its client while it runs, and that the list of tools changed.

use crate::{Server, resources::WATCHED};
use freehold_mcp::{LogLevel, McpServer, Tool, ToolContext, ToolError, freehold::runtime};
use std::time::Duration;

/// How long a piece of work takes.
const WORK: Duration = Duration::from_millis(50);

pub(crate) fn tools() -> Vec<Tool<()>> {
    vec![
        Tool::new("test_tool_with_logging", "Logs what it does.", logging).read_only(),
        Tool::new("test_logging_tool", "Logs what it does, to clients that ask for it.", logging).read_only(),
        Tool::new("test_tool_with_progress", "Reports its progress.", progress).read_only(),
        Tool::new("test_trigger_tool_change", "Says that the list of tools changed.", change).read_only(),
        Tool::new("test_trigger_prompt_change", "Says that the list of prompts changed.", prompt_change)
            .read_only(),
        Tool::new(
            "test_trigger_resource_change",
            "Says that the list of resources changed.",
            resource_change,
        )
        .read_only(),
        Tool::new("test_trigger_resource_update", "Says that the watched resource changed.", resource_update)
            .read_only(),
        Tool::new("test_reconnection", "Takes longer than the client may stay connected.", reconnection)
            .read_only(),
    ]
}

async fn work(ctx: &ToolContext<()>) {
    runtime::pause(&**ctx.engine().runtime(), WORK).await;
}

async fn logging(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    ctx.log(LogLevel::Info, &"Tool execution started");
    work(ctx).await;
    ctx.log(LogLevel::Info, &"Tool processing data");
    work(ctx).await;
    ctx.log(LogLevel::Info, &"Tool execution completed");
    Ok("Tool with logging executed successfully")
}

async fn progress(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    const TOTAL: f64 = 100.0;
    ctx.progress(0.0, Some(TOTAL), Some("started"));
    work(ctx).await;
    ctx.progress(TOTAL / 2.0, Some(TOTAL), Some("half done"));
    work(ctx).await;
    ctx.progress(TOTAL, Some(TOTAL), Some("done"));
    Ok("Tool with progress executed successfully")
}

fn server(ctx: &ToolContext<()>) -> Result<&McpServer, ToolError> {
    ctx.app::<Server>().0.get().ok_or_else(|| ToolError::new("the server is not built yet"))
}

async fn change(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    server(ctx)?.tools().changed();
    Ok("The list of tools changed")
}

async fn prompt_change(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    server(ctx)?.prompts().changed();
    Ok("The list of prompts changed")
}

async fn resource_change(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    server(ctx)?.resources().changed();
    Ok("The list of resources changed")
}

async fn resource_update(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    server(ctx)?.resources().updated(WATCHED);
    Ok("The watched resource changed")
}

async fn reconnection(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    work(ctx).await;
    Ok("Reconnection test completed successfully")
}

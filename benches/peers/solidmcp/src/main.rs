//! solidmcp with the tool `echo`, as its `McpServer` serves a handler. It gives no session ids; clients that send no cookie
//! share one session. By its own doing each of its answers over HTTP waits for 10 ms, which is no CPU time, and says that the
//! connection closes.

#[path = "../../src/arguments.rs"]
mod arguments;

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use arguments::Arguments;
use async_trait::async_trait;
use serde_json::{Value, json};
use solidmcp::{McpContext, McpHandler, McpServer, ToolDefinition};

struct BenchTools;

#[async_trait]
impl McpHandler for BenchTools {
    async fn list_tools(&self, _context: &McpContext) -> Result<Vec<ToolDefinition>> {
        let text =
            json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]});
        Ok(vec![ToolDefinition {
            name: "echo".to_owned(),
            description: "Answers its text".to_owned(),
            input_schema: text,
            output_schema: json!({"type": "object"}),
        }])
    }

    async fn call_tool(&self, name: &str, mut arguments: Value, _context: &McpContext) -> Result<Value> {
        if name != "echo" {
            bail!("no tool named {name}");
        }
        let text = arguments.get_mut("text").context("echo needs a text")?.take();
        Ok(json!({"content": [{"type": "text", "text": text}]}))
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::from_command_line();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.workers).enable_all().build()?;
    runtime.block_on(async move {
        tokio::spawn(async move {
            McpServer::with_handler(Arc::new(BenchTools)).await?.start(arguments.port).await
        })
        .await?
    })
}

//! The server of the README. `cargo run --example minimal`, then point a client at <http://127.0.0.1:8808/mcp>.

use freehold_mcp::{McpServer, Tool, ToolContext, ToolError};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Echo {
    text: String,
}

async fn echo(_ctx: &ToolContext, args: Echo) -> Result<String, ToolError> {
    Ok(args.text)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server =
        McpServer::builder("minimal", "1.0.0").tool(Tool::new("echo", "Returns its text.", echo)).build()?;
    Ok(server.serve_http("127.0.0.1:8808").await?)
}

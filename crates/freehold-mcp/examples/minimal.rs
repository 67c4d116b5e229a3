//! The server of the README. `cargo run --example minimal`, then point a client at <http://127.0.0.1:8808/mcp>.

use freehold_mcp::{McpServer, tool};

/// Returns its text.
#[tool(read_only)]
async fn echo(text: String) -> String {
    text
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(McpServer::builder("minimal", "1.0.0")
        .tool(echo::tool())
        .build()?
        .serve_http("127.0.0.1:8808")
        .await?)
}

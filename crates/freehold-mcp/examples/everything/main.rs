//! The server that the conformance suite calls: `everything PORT` serves <http://127.0.0.1:PORT/mcp> with one tool for
//! each thing that a tool can do. `scripts/conformance` starts it.

mod asking;
mod content;
mod schemas;
mod telling;

use freehold_mcp::{HttpOptions, McpServer};
use std::{
    error::Error,
    sync::{Arc, OnceLock},
};

/// The server, for tools that change it.
#[derive(Default)]
struct Server(OnceLock<McpServer>);

fn build() -> Result<McpServer, Box<dyn Error>> {
    let own = Arc::new(Server::default());
    let mut builder = McpServer::builder("everything", env!("CARGO_PKG_VERSION"))
        .title("Everything")
        .instructions("Each tool shows one thing that a tool can do.")
        .app(own.clone());
    let tools = [content::tools(), telling::tools(), asking::tools(), schemas::tools()];
    for tool in tools.into_iter().flatten() {
        builder = builder.tool(tool);
    }
    let server = builder.build()?;
    // Nobody else sets it.
    let _ = own.0.set(server.clone());
    Ok(server)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: everything PORT")?.parse()?;
    let listener = build()?.bind_http(("127.0.0.1", port), HttpOptions::default()).await?;
    println!("{}", listener.url());
    listener.serve().await;
    Ok(())
}

//! The server that the conformance suite and real clients call: `everything PORT` serves <http://127.0.0.1:PORT/mcp>,
//! `everything --stdio` one client on standard input and output, with one tool for each thing that a tool can do, and a
//! prompt or a resource for each kind of these. A second argument sets how many entries a page of its lists has.
//! `scripts/conformance` and `scripts/clients` start it.

mod asking;
mod content;
mod lasting;
mod prompts;
mod resources;
mod rounds;
mod schemas;
mod telling;

use freehold_mcp::{CacheHint, Cacheable, HttpOptions, McpServer};
use std::{
    error::Error,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// The server, for tools that change it.
#[derive(Default)]
struct Server(OnceLock<McpServer>);

fn build(page_size: Option<usize>) -> Result<McpServer, Box<dyn Error>> {
    let own = Arc::new(Server::default());
    let mut builder = McpServer::builder("everything", env!("CARGO_PKG_VERSION"))
        .title("Everything")
        .instructions("Each tool shows one thing that a tool can do.")
        .app(own.clone());
    let tools = [
        content::tools(),
        telling::tools(),
        asking::tools(),
        rounds::tools(),
        schemas::tools(),
        lasting::tools(),
    ];
    for tool in tools.into_iter().flatten() {
        builder = builder.tool(tool);
    }
    for prompt in prompts::prompts() {
        builder = builder.prompt(prompt);
    }
    for resource in resources::resources() {
        builder = builder.resource(resource);
    }
    if let Some(entries) = page_size {
        builder = builder.page_size(entries);
    }
    let server = builder
        .resource_template(resources::data::resource_template())
        .cache(Cacheable::ToolsList, CacheHint::public(Duration::from_secs(60)))
        .build()?;
    // Nobody else sets it.
    let _ = own.0.set(server.clone());
    Ok(server)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().ok_or("usage: everything (PORT | --stdio) [ENTRIES_A_PAGE]")?;
    let server = build(arguments.next().map(|entries| entries.parse()).transpose()?)?;
    if place == "--stdio" {
        return Ok(server.serve_stdio().await?);
    }
    let port: u16 = place.parse()?;
    let listener = server.bind_http(("127.0.0.1", port), HttpOptions::default()).await?;
    println!("{}", listener.url());
    listener.serve().await;
    Ok(())
}

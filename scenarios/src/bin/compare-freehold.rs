//! The server that `compare` drives beside others: `compare-freehold [--tool-threads N] PORT`. Everything is as it comes but
//! its tools, and, if told so, handlers that have threads of their own.

use clap::Parser;
use freehold_mcp::HttpOptions;
use freehold_scenarios::outside::freehold;
use std::error::Error;

#[derive(Parser)]
struct Arguments {
    /// Threads for handlers alone; without them they share the transports'
    #[arg(long, value_name = "N")]
    tool_threads: Option<usize>,
    /// Port of the loopback interface
    port: u16,
}

async fn serve(port: u16, handlers: Option<&tokio::runtime::Runtime>) -> Result<(), Box<dyn Error>> {
    let mut server = freehold::server();
    if let Some(handlers) = handlers {
        server = server.engine(|engine| engine.handlers_on(handlers.handle()));
    }
    server.build()?.bind_http(("127.0.0.1", port), HttpOptions::default()).await?.serve().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let threads = |count: Option<usize>| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        count.iter().for_each(|count| {
            builder.worker_threads(*count);
        });
        builder.enable_all().build()
    };
    let handlers = arguments.tool_threads.map(|count| threads(Some(count))).transpose()?;
    threads(None)?.block_on(serve(arguments.port, handlers.as_ref()))
}

//! The server that is measured beside rmcp's own: `peer_rmcp PORT [--workers N]`, with the very handler that those have, and
//! the limits of `peer` in `benches/server`.

#[path = "../../../benches/peers/src/arguments.rs"]
#[expect(unreachable_pub, reason = "they are public in the crate that they are from")]
mod arguments;
#[path = "../../../benches/peers/src/rmcp_tools.rs"]
#[expect(
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "as above, and it sleeps as a server of rmcp does"
)]
mod rmcp_tools;

use arguments::Arguments;
use freehold_rmcp::freehold_mcp::{HttpOptions, freehold::Limits};
use rmcp_tools::BenchTools;
use std::{error::Error, time::Duration};

/// What a measurement may need.
const SESSION: Duration = Duration::from_secs(3_600);

async fn serve(port: u16) -> Result<(), Box<dyn Error>> {
    let limits = Limits {
        calls_total: 200_000,
        session_ttl: SESSION,
        initialize_window: SESSION,
        ..Limits::default()
    };
    let tools = BenchTools::default();
    // A handler for each session, as rmcp's service makes them.
    let server = freehold_rmcp::service_per_session(move || Ok(tools.clone())).limits(limits).build()?;
    server.bind_http(("127.0.0.1", port), HttpOptions::default()).await?.serve().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { port, workers } = Arguments::from_command_line();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    runtime.block_on(serve(port))
}

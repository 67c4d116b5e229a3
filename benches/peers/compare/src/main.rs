//! rmcp's Streamable HTTP service as it comes, with the tools that `compare` drives: `freehold-compare-rmcp PORT`. As many
//! threads as there are cores, as tokio has it.

mod tools;

use std::error::Error;
use std::sync::Arc;

use freehold_bench_peers::arguments::Arguments;
use freehold_bench_peers::http_server;
use hyper_util::service::TowerToHyperService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let port = std::env::args().nth(1).ok_or("usage: freehold-compare-rmcp PORT")?.parse()?;
    let workers = std::thread::available_parallelism()?.get();
    let tools = tools::Tools::default();
    let service = StreamableHttpService::new(
        move || Ok(tools.clone()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    http_server::serve(Arguments { port, workers }, TowerToHyperService::new(service))
}

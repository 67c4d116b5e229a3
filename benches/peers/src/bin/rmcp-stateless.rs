//! rmcp without sessions, answering application/json: its cheapest configuration.

use std::error::Error;
use std::sync::Arc;

use freehold_bench_peers::arguments::Arguments;
use freehold_bench_peers::http_server;
use freehold_bench_peers::rmcp_tools::BenchTools;
use hyper_util::service::TowerToHyperService;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let tools = BenchTools::default();
    let service = StreamableHttpService::new(
        move || Ok(tools.clone()),
        Arc::new(NeverSessionManager::default()),
        StreamableHttpServerConfig::default().with_legacy_session_mode(false).with_json_response(true),
    );
    http_server::serve(Arguments::from_command_line(), TowerToHyperService::new(service))
}

//! jsonrpsee: JSON-RPC 2.0 over HTTP, without MCP. Its method `tools/call` reads and answers the same JSON as the others do
//! in the stateless form.
//!
//! Nothing of MCP is done: headers and protocol version are not looked at, there is no table of tools, no schema, no session,
//! no cancel and no deadline.

#[path = "../../src/arguments.rs"]
mod arguments;

use std::borrow::Cow;
use std::error::Error;
use std::net::Ipv4Addr;

use arguments::Arguments;
use jsonrpsee::RpcModule;
use jsonrpsee::server::{Server, ServerConfig};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde::{Deserialize, Serialize};

type Failure = Box<dyn Error + Send + Sync>;

/// The default is 100; nothing here is to be refused.
const MAX_CONNECTIONS: u32 = 100_000;

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    arguments: EchoArguments,
    #[serde(borrow, rename = "_meta")]
    #[expect(dead_code, reason = "parsed because a real server has to")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct EchoArguments {
    text: String,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "as in Call")]
struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    protocol_version: Cow<'a, str>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct EchoResult {
    content: [Text; 1],
    result_type: &'static str,
}

#[derive(Clone, Serialize)]
struct Text {
    r#type: &'static str,
    text: String,
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::from_command_line();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.workers).enable_all().build()?;
    runtime.block_on(async move {
        // One connection is one task of the runtime's workers only if the listener is there, too.
        tokio::spawn(serve(arguments.port)).await??;
        Ok(())
    })
}

async fn serve(port: u16) -> Result<(), Failure> {
    let config = ServerConfig::builder().http_only().max_connections(MAX_CONNECTIONS).build();
    let server = Server::builder().set_config(config).build((Ipv4Addr::LOCALHOST, port)).await?;
    let mut module = RpcModule::new(());
    module.register_async_method("tools/call", async |params, _, _| call(&params))?;
    server.start(module).stopped().await;
    Ok(())
}

fn call(params: &Params<'_>) -> Result<EchoResult, ErrorObjectOwned> {
    let call: Call<'_> = params.parse()?;
    if call.name != "echo" {
        return Err(ErrorObjectOwned::owned(-32602, format!("no tool named {}", call.name), None::<()>));
    }
    let content = [Text { r#type: "text", text: call.arguments.text }];
    Ok(EchoResult { content, result_type: "complete" })
}

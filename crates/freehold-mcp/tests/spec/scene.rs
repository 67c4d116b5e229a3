//! A client on a pipe that speaks either era, and tools that the stage lacks.

use crate::{
    pipe::Pipe,
    stage::{Audience, server},
    wire::STATELESS,
};
use freehold_mcp::{
    LogLevel, McpServer, Tool, ToolContext, ToolError,
    freehold::{BreakerOptions, DegradeReason, Limits, Session},
};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Those of the figures that `counts` reports that grow.
pub(crate) const GROWING: [f64; 3] = [1.0, 3.0, 4.0];

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Era {
    Session,
    Stateless,
}

pub(crate) const ERAS: [Era; 2] = [Era::Session, Era::Stateless];

async fn counts(ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    for figure in [1.0, 3.0, 2.0, 3.0, f64::NAN, 4.0] {
        ctx.progress(figure, None, Some("counting"));
    }
    Ok("counted")
}

async fn logs(ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    ctx.log(LogLevel::Debug, &"small");
    ctx.log(LogLevel::Info, &"usual");
    ctx.log(LogLevel::Error, &"bad");
    Ok("logged")
}

async fn breaks(_ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    panic!("as the test wants")
}

async fn instead(_: Session<()>, _: Map<String, Value>, _: DegradeReason) -> Result<&'static str, ToolError> {
    Ok("instead")
}

/// The stage's server with some tools more.
pub(crate) fn scene() -> (McpServer, Audience) {
    let (server, audience) = server(Limits::default());
    let breaker = BreakerOptions::new().minimum_calls(1).open_for(Duration::from_secs(3_600));
    for tool in [
        Tool::new("counts", "Reports figures, not all of which grow.", counts),
        Tool::new("logs", "Logs on three levels.", logs),
        Tool::new("breaks", "Panics, and is then answered for.", breaks).breaker(breaker).fallback(instead),
    ] {
        server.tools().add(tool).expect("the stage has no such tool");
    }
    (server, audience)
}

pub(crate) fn request(id: u32, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// The same request with the envelope of the stateless revision.
pub(crate) fn stateless(mut request: Value, capabilities: Value) -> Value {
    let meta = &mut request["params"]["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = json!(STATELESS);
    meta["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    request
}

/// Opens the pipe's session for a client with these capabilities.
pub(crate) async fn initialize(pipe: &mut Pipe, capabilities: Value) {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": {} });
    let answer = pipe.ask(&request(0, "initialize", params)).await;
    assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
    pipe.send_line(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
}

/// A client on a pipe that can sample, and what it was sent besides answers.
pub(crate) struct Client {
    pub(crate) era: Era,
    pub(crate) pipe: Pipe,
    /// All that came, in order.
    pub(crate) seen: Vec<Value>,
}

impl Client {
    pub(crate) async fn new(server: McpServer, era: Era) -> Self {
        let mut client = Self { era, pipe: Pipe::new(server), seen: Vec::new() };
        if era == Era::Session {
            initialize(&mut client.pipe, json!({ "sampling": {} })).await;
            // Then the server has read, too, that the client is ready.
            client.fence().await;
            client.seen.clear();
        }
        client
    }

    /// Sends a request, with what its era wants.
    pub(crate) async fn send(&mut self, id: u32, method: &str, params: Value) {
        let mut message = request(id, method, params);
        if self.era == Era::Stateless {
            message = stateless(message, json!({ "sampling": {} }));
        }
        self.pipe.send_line(&message).await;
    }

    pub(crate) async fn notify(&mut self, method: &str, params: Value) {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.pipe.send_line(&message).await;
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Value {
        let message = self.pipe.line().await.expect("the server goes on");
        self.seen.push(message.clone());
        message
    }

    /// Reads until the answer with this id, which it returns.
    pub(crate) async fn answer(&mut self, id: u32) -> Value {
        loop {
            let message = self.next().await;
            if message["id"] == id && message.get("method").is_none() {
                return message;
            }
        }
    }

    /// Sends a request and reads until its answer.
    pub(crate) async fn ask(&mut self, id: u32, method: &str, params: Value) -> Value {
        self.send(id, method, params).await;
        self.answer(id).await
    }

    pub(crate) async fn call(&mut self, id: u32, tool: &str, arguments: Value) -> Value {
        let meta = json!({ "progressToken": id });
        self.ask(id, "tools/call", json!({ "name": tool, "arguments": arguments, "_meta": meta })).await
    }

    /// Reads until the server has answered all that was sent before.
    pub(crate) async fn fence(&mut self) {
        self.pipe.send_line(&request(9_999, "ping", json!({}))).await;
        self.answer(9_999).await;
    }

    /// What came and is of this method.
    pub(crate) fn seen_of(&self, method: &str) -> Vec<&Value> {
        self.seen.iter().filter(|message| message["method"] == method).collect()
    }
}

//! Requests straight into a server's engine, without a transport.

use freehold_mcp::{
    McpServer,
    freehold::{
        State,
        runtime::{Runtime, TokioRuntime, until},
    },
};
use serde_json::{Value, json};
use std::time::Duration;

/// The answer to a request in a session of its own.
pub(crate) async fn ask<S: State>(
    server: &McpServer<S>,
    method: &str,
    params: Value,
    stateless: bool,
) -> Value {
    let mut params = params;
    if stateless {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
    }
    let session = server.engine().open().expect("there is room");
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let end = TokioRuntime.now() + Duration::from_secs(60);
    let answer = until(&TokioRuntime, end, server.engine().process_bytes(&session, request.as_bytes())).await;
    let answer = answer.expect("it must not hang").expect("a request has an answer");
    serde_json::from_slice(&answer).expect("an answer is JSON")
}

/// The result of a tool.
pub(crate) async fn call<S: State>(server: &McpServer<S>, tool: &str, arguments: Value) -> Value {
    let answer = ask(server, "tools/call", json!({ "name": tool, "arguments": arguments }), false).await;
    assert!(answer["error"].is_null(), "{tool}: {answer}");
    answer["result"].clone()
}

/// The tools as they are listed, by their names.
pub(crate) async fn listed<S: State>(server: &McpServer<S>, stateless: bool) -> Value {
    let answer = ask(server, "tools/list", json!({}), stateless).await;
    let tools = answer["result"]["tools"].as_array().expect("a list").iter();
    tools.map(|tool| (tool["name"].as_str().expect("a name").to_owned(), tool.clone())).collect()
}

/// The text of a tool's failure.
pub(crate) fn failure(result: &Value) -> &str {
    assert_eq!(result["isError"], true, "{result}");
    result["content"][0]["text"].as_str().expect("a text")
}

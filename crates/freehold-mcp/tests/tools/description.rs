//! What a server and its tools say of themselves reaches clients, in both eras.

use crate::direct::{ask, listed};
use freehold_mcp::{Icon, McpServer, Tool, ToolContext};
use serde_json::{Value, json};

async fn nothing(_: &ToolContext, (): ()) {}

fn server() -> McpServer {
    let tool = |name: &str| Tool::new(name, "Does nothing.", nothing);
    McpServer::builder("described", "1.0.0")
        .title("Described")
        .description("Does nothing, well.")
        .website_url("https://example.com/")
        .icon(Icon::new("https://example.com/icon.png"))
        .tools(["m", "z", "a"].map(tool))
        .tool(tool("b").title("B").destructive(false).open_world(false).meta("com.example/a", json!([1])))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_server_describes_itself() {
    let server = server();
    let described = json!({
        "name": "described",
        "title": "Described",
        "version": "1.0.0",
        "description": "Does nothing, well.",
        "websiteUrl": "https://example.com/",
        "icons": [{ "src": "https://example.com/icon.png" }],
    });
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    let initialized = ask(&server, "initialize", params, false).await;
    assert_eq!(initialized["result"]["serverInfo"], described);
    let discovered = ask(&server, "server/discover", json!({}), true).await;
    assert_eq!(discovered["result"]["_meta"]["io.modelcontextprotocol/serverInfo"], described);
}

#[tokio::test]
async fn a_tool_describes_itself() {
    for stateless in [false, true] {
        let tool = listed(&server(), stateless).await["b"].clone();
        assert_eq!(
            tool,
            json!({
                "name": "b",
                "title": "B",
                "description": "Does nothing.",
                "inputSchema": { "type": "object", "additionalProperties": false },
                "annotations": { "destructiveHint": false, "openWorldHint": false },
                "_meta": { "com.example/a": [1] },
            })
        );
    }
}

#[tokio::test]
async fn tools_are_listed_in_the_order_of_their_names_whenever_they_came() {
    let server = server();
    let names = async || {
        let answer = ask(&server, "tools/list", json!({}), true).await;
        let tools = answer["result"]["tools"].as_array().expect("a list").iter();
        tools.map(|tool| tool["name"].clone()).collect::<Vec<Value>>()
    };
    assert_eq!(names().await, ["a", "b", "m", "z"]);
    server.tools().add(Tool::new("c", "Comes late.", nothing)).unwrap();
    assert_eq!(names().await, ["a", "b", "c", "m", "z"]);
    assert!(server.tools().remove("m"));
    assert!(!server.tools().remove("m"));
    server.tools().add(Tool::new("m", "Comes back.", nothing)).unwrap();
    assert_eq!(names().await, ["a", "b", "c", "m", "z"]);
}

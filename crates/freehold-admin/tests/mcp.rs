//! The inspection over MCP: for operators only, and also while every call is stuck.

mod watched;

use freehold::{Gate, Limits, runtime::BoxFuture, sync::Mutex};
use freehold_admin::Telemetry;
use freehold_mcp::{
    Audience, Authorization, AuthorizeError, HttpOptions, McpServer, Operators, Principal, Tool, ToolContext,
    ToolError,
};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};
use tokio::{net::TcpStream, sync::Barrier};
use watched::{eventually, exchange};

struct Shelf {
    one: Mutex<u32>,
    other: Mutex<u32>,
    both: Barrier,
}

/// Never ends by itself.
async fn stuck(ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    let _held = ctx.lock(&ctx.app::<Shelf>().one).await?;
    std::future::pending().await
}

/// Two of these, one in each direction, close a ring.
async fn cross(ctx: &ToolContext, Direction { back }: Direction) -> Result<&'static str, ToolError> {
    let shelf = ctx.app::<Shelf>();
    let (first, second) = if back { (&shelf.other, &shelf.one) } else { (&shelf.one, &shelf.other) };
    let _first = ctx.lock(first).await?;
    shelf.both.wait().await;
    let _second = ctx.lock(second).await?;
    Ok("crossed")
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Direction {
    back: bool,
}

/// Asks for the inspection on behalf of its own client.
async fn deputy(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
    let asked: Value = ctx.call_tool(ctx.session(), "freehold_inspect", &json!({})).await?;
    Ok(asked.to_string())
}

fn authorize(token: String) -> BoxFuture<'static, Result<Principal, AuthorizeError>> {
    let principal = Principal::new(&token[..], Audience::Verified);
    let principal = if token == "operator" { principal.with_scopes(["operate"]) } else { principal };
    Box::pin(std::future::ready(Ok(principal)))
}

struct Served {
    server: McpServer,
    address: SocketAddr,
}

impl Served {
    async fn new(limits: Limits, gate: Gate) -> Self {
        let telemetry = Telemetry::new();
        let operators: Operators = telemetry.operators(|asker| {
            asker.principal().is_some_and(|principal| principal.scopes.contains("operate"))
        });
        let shelf = Shelf { one: Mutex::new(0), other: Mutex::new(0), both: Barrier::new(2) };
        let server = McpServer::builder("stuck", "1.0.0")
            .limits(limits)
            .app(Arc::new(shelf))
            .engine(|engine| engine.observer(telemetry.clone()).gate(gate))
            .tool(Tool::new("stuck", "Never ends.", stuck))
            .tool(Tool::new("cross", "Locks two.", cross))
            .tool(Tool::new("deputy", "Asks for others.", deputy))
            .operators(operators)
            .build()
            .unwrap();
        let authorization =
            Authorization::new("https://mcp.test/mcp", ["https://as.test"], authorize).unwrap();
        let options = HttpOptions { authorization: Some(authorization), ..HttpOptions::default() };
        let listener = server.bind_http("127.0.0.1:0", options).await.unwrap();
        let address = listener.address();
        server.engine().runtime().spawn("serve", Box::pin(listener.serve()));
        Self { server, address }
    }

    /// A stateless request, and its answer.
    async fn ask(&self, token: &str, method: &str, name: Option<&str>, params: Value) -> Value {
        let (address, request) = (self.address, self.request(token, method, name, params));
        let asked = tokio::task::spawn_blocking(move || exchange(address, &request));
        let (head, body) = asked.await.unwrap();
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {head}\n{body}"))
    }

    fn request(&self, token: &str, method: &str, name: Option<&str>, mut params: Value) -> String {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "0" },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let name = name.map(|name| format!("Mcp-Name: {name}\r\n")).unwrap_or_default();
        format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\n\
             Mcp-Method: {method}\r\n{name}Accept: application/json, text/event-stream\r\n\
             Authorization: Bearer {token}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
    }

    async fn call(&self, token: &str, tool: &str, arguments: Value) -> Value {
        self.ask(token, "tools/call", Some(tool), json!({ "name": tool, "arguments": arguments })).await
    }

    /// Starts a call that nobody waits for; it lasts as long as what is returned.
    async fn start(&self, tool: &str) -> TcpStream {
        use tokio::io::AsyncWriteExt as _;
        let params = json!({ "name": tool, "arguments": {} });
        let request = self.request("guest", "tools/call", Some(tool), params);
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn inspect(&self, arguments: Value) -> Value {
        let answer = self.call("operator", "freehold_inspect", arguments).await;
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
        serde_json::from_str(text).unwrap()
    }
}

fn names(answer: &Value, list: &str, member: &str) -> Vec<String> {
    let entries = answer["result"][list].as_array().unwrap_or_else(|| panic!("{answer}"));
    entries.iter().map(|entry| entry[member].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_answers_while_the_house_is_full_of_stuck_calls() {
    for gate in [Gate::default(), Gate::Serial] {
        let limits =
            Limits { calls_total: 1, running_per_session: 1, queued_per_session: 0, ..Limits::default() };
        let served = Served::new(limits, gate).await;
        let _call = served.start("stuck").await;
        eventually("the call", || {
            served.server.engine().calls().iter().any(|call| call.stage.name() == "handler")
        })
        .await;
        let refused = served.call("operator", "cross", json!({ "back": false })).await;
        assert!(refused["error"]["message"].as_str().unwrap().contains("too many calls"), "{refused}");
        let seen = served.inspect(json!({ "search": "STUCK" })).await;
        assert_eq!(seen["calls"]["listed"][0]["subject"], "stuck", "{seen}");
        assert_eq!(seen["calls"]["listed"][0]["stage"], "handler", "{seen}");
        assert!(seen["calls"]["listed"][0]["holds"][0]["class"].is_string(), "{seen}");
        assert_eq!(served.inspect(json!({ "search": "no such" })).await["calls"]["matching"], 0);
        let uri = "freehold://inspection";
        let read = served.ask("operator", "resources/read", Some(uri), json!({ "uri": uri })).await;
        let contents = &read["result"]["contents"][0];
        assert_eq!(contents["mimeType"], "application/json", "{read}");
        assert!(contents["text"].as_str().unwrap().contains("\"stuck\""), "{read}");
        assert_eq!(read["result"]["cacheScope"], "private", "{read}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_answers_while_the_server_drains() {
    let served = Served::new(Limits::default(), Gate::default()).await;
    let _call = served.start("stuck").await;
    eventually("the call", || served.server.engine().call_count() == 1).await;
    let engine = served.server.engine().clone();
    let draining = async move { engine.drain(watched::LIMIT).await };
    let (over, drained) = tokio::sync::oneshot::channel();
    let draining = async move { over.send(draining.await).unwrap() };
    served.server.engine().runtime().spawn("drain", Box::pin(draining));
    eventually("the drain", || served.server.engine().is_draining()).await;
    assert_eq!(served.inspect(json!({})).await["server"]["draining"], true);
    drop(_call);
    drained.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_told_with_its_report() {
    let served = Served::new(Limits::default(), Gate::default()).await;
    let cross = |back: bool| served.call("guest", "cross", json!({ "back": back }));
    let (there, back) = tokio::join!(cross(false), cross(true));
    assert_ne!(there["result"]["isError"] == true, back["result"]["isError"] == true, "{there} {back}");
    let seen = served.inspect(json!({})).await;
    let id = seen["reports"][0]["id"].as_str().unwrap_or_else(|| panic!("{seen}")).to_owned();
    let told = served.call("operator", "freehold_inspect", json!({ "report": id })).await;
    let text = told["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains(&id) && text.contains("cross"), "{text}");
    let uri = format!("freehold://reports/{id}");
    let read = served.ask("operator", "resources/read", Some(&uri), json!({ "uri": uri })).await;
    assert_eq!(read["result"]["contents"][0]["text"], text, "{read}");
    for (uri, part) in [("freehold://reports", &*id), ("freehold://metrics", "freehold_deadlocks_total")] {
        let read = served.ask("operator", "resources/read", Some(uri), json!({ "uri": uri })).await;
        assert!(read["result"]["contents"][0]["text"].as_str().unwrap().contains(part), "{read}");
    }
    for (arguments, part) in [
        (json!({ "report": "FH-none" }), &*id),
        (json!({ "limit": "many" }), "do not fit"),
        (json!({ "serch": "x" }), "serch"),
    ] {
        let told = served.call("operator", "freehold_inspect", arguments).await;
        let text = told["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{told}"));
        assert!(told["result"]["isError"] == true && text.contains(part), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_those_who_are_no_operators_it_does_not_exist() {
    let served = Served::new(Limits::default(), Gate::default()).await;
    let list = |token, method| served.ask(token, method, None, json!({}));
    let tools = list("operator", "tools/list").await;
    assert_eq!(names(&tools, "tools", "name"), ["freehold_inspect", "cross", "deputy", "stuck"]);
    assert_eq!(tools["result"]["tools"][0]["annotations"]["readOnlyHint"], true);
    assert_eq!(tools["result"]["cacheScope"], "private", "nobody may share what only operators see");
    let resources = list("operator", "resources/list").await;
    assert_eq!(
        names(&resources, "resources", "uri"),
        ["freehold://inspection", "freehold://metrics", "freehold://reports"]
    );
    let templates = list("operator", "resources/templates/list").await;
    assert_eq!(names(&templates, "resourceTemplates", "uriTemplate"), ["freehold://reports/{id}"]);

    assert_eq!(names(&list("guest", "tools/list").await, "tools", "name"), ["cross", "deputy", "stuck"]);
    assert!(names(&list("guest", "resources/list").await, "resources", "uri").is_empty());
    let templates = list("guest", "resources/templates/list").await;
    assert!(names(&templates, "resourceTemplates", "uriTemplate").is_empty());
    let refused = served.call("guest", "freehold_inspect", json!({})).await;
    let unknown = served.call("guest", "no_such_tool", json!({})).await;
    let message = |answer: &Value| answer["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(message(&refused).replace("freehold_inspect", "no_such_tool"), message(&unknown));
    for uri in ["freehold://inspection", "freehold://reports/FH-1"] {
        let read = served.ask("guest", "resources/read", Some(uri), json!({ "uri": uri })).await;
        assert!(message(&read).contains("there is no resource"), "{read}");
    }
    // Nor by way of a tool that an operator calls: it could hand on what it is told.
    for token in ["guest", "operator"] {
        let told = served.call(token, "deputy", json!({})).await;
        assert!(told.to_string().contains("unknown tool"), "{told}");
    }
}

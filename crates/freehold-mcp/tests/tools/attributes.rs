//! What `#[tool]` and `#[tools]` make of functions and methods.

use crate::direct::{call, failure, listed};
use freehold_mcp::{
    Icon, Json, McpServer, TaskStart, TaskSupport, Tool, ToolContext, ToolError,
    freehold::{BreakerOptions, RetryPolicy},
    tool, tools,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

type Ctx = ToolContext<Seen>;

/// The state of a session.
#[derive(Clone, Default)]
struct Seen(u32);

/// Adds two numbers.
///
/// The second may be left out.
#[tool(read_only)]
async fn add(
    /// The first.
    a: i64,
    /// The second.
    #[default(10)]
    b: i64,
) -> i64 {
    a + b
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Point {
    x: f64,
    y: f64,
}

/// Moves a point.
#[tool(
    name = "geometry.move",
    title = "Move",
    description = "Moves a point by a vector.",
    idempotent,
    destructive = false,
    open_world = false,
    timeout = "30s",
    soft_limit = Duration::from_secs(2),
    retry = RetryPolicy::never(),
    breaker = BreakerOptions::new(),
    icons = [Icon::new("https://example.com/move.png").size("48x48")],
    task_support = TaskSupport::Optional,
    task_start = TaskStart::AtOnce
)]
async fn move_point(
    point: Point,
    #[serde(rename = "vector")]
    #[schemars(description = "How far.")]
    by: Option<Point>,
    ctx: &Ctx,
) -> Result<Json<Point>, ToolError> {
    if ctx.state().0 > 0 {
        return Err(ToolError::new("moved already"));
    }
    let by = by.unwrap_or(Point { x: 0.0, y: 0.0 });
    Ok(Json(Point { x: point.x + by.x, y: point.y + by.y }))
}

/// Says what it was given, and that it is quick.
#[tool]
fn r#type(#[arguments] mut given: Point) -> String {
    given.x += 1.0;
    format!("{} {}", given.x, given.y)
}

/// Does nothing.
#[tool]
async fn nothing() {}

/// Fails.
#[tool]
async fn fails(_ctx: &Ctx) -> Result<(), std::num::ParseIntError> {
    "x".parse::<u8>().map(|_| ())
}

/// Takes whatever it gets.
#[tool]
async fn lenient(name: String, #[serde(flatten)] rest: serde_json::Map<String, Value>) -> String {
    format!("{name} {}", rest.len())
}

fn server() -> McpServer<Seen> {
    let tools =
        [add::tool(), move_point::tool(), r#type::tool(), nothing::tool(), fails::tool(), lenient::tool()];
    McpServer::builder_with_state("attributes", "1.0.0", Seen::default()).tools(tools).build().unwrap()
}

#[tokio::test]
async fn a_function_is_described_by_what_is_written_beside_it() {
    let listed = listed(&server(), false).await;
    let add = &listed["add"];
    assert_eq!(add["description"], "Adds two numbers.\n\nThe second may be left out.");
    assert_eq!(add["annotations"], json!({ "readOnlyHint": true, "idempotentHint": true }));
    let schema = &add["inputSchema"];
    assert_eq!(schema["properties"]["a"], json!({ "type": "integer", "description": "The first." }));
    assert_eq!(
        schema["properties"]["b"],
        json!({ "type": "integer", "description": "The second.", "default": 10 })
    );
    assert_eq!(schema["required"], json!(["a"]));
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(listed["nothing"]["inputSchema"], json!({ "type": "object", "additionalProperties": false }));
    assert_eq!(listed["type"]["inputSchema"]["required"], json!(["x", "y"]));
    assert!(listed["lenient"]["inputSchema"]["additionalProperties"] != false);
}

#[tokio::test]
async fn options_are_told() {
    let server = server();
    let moved = &listed(&server, false).await["geometry.move"];
    assert_eq!(moved["title"], "Move");
    assert_eq!(moved["description"], "Moves a point by a vector.");
    assert_eq!(
        moved["annotations"],
        json!({ "destructiveHint": false, "idempotentHint": true, "openWorldHint": false })
    );
    assert_eq!(moved["icons"], json!([{ "src": "https://example.com/move.png", "sizes": ["48x48"] }]));
    assert_eq!(moved["execution"], json!({ "taskSupport": "optional" }));
    assert_eq!(moved["inputSchema"]["properties"]["vector"]["description"], "How far.");
    assert_eq!(moved["inputSchema"]["required"], json!(["point"]));
    assert_eq!(moved["outputSchema"]["required"], json!(["x", "y"]));
    let stateless = &listed(&server, true).await["geometry.move"];
    assert_eq!(stateless["execution"], Value::Null, "no part of the stateless revision");
    assert_eq!(stateless["icons"], moved["icons"]);
}

#[tokio::test]
async fn arguments_arrive_and_results_leave() {
    let server = server();
    let text = async |tool: &str, arguments: Value| {
        let result = call(&server, tool, arguments).await;
        assert_eq!(result["isError"], Value::Null, "{result}");
        result["content"][0]["text"].clone()
    };
    assert_eq!(text("add", json!({ "a": 1, "b": 2 })).await, "3");
    assert_eq!(text("add", json!({ "a": 1 })).await, "11");
    assert_eq!(text("type", json!({ "x": 1, "y": 2 })).await, "2 2");
    assert_eq!(text("lenient", json!({ "name": "n", "p": 1, "q": 2 })).await, "n 2");
    assert_eq!(text("nothing", json!({})).await, Value::Null);
    let moved =
        call(&server, "geometry.move", json!({ "point": { "x": 1, "y": 2 }, "vector": { "x": 3, "y": 4 } }));
    assert_eq!(moved.await["structuredContent"], json!({ "x": 4.0, "y": 6.0 }));
    assert_eq!(failure(&call(&server, "fails", json!({})).await), "invalid digit found in string");
    let unknown = call(&server, "add", json!({ "a": 1, "c": 2 })).await;
    assert!(failure(&unknown).contains("unknown field `c`, expected `a` or `b`"), "{unknown}");
    let missing = call(&server, "add", json!({ "b": 1 })).await;
    assert!(failure(&missing).contains("missing field `a`"), "{missing}");
}

#[tokio::test]
async fn the_function_stays_a_function() {
    assert_eq!(add(1, 2).await, 3);
    assert_eq!(r#type(Point { x: 1.0, y: 2.0 }), "2 2");
    // Nothing about it says which state its sessions have.
    let _: Tool<()> = add::tool();
    let _: Tool<Seen> = add::tool();
}

#[tokio::test]
async fn a_tool_may_be_made_inside_of_a_function() {
    /// Doubles.
    #[tool]
    async fn double(n: u32) -> u32 {
        n * 2
    }
    let server = McpServer::builder("inner", "1.0.0").tool(double::tool()).build().unwrap();
    assert_eq!(call(&server, "double", json!({ "n": 4 })).await["content"][0]["text"], "8");
}

/// Counts for all sessions.
#[derive(Default)]
struct Counter {
    count: AtomicI64,
}

#[derive(Serialize, JsonSchema)]
struct Reading {
    count: i64,
}

#[tools(vis = pub(crate))]
impl Counter {
    /// Counts on.
    #[tool]
    async fn add(
        &self,
        _ctx: &Ctx,
        /// How far.
        step: i64,
    ) -> i64 {
        self.count.fetch_add(step, Ordering::SeqCst) + step
    }

    /// Reads the counter.
    #[tool(read_only, name = "read_counter")]
    fn read(&self) -> Json<Reading> {
        Json(Self::reading(self.count.load(Ordering::SeqCst)))
    }

    fn reading(count: i64) -> Reading {
        Reading { count }
    }
}

#[tools(name = admin_tools)]
impl Counter {
    /// Sets it back.
    #[tool(destructive)]
    async fn reset(&self) {
        self.count.store(0, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn methods_share_what_they_are_of() {
    let counter = Arc::new(Counter::default());
    let server = McpServer::builder_with_state("counter", "1.0.0", Seen::default())
        .tools(counter.tools())
        .tools(counter.admin_tools())
        .build()
        .unwrap();
    let names = listed(&server, false).await;
    assert_eq!(names.as_object().unwrap().keys().collect::<Vec<_>>(), ["add", "read_counter", "reset"]);
    assert_eq!(names["add"]["inputSchema"]["properties"]["step"]["description"], "How far.");
    call(&server, "add", json!({ "step": 3 })).await;
    assert_eq!(call(&server, "add", json!({ "step": 4 })).await["content"][0]["text"], "7");
    assert_eq!(call(&server, "read_counter", json!({})).await["structuredContent"], json!({ "count": 7 }));
    assert_eq!(counter.count.load(Ordering::SeqCst), 7);
    call(&server, "reset", json!({})).await;
    assert_eq!(counter.count.load(Ordering::SeqCst), 0);
}

//! Arguments and outputs are held against the schemas that clients were told; tools that cannot be one are refused.

use crate::direct::{ask, call, failure, listed};
use freehold_mcp::{
    AddToolError, BuildServerError, CallToolResult, InvalidTool, InvalidToolName, Json, McpServer,
    SchemaError, Tool, ToolContext, ToolError,
    freehold::{BreakerOptions, DegradeReason, Session},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// How often a tool ran.
#[derive(Default)]
struct Runs(AtomicU32);

fn person() -> Value {
    json!({
        "type": "object",
        "$defs": { "address": { "type": "object", "properties": { "zip": { "type": "string", "pattern": "^[0-9]{5}$" } } } },
        "properties": { "name": { "type": "string" }, "address": { "$ref": "#/$defs/address" } },
        "required": ["name"],
        "if": { "required": ["address"] },
        "then": { "properties": { "name": { "minLength": 2 } } },
        "additionalProperties": false,
    })
}

async fn greet(ctx: &ToolContext, arguments: Map<String, Value>) -> Result<String, ToolError> {
    ctx.app::<Runs>().0.fetch_add(1, Ordering::SeqCst);
    Ok(format!("Hello, {}!", arguments["name"].as_str().unwrap_or_default()))
}

/// Gives out what it gets.
async fn raw(_: &ToolContext, arguments: Map<String, Value>) -> CallToolResult {
    let mut result = CallToolResult::text("see there");
    result.structured = arguments.get("out").cloned();
    result.is_error = arguments.contains_key("fails");
    result
}

/// Of which serde and schemars are told different things.
#[derive(Serialize, JsonSchema)]
struct TwoMinds {
    #[serde(serialize_with = "as_text")]
    count: u32,
}

fn as_text<S: Serializer>(count: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&count.to_string())
}

async fn of_two_minds(_: &ToolContext, (): ()) -> Json<TwoMinds> {
    Json(TwoMinds { count: 7 })
}

async fn fails(_: &ToolContext, (): ()) -> Result<Json<u32>, ToolError> {
    Err(ToolError::new("as it may"))
}

async fn another(_: Session<()>, _: Map<String, Value>, _: DegradeReason) -> &'static str {
    "something else"
}

fn server() -> (McpServer, Arc<Runs>) {
    let runs = Arc::new(Runs::default());
    let count =
        json!({ "type": "object", "properties": { "count": { "type": "integer" } }, "required": ["count"] });
    let breaker = BreakerOptions::new().minimum_calls(1).handler_errors(true);
    let server = McpServer::builder("schemas", "1.0.0")
        .app(runs.clone())
        .tool(Tool::with_schema("greet", "Greets.", person(), greet))
        .tool(
            Tool::with_schema("raw", "Gives out what it gets.", json!({ "type": "object" }), raw)
                .output_schema(count),
        )
        .tool(Tool::new("of_two_minds", "Is described by another schema.", of_two_minds))
        .tool(
            Tool::new("degraded", "Has a fallback with another output.", fails)
                .breaker(breaker)
                .fallback(another),
        )
        .build()
        .unwrap();
    (server, runs)
}

#[tokio::test]
async fn arguments_that_do_not_fit_the_schema_do_not_arrive() {
    let (server, runs) = server();
    for (arguments, told) in [
        (json!({}), "at the top: \"name\" is a required property"),
        (json!({ "name": 7 }), "at /name: it is not of type \"string\""),
        (json!({ "name": "Al", "address": { "zip": "1234" } }), "at /address/zip: "),
        (json!({ "name": "A", "address": {} }), "at /name: "),
        (json!({ "name": "Al", "nmae": 1 }), "at the top: "),
    ] {
        let result = call(&server, "greet", arguments.clone()).await;
        let text = failure(&result);
        assert!(text.starts_with(&format!("the arguments do not fit: {told}")), "{arguments}: {text}");
    }
    assert_eq!(runs.0.load(Ordering::SeqCst), 0);
    let result = call(&server, "greet", json!({ "name": "Al", "address": { "zip": "12345" } })).await;
    assert_eq!(result["content"][0]["text"], "Hello, Al!");
    assert_eq!(runs.0.load(Ordering::SeqCst), 1);
}

/// Whole numbers of a type.
#[derive(Deserialize, JsonSchema)]
struct Order {
    count: u64,
    #[serde(default)]
    by: Option<i32>,
    #[serde(default)]
    lines: Vec<u8>,
}

async fn order(_: &ToolContext, order: Order) -> String {
    format!("{} {:?} {:?}", order.count, order.by, order.lines)
}

#[tokio::test]
async fn a_fraction_for_a_whole_number_fits_the_schema_and_is_refused_by_name() {
    let tool = Tool::new("order", "Orders.", order);
    let server = McpServer::builder("orders", "1.0.0").tool(tool).build().unwrap();
    let schema = listed(&server, false).await["order"]["inputSchema"].clone();
    assert_eq!(schema["properties"]["count"]["type"], "integer");
    let as_listed = jsonschema::validator_for(&schema).unwrap();
    for (arguments, told) in [
        (json!({ "count": 1.0 }), "in \"count\": invalid type: floating point `1.0`, expected u64"),
        (json!({ "by": -2.0, "count": 1 }), "in \"by\": invalid type: floating point `-2.0`, expected i32"),
        (
            json!({ "count": 1, "lines": [1, 2.0] }),
            "in \"lines\": invalid type: floating point `2.0`, expected u8",
        ),
        (
            json!({ "count": 1, "lines": [] , "by": 1e3 }),
            "in \"by\": invalid type: floating point `1000.0`, expected i32",
        ),
    ] {
        assert!(as_listed.is_valid(&arguments), "{arguments} fits what the client was told");
        let result = call(&server, "order", arguments.clone()).await;
        let text = failure(&result);
        assert!(
            text.starts_with(&format!("the arguments do not fit: {told} at line 1")),
            "{arguments}: {text}"
        );
    }
    for (arguments, told) in [
        (json!({ "count": "one" }), "in \"count\": invalid type: string \"one\", expected u64"),
        (json!({ "count": 1, "by": { "x": 1 } }), "in \"by\": invalid type: map, expected i32"),
        (json!({ "by": 1 }), "missing field `count`"),
    ] {
        let result = call(&server, "order", arguments.clone()).await;
        let text = failure(&result);
        assert!(
            text.starts_with(&format!("the arguments do not fit: {told} at line 1")),
            "{arguments}: {text}"
        );
    }
    let result = call(&server, "order", json!({ "count": 1, "by": -2, "lines": [1, 2] })).await;
    assert_eq!(result["content"][0]["text"], "1 Some(-2) [1, 2]");
}

#[tokio::test]
async fn outputs_that_do_not_fit_the_schema_are_not_told() {
    let (server, _) = server();
    let fits = call(&server, "raw", json!({ "out": { "count": 7 } })).await;
    assert_eq!(fits["structuredContent"], json!({ "count": 7 }));
    for (arguments, told) in [
        (json!({ "out": { "count": "seven" } }), "at /count: it is not of type \"integer\""),
        (json!({ "out": {} }), "\"count\" is a required property"),
        (json!({}), "it has no structured content"),
    ] {
        let result = call(&server, "raw", arguments).await;
        assert!(failure(&result).contains(told), "{result}");
        assert!(!result.to_string().contains("seven"), "{result}");
        assert_eq!(result["structuredContent"], Value::Null);
    }
    // A failure needs no structured content.
    let failed = call(&server, "raw", json!({ "fails": true })).await;
    assert_eq!(failure(&failed), "see there");
}

#[tokio::test]
async fn a_type_of_two_minds_is_found_by_a_test() {
    let (server, _) = server();
    let result = call(&server, "of_two_minds", json!({})).await;
    if cfg!(debug_assertions) {
        assert!(failure(&result).contains("at /count"), "{result}");
    } else {
        assert_eq!(result["structuredContent"], json!({ "count": "7" }));
    }
}

#[tokio::test]
async fn a_fallback_has_to_keep_to_the_schema_of_its_tool() {
    let (server, _) = server();
    let failed = call(&server, "degraded", json!({})).await;
    assert_eq!(failure(&failed), "as it may");
    // Its breaker is open; the fallback's answer does not fit, so the refusal stands.
    let answer = ask(&server, "tools/call", json!({ "name": "degraded" }), false).await;
    assert_eq!(answer["error"]["code"], -31010, "{answer}");
}

#[tokio::test]
async fn tools_that_cannot_be_one_are_refused() {
    async fn tool(_: &ToolContext, _: Map<String, Value>) -> &'static str {
        "called"
    }
    async fn of_list(_: &ToolContext, _: Vec<u8>) -> &'static str {
        "called"
    }
    let object = || json!({ "type": "object" });
    let input = |schema: Value| Tool::with_schema("t", "Is refused.", schema, tool);
    let refusal = |tool: Tool| {
        let built = McpServer::builder("refuses", "1.0.0").tool(tool).build();
        match built.expect_err("it is refused") {
            BuildServerError::Tool(AddToolError::Invalid(refused)) => refused,
            other => panic!("{other}"),
        }
    };
    let name = "two words".to_owned();
    assert_eq!(
        refusal(Tool::with_schema(&name, "Has no name.", object(), tool)),
        InvalidTool::Name(InvalidToolName(name))
    );
    for (schema, expected) in [
        (json!({ "type": "string" }), SchemaError::NotOfObjects),
        (json!({}), SchemaError::NotOfObjects),
        (json!(null), SchemaError::NotAnObject),
        (json!({ "type": "object", "$schema": "urn:mine" }), SchemaError::Dialect("urn:mine".to_owned())),
    ] {
        let InvalidTool::InputSchema { tool, reason } = refusal(input(schema)) else { panic!("{expected}") };
        assert_eq!((&*tool, reason), ("t", expected));
    }
    let fetched =
        input(json!({ "type": "object", "properties": { "a": { "$ref": "https://example.com/a.json" } } }));
    assert!(matches!(refusal(fetched), InvalidTool::InputSchema { reason: SchemaError::Invalid { .. }, .. }));
    assert!(matches!(
        refusal(Tool::new("t", "Takes a list.", of_list)),
        InvalidTool::InputSchema { reason: SchemaError::NotOfObjects, .. }
    ));
    let output = input(object()).output_schema(json!({ "type": "nothing" }));
    let refused = refusal(output);
    assert!(
        matches!(refused, InvalidTool::OutputSchema { reason: SchemaError::Invalid { .. }, .. }),
        "{refused}"
    );
    assert!(refused.to_string().contains("\"/type\""), "names the place: {refused}");

    let (server, _) = server();
    let before = listed(&server, false).await;
    assert!(matches!(server.tools().add(input(json!({}))), Err(AddToolError::Invalid(_))));
    assert_eq!(listed(&server, false).await, before, "nothing changed");
}

//! Arguments of tools, and the schemas that they have to fit.

mod naive;
mod schemas;
mod values;

use crate::{
    choices::Choices,
    server::{calls_end, runtime, within},
};
use freehold_mcp::{McpServer, Tool, ToolContext, ToolError, freehold::CloseReason};
use naive::{Naive, whole};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{cell::OnceCell, collections::BTreeMap};
use tokio::runtime::Runtime;

/// Polls that an answer takes.
const POLLS: usize = 64;
/// Reasons are few and short, whatever the arguments are.
const REASON_BYTES: usize = 8 << 10;

thread_local! {
    // Leaked: what it is made of must not outlive the thread's other variables.
    static WORLD: OnceCell<&'static World> = const { OnceCell::new() };
}

struct World {
    runtime: Runtime,
    typed: McpServer<()>,
    /// As the server lists it.
    schema: Value,
}

/// Any arguments of any tool: those that fit the tool's schema reach it as they were sent; all others do not, and the model
/// is told so. What fits the schema that was made of a type is read as that type.
///
/// The schema takes its choices from the front of the input, the arguments from the back. Whether they fit is the word of
/// `naive.rs`.
///
/// # Panics
///
/// When that does not hold.
pub fn tool_arguments(data: &[u8]) {
    WORLD.with(|world| {
        let world = world.get_or_init(|| Box::leak(Box::new(World::new())));
        let choices = &mut Choices::new(data);
        // On a runtime that ends with its server.
        runtime().block_on(with_a_schema(choices));
        world.runtime.block_on(world.with_a_type(choices));
    });
}

async fn untyped(_ctx: &ToolContext<()>, arguments: Map<String, Value>) -> Result<String, ToolError> {
    Ok(Value::Object(arguments).to_string())
}

async fn with_a_schema(choices: &mut Choices<'_>) {
    let schema = schemas::schema(choices);
    let arguments = values::arguments(&schema, choices);
    let tool = Tool::with_schema("tool", "Returns its arguments.", schema.clone(), untyped);
    let server = McpServer::builder("fuzzed", "1.0.0").tool(tool).build();
    let server = server.unwrap_or_else(|error| panic!("{error}: {schema}"));
    let fits = Naive::new(&schema).fits(&Value::Object(arguments.clone()));
    match call(&server, &arguments).await {
        Ok(seen) => {
            assert!(fits, "{arguments:?} does not fit {schema}, and the tool got it");
            let seen: Value = serde_json::from_str(&seen).expect("what the tool wrote");
            assert_eq!(seen, Value::Object(arguments));
        }
        Err(reason) => assert!(!fits, "{arguments:?} fits {schema}, and was refused: {reason}"),
    }
}

/// What the tool returned, or why it was not called.
async fn call(server: &McpServer<()>, arguments: &Map<String, Value>) -> Result<String, String> {
    let params = json!({ "name": "tool", "arguments": arguments });
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string();
    let session = server.engine().open().expect("there is room");
    let answer = within(server, POLLS, server.engine().process_bytes(&session, request.as_bytes())).await;
    let answer: Value = serde_json::from_slice(&answer.expect("a request has an answer")).expect("JSON");
    session.close(CloseReason::Server);
    calls_end(server).await;
    let result = &answer["result"];
    let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {answer}"));
    if result["isError"] != true {
        return Ok(text.to_owned());
    }
    assert!(text.starts_with("the arguments do not fit: "), "{text}");
    assert!(text.len() <= REASON_BYTES, "{} bytes of reasons", text.len());
    Err(text.to_owned())
}

/// What types are made of, with integers whose bounds the schema says.
#[derive(Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
struct Typed {
    name: String,
    count: u8,
    ratio: Option<f64>,
    #[serde(default)]
    tags: Vec<String>,
    kind: Option<Kind>,
    shape: Option<Shape>,
    #[serde(default)]
    scores: BTreeMap<String, i64>,
    pair: Option<(bool, i64)>,
    inner: Option<Box<Inner>>,
}

#[derive(Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Kind {
    FirstOne,
    Second,
}

#[derive(Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "of", rename_all = "snake_case")]
enum Shape {
    Circle { radius: f64 },
    Box { sides: [u8; 3] },
    Nothing,
}

#[derive(Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Inner {
    flag: bool,
    inner: Option<Box<Self>>,
}

async fn typed(_ctx: &ToolContext<()>, arguments: Typed) -> Result<String, ToolError> {
    serde_json::to_string(&arguments).map_err(ToolError::new)
}

impl World {
    fn new() -> Self {
        let runtime = runtime();
        let tool = Tool::new("tool", "Returns its arguments.", typed);
        let typed = runtime.block_on(async { McpServer::builder("fuzzed", "1.0.0").tool(tool).build() });
        let typed = typed.expect("a type makes a good schema");
        let schema = runtime.block_on(listed(&typed));
        Self { runtime, typed, schema }
    }

    async fn with_a_type(&self, choices: &mut Choices<'_>) {
        let arguments = values::arguments(&self.schema, choices);
        let Value::Object(arguments) = as_rust_reads(Value::Object(arguments)) else { return };
        let fits = Naive::new(&self.schema).fits(&Value::Object(arguments.clone()));
        match call(&self.typed, &arguments).await {
            // serde takes more than schemas say: fields that nobody knows, lists in place of structs.
            Ok(seen) => {
                let seen: Typed = serde_json::from_str(&seen).expect("what the tool wrote");
                let sent = serde_json::from_value::<Typed>(Value::Object(arguments));
                assert_eq!(Some(seen), sent.ok());
            }
            Err(reason) => assert!(!fits, "{arguments:?} fits {}, and was refused: {reason}", self.schema),
        }
    }
}

/// Without what fits `integer` and is none to serde: whole numbers with a point, and those beyond 64 bits.
fn as_rust_reads(value: Value) -> Value {
    match value {
        Value::Number(_) => match whole(&value) {
            Some(number) => json!(i64::try_from(number).unwrap_or(7)),
            None => value,
        },
        Value::Array(items) => items.into_iter().map(as_rust_reads).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, as_rust_reads(value))).collect()
        }
        other => other,
    }
}

/// The schema of the only tool.
async fn listed(server: &McpServer<()>) -> Value {
    let session = server.engine().open().expect("there is room");
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string();
    let answer = server.engine().process_bytes(&session, request.as_bytes()).await;
    let answer: Value = serde_json::from_slice(&answer.expect("a request has an answer")).expect("JSON");
    answer["result"]["tools"][0]["inputSchema"].clone()
}

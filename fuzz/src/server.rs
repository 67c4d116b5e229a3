//! The server that is fuzzed over both transports, and the runtime it lives on.

use freehold_mcp::{
    LogLevel, McpServer, RawQuestion, Tool, ToolContext, ToolError,
    freehold::{AtCap, Limits, runtime},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{future::Future, pin::pin, time::Duration};
use tokio::runtime::Runtime;

/// Sessions at the same time; one more takes the place of the idlest.
pub(crate) const SESSIONS: usize = 32;

/// Longer than any timeout of the server's: who waits so long, on a clock that jumps, waits for ever.
const FOR_EVER: Duration = Duration::from_secs(3_600);

#[derive(Deserialize, JsonSchema)]
struct Echo {
    #[schemars(extend("x-mcp-header" = "Text"))]
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct Report {
    steps: u8,
}

#[derive(Deserialize, JsonSchema)]
struct Slow {
    ms: u32,
}

async fn echo(_ctx: &ToolContext<()>, args: Echo) -> Result<String, ToolError> {
    Ok(args.text)
}

async fn report(ctx: &ToolContext<()>, args: Report) -> Result<String, ToolError> {
    for step in 1..=args.steps.min(8) {
        ctx.progress(f64::from(step), None, Some("step"));
        ctx.log(LogLevel::Info, &step);
    }
    Ok("done".to_owned())
}

async fn ask(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let form = json!({ "message": "?", "requestedSchema": { "type": "object", "properties": {} } });
    Ok(ctx.ask(RawQuestion::<Value>::elicitation(form)).await?.to_string())
}

async fn slow(ctx: &ToolContext<()>, args: Slow) -> Result<String, ToolError> {
    runtime::pause(&**ctx.engine().runtime(), Duration::from_millis(args.ms.into())).await;
    Ok("late".to_owned())
}

async fn route(_ctx: &ToolContext<()>, _arguments: Map<String, Value>) -> Result<String, ToolError> {
    Ok("there".to_owned())
}

/// One whose arguments stand in headers, too: of each kind, and one that is further inside.
fn routed() -> Tool {
    let schema = json!({
        "type": "object",
        "properties": {
            "zone": { "type": "integer", "x-mcp-header": "Zone" },
            "dry": { "type": "boolean", "x-mcp-header": "Dry" },
            "at": { "type": "object", "properties": { "row": { "type": "string", "x-mcp-header": "Row" } } },
        },
    });
    Tool::with_schema("route", "Goes by its headers.", schema, route)
}

/// A server with bounds so small that inputs reach them. To be called inside of [`runtime`].
pub(crate) fn server() -> McpServer<()> {
    let limits = Limits {
        message_bytes: 1_024,
        running_per_session: 4,
        queued_per_session: 2,
        questions_per_session: 2,
        stream_messages: 16,
        sessions: SESSIONS,
        ..Limits::default()
    };
    McpServer::builder("fuzzed", "1.0.0")
        .tool(Tool::new("echo", "Returns its text.", echo).read_only())
        .tool(Tool::new("report", "Reports its steps.", report))
        .tool(Tool::new("ask", "Asks its client.", ask))
        .tool(Tool::new("slow", "Takes its time.", slow))
        .tool(routed())
        .limits(limits)
        .engine(|engine| engine.at_cap(AtCap::EvictIdlest))
        .build()
        .expect("no name stands twice")
}

/// A runtime without I/O, whose clock jumps to the next timer when nothing else is left to do.
pub(crate) fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime without I/O needs nothing")
}

/// The output of `future`.
///
/// # Panics
///
/// When it takes more than `polls` polls, or waits for ever.
pub(crate) async fn within<F: Future>(server: &McpServer<()>, polls: usize, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut left = polls;
    let counted = std::future::poll_fn(|cx| {
        left = left.checked_sub(1).unwrap_or_else(|| panic!("not ready after {polls} polls"));
        future.as_mut().poll(cx)
    });
    let runtime = server.engine().runtime();
    let output = runtime::until(&**runtime, runtime.now() + FOR_EVER, counted).await;
    output.expect("nothing waits for ever")
}

/// Waits until no call is left: what nobody reads any more is cancelled, and has its grace. Only a notification that
/// became a call, which nobody waits for, may take its time.
///
/// # Panics
///
/// When one stays.
pub(crate) async fn calls_end(server: &McpServer<()>) {
    let engine = server.engine();
    if engine.call_count() == 0 {
        return;
    }
    let limits = engine.limits();
    runtime::pause(&**engine.runtime(), limits.cancel_grace * 2).await;
    assert!(engine.calls().iter().all(|call| call.id.is_none()), "{:?} stayed", engine.calls());
    if engine.call_count() > 0 {
        runtime::pause(&**engine.runtime(), limits.question_timeout + limits.deadline).await;
    }
    assert_eq!(engine.call_count(), 0, "{:?} stayed", engine.calls());
}

/// Checks one message of the server's; its id and whether it is an answer.
///
/// # Panics
///
/// When it is not a message of the protocol.
pub(crate) fn check_message(message: &[u8]) -> (Option<Value>, bool) {
    let value: Value = match serde_json::from_slice(message) {
        Ok(value) => value,
        Err(error) => panic!("{error}: {}", message.escape_ascii()),
    };
    assert_eq!(value["jsonrpc"], "2.0", "{value}");
    let has = |name| usize::from(value.get(name).is_some());
    assert_eq!(has("result") + has("error") + has("method"), 1, "{value}");
    if let Some(error) = value.get("error") {
        assert!(error["message"].is_string(), "{value}");
        // Nothing here fails inside.
        assert!(error["code"].as_i64().is_some_and(|code| code != -32603), "{value}");
    }
    let id = value.get("id").cloned();
    assert!(id.as_ref().is_none_or(|id| id.is_string() || id.is_i64()), "{value}");
    (id, value.get("method").is_none())
}

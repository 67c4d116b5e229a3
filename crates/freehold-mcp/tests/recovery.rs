//! What a tool hints to clients the engine goes by, too; a tool's breaker is its own; a degraded answer says so.

use freehold_mcp::{
    Json, McpServer, Tool, ToolContext, ToolError,
    freehold::{
        BreakerOptions, BreakerState, Context, DegradeReason, ErrorObject, Limits, RetryPolicy, Session,
        runtime::{Runtime, TokioRuntime, until},
        sync::Mutex,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

const DEGRADED: &str = "io.github.freehold-rs/degraded";
const CIRCUIT_OPEN: i32 = -31010;

/// A lock that the test has, and how often a tool tried to get it.
#[derive(Default)]
struct World {
    prices: Mutex<u32>,
    attempts: AtomicU32,
}

impl World {
    /// How often since the last time it was asked.
    fn attempts(&self) -> u32 {
        self.attempts.swap(0, Ordering::SeqCst)
    }
}

/// Does not get the lock at its first attempt, and does not need it at the second.
async fn second_time_lucky(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
    let world = ctx.app::<World>();
    if world.attempts.fetch_add(1, Ordering::SeqCst) == 0 {
        let _prices = ctx.lock(&world.prices).within(Duration::from_millis(1)).await?;
    }
    Ok("lucky".to_owned())
}

/// The same by way of an error of the engine's.
async fn by_error_object(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
    async fn locks(ctx: &Context<()>, world: &World) -> Result<(), ErrorObject> {
        let _prices = ctx.lock(&world.prices).within(Duration::from_millis(1)).await?;
        Ok(())
    }
    let world = ctx.app::<World>();
    if world.attempts.fetch_add(1, Ordering::SeqCst) == 0 {
        locks(ctx, world).await?;
    }
    Ok("lucky".to_owned())
}

/// Tells the client something before it needs the lock.
async fn talkative(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
    ctx.notify("notifications/message", &json!({ "level": "info", "data": "here" }))?;
    second_time_lucky(ctx, ()).await
}

#[derive(Serialize, JsonSchema)]
struct Price {
    price: u32,
}

#[derive(Deserialize, JsonSchema)]
struct Item {
    #[expect(dead_code, reason = "only the fallback reads it")]
    item: String,
}

async fn price(ctx: &ToolContext, _: Item) -> Result<Json<Price>, ToolError> {
    let world = ctx.app::<World>();
    world.attempts.fetch_add(1, Ordering::SeqCst);
    let price = *ctx.lock(&world.prices).within(Duration::from_millis(1)).await?;
    Ok(Json(Price { price }))
}

async fn last_known(
    _: Session<()>,
    arguments: Map<String, Value>,
    _: DegradeReason,
) -> Result<Json<Price>, ToolError> {
    let known = arguments.get("item").is_some_and(|item| item == "tea");
    if known { Ok(Json(Price { price: 3 })) } else { Err(ToolError::new("never heard of it")) }
}

async fn fails(_: &ToolContext, (): ()) -> Result<String, ToolError> {
    Err(ToolError::new("as it may"))
}

async fn panics(_: &ToolContext, (): ()) -> Result<String, ToolError> {
    panic!("as it must not")
}

#[derive(Deserialize, JsonSchema)]
struct Word {
    word: String,
}

/// Says the word at its second attempt.
async fn says(ctx: &ToolContext, Word { word }: Word) -> Result<String, ToolError> {
    second_time_lucky(ctx, ()).await?;
    Ok(word)
}

/// Lets `says` say it, in its own session.
async fn lets_say(ctx: &ToolContext, Word { word }: Word) -> Result<String, ToolError> {
    let said = ctx.call_tool(ctx.session(), "says", &json!({ "word": word })).await?;
    Ok(said.as_str().unwrap_or_default().to_owned())
}

fn server() -> (McpServer, Arc<World>) {
    let world = Arc::new(World::default());
    let breaker = || BreakerOptions::new().minimum_calls(2).open_for(Duration::from_secs(3_600));
    let server = McpServer::builder("recovery", "1.0.0")
        .app(world.clone())
        .tool(Tool::new("plain", "No hint.", second_time_lucky))
        .tool(Tool::new("idempotent", "Hinted.", second_time_lucky).idempotent())
        .tool(Tool::new("read_only", "Hinted.", second_time_lucky).read_only())
        .tool(Tool::new("by_error_object", "Hinted.", by_error_object).read_only())
        .tool(Tool::new("never_again", "Hinted.", second_time_lucky).read_only().retry(RetryPolicy::never()))
        .tool(Tool::new("talkative", "Hinted, but sends.", talkative).idempotent())
        .tool(Tool::new("says", "Hinted, and needs its arguments.", says).idempotent())
        .tool(Tool::new("lets_say", "Calls it.", lets_say))
        .tool(
            Tool::new("price", "Has a fallback.", price).read_only().breaker(breaker()).fallback(last_known),
        )
        .tool(Tool::new("fails", "An error is no failure.", fails).breaker(breaker()))
        .tool(Tool::new("strict", "An error is a failure.", fails).breaker(breaker().handler_errors(true)))
        .tool(Tool::new("strict_price", "Wants arguments.", price).breaker(breaker().handler_errors(true)))
        .tool(Tool::new("panics", "Has the engine's breaker.", panics))
        .engine(|engine| engine.breaker(breaker()))
        .build()
        .unwrap();
    (server, world)
}

/// A call of `tool`, in a session or stateless; the answer.
async fn call(server: &McpServer, tool: &str, arguments: Value, stateless: bool) -> Value {
    call_in(&server.engine().open().unwrap(), tool, arguments, stateless).await
}

async fn call_in(session: &Session<()>, tool: &str, arguments: Value, stateless: bool) -> Value {
    let engine = session.engine();
    let mut params = json!({ "name": tool, "arguments": arguments });
    if stateless {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
    }
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string();
    let end = TokioRuntime.now() + Duration::from_secs(60);
    let answer = until(&TokioRuntime, end, engine.process_bytes(session, request.as_bytes())).await;
    let answer = answer.expect("it must not hang").expect("an answer");
    serde_json::from_slice(&answer).unwrap()
}

#[tokio::test]
async fn a_tool_is_run_again_by_its_hints() {
    let (server, world) = server();
    let held = world.prices.lock().await.unwrap();
    for (tool, attempts) in [
        ("plain", 1),
        ("idempotent", 2),
        ("read_only", 2),
        ("by_error_object", 2),
        ("never_again", 1),
        ("talkative", 1),
    ] {
        for stateless in [false, true] {
            let answer = call(&server, tool, json!({}), stateless).await;
            let (text, failed) = (&answer["result"]["content"][0]["text"], &answer["result"]["isError"]);
            assert_eq!(world.attempts(), attempts, "{tool}: {answer}");
            if attempts == 2 {
                assert_eq!((text, failed), (&json!("lucky"), &Value::Null), "{tool}");
            } else {
                let text = text.as_str().unwrap();
                assert!(
                    failed == true && text.starts_with("a lock could not be had within"),
                    "{tool}: {answer}"
                );
            }
        }
    }
    assert_eq!(server.engine().counters().retries, 6);
    drop(held);
}

/// Whether the tool allows another attempt is known only once the first one has its arguments.
#[tokio::test]
async fn what_is_run_again_has_its_arguments_again() {
    let (server, world) = server();
    let held = world.prices.lock().await.unwrap();
    for serial in [false, true] {
        for tool in ["says", "lets_say"] {
            let session = server.engine().open().unwrap();
            if serial {
                session.make_serial();
            }
            let answer = call_in(&session, tool, json!({ "word": "again" }), false).await;
            let text = &answer["result"]["content"][0]["text"];
            assert_eq!(text, "again", "{tool}, serial: {serial}: {answer}");
            assert_eq!(world.attempts(), 2);
        }
    }
    drop(held);
}

#[tokio::test]
async fn a_degraded_tool_answer_carries_the_mark() {
    let (server, world) = server();
    let held = world.prices.lock().await.unwrap();
    let attempts = Limits::RETRY_ATTEMPTS;
    // The third time its breaker is open, and the tool does not run.
    for (stateless, reason, attempts) in
        [(false, "lockTimeout", attempts), (true, "lockTimeout", attempts), (true, "circuitOpen", 0)]
    {
        let answer = call(&server, "price", json!({ "item": "tea" }), stateless).await;
        let result = &answer["result"];
        assert_eq!(world.attempts(), attempts);
        assert_eq!(result["structuredContent"], json!({ "price": 3 }));
        assert_eq!(result["_meta"][DEGRADED], json!({ "reason": reason }));
        let complete = if stateless { json!("complete") } else { Value::Null };
        assert_eq!(result["resultType"], complete, "in the form of its revision");
        assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"].is_object(), stateless);
    }
    assert_eq!(server.engine().counters().degraded, 3);
    // A fallback that has nothing to say leaves the error.
    let answer = call(&server, "price", json!({ "item": "gold" }), false).await;
    assert_eq!(answer["error"]["code"], CIRCUIT_OPEN);
    drop(held);
}

#[tokio::test]
async fn each_tool_has_a_breaker_of_its_own() {
    let (server, _) = server();
    for (tool, arguments, opens) in [
        ("fails", json!({}), false),
        // What does not fit is the client's fault.
        ("strict_price", json!({ "item": 7 }), false),
        ("strict", json!({}), true),
        ("panics", json!({}), true),
    ] {
        for _ in 0..2 {
            let answer = call(&server, tool, arguments.clone(), false).await;
            assert_ne!(answer["error"]["code"], CIRCUIT_OPEN, "{tool}: {answer}");
        }
        let answer = call(&server, tool, arguments, false).await;
        assert_eq!(answer["error"]["code"] == CIRCUIT_OPEN, opens, "{tool}: {answer}");
        assert_eq!(state(&server, tool) == BreakerState::Open, opens);
        if opens {
            assert!(answer["error"]["data"]["retryAfterMs"].as_u64().unwrap() > 3_000_000, "{answer}");
        }
    }
    assert_eq!(server.engine().counters().circuit_open, 2);
    // A tool that the others did not open.
    let answer = call(&server, "idempotent", json!({}), false).await;
    assert_eq!(answer["result"]["content"][0]["text"], "lucky");
}

fn state(server: &McpServer, tool: &str) -> BreakerState {
    let breakers = server.engine().breakers();
    let breaker = breakers.iter().find(|breaker| breaker.of_subject && &*breaker.name == tool);
    breaker.expect("it was called").state
}

//! Layers around tools: what they see, what they may do, and that they hold up nothing but their call.

use crate::direct::{ask, call, failure};
use freehold_mcp::{
    McpServer, ToolCall, ToolContext, ToolError,
    freehold::{
        BreakerOptions, DegradeReason, ErrorCode, ErrorObject, HandlerResult, LayeredCall, Limits, Next,
        Session, sync::Mutex,
    },
    tool,
};
use serde_json::{Map, Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc;

const FORBIDDEN: ErrorCode = ErrorCode(-31100);

/// What layers and tools write down, in the order of it.
struct Diary(mpsc::UnboundedSender<String>);

impl Diary {
    fn write(&self, entry: impl Into<String>) {
        // A test that is over no longer reads.
        let _ = self.0.send(entry.into());
    }
}

fn read(entries: &mut mpsc::UnboundedReceiver<String>) -> Vec<String> {
    std::iter::from_fn(|| entries.try_recv().ok()).collect()
}

/// Repeats a text.
#[tool(read_only)]
async fn repeat(ctx: &ToolContext, text: String) -> String {
    ctx.app::<Diary>().write(format!("repeat {text}"));
    text
}

/// Fails.
#[tool]
async fn fails() -> Result<(), ToolError> {
    Err(ToolError::new("as it may"))
}

fn outcome(outcome: &HandlerResult) -> String {
    match outcome {
        Ok(result) => format!("ok {}", result.get()),
        Err(error) => format!("failed: {}", error.message),
    }
}

async fn outer(call: LayeredCall<()>, next: Next<()>) -> HandlerResult {
    let diary = call.context().app::<Diary>().clone();
    let tool = ToolCall::of(&call).map(|call| format!("{} {}", call.name(), call.arguments()));
    diary.write(format!("outer: {} {}", call.method(), tool.unwrap_or_default()));
    let ended = next.run(call).await;
    diary.write(format!("outer: {}", outcome(&ended)));
    ended
}

/// Refuses the word "no", and makes of "please" another.
async fn inner(mut call: LayeredCall<()>, next: Next<()>) -> HandlerResult {
    let text = match ToolCall::of(&call) {
        Some(tool) => tool.read_arguments::<Map<String, Value>>()?.get("text").cloned().unwrap_or_default(),
        None => return next.run(call).await,
    };
    call.context().app::<Diary>().write(format!("inner: {text}"));
    if text == "no" {
        return Err(ErrorObject::new(FORBIDDEN, "not that word"));
    }
    if text == "please" {
        ToolCall::set_arguments(&mut call, &json!({ "text": "thank you" }))?;
    }
    next.run(call).await
}

fn layered() -> (McpServer, mpsc::UnboundedReceiver<String>) {
    let (diary, entries) = mpsc::unbounded_channel();
    let server = McpServer::builder("layered", "1.0.0")
        .app(Arc::new(Diary(diary)))
        .tools([repeat::tool(), fails::tool()])
        .layer(outer)
        .layer(inner)
        .build()
        .unwrap();
    (server, entries)
}

#[tokio::test]
async fn layers_see_the_call_on_its_way_in_and_its_outcome_on_its_way_out() {
    let (server, mut entries) = layered();
    for stateless in [false, true] {
        let params = json!({ "name": "repeat", "arguments": { "text": "yes" } });
        let answer = ask(&server, "tools/call", params, stateless).await;
        assert_eq!(answer["result"]["content"][0]["text"], "yes");
        let [before, inner, tool, after] = read(&mut entries).try_into().expect("four entries");
        assert_eq!(before, r#"outer: tools/call repeat {"text":"yes"}"#);
        assert_eq!((&*inner, &*tool), (r#"inner: "yes""#, "repeat yes"));
        assert!(after.starts_with("outer: ok {") && after.contains(r#""text":"yes""#), "{after}");
    }
    assert_eq!(failure(&call(&server, "fails", json!({})).await), "as it may");
    assert_eq!(read(&mut entries).last().unwrap(), "outer: failed: as it may");
}

#[tokio::test]
async fn a_layer_may_refuse_and_may_change() {
    let (server, mut entries) = layered();
    let answer =
        ask(&server, "tools/call", json!({ "name": "repeat", "arguments": { "text": "no" } }), false).await;
    assert_eq!(answer["error"], json!({ "code": -31100, "message": "not that word" }));
    assert_eq!(read(&mut entries).last().unwrap(), "outer: failed: not that word");
    let changed = call(&server, "repeat", json!({ "text": "please" })).await;
    assert_eq!(changed["content"][0]["text"], "thank you");
}

#[tokio::test]
async fn what_is_answered_at_once_passes_no_layer() {
    let (server, mut entries) = layered();
    let answer = ask(&server, "tools/list", json!({}), false).await;
    assert!(answer["result"]["tools"].is_array(), "{answer}");
    assert_eq!(ask(&server, "ping", json!({}), false).await["result"], json!({}));
    assert!(read(&mut entries).is_empty());
}

#[tokio::test]
async fn a_layer_that_never_ends_ends_at_the_deadline_and_one_that_panics_at_once() {
    async fn stuck(call: LayeredCall<()>, next: Next<()>) -> HandlerResult {
        match ToolCall::of(&call).map(|tool| tool.name().to_owned()).as_deref() {
            Some("fails") => std::future::pending().await,
            Some("panics") => panic!("as it must not"),
            _ => next.run(call).await,
        }
    }
    let server = |limits| {
        let (diary, _) = mpsc::unbounded_channel();
        let builder = McpServer::builder("stuck", "1.0.0").app(Arc::new(Diary(diary))).limits(limits);
        builder.tools([repeat::tool(), fails::tool()]).layer(stuck).build().unwrap()
    };
    let short = Limits {
        deadline: Duration::from_millis(20),
        cancel_grace: Duration::from_millis(1),
        ..Limits::default()
    };
    let stuck = ask(&server(short), "tools/call", json!({ "name": "fails" }), false).await;
    assert_eq!(stuck["error"]["code"], ErrorCode::DEADLINE_EXCEEDED.0, "{stuck}");
    let server = server(Limits::default());
    let panicked = ask(&server, "tools/call", json!({ "name": "panics" }), false).await;
    assert_eq!(panicked["error"]["code"], ErrorCode::INTERNAL_ERROR.0, "{panicked}");
    let other = call(&server, "repeat", json!({ "text": "on" })).await;
    assert_eq!(other["content"][0]["text"], "on");
}

/// A lock that the test has.
#[derive(Default)]
struct World {
    lock: Mutex<()>,
    attempts: AtomicU32,
}

/// Gets the lock at its second attempt, which it does not try.
#[tool(idempotent)]
async fn second_time_lucky(ctx: &ToolContext, word: String) -> Result<String, ToolError> {
    let world = ctx.app::<World>();
    if world.attempts.fetch_add(1, Ordering::SeqCst) == 0 {
        let _lock = ctx.lock(&world.lock).within(Duration::from_millis(1)).await?;
    }
    Ok(word)
}

/// Asks `second_time_lucky`.
#[tool]
async fn asks(ctx: &ToolContext) -> Result<String, ToolError> {
    let lucky = ctx.call_tool(ctx.session(), "second_time_lucky", &json!({ "word": "again" })).await?;
    Ok(lucky.as_str().unwrap_or_default().to_owned())
}

async fn counting(call: LayeredCall<()>, next: Next<()>) -> HandlerResult {
    let passed = call.context().app::<AtomicU32>().clone();
    passed.fetch_add(1, Ordering::SeqCst);
    next.run(call).await
}

async fn stale(_: Session<()>, arguments: Map<String, Value>, _: DegradeReason) -> String {
    format!("stale {}", arguments["word"])
}

fn recovering(layered: bool) -> (McpServer, Arc<World>, Arc<AtomicU32>) {
    let (world, passed) = (Arc::new(World::default()), Arc::new(AtomicU32::new(0)));
    let breaker = BreakerOptions::new().minimum_calls(1).handler_errors(true);
    /// Always fails.
    #[tool]
    async fn broken(word: String) -> Result<(), ToolError> {
        Err(ToolError::new(word))
    }
    let mut builder = McpServer::builder("recovering", "1.0.0")
        .app(world.clone())
        .app(passed.clone())
        .tools([second_time_lucky::tool(), asks::tool(), broken::tool().breaker(breaker).fallback(stale)]);
    if layered {
        builder = builder.layer(counting);
    }
    (builder.build().unwrap(), world, passed)
}

#[tokio::test]
async fn what_is_run_again_keeps_its_parameters() {
    for (layered, nested, passes) in [(false, false, 0), (true, false, 2), (false, true, 0), (true, true, 3)]
    {
        let (server, world, passed) = recovering(layered);
        let held = world.lock.lock().await.unwrap();
        let (tool, arguments) =
            if nested { ("asks", json!({})) } else { ("second_time_lucky", json!({ "word": "again" })) };
        let result = call(&server, tool, arguments).await;
        assert_eq!(result["content"][0]["text"], "again", "layered {layered}, nested {nested}: {result}");
        assert_eq!(world.attempts.load(Ordering::SeqCst), 2);
        assert_eq!(passed.load(Ordering::SeqCst), passes, "once an attempt");
        drop(held);
    }
}

#[tokio::test]
async fn a_fallback_answers_behind_layers_too() {
    let (server, _, passed) = recovering(true);
    let broken = call(&server, "broken", json!({ "word": "a" })).await;
    assert_eq!(failure(&broken), "a");
    let degraded = call(&server, "broken", json!({ "word": "b" })).await;
    assert_eq!(degraded["content"][0]["text"], "stale \"b\"");
    assert_eq!(degraded["_meta"]["io.github.freehold-rs/degraded"]["reason"], "circuitOpen");
    assert_eq!(passed.load(Ordering::SeqCst), 2);
}

//! The tools on Freehold.

use crate::SEEDED_PANIC;
use freehold_mcp::{
    McpServer, McpServerBuilder, RawQuestion, Tool, ToolContext, ToolError, freehold::runtime,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What [`publish`] publishes for.
const TOPIC: &str = "published";
/// Between two messages that are published.
const PAUSE: Duration = Duration::from_millis(5);
/// Others get their turn after so many notifications.
const TURN: u32 = 16;

/// How many handlers run.
#[derive(Debug, Default)]
struct Handlers(AtomicUsize);

/// One of them.
struct Running(Arc<Handlers>);

impl Running {
    fn begin(ctx: &ToolContext) -> Self {
        let handlers = ctx.app::<Handlers>().clone();
        handlers.0.fetch_add(1, Ordering::Relaxed);
        Self(handlers)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Deserialize, JsonSchema)]
struct Text {
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct Ms {
    ms: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Number {
    n: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Size {
    bytes: usize,
}

#[derive(Deserialize, JsonSchema)]
struct Sizes {
    count: u32,
    bytes: usize,
}

/// A server with all the tools, and everything else as it comes.
pub fn server() -> McpServerBuilder<()> {
    let tools = [
        Tool::new("echo", "Returns its text.", echo),
        Tool::new("running", "How many handlers run.", running),
        Tool::new("never", "Returns when it is cancelled.", never),
        Tool::new("stubborn", "Never returns.", stubborn),
        Tool::new("sleep", "Waits, and returns.", sleep),
        Tool::new("block", "Blocks its thread, and returns.", block),
        Tool::new("ask", "Asks the client.", ask),
        Tool::new("progress", "Sends notifications, and returns.", progress),
        Tool::new("burst", "Returns a text of this size.", burst),
        Tool::new("panic", "Panics.", panics),
        Tool::new("join", "Is sent what is published.", join),
        Tool::new("publish", "Sends messages to all who joined.", publish),
    ];
    let handlers = Arc::new(Handlers::default());
    McpServer::builder("compare-freehold", env!("CARGO_PKG_VERSION")).app(handlers).tools(tools)
}

async fn echo(_ctx: &ToolContext, args: Text) -> Result<String, ToolError> {
    Ok(args.text)
}

async fn running(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
    Ok(ctx.app::<Handlers>().0.load(Ordering::Relaxed).to_string())
}

async fn never(ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    let _running = Running::begin(ctx);
    ctx.cancelled().await;
    Ok("cancelled")
}

async fn stubborn(ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    let _running = Running::begin(ctx);
    std::future::pending().await
}

async fn sleep(ctx: &ToolContext, args: Ms) -> Result<&'static str, ToolError> {
    let _running = Running::begin(ctx);
    pause(ctx, Duration::from_millis(args.ms)).await;
    Ok("slept")
}

async fn pause(ctx: &ToolContext, time: Duration) {
    runtime::pause(&**ctx.engine().runtime(), time).await;
}

async fn block(ctx: &ToolContext, args: Ms) -> Result<&'static str, ToolError> {
    let _running = Running::begin(ctx);
    std::thread::sleep(Duration::from_millis(args.ms));
    Ok("blocked")
}

async fn ask(ctx: &ToolContext, args: Number) -> Result<String, ToolError> {
    let _running = Running::begin(ctx);
    let form = json!({
        "message": format!("question {}", args.n),
        "requestedSchema": { "type": "object", "properties": {} },
    });
    let answer: Value = ctx.ask(RawQuestion::elicitation(form)).await?;
    Ok(answer["action"].as_str().unwrap_or_default().to_owned())
}

async fn progress(ctx: &ToolContext, args: Sizes) -> Result<&'static str, ToolError> {
    let _running = Running::begin(ctx);
    let message = "x".repeat(args.bytes);
    for sent in 1..=args.count {
        ctx.progress(f64::from(sent), Some(f64::from(args.count)), Some(&message));
        if sent % TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
    Ok("sent")
}

async fn burst(_ctx: &ToolContext, args: Size) -> Result<String, ToolError> {
    Ok("x".repeat(args.bytes))
}

async fn panics(ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    let _running = Running::begin(ctx);
    panic!("{SEEDED_PANIC}")
}

async fn join(ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    let joined = ctx.session().subscribe(TOPIC);
    joined.then_some("joined").ok_or_else(|| ToolError::new("no more topics"))
}

async fn publish(ctx: &ToolContext, args: Sizes) -> Result<&'static str, ToolError> {
    let _running = Running::begin(ctx);
    let text = "x".repeat(args.bytes);
    for number in 1..=args.count {
        let message = json!({ "level": "error", "data": format!("{number} {text}") });
        let published = ctx.engine().publish(TOPIC, "notifications/message", &message);
        published.map_err(|error| ToolError::new(error.to_string()))?;
        pause(ctx, PAUSE).await;
    }
    Ok("published")
}

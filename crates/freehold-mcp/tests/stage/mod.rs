//! The server that the tests call. Its tools tell the test what happens to them, so that no test has to guess when.

use freehold_mcp::{
    McpServer, RawQuestion, Tool, ToolContext, ToolError,
    freehold::{
        Limits,
        runtime::{Runtime, TokioRuntime, until},
    },
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::{Semaphore, mpsc};

/// How long a test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `future`, but not for ever.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    let end = TokioRuntime.now() + PATIENCE;
    until(&TokioRuntime, end, future).await.expect("what the test waits for never came")
}

/// What the tools share with the test.
struct Stage {
    tell: mpsc::UnboundedSender<String>,
    go: Arc<Semaphore>,
}

impl Stage {
    fn say(&self, what: impl Into<String>) {
        // A test that is over no longer listens.
        let _ = self.tell.send(what.into());
    }
}

/// The test's end of it.
pub(crate) struct Audience {
    heard: mpsc::UnboundedReceiver<String>,
    go: Arc<Semaphore>,
}

impl Audience {
    /// What a tool says next.
    pub(crate) async fn hears(&mut self) -> String {
        within(self.heard.recv()).await.expect("the server is gone")
    }

    /// Lets one `wait` return.
    pub(crate) fn release(&self) {
        self.go.add_permits(1);
    }
}

#[derive(Deserialize, JsonSchema)]
struct Echo {
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct Flood {
    n: u32,
    bytes: usize,
}

async fn echo(_ctx: &ToolContext<()>, args: Echo) -> Result<String, ToolError> {
    Ok(args.text)
}

/// On whose behalf it is called.
async fn whoami(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    Ok(ctx.principal().map_or("nobody", |principal| &principal.subject).to_owned())
}

/// Waits to be released or cancelled.
async fn wait(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    let stage = ctx.app::<Stage>();
    stage.say("waiting");
    tokio::select! {
        go = stage.go.acquire() => go?.forget(),
        reason = ctx.cancelled() => stage.say(format!("cancelled: {reason:?}")),
    }
    Ok("released")
}

/// Makes one step of progress, then waits.
async fn step_and_wait(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    ctx.progress(1.0, None, None);
    wait(ctx, ()).await
}

/// Makes one step of progress, wants its connection gone, then waits.
async fn close_and_wait(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    ctx.progress(1.0, None, None);
    ctx.close_stream();
    wait(ctx, ()).await
}

/// Makes many steps of progress.
async fn flood(ctx: &ToolContext<()>, args: Flood) -> Result<String, ToolError> {
    let message = "x".repeat(args.bytes);
    for sent in 1..=args.n {
        ctx.progress(f64::from(sent), Some(f64::from(args.n)), Some(&message));
        if sent % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
    ctx.app::<Stage>().say("flooded");
    Ok("done".to_owned())
}

async fn sample(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let question = RawQuestion::sampling(json!({ "messages": [], "maxTokens": 1 }));
    let answer: Value = ctx.ask(question).await?;
    Ok(format!("sampled {answer}"))
}

async fn needs_sampling(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    ctx.require_sampling()?;
    Ok("can sample")
}

async fn mirrored(_ctx: &ToolContext<()>, arguments: Map<String, Value>) -> Result<String, ToolError> {
    Ok(Value::Object(arguments).to_string())
}

/// The server, and what its tools say.
pub(crate) fn server(limits: Limits) -> (McpServer, Audience) {
    let (tell, heard) = mpsc::unbounded_channel();
    let go = Arc::new(Semaphore::new(0));
    let schema = json!({
        "type": "object",
        "properties": { "region": { "type": "string", "x-mcp-header": "Region" } },
    });
    let server = McpServer::builder("stage", "1.0.0")
        .tool(Tool::new("echo", "Returns its text.", echo))
        .tool(Tool::new("whoami", "Says on whose behalf it is called.", whoami))
        .tool(Tool::new("wait", "Waits to be released or cancelled.", wait))
        .tool(Tool::new("step_and_wait", "Makes progress, then waits.", step_and_wait))
        .tool(Tool::new("close_and_wait", "Makes progress, lets its connection go, waits.", close_and_wait))
        .tool(Tool::new("flood", "Makes many steps of progress.", flood))
        .tool(Tool::new("sample", "Asks the client's model.", sample))
        .tool(Tool::new("needs_sampling", "Needs a client that can sample.", needs_sampling))
        .tool(Tool::with_schema("mirrored", "Has an argument that a header repeats.", schema, mirrored))
        .app(Arc::new(Stage { tell, go: go.clone() }))
        .limits(limits)
        .build()
        .expect("names are unique");
    (server, Audience { heard, go })
}

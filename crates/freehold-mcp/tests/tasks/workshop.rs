//! The server that the tests of tasks call. Its tools tell the test what happens to them.

use crate::stage::within;
use freehold_mcp::{
    Field, Form, McpServer, McpServerBuilder, TaskLimits, TaskStart, TaskSupport, Tool, ToolContext,
    ToolError,
    freehold::{
        ErrorCode, ErrorObject,
        runtime::{Runtime, TokioRuntime, until},
        sync::Mutex,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Semaphore, mpsc};

/// What the tools share with the test.
pub(crate) struct Workshop {
    tell: mpsc::UnboundedSender<String>,
    go: Semaphore,
    locks: [Mutex<u32>; 2],
}

impl Workshop {
    fn say(&self, what: impl Into<String>) {
        // A test that is over no longer listens.
        let _ = self.tell.send(what.into());
    }
}

/// The test's end of it.
pub(crate) struct Foreman {
    heard: mpsc::UnboundedReceiver<String>,
    workshop: Arc<Workshop>,
}

impl Foreman {
    /// What a tool says next.
    pub(crate) async fn hears(&mut self) -> String {
        within(self.heard.recv()).await.expect("the server is gone")
    }

    /// As [`hears`](Self::hears); so much time may pass until then.
    pub(crate) async fn hears_in_time_of(&mut self, period: Duration) -> String {
        let heard = until(&TokioRuntime, TokioRuntime.now() + period, self.heard.recv()).await;
        heard.flatten().expect("it says something")
    }

    /// Lets `count` tools go on that wait.
    pub(crate) fn release(&self, count: usize) {
        self.workshop.go.add_permits(count);
    }
}

#[derive(Deserialize, JsonSchema)]
struct Big {
    bytes: usize,
}

#[derive(Deserialize, JsonSchema)]
struct Chatty {
    messages: u32,
    bytes: usize,
}

#[derive(Deserialize, JsonSchema)]
struct First {
    first: usize,
}

/// Waits to be released or cancelled.
async fn wait(ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    let workshop = ctx.app::<Workshop>();
    ctx.progress(1.0, None, Some("waits to be released"));
    workshop.say("waiting");
    tokio::select! {
        go = workshop.go.acquire() => go?.forget(),
        reason = ctx.cancelled() => workshop.say(format!("cancelled: {reason:?}")),
    }
    Ok("released")
}

async fn fail(_ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    Err(ToolError::new("it cannot be done"))
}

async fn break_protocol(_ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    Err(ToolError::protocol(ErrorObject::new(ErrorCode(-32000), "it broke").with_data(&json!({ "why": 7 }))))
}

async fn panics(_ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    panic!("as it must")
}

async fn big(_ctx: &ToolContext, args: Big) -> Result<String, ToolError> {
    Ok("x".repeat(args.bytes))
}

/// Has much to say before its answer.
async fn chatty(ctx: &ToolContext, args: Chatty) -> Result<&'static str, ToolError> {
    for message in 1..=args.messages {
        ctx.progress(f64::from(message), None, Some(&"x".repeat(args.bytes)));
        // Its call has a queue of its own, from which each goes to the task.
        tokio::task::yield_now().await;
    }
    Ok("said it")
}

/// Does without the answer when it is released.
async fn ask_in_vain(ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    let workshop = ctx.app::<Workshop>();
    let asked = ctx.ask(Form::new("Your name?").field("name", Field::text()));
    tokio::select! {
        answer = asked => { answer?; }
        go = workshop.go.acquire() => go?.forget(),
    }
    Ok("did without")
}

async fn ask(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
    let form = Form::new("Your name?").field("name", Field::text());
    let answer = ctx.ask(form).await?.into_accepted()?;
    Ok(format!("Hello, {}!", answer["name"].as_str().unwrap_or("nobody")))
}

/// Asks two questions at once.
async fn ask_two(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
    let question = |message: &str| Form::new(message).field("number", Field::integer());
    let (one, two) = ctx.ask_all((question("One?"), question("Two?"))).await?;
    Ok(format!("{} {}", one.into_accepted()?["number"], two.into_accepted()?["number"]))
}

/// Takes both locks, the other one when told to.
async fn both_locks(ctx: &ToolContext, args: First) -> Result<&'static str, ToolError> {
    let workshop = ctx.app::<Workshop>();
    let _first = ctx.lock(&workshop.locks[args.first]).await?;
    workshop.say("has one");
    workshop.go.acquire().await?.forget();
    let _second = ctx.lock(&workshop.locks[1 - args.first]).await?;
    Ok("had both")
}

async fn becomes_task(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
    ctx.app::<Workshop>().say(format!("is a task: {}", ctx.is_task()));
    ctx.app::<Workshop>().go.acquire().await?.forget();
    let became = ctx.become_task();
    wait(ctx, ()).await?;
    Ok(format!("became a task: {became}"))
}

/// Asks as what is no task yet, and then becomes one.
async fn asks_too_early(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
    let asked = ctx.ask(Form::new("Your name?").field("name", Field::text()));
    ctx.become_task();
    asked.await?;
    Ok("answered".to_owned())
}

async fn calls_required(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
    Ok(ctx.call_tool(ctx.session(), "required", &json!({})).await?.to_string())
}

fn tools() -> Vec<Tool<()>> {
    let tool = Tool::new("wait", "Waits to be released or cancelled.", wait);
    let tools = vec![
        tool.task_support(TaskSupport::Optional),
        Tool::new("required", "Only as a task.", wait).task_support(TaskSupport::Required),
        Tool::new("fail", "Fails.", fail).task_support(TaskSupport::Optional),
        Tool::new("break", "Fails with an error of the protocol.", break_protocol)
            .task_support(TaskSupport::Optional),
        Tool::new("panic", "Panics.", panics).task_support(TaskSupport::Optional),
        Tool::new("big", "Has a long answer.", big).task_support(TaskSupport::Optional),
        Tool::new("chatty", "Says much.", chatty).task_support(TaskSupport::Optional),
        Tool::new("ask_in_vain", "Asks, and does without.", ask_in_vain).task_support(TaskSupport::Optional),
        Tool::new("ask", "Asks for a name.", ask).task_support(TaskSupport::Optional),
        Tool::new("ask_two", "Asks two questions.", ask_two).task_support(TaskSupport::Optional),
        Tool::new("both_locks", "Takes two locks.", both_locks).task_support(TaskSupport::Optional),
        Tool::new("patient", "A task only if it takes long.", wait)
            .task_support(TaskSupport::Optional)
            .task_start(TaskStart::After(Duration::from_secs(5))),
        Tool::new("becomes_task", "Becomes a task when told to.", becomes_task)
            .task_support(TaskSupport::Optional)
            .task_start(TaskStart::WhenAsked),
        Tool::new("asks_too_early", "Asks before it becomes a task.", asks_too_early)
            .task_support(TaskSupport::Optional)
            .task_start(TaskStart::WhenAsked),
        Tool::new("calls_required", "Calls a tool that clients call as a task only.", calls_required),
    ];
    tools.into_iter().chain([Tool::new("never", "Never a task.", wait)]).collect()
}

/// The server, and what its tools say.
pub(crate) fn workshop() -> (McpServer, Foreman) {
    workshop_with(TaskLimits::default(), |builder| builder)
}

pub(crate) fn workshop_with(
    limits: TaskLimits,
    configure: impl FnOnce(McpServerBuilder<()>) -> McpServerBuilder<()>,
) -> (McpServer, Foreman) {
    let (tell, heard) = mpsc::unbounded_channel();
    let locks = [Mutex::new(0), Mutex::new(0)];
    let workshop = Arc::new(Workshop { tell, go: Semaphore::new(0), locks });
    let builder = McpServer::builder("workshop", "1.0.0").app(workshop.clone()).tasks(limits);
    let builder = tools().into_iter().fold(builder, McpServerBuilder::tool);
    let server = configure(builder).build().expect("names are unique");
    (server, Foreman { heard, workshop })
}

//! Tools that may outlive their request, as tasks.

use freehold_mcp::{
    Field, Form, TaskStart, TaskSupport, Tool, ToolContext, ToolError,
    freehold::{ErrorCode, ErrorObject, runtime},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

pub(crate) fn tools() -> Vec<Tool<()>> {
    vec![
        Tool::new("greet", "Greets at once, never as a task.", greet).read_only(),
        Tool::new("slow_compute", "Computes for some seconds.", slow_compute)
            .task_support(TaskSupport::Optional),
        Tool::new("failing_job", "Fails after a second.", failing_job).task_support(TaskSupport::Required),
        Tool::new("protocol_error_job", "Fails with an error of the protocol.", protocol_error_job)
            .task_support(TaskSupport::Optional),
        Tool::new("confirm_delete", "Asks before it would delete a file.", confirm_delete)
            .task_support(TaskSupport::Optional),
        Tool::new("multi_input", "Asks two things at once.", multi_input).task_support(TaskSupport::Optional),
        Tool::new("test_tool_with_task", "Asks for a name, then goes on as a task.", asks_then_lasts)
            .task_support(TaskSupport::Required)
            .task_start(TaskStart::WhenAsked),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct Greet {
    /// Who is greeted.
    name: String,
}

async fn greet(_ctx: &ToolContext<()>, args: Greet) -> Result<String, ToolError> {
    Ok(format!("Hello, {}!", args.name))
}

#[derive(Deserialize, JsonSchema)]
struct Compute {
    /// How long it takes, in seconds.
    seconds: f64,
    /// What it is called.
    #[serde(default)]
    label: String,
}

async fn work(ctx: &ToolContext<()>, period: Duration) {
    runtime::pause(&**ctx.engine().runtime(), period).await;
}

async fn slow_compute(ctx: &ToolContext<()>, args: Compute) -> Result<String, ToolError> {
    work(ctx, Duration::try_from_secs_f64(args.seconds)?).await;
    Ok(format!("Computed {} for {} s", args.label, args.seconds))
}

async fn failing_job(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    work(ctx, Duration::from_secs(1)).await;
    Err(ToolError::new("This job intentionally fails for testing"))
}

async fn protocol_error_job(_ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let error = ErrorObject::new(ErrorCode::INTERNAL_ERROR, "This job intentionally breaks for testing");
    Err(ToolError::protocol(error))
}

#[derive(Deserialize, JsonSchema)]
struct Delete {
    /// What would be deleted.
    filename: String,
}

async fn confirm_delete(ctx: &ToolContext<()>, args: Delete) -> Result<String, ToolError> {
    let form = Form::new(format!("Delete {}?", args.filename)).field("confirm", Field::boolean());
    let answer = ctx.ask(form).await?.accepted();
    let confirmed = answer.is_some_and(|answer| answer["confirm"] == true);
    Ok(format!("{} {}", if confirmed { "Would delete" } else { "Would keep" }, args.filename))
}

fn ask_name() -> Form {
    Form::new("What is your name?").field("name", Field::text())
}

async fn multi_input(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let confirm = Form::new("Go on?").field("confirm", Field::boolean());
    let (name, confirm) = ctx.ask_all((ask_name(), confirm)).await?;
    let (name, confirm) = (name.into_accepted()?, confirm.into_accepted()?);
    Ok(format!("{} {}", name["name"], confirm["confirm"]))
}

async fn asks_then_lasts(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let answer = ctx.ask(ask_name()).await?.into_accepted()?;
    ctx.become_task();
    work(ctx, Duration::from_millis(100)).await;
    Ok(format!("Hello, {}!", answer["name"].as_str().unwrap_or("nobody")))
}

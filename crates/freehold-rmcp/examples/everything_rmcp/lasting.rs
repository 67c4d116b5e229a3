//! Tools that may outlive their request, as tasks of rmcp's [`TaskManager`](freehold_rmcp::rmcp::task_manager::TaskManager).

use crate::{
    Everything, failed,
    input::{ask, field, form},
};
use freehold_rmcp::{
    freehold_mcp::freehold::runtime::{TokioRuntime, pause},
    rmcp::{
        ErrorData, RoleServer,
        handler::server::{tool::InputResponses, wrapper::Parameters},
        model::{
            CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock, CreateTaskResult,
            InputRequest,
        },
        service::RequestContext,
        task_manager::{TaskContext, TaskExit, TaskOptions},
        tool, tool_router,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::{future::Future, time::Duration};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Greet {
    /// Who is greeted.
    name: String,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Compute {
    /// How long it takes, in seconds.
    seconds: f64,
    /// What it is called.
    #[serde(default)]
    label: String,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Delete {
    /// What would be deleted.
    filename: String,
}

fn text(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

/// Whether the client of this request knows what to do with a task.
fn takes_tasks(context: &RequestContext<RoleServer>) -> bool {
    context.client_capabilities().is_some_and(|declared| declared.supports_tasks())
}

async fn compute(asked: Compute, period: Duration) -> CallToolResult {
    pause(&TokioRuntime, period).await;
    text(format!("Computed {} for {} s", asked.label, asked.seconds))
}

/// What `work` gives, unless the client cancels the task.
async fn until_cancelled<T>(task: &TaskContext, work: impl Future<Output = T>) -> Result<T, TaskExit> {
    tokio::select! {
        () = task.cancelled() => Err(TaskExit::Cancelled),
        given = work => Ok(given),
    }
}

/// What the person says, asked by `tasks/get` and answered by `tasks/update`.
async fn answer(task: &TaskContext, key: &str, form: Value) -> Result<Value, TaskExit> {
    let form: InputRequest = serde_json::from_value(form).map_err(failed)?;
    task.request_input(key, form).await
}

impl Everything {
    /// Begins a task. Its operation is one of rmcp's, beside the engine's calls.
    fn begin<W>(&self, work: impl FnOnce(TaskContext) -> W) -> CallToolResponse
    where
        W: Future<Output = Result<CallToolResult, TaskExit>> + Send + 'static,
    {
        let task = self.tasks.spawn(TaskOptions::default(), |task| Box::pin(work(task)));
        CreateTaskResult::new(task).into()
    }

    /// As [`begin`](Self::begin), of a tool that has no other way to answer.
    fn begin_only<W>(
        &self,
        context: &RequestContext<RoleServer>,
        work: impl FnOnce(TaskContext) -> W,
    ) -> Result<CallToolResponse, ErrorData>
    where
        W: Future<Output = Result<CallToolResult, TaskExit>> + Send + 'static,
    {
        if !takes_tasks(context) {
            let required = ClientCapabilities::builder().enable_tasks().build();
            return Err(ErrorData::missing_required_client_capability(required));
        }
        Ok(self.begin(work))
    }
}

#[tool_router(router = lasting_router, vis = "pub(crate)")]
impl Everything {
    #[tool(description = "Greets at once, never as a task.")]
    async fn greet(&self, Parameters(Greet { name }): Parameters<Greet>) -> String {
        format!("Hello, {name}!")
    }

    #[tool(description = "Computes for some seconds.")]
    async fn slow_compute(
        &self,
        Parameters(asked): Parameters<Compute>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let unusable = |error| ErrorData::invalid_params(format!("seconds: {error}"), None);
        let period = Duration::try_from_secs_f64(asked.seconds).map_err(unusable)?;
        if !takes_tasks(&context) {
            return Ok(compute(asked, period).await.into());
        }
        Ok(self.begin(|task| async move { until_cancelled(&task, compute(asked, period)).await }))
    }

    #[tool(description = "Fails after a second.")]
    async fn failing_job(&self, context: RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
        self.begin_only(&context, |task| async move {
            until_cancelled(&task, pause(&TokioRuntime, Duration::from_secs(1))).await?;
            Ok(CallToolResult::error(vec![ContentBlock::text("This job intentionally fails for testing")]))
        })
    }

    #[tool(description = "Fails with an error of the protocol.")]
    async fn protocol_error_job(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let error = failed("This job intentionally breaks for testing");
        match takes_tasks(&context) {
            true => Ok(self.begin(|_| async { Err(error.into()) })),
            false => Err(error),
        }
    }

    #[tool(description = "Asks before it would delete a file.")]
    async fn confirm_delete(
        &self,
        Parameters(Delete { filename }): Parameters<Delete>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.begin_only(&context, |task| async move {
            let form = form(&format!("Delete {filename}?"), "confirm", "boolean");
            let answer = answer(&task, "confirm", form).await?;
            let confirmed = answer["action"] == "accept" && answer["content"]["confirm"] == true;
            Ok(text(format!("{} {filename}", if confirmed { "Would delete" } else { "Would keep" })))
        })
    }

    #[tool(description = "Asks two things at once.")]
    async fn multi_input(&self, context: RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
        self.begin_only(&context, |task| async move {
            let name = answer(&task, "name", form("What is your name?", "name", "string"));
            let confirm = answer(&task, "confirm", form("Go on?", "confirm", "boolean"));
            let (name, confirm) = tokio::try_join!(name, confirm)?;
            Ok(text(format!("{} {}", name["content"]["name"], confirm["content"]["confirm"])))
        })
    }

    #[tool(description = "Asks for a name, then goes on as a task.")]
    async fn test_tool_with_task(
        &self,
        InputResponses(answers): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(name) = field(&answers, "user_name", "name").and_then(Value::as_str).map(str::to_owned)
        else {
            return Ok(ask([("user_name", form("What is your name?", "name", "string"))], None)?.into());
        };
        self.begin_only(&context, |task| async move {
            until_cancelled(&task, pause(&TokioRuntime, Duration::from_millis(100))).await?;
            Ok(text(format!("Hello, {name}!")))
        })
    }
}

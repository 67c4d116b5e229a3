//! Tasks of rmcp's `TaskManager`, begun and asked for through our transports.

mod stage;

use freehold_rmcp::{
    freehold_mcp::McpServer,
    rmcp::{
        ErrorData, RoleServer, ServerHandler,
        model::{
            CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ContentBlock,
            CreateTaskResult, GetTaskParams, GetTaskResult, ServerCapabilities, ServerConfig, TaskPayload,
        },
        service::RequestContext,
        task_manager::{TaskExit, TaskManager, TaskOptions},
    },
};
use serde_json::json;
use stage::{Client, Way, connect_as, within};
use std::sync::Arc;
use tokio::sync::Notify;

/// Its tool begins a task that ends when it may, or when it is cancelled.
#[derive(Default)]
struct Lasting {
    tasks: TaskManager,
    go: Arc<Notify>,
}

impl ServerHandler for Lasting {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_tasks().build())
    }

    async fn call_tool(
        &self,
        _request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let go = self.go.clone();
        let task = self.tasks.spawn(TaskOptions::default(), |task| {
            Box::pin(async move {
                tokio::select! {
                    () = task.cancelled() => Err(TaskExit::Cancelled),
                    () = go.notified() => Ok(CallToolResult::success(vec![ContentBlock::text("done")])),
                }
            })
        });
        Ok(CreateTaskResult::new(task).into())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        self.tasks.get_task(&request.task_id).map(GetTaskResult::new)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.cancel_task(&request.task_id)
    }
}

fn lasting() -> (McpServer, Arc<Notify>) {
    let handler = Lasting::default();
    let go = handler.go.clone();
    (freehold_rmcp::service(handler).build().expect("methods are unique"), go)
}

fn tasks_declared() -> serde_json::Value {
    json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

async fn begin(client: &Client) -> String {
    match within(client.sdk.call_tool_once(CallToolRequestParams::new("last"))).await.expect("an answer") {
        CallToolResponse::Task(created) => created.task.task_id,
        other => panic!("not a task: {other:?}"),
    }
}

async fn state(client: &Client, task: &str) -> TaskPayload {
    let asked = GetTaskParams::new(task);
    within(client.sdk.get_task(asked)).await.expect("it is known").task.payload
}

async fn end(client: &Client, task: &str) -> TaskPayload {
    within(Box::pin(async {
        loop {
            let payload = state(client, task).await;
            if payload.status().is_terminal() {
                return payload;
            }
        }
    }))
    .await
}

#[tokio::test]
async fn a_task_outlives_its_request() {
    for way in Way::ALL {
        let (server, go) = lasting();
        let client = connect_as(&server, way, true, tasks_declared()).await;
        let task = begin(&client).await;
        assert_eq!(state(&client, &task).await, TaskPayload::Working, "{way:?}");
        go.notify_one();
        match end(&client, &task).await {
            TaskPayload::Completed { result } => assert_eq!(result["content"][0]["text"], "done"),
            other => panic!("{way:?}: {other:?}"),
        }
        let cancelled = begin(&client).await;
        within(client.sdk.cancel_task(CancelTaskParams::new(&cancelled))).await.expect("it is known");
        assert_eq!(end(&client, &cancelled).await, TaskPayload::Cancelled, "{way:?}");
    }
}

#[tokio::test]
async fn a_client_that_knows_no_tasks_gets_none() {
    for way in Way::ALL {
        let (server, _go) = lasting();
        let client = connect_as(&server, way, true, json!({})).await;
        let refused = within(client.sdk.call_tool_once(CallToolRequestParams::new("last"))).await;
        let error = refused.expect_err("it cannot take one").to_string();
        assert!(error.contains("-32021"), "{way:?}: {error}");
    }
}

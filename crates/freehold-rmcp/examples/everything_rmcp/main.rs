//! The server that the conformance suite calls, written with rmcp and served by Freehold: `everything_rmcp PORT` serves
//! <http://127.0.0.1:PORT/mcp> with one tool, prompt or resource for each thing that there is. `everything_rmcp` alone serves
//! standard input and output.
#![allow(deprecated, reason = "revisions with sessions have roots, sampling and logging")]

mod asking;
mod content;
mod input;
mod lasting;
mod prompts;
mod resources;
mod schemas;
mod telling;

use freehold_rmcp::{
    freehold_mcp::{
        HttpOptions,
        freehold::runtime::{Runtime, TokioRuntime},
    },
    rmcp::{
        ErrorData, RoleServer, ServerHandler,
        handler::server::router::{prompt::PromptRouter, tool::ToolRouter},
        model::{
            CancelTaskParams, CompleteRequestParams, CompleteResult, CompletionInfo, GetPromptRequestParams,
            GetPromptResponse, GetTaskParams, GetTaskResult, Implementation, ListPromptsResult,
            ListResourceTemplatesResult, ListResourcesResult, PaginatedRequestParams,
            ReadResourceRequestParams, ReadResourceResponse, RequestStateCodec, ServerCapabilities,
            ServerConfig, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter,
            UnsubscribeRequestParams, UpdateTaskParams,
        },
        service::{RequestContext, SubscriptionContext},
        task_manager::TaskManager,
        tool_handler,
    },
};
use std::error::Error;
use tokio::sync::broadcast;

/// A list that changed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Changed {
    Tools,
    Prompts,
}

/// The server; one for all clients.
pub(crate) struct Everything {
    tool_router: ToolRouter<Self>,
    prompt_router: PromptRouter<Self>,
    /// Signs what clients carry from one round to the next.
    states: RequestStateCodec,
    /// What outlives its request.
    tasks: TaskManager,
    changes: broadcast::Sender<Changed>,
}

impl Everything {
    fn new() -> Self {
        let mut key = [0; 32];
        TokioRuntime.fill_random(&mut key);
        Self {
            tool_router: Self::content_router()
                + Self::telling_router()
                + Self::asking_router()
                + Self::input_router()
                + Self::lasting_router()
                + Self::schemas_router(),
            prompt_router: Self::prompt_router(),
            states: RequestStateCodec::new(key.to_vec()),
            tasks: TaskManager::new(),
            changes: broadcast::channel(64).0,
        }
    }
}

fn failed(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Everything {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_completions()
            .enable_logging()
            .enable_tasks()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("everything-rmcp", env!("CARGO_PKG_VERSION")))
            .with_instructions("Each tool, prompt and resource shows one thing that there is.")
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let begun = request.argument.value;
        let cities = ["paris", "park", "party"].into_iter().filter(|city| city.starts_with(&begun));
        let values = cities.map(str::to_owned).collect();
        Ok(CompleteResult::new(CompletionInfo::with_all_values(values).map_err(failed)?))
    }

    /// Accepted: what is logged here is of one level, which every client may get.
    async fn set_level(
        &self,
        _request: SetLevelRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(self.prompts())
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        self.prompt(request, context).await
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(resources::list())
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(resources::templates())
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        resources::read(&request.uri).map(Into::into)
    }

    /// Accepted for every resource that there is; none of them ever changes.
    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        resources::read(&request.uri).map(drop)
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        resources::read(&request.uri).map(drop)
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        self.tasks.get_task(&request.task_id).map(GetTaskResult::new)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.cancel_task(&request.task_id)
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        loop {
            let changed = tokio::select! {
                () = subscription.cancelled() => return Ok(()),
                changed = changes.recv() => changed.map_err(failed)?,
            };
            let accepted = subscription.accepted();
            let sink = subscription.sink();
            match changed {
                Changed::Tools if accepted.tools_list_changed == Some(true) => {
                    sink.notify_tool_list_changed().await.map_err(failed)?;
                }
                Changed::Prompts if accepted.prompts_list_changed == Some(true) => {
                    sink.notify_prompt_list_changed().await.map_err(failed)?;
                }
                Changed::Tools | Changed::Prompts => {}
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = freehold_rmcp::service(Everything::new()).build()?;
    let Some(port) = std::env::args().nth(1) else { return Ok(server.serve_stdio().await?) };
    let listener = server.bind_http(("127.0.0.1", port.parse()?), HttpOptions::default()).await?;
    println!("{}", listener.url());
    listener.serve().await;
    Ok(())
}

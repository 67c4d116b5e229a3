use super::{
    context::ToolContext,
    output::Failure,
    table::ToolTable,
    tool::{Running, arguments_text},
};
use crate::{
    model::{CallToolResult, Meta, ServerMeta},
    mrtr::{End, Request, Rounds},
    tasks::{self, Asked, Creation, TaskTable},
};
use freehold::{
    Context, ErrorCode, ErrorObject, HandlerResult, RawHandler, State, runtime::BoxFuture, write_result,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};

/// Handles `tools/call`.
pub(crate) struct CallTool<S: State> {
    pub(crate) tools: Arc<ToolTable<S>>,
    pub(crate) server_meta: Arc<ServerMeta>,
    pub(crate) rounds: Arc<Rounds>,
    /// If the server offers tasks.
    pub(crate) tasks: Option<Arc<TaskTable<S>>>,
}

/// The parameters of `tools/call`.
#[derive(Deserialize)]
pub(super) struct Params<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) arguments: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_meta")]
    pub(super) meta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    task: Option<&'a RawValue>,
}

impl<'a> Params<'a> {
    pub(super) fn read(params: Option<&'a RawValue>) -> Result<Self, ErrorObject> {
        let params = params.ok_or_else(|| ErrorObject::invalid_params("tools/call needs a name"))?;
        serde_json::from_str(params.get()).map_err(ErrorObject::invalid_params)
    }
}

/// A call that found its tool.
enum Found<S: State> {
    Started(Started),
    /// It is to be run as a task.
    Task(Context<S>, Arc<TaskTable<S>>, Creation),
}

struct Started {
    running: Result<Running, Unfit>,
    end: End,
    stateless: bool,
}

/// The arguments do not fit; the model should read why.
struct Unfit(ErrorObject);

impl<S: State> CallTool<S> {
    fn find_and_start(
        &self,
        context: Context<S>,
        params: Option<&RawValue>,
    ) -> Result<Found<S>, ErrorObject> {
        let read = Params::read(params)?;
        let arguments = arguments_text(read.arguments);
        if !arguments.starts_with('{') {
            return Err(ErrorObject::invalid_params("arguments must be an object"));
        }
        let meta = read.meta.map(Meta::from_raw).transpose()?.unwrap_or_default();
        let stateless = if meta.claims_stateless() { Some(meta.read()?) } else { None };
        let Some(tool) = self.tools.find(&read.name) else {
            return Err(ErrorObject::invalid_params(format_args!("unknown tool {:?}", read.name)));
        };
        if let Some(tasks) = &self.tasks
            && let Some(creation) =
                tasks::plan(&context, tool.tasks, Asked(read.task), params, stateless.is_some())?
        {
            context.set_subject(tool.name.clone());
            return Ok(Found::Task(context, tasks.clone(), creation));
        }
        context.enter(&tool.subject)?;
        let request = Request { subject: tool.name.clone(), params, meta: &meta, stateless };
        let (context, end) = self.rounds.begin(context, request)?;
        let started = tool.run.start(ToolContext::new(context), arguments);
        let running = started.map_err(|unfit| Unfit(ErrorObject::new(ErrorCode::INVALID_PARAMS, unfit)));
        Ok(Found::Started(Started { running, end, stateless: stateless.is_some() }))
    }
}

impl<S: State> RawHandler<S> for CallTool<S> {
    fn start(
        &self,
        context: Context<S>,
        mut params: Option<Box<RawValue>>,
    ) -> BoxFuture<'static, HandlerResult> {
        self.start_keeping(context, &mut params, false)
    }

    fn start_keeping(
        &self,
        context: Context<S>,
        params: &mut Option<Box<RawValue>>,
        keep: bool,
    ) -> BoxFuture<'static, HandlerResult> {
        let Started { running, end, stateless } = match self.find_and_start(context, params.as_deref()) {
            Ok(Found::Started(started)) => started,
            Ok(Found::Task(context, tasks, creation)) => {
                let own = if keep { params.clone() } else { params.take() };
                return tasks.create(context, own, creation, self.server_meta.clone());
            }
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        match running {
            Ok(running) => {
                let meta = stateless.then(|| self.server_meta.clone());
                Box::pin(end.of(async move { write(running.await, meta.as_deref()) }))
            }
            Err(Unfit(reason)) => {
                let meta = stateless.then_some(&*self.server_meta);
                Box::pin(std::future::ready(write(Err(Failure::Tool(reason)), meta)))
            }
        }
    }
}

pub(crate) fn write(
    outcome: Result<CallToolResult, Failure>,
    stateless: Option<&ServerMeta>,
) -> HandlerResult {
    match outcome {
        Ok(result) => write_result(&result.wire(stateless)),
        Err(Failure::Tool(error)) => {
            let told = write_result(&CallToolResult::error(error.message.clone()).wire(stateless))?;
            Err(error.told_as(told))
        }
        Err(Failure::Protocol(error)) => Err(error),
    }
}

use super::{
    context::ToolContext,
    output::Failure,
    table::ToolTable,
    tool::{Running, arguments_text},
};
use crate::model::{CallToolResult, Meta, RequestMeta, ServerMeta};
use freehold::{Context, ErrorObject, HandlerResult, RawHandler, State, runtime::BoxFuture, write_result};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};

/// Handles `tools/call`.
pub(crate) struct CallTool<S: State> {
    pub(crate) tools: Arc<ToolTable<S>>,
    pub(crate) server_meta: Arc<ServerMeta>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

/// A call that found its tool.
enum Started {
    Running(Running),
    /// Its arguments do not fit; the model should read why.
    Unfit(String),
}

impl<S: State> CallTool<S> {
    fn find_and_start(
        &self,
        context: Context<S>,
        params: Option<&RawValue>,
    ) -> Result<(Started, Option<RequestMeta>), ErrorObject> {
        let params = params.ok_or_else(|| ErrorObject::invalid_params("tools/call needs a name"))?;
        let params: Params<'_> = serde_json::from_str(params.get()).map_err(ErrorObject::invalid_params)?;
        let arguments = arguments_text(params.arguments);
        if !arguments.starts_with('{') {
            return Err(ErrorObject::invalid_params("arguments must be an object"));
        }
        let meta = params.meta.map(Meta::from_raw).transpose()?.unwrap_or_default();
        let stateless = if meta.claims_stateless() { Some(meta.read()?) } else { None };
        let Some(tool) = self.tools.find(&params.name) else {
            return Err(ErrorObject::invalid_params(format_args!("unknown tool {:?}", params.name)));
        };
        context.set_subject(tool.name.clone());
        if let Some(timeout) = tool.timeout {
            context.set_timeout(timeout);
        }
        if let Some(limit) = tool.soft_limit {
            context.set_soft_limit(limit);
        }
        let context = ToolContext::new(context, tool.name.clone(), meta.progress_token, stateless);
        let started = match tool.run.start(context, arguments) {
            Ok(running) => Started::Running(running),
            Err(unfit) => Started::Unfit(unfit),
        };
        Ok((started, stateless))
    }
}

impl<S: State> RawHandler<S> for CallTool<S> {
    fn start(&self, context: Context<S>, params: Option<Box<RawValue>>) -> BoxFuture<'static, HandlerResult> {
        match self.find_and_start(context, params.as_deref()) {
            Ok((Started::Running(running), stateless)) => {
                let meta = stateless.map(|_| self.server_meta.clone());
                Box::pin(async move { write(running.await, meta.as_deref()) })
            }
            Ok((Started::Unfit(reason), stateless)) => {
                let meta = stateless.map(|_| &*self.server_meta);
                Box::pin(std::future::ready(write(Err(Failure::Tool(reason)), meta)))
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

fn write(outcome: Result<CallToolResult, Failure>, stateless: Option<&ServerMeta>) -> HandlerResult {
    match outcome {
        Ok(result) => write_result(&result.wire(stateless)),
        Err(Failure::Tool(reason)) => write_result(&CallToolResult::error(reason).wire(stateless)),
        Err(Failure::Protocol(error)) => Err(error),
    }
}

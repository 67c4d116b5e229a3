use super::{
    context::ToolContext,
    output::Failure,
    table::ToolTable,
    tool::{Running, arguments_text},
};
use crate::{
    context::RequestContext,
    model::{CallToolResult, Meta, RequestMeta, ServerMeta},
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
}

impl<'a> Params<'a> {
    pub(super) fn read(params: Option<&'a RawValue>) -> Result<Self, ErrorObject> {
        let params = params.ok_or_else(|| ErrorObject::invalid_params("tools/call needs a name"))?;
        serde_json::from_str(params.get()).map_err(ErrorObject::invalid_params)
    }
}

/// A call that found its tool.
enum Started {
    Running(Running),
    /// Its arguments do not fit; the model should read why.
    Unfit(ErrorObject),
}

impl<S: State> CallTool<S> {
    fn find_and_start(
        &self,
        context: Context<S>,
        params: Option<&RawValue>,
    ) -> Result<(Started, Option<RequestMeta>), ErrorObject> {
        let params = Params::read(params)?;
        let arguments = arguments_text(params.arguments);
        if !arguments.starts_with('{') {
            return Err(ErrorObject::invalid_params("arguments must be an object"));
        }
        let meta = params.meta.map(Meta::from_raw).transpose()?.unwrap_or_default();
        let stateless = if meta.claims_stateless() { Some(meta.read()?) } else { None };
        let Some(tool) = self.tools.find(&params.name) else {
            return Err(ErrorObject::invalid_params(format_args!("unknown tool {:?}", params.name)));
        };
        context.enter(&tool.subject)?;
        let context = RequestContext::new(context, tool.name.clone(), meta.progress_token, stateless);
        let context = ToolContext::new(context);
        let started = match tool.run.start(context, arguments) {
            Ok(running) => Started::Running(running),
            Err(unfit) => Started::Unfit(ErrorObject::new(ErrorCode::INVALID_PARAMS, unfit)),
        };
        Ok((started, stateless))
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
        _keep: bool,
    ) -> BoxFuture<'static, HandlerResult> {
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

pub(super) fn write(
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

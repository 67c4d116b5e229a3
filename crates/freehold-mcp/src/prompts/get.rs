use super::{prompt::Getting, table::PromptTable};
use crate::{
    model::ServerMeta,
    mrtr::{End, Rounds},
    request::Said,
    text_arguments::TextArguments,
};
use freehold::{Context, ErrorObject, HandlerResult, RawHandler, State, runtime::BoxFuture, write_result};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};

/// Handles `prompts/get`.
pub(crate) struct GetPrompt<S: State> {
    pub(crate) prompts: Arc<PromptTable<S>>,
    pub(crate) server_meta: Arc<ServerMeta>,
    pub(crate) rounds: Arc<Rounds>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    arguments: Option<TextArguments>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

impl<S: State> GetPrompt<S> {
    fn find_and_start(
        &self,
        context: Context<S>,
        params: Option<&RawValue>,
    ) -> Result<(Getting, End, bool), ErrorObject> {
        let params = params.ok_or_else(|| ErrorObject::invalid_params("prompts/get needs a name"))?;
        let Params { name, arguments, meta } =
            serde_json::from_str(params.get()).map_err(ErrorObject::invalid_params)?;
        let said = Said::read(meta)?;
        let stateless = said.is_stateless();
        let Some(prompt) = self.prompts.find(&name) else {
            return Err(ErrorObject::invalid_params(format_args!("there is no prompt {name:?}")));
        };
        let (context, end) =
            said.enter(context, &prompt.subject, prompt.name.clone(), params, &self.rounds)?;
        let getting = prompt.run.start(context, &arguments.unwrap_or_default());
        let unfit = |unfit| ErrorObject::invalid_params(format_args!("the arguments do not fit: {unfit}"));
        Ok((getting.map_err(unfit)?, end, stateless))
    }
}

impl<S: State> RawHandler<S> for GetPrompt<S> {
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
            Ok((getting, end, stateless)) => {
                let meta = stateless.then(|| self.server_meta.clone());
                Box::pin(end.of(async move { write_result(&getting.await?.wire(meta.as_deref())) }))
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

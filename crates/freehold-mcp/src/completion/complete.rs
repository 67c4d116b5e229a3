use super::{
    handler::{Completers, Completing, CompletionRequest},
    output::{Completion, Wire},
    rates::CompletionRates,
};
use crate::{
    model::ServerMeta, prompts::PromptTable, request::Said, resources::ResourceTable,
    text_arguments::TextArguments,
};
use freehold::{Context, ErrorObject, HandlerResult, RawHandler, State, runtime::BoxFuture, write_result};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Handles `completion/complete`.
pub(crate) struct CompleteArgument<S: State> {
    pub(crate) prompts: Arc<PromptTable<S>>,
    pub(crate) resources: Arc<ResourceTable<S>>,
    pub(crate) server_meta: Arc<ServerMeta>,
    pub(crate) rates: Arc<CompletionRates>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(rename = "ref")]
    of: Reference,
    argument: Argument,
    #[serde(default)]
    context: Resolved,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Reference {
    #[serde(rename = "ref/prompt")]
    Prompt { name: String },
    #[serde(rename = "ref/resource")]
    Resource { uri: String },
}

#[derive(Deserialize)]
struct Argument {
    name: String,
    value: String,
}

#[derive(Default, Deserialize)]
struct Resolved {
    #[serde(default)]
    arguments: TextArguments,
}

/// Who completes: nobody, for an argument that is known and has no function.
type Found<S> = Option<Arc<dyn super::handler::RunCompletion<S>>>;

impl<S: State> CompleteArgument<S> {
    fn find(&self, of: &Reference, argument: &str) -> Result<Found<S>, ErrorObject> {
        let among = |known: bool, completers: &Completers<S>| {
            let unknown = || ErrorObject::invalid_params(format_args!("there is no argument {argument:?}"));
            known.then(|| completers.get(argument).cloned()).ok_or_else(unknown)
        };
        match of {
            Reference::Prompt { name } => {
                let unknown = || ErrorObject::invalid_params(format_args!("there is no prompt {name:?}"));
                let prompt = self.prompts.find(name).ok_or_else(unknown)?;
                among(prompt.has_argument(argument), &prompt.completers)
            }
            Reference::Resource { uri } => {
                let unknown =
                    || ErrorObject::invalid_params(format_args!("there is no resource template {uri:?}"));
                let entry = self.resources.find_template(uri).ok_or_else(unknown)?;
                let known = entry.template.variables().any(|variable| variable == argument);
                among(known, &entry.completers)
            }
        }
    }

    fn find_and_start(
        &self,
        context: Context<S>,
        params: Option<&RawValue>,
    ) -> Result<(Completing, bool), ErrorObject> {
        // First of all, so that guessing names is no cheaper than completing them.
        self.rates.take(&context)?;
        let params = params.ok_or_else(|| ErrorObject::invalid_params("ref and argument are missing"))?;
        let Params { of, argument, context: resolved, meta } =
            serde_json::from_str(params.get()).map_err(ErrorObject::invalid_params)?;
        let said = Said::read(meta)?;
        let stateless = said.is_stateless();
        let completer = self.find(&of, &argument.name)?;
        let (Reference::Prompt { name: about } | Reference::Resource { uri: about }) = of;
        let about = Arc::<str>::from(about);
        context.set_subject(about.clone());
        let Argument { name: argument, value } = argument;
        let request = CompletionRequest { argument, value, resolved: resolved.arguments };
        let completing = match completer {
            Some(completer) => completer.start(said.context(context, about), request),
            None => Box::pin(std::future::ready(Ok(Completion::default()))),
        };
        Ok((completing, stateless))
    }
}

impl<S: State> RawHandler<S> for CompleteArgument<S> {
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
            Ok((completing, stateless)) => {
                let meta = stateless.then(|| self.server_meta.clone());
                Box::pin(async move { write_result(&Wire::new(completing.await?, meta.as_deref())) })
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

use super::{
    resource::Reading,
    table::{Registered, ResourceTable},
};
use crate::{
    cache::CacheHint,
    model::ServerMeta,
    mrtr::{End, Rounds},
    request::{Said, no_such_resource},
};
use freehold::{Context, ErrorObject, HandlerResult, RawHandler, State, runtime::BoxFuture, write_result};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc, time::Duration};

/// Handles `resources/read`.
pub(crate) struct ReadResource<S: State> {
    pub(crate) resources: Arc<ResourceTable<S>>,
    /// Of resources that say nothing themselves.
    pub(crate) hint: CacheHint,
    pub(crate) server_meta: Arc<ServerMeta>,
    pub(crate) rounds: Arc<Rounds>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params<'a> {
    #[serde(borrow)]
    uri: Cow<'a, str>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
    #[serde(default)]
    input_responses: Option<IgnoredAny>,
    #[serde(default)]
    request_state: Option<IgnoredAny>,
}

impl Params<'_> {
    /// Whether it is sent again with what an earlier round asked for: its result belongs in no cache.
    fn is_of_round(&self) -> bool {
        self.input_responses.is_some() || self.request_state.is_some()
    }
}

/// A reading that found its resource.
struct Started {
    reading: Reading,
    end: End,
    hint: CacheHint,
    stateless: bool,
}

impl<S: State> ReadResource<S> {
    fn find_and_start(&self, context: Context<S>, params: Option<&RawValue>) -> Result<Started, ErrorObject> {
        let params = params.ok_or_else(|| ErrorObject::invalid_params("resources/read needs a uri"))?;
        let read: Params<'_> = serde_json::from_str(params.get()).map_err(ErrorObject::invalid_params)?;
        let said = Said::read(read.meta)?;
        let uri = &*read.uri;
        let stateless = said.is_stateless();
        let Some((resource, variables)) = self.resources.find(uri) else {
            return Err(no_such_resource(uri, stateless));
        };
        let Registered { subject, run, mime_type, cache, .. } = &*resource;
        let (context, end) = said.enter(context, subject, uri.into(), params, &self.rounds)?;
        let reading = run.start(context, &variables, mime_type.clone());
        // A URI whose variables are of another kind than the template's is nobody's.
        let reading = reading.map_err(|unfit| {
            let mut error = no_such_resource(uri, stateless);
            error.message = format!("{}: {unfit}", error.message).into();
            error
        })?;
        let hint =
            if read.is_of_round() { CacheHint::private(Duration::ZERO) } else { cache.unwrap_or(self.hint) };
        Ok(Started { reading, end, hint, stateless })
    }
}

impl<S: State> RawHandler<S> for ReadResource<S> {
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
            Ok(Started { reading, end, hint, stateless }) => {
                let meta = stateless.then(|| self.server_meta.clone());
                Box::pin(end.of(async move { write_result(&reading.await?.wire(hint, meta.as_deref())) }))
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

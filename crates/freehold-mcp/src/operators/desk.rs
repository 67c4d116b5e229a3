//! From a request to its answer.

use super::{Asker, OperatorTool, Operators};
use crate::{
    CacheHint, ReadResourceResult, ResourceContents,
    catalog::ListPages,
    model::{Meta, ServerMeta},
    protocol::method,
    resources::ResourceTable,
    tools::{ToolTable, write},
};
use freehold::{Arriving, ErrorObject, HandlerResult, State, write_result};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};
use std::{borrow::Cow, sync::Arc, time::Duration};

/// Answers operators, and leaves all other requests.
pub(crate) struct Desk<S: State> {
    pub(crate) operators: Operators<S>,
    pub(crate) tools: (Arc<ToolTable<S>>, ListPages),
    pub(crate) resources: Arc<ResourceTable<S>>,
    pub(crate) resource_pages: ListPages,
    pub(crate) template_pages: ListPages,
    pub(crate) server_meta: Arc<ServerMeta>,
}

#[derive(Deserialize)]
struct CallParams<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
    #[serde(default)]
    task: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ReadParams<'a> {
    #[serde(borrow)]
    uri: Cow<'a, str>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

impl<S: State> Desk<S> {
    pub(crate) fn answer(&self, request: &Arriving<'_, S>) -> Option<HandlerResult> {
        let asker = Asker::of(request.extension);
        let may = || (self.operators.may)(&asker);
        match request.method {
            method::TOOLS_CALL => self.call(request, may),
            method::RESOURCES_READ => self.read(request, may),
            method::TOOLS_LIST => {
                let first: Vec<_> = self.operators.tools.iter().map(|tool| &tool.shown).collect();
                let (tools, pages) = &self.tools;
                listed(&first, may, |first| {
                    pages.answer_beside(first, &tools.tools.snapshot(), request.params)
                })
            }
            method::RESOURCES_LIST => {
                let first: Vec<_> = self.operators.resources.iter().map(|resource| &resource.shown).collect();
                listed(&first, may, |first| {
                    self.resource_pages.answer_beside(
                        first,
                        &self.resources.resources.snapshot(),
                        request.params,
                    )
                })
            }
            method::RESOURCE_TEMPLATES_LIST => {
                let first: Vec<_> = self.operators.families.iter().map(|family| &family.shown).collect();
                listed(&first, may, |first| {
                    self.template_pages.answer_beside(
                        first,
                        &self.resources.templates.snapshot(),
                        request.params,
                    )
                })
            }
            _ => None,
        }
    }

    fn call(&self, request: &Arriving<'_, S>, may: impl Fn() -> bool) -> Option<HandlerResult> {
        let params = request.params?.get();
        // Most calls are of other tools, and their parameters need not be read twice.
        let near = |tool: &OperatorTool<S>| params.contains(&*tool.name);
        if !self.operators.tools.iter().any(near) {
            return None;
        }
        // What cannot be read gets its error where all others get it.
        let read: CallParams<'_> = serde_json::from_str(params).ok()?;
        let tool = self.operators.tools.iter().find(|tool| tool.name == read.name)?;
        if read.task.is_some() || !may() {
            return None;
        }
        Some(self.run(tool, &read, request))
    }

    fn run(&self, tool: &OperatorTool<S>, read: &CallParams<'_>, request: &Arriving<'_, S>) -> HandlerResult {
        let meta = self.meta_of(read.meta)?;
        let empty;
        let arguments = match read.arguments {
            Some(arguments) => arguments,
            None => {
                empty = RawValue::from_string("{}".to_owned()).map_err(ErrorObject::invalid_params)?;
                &empty
            }
        };
        if !arguments.get().starts_with('{') {
            return Err(ErrorObject::invalid_params("arguments must be an object"));
        }
        let outcome = (tool.run)(&request.session.engine(), arguments).map_err(|error| error.0);
        write(outcome, meta)
    }

    fn read(&self, request: &Arriving<'_, S>, may: impl Fn() -> bool) -> Option<HandlerResult> {
        let read: ReadParams<'_> = serde_json::from_str(request.params?.get()).ok()?;
        let uri = &*read.uri;
        let engine = || request.session.engine();
        let resource = self.operators.resources.iter().find(|resource| resource.uri == uri);
        let contents = if let Some(resource) = resource {
            may().then(|| ResourceContents::text(uri, &*resource.mime_type, (resource.read)(&engine())))?
        } else {
            let mut families = self.operators.families.iter();
            let (family, rest) =
                families.find_map(|family| Some((family, uri.strip_prefix(&*family.prefix)?)))?;
            let text = may().then(|| (family.read)(&engine(), rest))??;
            ResourceContents::text(uri, &*family.mime_type, text)
        };
        let result = ReadResourceResult::new(vec![contents]);
        let hint = CacheHint::private(Duration::ZERO);
        Some(self.meta_of(read.meta).and_then(|meta| write_result(&result.wire(hint, meta))))
    }

    /// What the answer says of the server, if the request is a stateless one.
    fn meta_of(&self, meta: Option<&RawValue>) -> Result<Option<&ServerMeta>, ErrorObject> {
        let meta = meta.map(Meta::from_raw).transpose()?.unwrap_or_default();
        if !meta.claims_stateless() {
            return Ok(None);
        }
        meta.read()?;
        Ok(Some(&self.server_meta))
    }
}

/// The list of who may see what is first on it, if there is something.
fn listed(
    first: &[&Value],
    may: impl Fn() -> bool,
    list: impl Fn(&[&Value]) -> HandlerResult,
) -> Option<HandlerResult> {
    (!first.is_empty() && may()).then(|| list(first))
}

//! The methods of the protocol that a server offers, registered with its engine.

use super::{
    BuildServerError,
    lifecycle::{cancelled, handshake, set_level},
};
use crate::{
    cache::Cacheable,
    catalog::ListPages,
    changes::ChangeFeed,
    completion::{CompleteArgument, CompletionRates},
    listen::ListenToChanges,
    model::ServerMeta,
    mrtr::Rounds,
    operators::{Desk, Operators},
    prompts::{GetPrompt, PromptTable},
    protocol::{ServerDescription, method},
    resources::{ReadResource, ResourceTable, subscribe, unsubscribe},
    tasks::{self, TaskTable},
    tools::{CallTool, ToolTable, mark_degraded},
};
use freehold::{EngineBuilder, MethodOptions, State};
use serde_json::json;
use std::sync::Arc;

/// What the methods of a server share.
pub(super) struct Parts<S: State> {
    pub(super) tools: Arc<ToolTable<S>>,
    pub(super) prompts: Arc<PromptTable<S>>,
    pub(super) resources: Arc<ResourceTable<S>>,
    pub(super) changes: ChangeFeed,
    pub(super) description: Arc<ServerDescription>,
    pub(super) server_meta: Arc<ServerMeta>,
    pub(super) rounds: Arc<Rounds>,
    pub(super) page: usize,
    pub(super) tasks: Option<Arc<TaskTable<S>>>,
    pub(super) completions: Arc<CompletionRates>,
}

impl<S: State> Parts<S> {
    /// All methods of the protocol that the server offers.
    pub(super) fn methods(&self, engine: EngineBuilder<S>) -> EngineBuilder<S> {
        let offers = self.description.offers;
        let mut engine = self.tools(self.lifecycle(engine));
        if let Some(tasks) = &self.tasks {
            engine = tasks::register(engine, tasks, &self.server_meta);
        }
        if offers.prompts {
            engine = self.prompts(engine);
        }
        if offers.resources {
            engine = self.resources(engine);
        }
        if offers.completions {
            let handler = CompleteArgument {
                prompts: self.prompts.clone(),
                resources: self.resources.clone(),
                server_meta: self.server_meta.clone(),
                rates: self.completions.clone(),
            };
            engine = engine.raw_method(method::COMPLETE, MethodOptions::new().read_only(true), handler);
        }
        engine
    }

    /// Lets operators be answered before all others.
    pub(super) fn operators(
        &self,
        engine: EngineBuilder<S>,
        operators: Operators<S>,
    ) -> Result<EngineBuilder<S>, BuildServerError> {
        let desk = Desk {
            operators: operators.checked(&self.tools, &self.resources)?,
            tools: (self.tools.clone(), self.pages("tools", Cacheable::ToolsList)),
            resources: self.resources.clone(),
            resource_pages: self.pages("resources", Cacheable::ResourcesList),
            template_pages: self.pages("resourceTemplates", Cacheable::ResourceTemplatesList),
            server_meta: self.server_meta.clone(),
        };
        Ok(engine.overtake(move |request| desk.answer(request)))
    }

    fn pages(&self, member: &'static str, of: Cacheable) -> ListPages {
        let hint = self.description.cache.get(of);
        ListPages { member, page: self.page, hint, server_meta: self.server_meta.clone() }
    }

    fn lifecycle(&self, engine: EngineBuilder<S>) -> EngineBuilder<S> {
        let initialize = self.description.clone();
        let discover = self.description.clone();
        let listen = ListenToChanges {
            changes: self.changes.clone(),
            resources: self.resources.clone(),
            offers: self.description.offers,
            tasks: self.tasks.clone(),
        };
        engine
            .answer_cancelled(false)
            .mark_degraded(mark_degraded)
            .control(method::INITIALIZE, move |session, params| handshake(&initialize, session, params))
            .control(method::INITIALIZED, |session, _| {
                session.mark_initialized();
                Ok(())
            })
            .control(method::PING, |_, _| Ok(json!({})))
            .control(method::CANCELLED, cancelled)
            .control(method::SET_LEVEL, set_level)
            .control(method::DISCOVER, move |_, _| Ok(discover.discover_result()))
            .raw_method(method::LISTEN, MethodOptions::new().without_breaker(), listen)
    }

    fn tools(&self, engine: EngineBuilder<S>) -> EngineBuilder<S> {
        let (tools, pages) = (self.tools.clone(), self.pages("tools", Cacheable::ToolsList));
        let call = CallTool {
            tools: self.tools.clone(),
            server_meta: self.server_meta.clone(),
            rounds: self.rounds.clone(),
            tasks: self.tasks.clone(),
        };
        engine
            .control(method::TOOLS_LIST, move |_, params| {
                pages.answer(&tools.tools.snapshot(), params.map(|raw| &**raw))
            })
            .raw_method(method::TOOLS_CALL, each_its_own(), call)
    }

    fn prompts(&self, engine: EngineBuilder<S>) -> EngineBuilder<S> {
        let (prompts, pages) = (self.prompts.clone(), self.pages("prompts", Cacheable::PromptsList));
        let get = GetPrompt {
            prompts: self.prompts.clone(),
            server_meta: self.server_meta.clone(),
            rounds: self.rounds.clone(),
        };
        engine
            .control(method::PROMPTS_LIST, move |_, params| {
                pages.answer(&prompts.prompts.snapshot(), params.map(|raw| &**raw))
            })
            .raw_method(method::PROMPTS_GET, each_its_own(), get)
    }

    fn resources(&self, engine: EngineBuilder<S>) -> EngineBuilder<S> {
        let (resources, pages) = (self.resources.clone(), self.pages("resources", Cacheable::ResourcesList));
        let templates = self.resources.clone();
        let template_pages = self.pages("resourceTemplates", Cacheable::ResourceTemplatesList);
        let subscribed = self.resources.clone();
        let read = ReadResource {
            resources: self.resources.clone(),
            hint: self.description.cache.get(Cacheable::ResourcesRead),
            server_meta: self.server_meta.clone(),
            rounds: self.rounds.clone(),
        };
        engine
            .control(method::RESOURCES_LIST, move |_, params| {
                pages.answer(&resources.resources.snapshot(), params.map(|raw| &**raw))
            })
            .control(method::RESOURCE_TEMPLATES_LIST, move |_, params| {
                template_pages.answer(&templates.templates.snapshot(), params.map(|raw| &**raw))
            })
            .control(method::RESOURCES_SUBSCRIBE, move |session, params| {
                subscribe(&subscribed, session, params)
            })
            .control(method::RESOURCES_UNSUBSCRIBE, unsubscribe)
            .raw_method(method::RESOURCES_READ, each_its_own(), read)
    }
}

/// Of a method that is treated as each tool, prompt or resource says for itself.
fn each_its_own() -> MethodOptions {
    MethodOptions::new().without_breaker().has_subjects(true)
}

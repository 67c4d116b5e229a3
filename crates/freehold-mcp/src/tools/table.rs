//! The tools of a server.

use super::{
    degraded::answering,
    handler::Run,
    mirrored::MirroredArgument,
    tool::{InvalidTool, Tool},
};
use crate::{
    catalog::{Catalog, Listed},
    changes::{Announcer, Change},
    model::ServerMeta,
    tasks::{TaskSupport, ToolTasks},
};
use freehold::{State, Subject};
use serde_json::{Value, json};
use std::{fmt, sync::Arc};

/// Two tools of one name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is a tool named {0:?} already; remove it first")]
pub struct DuplicateTool(pub String);

/// A tool was not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddToolError {
    /// There is one of its name.
    #[error(transparent)]
    Duplicate(#[from] DuplicateTool),
    /// It cannot be one.
    #[error(transparent)]
    Invalid(#[from] InvalidTool),
}

/// One tool of the table.
pub(crate) struct Entry<S: State> {
    pub(crate) name: Arc<str>,
    pub(crate) subject: Arc<Subject<S>>,
    pub(crate) run: Arc<dyn Run<S>>,
    /// The JSON path of each argument that stateless requests mirror in a header, and the header's name.
    pub(crate) mirrored: Vec<MirroredArgument>,
    pub(crate) tasks: ToolTasks,
    shown: [Value; 2],
}

impl<S: State> Listed for Entry<S> {
    fn key(&self) -> &Arc<str> {
        &self.name
    }

    fn shown(&self) -> &[Value; 2] {
        &self.shown
    }
}

/// The tools of a server. Adding and removing works at any time; clients that listen are told.
pub struct ToolTable<S: State> {
    pub(crate) tools: Catalog<Entry<S>>,
    announcer: Announcer,
    server_meta: Arc<ServerMeta>,
    /// Whether the server offers tasks.
    offers_tasks: bool,
}

impl<S: State> ToolTable<S> {
    pub(crate) fn new(
        tools: Vec<Tool<S>>,
        server_meta: Arc<ServerMeta>,
        announcer: Announcer,
        offers_tasks: bool,
    ) -> Result<Self, AddToolError> {
        let entry = |tool: Tool<S>| Ok(entry_of(tool.checked()?, &server_meta, offers_tasks));
        let entries = tools.into_iter().map(entry).collect::<Result<_, InvalidTool>>()?;
        let table = Self { tools: Catalog::new(usize::MAX), announcer, server_meta, offers_tasks };
        table.tools.extend(entries).map_err(|(_, name)| DuplicateTool(name.to_string()))?;
        Ok(table)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Entry<S>>> {
        self.tools.find(name)
    }

    /// Adds a tool and tells the clients that listen.
    ///
    /// # Errors
    ///
    /// [`AddToolError`]; nothing changes then.
    pub fn add(&self, tool: Tool<S>) -> Result<(), AddToolError> {
        let entry = entry_of(tool.checked()?, &self.server_meta, self.offers_tasks);
        let name = entry.name.clone();
        // Tools have no bound but that of memory.
        self.tools.insert(entry).map_err(|_| DuplicateTool(name.to_string()))?;
        self.changed();
        Ok(())
    }

    /// Removes a tool and tells the clients that listen; whether there was one. Calls under way go on.
    pub fn remove(&self, name: &str) -> bool {
        let existed = self.tools.remove(name);
        if existed {
            self.changed();
        }
        existed
    }

    /// Tells the clients that listen that the list changed.
    pub fn changed(&self) {
        self.announcer.announce(Change::Tools);
    }
}

impl<S: State> fmt::Debug for ToolTable<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tools.fmt(f)
    }
}

fn entry_of<S: State>(mut tool: Tool<S>, server_meta: &Arc<ServerMeta>, offers_tasks: bool) -> Entry<S> {
    if !offers_tasks {
        tool.tasks = ToolTasks::default();
    }
    let options = tool.options();
    let shown = [false, true].map(|stateless| show(&tool, stateless));
    let name = Arc::<str>::from(tool.name);
    let mut subject = Subject::new(name.clone(), options);
    if let Some(fallback) = tool.fallback {
        subject = answering(subject, fallback, server_meta.clone());
    }
    Entry {
        name,
        subject: Arc::new(subject),
        run: tool.run,
        mirrored: tool.mirrored,
        tasks: tool.tasks,
        shown,
    }
}

fn show<S: State>(tool: &Tool<S>, stateless: bool) -> Value {
    let mut shown = json!({
        "name": tool.name,
        "description": tool.description,
        "inputSchema": tool.input_schema,
    });
    if let Some(title) = &tool.title {
        shown["title"] = json!(title);
    }
    // Revisions with sessions know structured output of objects only.
    let fits = |schema: &&Value| stateless || schema.get("type") == Some(&json!("object"));
    if let Some(schema) = tool.output_schema.as_ref().filter(fits) {
        shown["outputSchema"] = schema.clone();
    }
    if tool.annotations != Default::default() {
        shown["annotations"] = json!(tool.annotations);
    }
    if !tool.icons.is_empty() {
        shown["icons"] = json!(tool.icons);
    }
    if !tool.meta.is_empty() {
        shown["_meta"] = json!(tool.meta);
    }
    // In stateless revisions the server alone decides.
    if !stateless && tool.tasks.support != TaskSupport::Forbidden {
        shown["execution"] = json!({ "taskSupport": tool.tasks.support });
    }
    shown
}

//! The tools of a server: a table that is read without a lock and replaced as a whole when a tool comes or goes.

use super::{
    degraded::answering,
    schema::{MirroredArgument, mirrored_arguments},
    tool::{Run, Tool},
};
use crate::{lock_order, model::ServerMeta};
use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use freehold::{State, Subject};
use freehold_sync::ScopedMutex;
use serde_json::{Value, json, value::RawValue};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock, Weak},
};

/// Two tools of one name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is a tool named {0:?} already; remove it first")]
pub struct DuplicateTool(pub String);

/// One tool of the table.
pub(crate) struct Entry<S: State> {
    pub(crate) name: Arc<str>,
    pub(crate) subject: Arc<Subject<S>>,
    pub(crate) run: Arc<dyn Run<S>>,
    /// The JSON path of each argument that stateless requests mirror in a header, and the header's name.
    pub(crate) mirrored: Vec<MirroredArgument>,
    /// As `tools/list` shows it in revisions with sessions, and in stateless ones.
    shown: [Value; 2],
}

pub(crate) struct Snapshot<S: State> {
    by_name: HashMap<Arc<str>, Arc<Entry<S>>, RandomState>,
    /// In the order of their names, the same at each listing.
    ordered: BTreeMap<Arc<str>, Arc<Entry<S>>>,
    /// The first page of both eras, which is nearly always the whole list.
    pub(crate) first_page: [OnceLock<Box<RawValue>>; 2],
}

impl<S: State> Snapshot<S> {
    fn new(ordered: BTreeMap<Arc<str>, Arc<Entry<S>>>) -> Self {
        let by_name = ordered.iter().map(|(name, entry)| (name.clone(), entry.clone())).collect();
        Self { by_name, ordered, first_page: [OnceLock::new(), OnceLock::new()] }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Entry<S>>> {
        self.by_name.get(name)
    }

    /// Up to `most` tools after the one named, and whether there are more.
    pub(crate) fn page(
        &self,
        after: Option<&str>,
        stateless: bool,
        most: usize,
    ) -> (Vec<&Value>, Option<&str>) {
        use std::ops::Bound;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.ordered.range::<str, _>((start, Bound::Unbounded));
        let page: Vec<_> = rest.by_ref().take(most).collect();
        let more = rest.next().is_some();
        let last = page.last().map(|(name, _)| &***name).filter(|_| more);
        (page.into_iter().map(|(_, entry)| &entry.shown[usize::from(stateless)]).collect(), last)
    }
}

/// Who wants to know that the list changed.
pub(crate) trait ToolChanges: Send + Sync {
    fn tools_changed(&self);
}

/// The tools of a server. Adding and removing works at any time; clients that listen are told.
pub struct ToolTable<S: State> {
    current: ArcSwap<Snapshot<S>>,
    changes: ScopedMutex<Option<Weak<dyn ToolChanges>>, lock_order::WhoIsTold>,
    server_meta: Arc<ServerMeta>,
}

impl<S: State> ToolTable<S> {
    pub(crate) fn new(tools: Vec<Tool<S>>, server_meta: Arc<ServerMeta>) -> Result<Self, DuplicateTool> {
        let mut ordered = BTreeMap::new();
        for tool in tools {
            let entry = Arc::new(entry_of(tool, &server_meta));
            if let Some(twice) = ordered.insert(entry.name.clone(), entry) {
                return Err(DuplicateTool(twice.name.to_string()));
            }
        }
        let current = ArcSwap::from_pointee(Snapshot::new(ordered));
        Ok(Self { current, changes: ScopedMutex::of(None), server_meta })
    }

    pub(crate) fn tell(&self, changes: Weak<dyn ToolChanges>) {
        self.changes.with(|slot| *slot = Some(changes));
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot<S>> {
        self.current.load_full()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Entry<S>>> {
        self.current.load().get(name).cloned()
    }

    /// Adds a tool and tells the clients that listen.
    ///
    /// # Errors
    ///
    /// [`DuplicateTool`]; nothing changes then.
    pub fn add(&self, tool: Tool<S>) -> Result<(), DuplicateTool> {
        let entry = Arc::new(entry_of(tool, &self.server_meta));
        let before = self.current.rcu(|current| {
            let mut ordered = current.ordered.clone();
            ordered.entry(entry.name.clone()).or_insert_with(|| entry.clone());
            Snapshot::new(ordered)
        });
        if before.get(&entry.name).is_some() {
            return Err(DuplicateTool(entry.name.to_string()));
        }
        self.changed();
        Ok(())
    }

    /// Removes a tool and tells the clients that listen; whether there was one. Calls under way go on.
    pub fn remove(&self, name: &str) -> bool {
        let before = self.current.rcu(|current| {
            let mut ordered = current.ordered.clone();
            ordered.remove(name);
            Snapshot::new(ordered)
        });
        let existed = before.get(name).is_some();
        if existed {
            self.changed();
        }
        existed
    }

    /// Tells the clients that listen that the list changed.
    pub fn changed(&self) {
        let changes = self.changes.with(|slot| slot.clone());
        if let Some(changes) = changes.and_then(|weak| weak.upgrade()) {
            changes.tools_changed();
        }
    }
}

impl<S: State> std::fmt::Debug for ToolTable<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.current.load().ordered.keys()).finish()
    }
}

fn entry_of<S: State>(tool: Tool<S>, server_meta: &Arc<ServerMeta>) -> Entry<S> {
    let options = tool.options();
    let mirrored = mirrored_arguments(&tool.input_schema);
    let shown = [false, true].map(|stateless| show(&tool, stateless));
    let name = Arc::<str>::from(tool.name);
    let mut subject = Subject::new(name.clone(), options);
    if let Some(fallback) = tool.fallback {
        subject = answering(subject, fallback, server_meta.clone());
    }
    Entry { name, subject: Arc::new(subject), run: tool.run, mirrored, shown }
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
    shown
}

//! What a subscription hears of tasks.

use super::{
    Task, TaskTable,
    create::{declares_tasks, missing_extension},
    id::TaskId,
    task::{TaskStatus, View},
    wire,
};
use crate::{owner::Owner, protocol::key};
use freehold::{Context, ErrorObject, RequestId, State, runtime::BoxFuture};
use futures_util::{StreamExt, stream::FuturesUnordered};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};
use tokio::sync::watch;

/// A task that changed, and where its next change is read.
type Changed<S> = (Arc<Task<S>>, watch::Receiver<()>);

/// The tasks of one subscription that have not ended.
pub(crate) struct TaskFeed<S: State> {
    next: FuturesUnordered<BoxFuture<'static, Option<Changed<S>>>>,
    /// What was told last of each.
    told: HashMap<TaskId, Told>,
}

/// What of a task a client would notice.
#[derive(PartialEq)]
struct Told {
    status: TaskStatus,
    message: Option<Arc<str>>,
    inputs: Vec<String>,
}

impl From<&View> for Told {
    fn from(view: &View) -> Self {
        let inputs = view.inputs.iter().map(|input| input.key.clone()).collect();
        Self { status: view.status, message: view.message.clone(), inputs }
    }
}

impl<S: State> TaskFeed<S> {
    /// The feed of those of these tasks that are the client's, and their ids.
    ///
    /// # Errors
    ///
    /// If the client does not declare that it knows tasks, and wants to hear of some.
    pub(crate) fn open(
        tasks: Option<&Arc<TaskTable<S>>>,
        context: &Context<S>,
        params: Option<&RawValue>,
        ids: &BTreeSet<String>,
    ) -> Result<(Self, BTreeSet<String>), ErrorObject> {
        let mut feed = Self { next: FuturesUnordered::new(), told: HashMap::new() };
        let (Some(tasks), false) = (tasks, ids.is_empty()) else { return Ok((feed, BTreeSet::new())) };
        if !declares_tasks(params) {
            return Err(missing_extension());
        }
        let owner = Owner::of(context.session(), true);
        let mut honoured = BTreeSet::new();
        for id in ids {
            let found = TaskId::read(id).and_then(|id| tasks.find(id, &owner));
            if let Some(task) = found.filter(|task| task.is_told()) {
                let mut changes = task.changes();
                // How it is now comes first, so that nothing is missed.
                changes.mark_changed();
                feed.expect((task, changes));
                honoured.insert(id.clone());
            }
        }
        Ok((feed, honoured))
    }

    fn expect(&mut self, (task, mut changes): Changed<S>) {
        self.next.push(Box::pin(async move {
            changes.changed().await.ok()?;
            Some((task, changes))
        }));
    }

    /// Whether all of them have ended.
    pub(crate) fn is_over(&self) -> bool {
        self.next.is_empty()
    }

    /// Waits for a task to change, and gives the parameters of its notification; nothing if all have ended. Cancel safe.
    pub(crate) async fn next(&mut self, subscription: &RequestId) -> Option<Value> {
        loop {
            let Some((task, changes)) = self.next.next().await? else { continue };
            let view = task.view();
            let told = Told::from(&view);
            if told.status.is_terminal() {
                self.told.remove(&task.id);
                return Some(params(&task, &view, subscription));
            }
            self.expect((task.clone(), changes));
            if self.told.get(&task.id) != Some(&told) {
                self.told.insert(task.id, told);
                return Some(params(&task, &view, subscription));
            }
        }
    }
}

fn params<S: State>(task: &Task<S>, view: &View, subscription: &RequestId) -> Value {
    #[derive(Serialize)]
    struct Params<'a> {
        #[serde(flatten)]
        task: wire::TaskFields<'a>,
        #[serde(rename = "_meta")]
        meta: Value,
    }
    json!(Params { task: wire::detailed(task, view), meta: json!({ key::SUBSCRIPTION_ID: subscription }) })
}

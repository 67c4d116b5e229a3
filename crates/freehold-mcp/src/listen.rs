//! `subscriptions/listen` of the stateless revisions: a stream of notifications that the client asked for.

use crate::{
    changes::{Change, ChangeFeed},
    limits::URI_BYTES,
    offer::Offers,
    protocol::{key, method},
    resources::ResourceTable,
    tasks::{TaskFeed, TaskTable},
};
use freehold::{
    Context, ErrorObject, HandlerResult, RawHandler, RequestId, State, read_params, runtime::BoxFuture,
    write_result,
};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

/// Handles `subscriptions/listen`. The stream ends with its client, or with a result when the server drains.
pub(crate) struct ListenToChanges<S: State> {
    pub(crate) changes: ChangeFeed,
    pub(crate) resources: Arc<ResourceTable<S>>,
    pub(crate) offers: Offers,
    /// If the server offers tasks.
    pub(crate) tasks: Option<Arc<TaskTable<S>>>,
}

#[derive(Deserialize)]
struct Params {
    notifications: Wanted,
}

/// What a client wants to be told; and, of that, what it will be told.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Wanted {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tools_list_changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    prompts_list_changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    resources_list_changed: bool,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    resource_subscriptions: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    task_ids: BTreeSet<String>,
}

impl Wanted {
    /// Whether there is nothing that may change for ever.
    fn is_nothing(&self) -> bool {
        let lists = self.tools_list_changed || self.prompts_list_changed || self.resources_list_changed;
        !lists && self.resource_subscriptions.is_empty()
    }

    /// The change, if it is wanted.
    fn matching(&self, change: Change) -> Option<Change> {
        let wanted = match &change {
            Change::Tools => self.tools_list_changed,
            Change::Prompts => self.prompts_list_changed,
            Change::Resources => self.resources_list_changed,
            Change::Updated(uri) => self.resource_subscriptions.contains(&**uri),
        };
        wanted.then_some(change)
    }

    /// All that is wanted, as if all of it had changed.
    fn everything(&self) -> News {
        let lists = [Change::Tools, Change::Prompts, Change::Resources];
        let updates = self.resource_subscriptions.iter().map(|uri| Change::Updated(uri.as_str().into()));
        let mut news = News::default();
        lists.into_iter().chain(updates).for_each(|change| news.add(self.matching(change)));
        news
    }
}

/// What there is to tell: each change once, in the order in which they came first.
#[derive(Debug, Default)]
struct News {
    known: BTreeSet<Change>,
    ordered: Vec<Change>,
}

impl News {
    fn add(&mut self, change: Option<Change>) {
        let new = change.filter(|change| self.known.insert(change.clone()));
        self.ordered.extend(new);
    }
}

/// What there is to tell next, each change once; `None` when there will be nothing more.
///
/// Who is told of every change cannot be behind; who is too far behind to know them is told that all it asked for may
/// have changed. So nothing is missed, however many changes there are.
async fn next_changes<S: State>(
    context: &Context<S>,
    changes: &mut broadcast::Receiver<Change>,
    wanted: &Wanted,
) -> Option<News> {
    let engine = context.engine();
    let first = tokio::select! {
        () = engine.drain_begun() => return None,
        _ = context.cancelled() => return None,
        first = changes.recv() => first,
    };
    let mut news = News::default();
    match first {
        Ok(change) => news.add(wanted.matching(change)),
        Err(RecvError::Lagged(_)) => news = wanted.everything(),
        Err(RecvError::Closed) => return None,
    }
    loop {
        match changes.try_recv() {
            Ok(change) => news.add(wanted.matching(change)),
            Err(TryRecvError::Lagged(_)) => news = wanted.everything(),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return Some(news),
        }
    }
}

impl<S: State> ListenToChanges<S> {
    /// Of what the client wants, what it will be told: kinds that the server offers, and resources that there are.
    fn honoured(&self, wanted: Wanted, most: usize) -> Result<Wanted, ErrorObject> {
        let uris = wanted.resource_subscriptions;
        if uris.len() > most || uris.iter().any(|uri| uri.len() > URI_BYTES) {
            let reason = format!("resourceSubscriptions takes {most} URIs of {URI_BYTES} bytes each");
            return Err(ErrorObject::invalid_params(reason));
        }
        if wanted.task_ids.len() > most {
            return Err(ErrorObject::invalid_params(format_args!("taskIds takes {most} ids")));
        }
        let Offers { resources, prompts, .. } = self.offers;
        Ok(Wanted {
            tools_list_changed: wanted.tools_list_changed,
            prompts_list_changed: wanted.prompts_list_changed && prompts,
            resources_list_changed: wanted.resources_list_changed && resources,
            resource_subscriptions: uris.into_iter().filter(|uri| self.resources.knows(uri)).collect(),
            task_ids: wanted.task_ids,
        })
    }
}

/// Acknowledges, then tells of changes until there will be none.
async fn tell<S: State>(
    context: &Context<S>,
    id: &RequestId,
    wanted: &Wanted,
    changes: &mut broadcast::Receiver<Change>,
    tasks: &mut TaskFeed<S>,
) -> Result<(), ErrorObject> {
    let acknowledged = json!({ "_meta": { key::SUBSCRIPTION_ID: id }, "notifications": wanted });
    context.notify(method::ACKNOWLEDGED, &acknowledged).map_err(|_| ErrorObject::internal())?;
    while !(wanted.is_nothing() && tasks.is_over()) {
        tokio::select! {
            news = next_changes(context, changes, wanted) => {
                let Some(news) = news else { break };
                for change in news.ordered {
                    let params = change.params(Some(id));
                    context.notify(change.method(), &params).map_err(|_| ErrorObject::internal())?;
                }
            }
            params = tasks.next(id), if !tasks.is_over() => {
                if let Some(params) = params {
                    context.notify(method::TASK_CHANGED, &params).map_err(|_| ErrorObject::internal())?;
                }
            }
        }
    }
    Ok(())
}

impl<S: State> RawHandler<S> for ListenToChanges<S> {
    fn start(&self, context: Context<S>, params: Option<Box<RawValue>>) -> BoxFuture<'static, HandlerResult> {
        // A change from now on counts, also one before the acknowledgement was read.
        let mut changes = self.changes.subscribe();
        let most = context.engine().limits().topics_per_session;
        let opened = read_params::<Params>(params.as_deref()).and_then(|read| {
            let mut wanted = self.honoured(read.notifications, most)?;
            let opened = TaskFeed::open(self.tasks.as_ref(), &context, params.as_deref(), &wanted.task_ids);
            let (feed, honoured) = opened?;
            wanted.task_ids = honoured;
            Ok((wanted, feed))
        });
        Box::pin(async move {
            let (wanted, mut tasks) = opened?;
            let Some(id) = context.request_id().cloned() else { return write_result(&()) };
            context.remove_deadline();
            tell(&context, &id, &wanted, &mut changes, &mut tasks).await?;
            write_result(&json!({ "resultType": "complete", "_meta": { key::SUBSCRIPTION_ID: id } }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Wanted;
    use crate::changes::Change;
    use serde_json::json;

    #[test]
    fn what_was_not_asked_for_is_not_told() {
        let asked = json!({ "promptsListChanged": true, "resourceSubscriptions": ["a:1", "a:1", "a:2"] });
        let wanted: Wanted = serde_json::from_value(asked).unwrap();
        let rows = [
            (Change::Tools, false),
            (Change::Prompts, true),
            (Change::Resources, false),
            (Change::Updated("a:1".into()), true),
            (Change::Updated("a:3".into()), false),
        ];
        for (change, told) in rows {
            assert_eq!(wanted.matching(change.clone()).is_some(), told, "{change:?}");
        }
        let all = [Change::Prompts, Change::Updated("a:1".into()), Change::Updated("a:2".into())];
        assert_eq!(wanted.everything().ordered, all);
        let honoured = json!({ "promptsListChanged": true, "resourceSubscriptions": ["a:1", "a:2"] });
        assert_eq!(json!(wanted), honoured);
        assert!(!wanted.is_nothing() && Wanted::default().is_nothing());
    }
}

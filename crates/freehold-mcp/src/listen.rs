//! `subscriptions/listen` of the stateless revisions: a stream of notifications that the client asked for.

use crate::protocol::{key, method};
use freehold::{
    Context, ErrorObject, HandlerResult, RawHandler, RequestId, State, read_params, runtime::BoxFuture,
    write_result,
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::sync::watch;

/// Handles `subscriptions/listen`. The stream ends with its client, or with a result when the server drains.
pub(crate) struct ListenToChanges {
    pub(crate) changes: watch::Sender<u64>,
}

#[derive(Deserialize)]
struct Params {
    notifications: Wanted,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    #[serde(default)]
    tools_list_changed: bool,
}

/// Waits for the next change; `false` when there will be none.
async fn next_change<S: State>(context: &Context<S>, changes: &mut watch::Receiver<u64>) -> bool {
    let engine = context.engine();
    tokio::select! {
        () = engine.drain_begun() => false,
        _ = context.cancelled() => false,
        changed = changes.changed() => changed.is_ok(),
    }
}

impl<S: State> RawHandler<S> for ListenToChanges {
    fn start(&self, context: Context<S>, params: Option<Box<RawValue>>) -> BoxFuture<'static, HandlerResult> {
        let mut changes = self.changes.subscribe();
        Box::pin(async move {
            let Params { notifications: wanted } = read_params(params.as_deref())?;
            let Some(id) = context.request_id().cloned() else { return write_result(&()) };
            context.remove_deadline();
            let honoured =
                if wanted.tools_list_changed { json!({ "toolsListChanged": true }) } else { json!({}) };
            let meta = |id: &RequestId| json!({ key::SUBSCRIPTION_ID: id });
            let acknowledged = json!({ "_meta": meta(&id), "notifications": honoured });
            context.notify(method::ACKNOWLEDGED, &acknowledged).map_err(|_| ErrorObject::internal())?;
            if wanted.tools_list_changed {
                let params = json!({ "_meta": meta(&id) });
                // A change since the subscription counts, also one before the acknowledgement was read.
                while next_change(&context, &mut changes).await {
                    context.notify(method::TOOLS_CHANGED, &params).map_err(|_| ErrorObject::internal())?;
                }
            }
            write_result(&json!({ "resultType": "complete", "_meta": meta(&id) }))
        })
    }
}

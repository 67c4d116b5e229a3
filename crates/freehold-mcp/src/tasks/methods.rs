//! The methods `tasks/...`. All but `tasks/result` answer at once, so that a full house keeps nobody from polling and
//! cancelling.

use super::{
    Task, TaskTable,
    create::{TASK_VERSIONS, declares_tasks, missing_extension},
    id::TaskId,
    wire,
};
use crate::{
    model::{Meta, ServerMeta},
    owner::Owner,
    peer::Peer,
    protocol::method,
};
use freehold::{
    Context, EngineBuilder, ErrorObject, HandlerResult, MethodOptions, RawHandler, Session, State,
    runtime::BoxFuture, write_result,
};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use std::{borrow::Cow, collections::HashMap, sync::Arc};

/// Cursors are opaque to clients: this, then the number of the first task of the next page.
const CURSOR_PREFIX: &str = "from:";

/// Adds the methods, and what happens to tasks when their session is closed.
pub(crate) fn register<S: State>(
    engine: EngineBuilder<S>,
    tasks: &Arc<TaskTable<S>>,
    meta: &Arc<ServerMeta>,
) -> EngineBuilder<S> {
    let desk = || Desk { tasks: tasks.clone(), meta: meta.clone() };
    let (get, cancel, list, update, closed) = (desk(), desk(), desk(), desk(), tasks.clone());
    engine
        .control(method::TASK_GET, move |session, params| get.get(session, params.map(|raw| &**raw)))
        .control(method::TASK_CANCEL, move |session, params| cancel.cancel(session, params.map(|raw| &**raw)))
        .control(method::TASK_LIST, move |session, params| list.list(session, params.map(|raw| &**raw)))
        .control(method::TASK_UPDATE, move |session, params| update.update(session, params.map(|raw| &**raw)))
        .raw_method(
            method::TASK_RESULT,
            MethodOptions::new().without_breaker().read_only(true).beside(),
            WaitForResult(desk()),
        )
        .on_closed(move |session, _| closed.session_closed(session.id()))
}

/// Where clients ask for their tasks.
struct Desk<S: State> {
    tasks: Arc<TaskTable<S>>,
    meta: Arc<ServerMeta>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OneTask<'a> {
    #[serde(borrow)]
    task_id: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update<'a> {
    #[serde(borrow)]
    input_responses: HashMap<Cow<'a, str>, &'a RawValue>,
}

#[derive(Default, Deserialize)]
struct List<'a> {
    #[serde(borrow, default)]
    cursor: Option<Cow<'a, str>>,
}

/// A result that says nothing but that the request was taken.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Taken<'a> {
    result_type: &'static str,
    #[serde(rename = "_meta")]
    meta: &'a ServerMeta,
}

/// Reads parameters that may borrow.
fn read<'a, P: Deserialize<'a>>(params: Option<&'a RawValue>) -> Result<P, ErrorObject> {
    let text = params.map_or("{}", RawValue::get);
    serde_json::from_str(text).map_err(ErrorObject::invalid_params)
}

/// Whose tasks these are, if who asks may ask for tasks at all.
fn asker<S: State>(
    session: &Session<S>,
    called: &str,
    params: Option<&RawValue>,
) -> Result<Owner, ErrorObject> {
    let stateless = Meta::of(params).claims_stateless();
    if stateless && !declares_tasks(params) {
        return Err(missing_extension());
    }
    let knows = |peer: &Peer| TASK_VERSIONS.contains(&peer.version);
    if !stateless && !Peer::of(session).is_some_and(knows) {
        return Err(ErrorObject::method_not_found(called));
    }
    Ok(Owner::of(session, stateless))
}

impl<S: State> Desk<S> {
    fn find(
        &self,
        session: &Session<S>,
        called: &str,
        params: Option<&RawValue>,
    ) -> Result<Arc<Task<S>>, ErrorObject> {
        let owner = asker(session, called, params)?;
        let OneTask { task_id } = read(params)?;
        let found = TaskId::read(&task_id).and_then(|id| self.tasks.find(id, &owner));
        found.filter(|task| task.is_told()).ok_or_else(|| {
            let reason = "no such task: it never was, has expired, or is somebody else's";
            ErrorObject::invalid_params(reason)
        })
    }

    fn get(&self, session: &Session<S>, params: Option<&RawValue>) -> HandlerResult {
        let task = self.find(session, method::TASK_GET, params)?;
        write_result(&wire::got(&task, &task.view(), &self.meta))
    }

    fn cancel(&self, session: &Session<S>, params: Option<&RawValue>) -> HandlerResult {
        let task = self.find(session, method::TASK_CANCEL, params)?;
        let cancelled = task.cancel();
        if task.owner.is_stateless() {
            return self.taken();
        }
        match cancelled {
            Ok(()) => write_result(&wire::got(&task, &task.view(), &self.meta)),
            Err(status) => {
                let status = json!(status);
                let reason = format!("the task has the terminal status {status} already");
                Err(ErrorObject::invalid_params(reason))
            }
        }
    }

    fn list(&self, session: &Session<S>, params: Option<&RawValue>) -> HandlerResult {
        let owner = asker(session, method::TASK_LIST, params)?;
        let List { cursor } = read(params)?;
        let from = match cursor {
            None => 0,
            Some(cursor) => {
                let from = cursor.strip_prefix(CURSOR_PREFIX).and_then(|from| from.parse().ok());
                from.ok_or_else(|| ErrorObject::invalid_params("this cursor was not given by tasks/list"))?
            }
        };
        let page = self.tasks.page(&owner, from);
        let views: Vec<_> = page.tasks.iter().map(|task| (task, task.view())).collect();
        let fields: Vec<_> = views.iter().map(|(task, view)| wire::fields(task, view, None)).collect();
        let mut result = json!({ "tasks": fields });
        if let Some(next) = page.next {
            result["nextCursor"] = json!(format!("{CURSOR_PREFIX}{next}"));
        }
        write_result(&result)
    }

    fn update(&self, session: &Session<S>, params: Option<&RawValue>) -> HandlerResult {
        let task = self.find(session, method::TASK_UPDATE, params)?;
        let Update { input_responses } = read(params)?;
        for (key, answer) in input_responses {
            // Answers to what is not asked, or not asked any more, are of no account.
            task.is_answered(&key, answer.to_owned());
        }
        self.taken()
    }

    fn taken(&self) -> HandlerResult {
        write_result(&Taken { result_type: "complete", meta: &self.meta })
    }
}

/// Handles `tasks/result`: waits for the outcome of a task, and passes on what it says meanwhile. Ends with the task, which
/// has a deadline and a time to live; by a cancel, with its session, or with a drain.
struct WaitForResult<S: State>(Desk<S>);

impl<S: State> RawHandler<S> for WaitForResult<S> {
    fn start(&self, context: Context<S>, params: Option<Box<RawValue>>) -> BoxFuture<'static, HandlerResult> {
        let found = self.0.find(context.session(), method::TASK_RESULT, params.as_deref());
        Box::pin(async move {
            let task = found?;
            context.remove_deadline();
            wait_for_result(&context, &task).await
        })
    }
}

async fn wait_for_result<S: State>(context: &Context<S>, task: &Arc<Task<S>>) -> HandlerResult {
    let mut changes = task.changes();
    let reader = task.read();
    loop {
        // Looked at first, so that nothing that was said before it is missed.
        let outcome = task.outcome();
        for frame in reader.take() {
            context.forward(frame);
        }
        if let Some(outcome) = outcome {
            return (*outcome).clone();
        }
        tokio::select! {
            _ = changes.changed() => {}
            reason = context.cancelled() => return Err(ErrorObject::new(freehold::ErrorCode::CANCELLED, reason.as_str())),
        }
    }
}

//! How a task comes from a `tools/call`.

use super::{Task, TaskStart, TaskSupport, TaskTable, ToolTasks, runner, table::Full, wire};
use crate::{
    context::RequestContext,
    model::ServerMeta,
    peer::Peer,
    protocol::{MISSING_CAPABILITY, key, method},
};
use freehold::{
    Context, ErrorCode, ErrorObject, Gate, HandlerResult, ServerCall, Session, State,
    runtime::{BoxFuture, Timer},
    write_result,
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{json, value::RawValue};
use std::{pin::Pin, sync::Arc, time::Duration};

/// The revisions with sessions that know tasks.
pub(super) const TASK_VERSIONS: [&str; 1] = ["2025-11-25"];

/// Whether a stateless request declares that its client knows tasks.
pub(super) fn declares_tasks(params: Option<&RawValue>) -> bool {
    #[derive(Deserialize)]
    struct Params {
        #[serde(rename = "_meta")]
        meta: MetaOnly,
    }
    #[derive(Deserialize)]
    struct MetaOnly {
        #[serde(rename = "io.modelcontextprotocol/clientCapabilities")]
        capabilities: Capabilities,
    }
    #[derive(Deserialize)]
    struct Capabilities {
        extensions: Extensions,
    }
    #[derive(Deserialize)]
    struct Extensions {
        #[serde(rename = "io.modelcontextprotocol/tasks")]
        tasks: Option<IgnoredAny>,
    }
    let params = params.and_then(|params| serde_json::from_str::<Params>(params.get()).ok());
    params.is_some_and(|params| params.meta.capabilities.extensions.tasks.is_some())
}

/// The error for stateless clients that do not know tasks.
pub(super) fn missing_extension() -> ErrorObject {
    let data = json!({ "requiredCapabilities": { "extensions": { key::TASKS: {} } } });
    let reason = format!("the client did not declare the extension {:?}", key::TASKS);
    ErrorObject::new(MISSING_CAPABILITY, reason).with_data(&data)
}

/// What a `tools/call` asks for in its member `task`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked<'a>(pub(crate) Option<&'a RawValue>);

impl Asked<'_> {
    /// The time to live that it wants.
    fn ttl(self) -> Result<Option<Duration>, ErrorObject> {
        #[derive(Deserialize)]
        struct Wanted {
            #[serde(default)]
            ttl: Option<f64>,
        }
        let Some(raw) = self.0 else { return Ok(None) };
        if !raw.get().starts_with('{') {
            return Err(ErrorObject::invalid_params("task must be an object"));
        }
        let Wanted { ttl } = serde_json::from_str(raw.get()).map_err(ErrorObject::invalid_params)?;
        let period = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).unwrap_or(Duration::MAX);
        match ttl {
            Some(ms) if ms < 0.0 => Err(ErrorObject::invalid_params("task.ttl must not be negative")),
            ttl => Ok(ttl.map(period)),
        }
    }
}

/// A task to be created.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Creation {
    ttl: Option<Duration>,
    start: TaskStart,
    stateless: bool,
}

/// Whether a call of a tool becomes a task; nothing if it is answered with its result.
///
/// # Errors
///
/// What the protocol wants for a client that asks for a task where there is none, or for none where there must be one.
pub(crate) fn plan<S: State>(
    context: &Context<S>,
    tool: ToolTasks,
    asked: Asked<'_>,
    params: Option<&RawValue>,
    stateless: bool,
) -> Result<Option<Creation>, ErrorObject> {
    // A task's own call, and what a handler calls, are what is to be run.
    if (tool.support == TaskSupport::Forbidden && asked.0.is_none())
        || context.is_nested()
        || context.attachment::<Task<S>>().is_some()
    {
        return Ok(None);
    }
    if stateless {
        return plan_stateless(tool, params);
    }
    let knows = Peer::of(context.session()).is_some_and(|peer| TASK_VERSIONS.contains(&peer.version));
    let refused = |reason| Err(ErrorObject::new(ErrorCode::METHOD_NOT_FOUND, reason));
    match (tool.support, asked.0.is_some() && knows) {
        (TaskSupport::Forbidden, true) => refused("this tool cannot be called as a task; leave out \"task\""),
        (TaskSupport::Required, false) if knows => {
            refused("this tool can be called as a task only; send \"task\", too")
        }
        (TaskSupport::Required, false) => {
            refused("this tool can be called as a task only; speak revision 2025-11-25 or 2026-07-28")
        }
        (_, false) => Ok(None),
        (_, true) => Ok(Some(Creation { ttl: asked.ttl()?, start: TaskStart::AtOnce, stateless })),
    }
}

fn plan_stateless(tool: ToolTasks, params: Option<&RawValue>) -> Result<Option<Creation>, ErrorObject> {
    match (tool.support, declares_tasks(params)) {
        // A member `task` means nothing here.
        (TaskSupport::Forbidden, _) | (TaskSupport::Optional, false) => Ok(None),
        (TaskSupport::Required, false) => Err(missing_extension()),
        (_, true) => Ok(Some(Creation { ttl: None, start: tool.start, stateless: true })),
    }
}

impl<S: State> TaskTable<S> {
    /// Creates a task of the request that `context` serves, and answers that.
    pub(crate) fn create(
        self: &Arc<Self>,
        context: Context<S>,
        params: Option<Box<RawValue>>,
        creation: Creation,
        meta: Arc<ServerMeta>,
    ) -> BoxFuture<'static, HandlerResult> {
        // Where calls take turns, this one has the turn that the task waits for.
        let serial = context.session().gate() == Gate::Serial;
        let start = if serial { TaskStart::AtOnce } else { creation.start };
        let task = match self.begin(&context, params, creation, start == TaskStart::AtOnce) {
            Ok(task) => task,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        if start == TaskStart::AtOnce {
            return Box::pin(std::future::ready(write_result(&wire::created(&task, &task.view(), &meta))));
        }
        let first = First { unless_told: LeaveUnlessTold { tasks: self.clone(), task }, context, meta };
        Box::pin(first.answer(start))
    }

    fn begin(
        self: &Arc<Self>,
        context: &Context<S>,
        params: Option<Box<RawValue>>,
        creation: Creation,
        told: bool,
    ) -> Result<Arc<Task<S>>, ErrorObject> {
        let session = context.session();
        let ttl = self.limits.ttl_of(creation.ttl);
        let (serial, poll) = (self.next_serial(), self.limits.poll_interval);
        let task = Arc::new(Task::new(session, creation.stateless, serial, ttl, poll, told));
        self.insert(&task).map_err(|full| overloaded(session, &full))?;
        let call = ServerCall::new(method::TOOLS_CALL, params)
            .timeout(self.limits.run.min(ttl))
            .extension(context.request_extension())
            .attach(task.clone());
        let engine = session.engine();
        let call = engine.begin(session, call).inspect_err(|_| self.remove(&task))?;
        engine.runtime().spawn("task", Box::pin(runner::run(task.clone(), Arc::downgrade(self), call)));
        Ok(task)
    }
}

fn overloaded<S: State>(session: &Session<S>, full: &Full) -> ErrorObject {
    let retry_after = session.engine().limits().retry_after.as_millis() as u64;
    let whose = match full {
        Full::Owner => "you have",
        Full::Server => "the server has",
    };
    let message = format!("{whose} as many tasks as there may be; let some end, or try again later");
    ErrorObject::new(ErrorCode::OVERLOADED, message).with_data(&json!({ "retryAfterMs": retry_after }))
}

/// A request that is answered with a result, if there is one soon enough, or with a task.
struct First<S: State> {
    unless_told: LeaveUnlessTold<S>,
    context: Context<S>,
    meta: Arc<ServerMeta>,
}

/// A task that nobody was told of ends with the request that it came from.
struct LeaveUnlessTold<S: State> {
    tasks: Arc<TaskTable<S>>,
    task: Arc<Task<S>>,
}

impl<S: State> Drop for LeaveUnlessTold<S> {
    fn drop(&mut self) {
        if !self.task.is_told() {
            self.tasks.remove(&self.task);
        }
    }
}

impl<S: State> First<S> {
    async fn answer(self, start: TaskStart) -> HandlerResult {
        let task = &self.unless_told.task;
        let mut patience = patience(task, start);
        let mut changes = task.changes();
        let reader = task.read();
        loop {
            // Looked at first, so that nothing that was said before it is missed.
            let outcome = task.outcome();
            let frames = reader.take();
            if task.is_told() {
                return write_result(&wire::created(task, &task.view(), &self.meta));
            }
            for frame in frames {
                self.context.forward(frame);
            }
            if let Some(outcome) = outcome {
                return (*outcome).clone();
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = expired(&mut patience) => {
                    patience = None;
                    task.tell();
                }
                reason = self.context.cancelled() => {
                    return Err(ErrorObject::new(ErrorCode::CANCELLED, reason.as_str()));
                }
            }
        }
    }
}

/// When the request is answered with the task, whatever that does.
fn patience<S: State>(task: &Task<S>, start: TaskStart) -> Option<Pin<Box<dyn Timer>>> {
    let TaskStart::After(patience) = start else { return None };
    let at = task.started.checked_add(patience)?;
    Some(task.runtime.timer(at))
}

async fn expired(patience: &mut Option<Pin<Box<dyn Timer>>>) {
    match patience {
        Some(timer) => timer.as_mut().await,
        None => std::future::pending().await,
    }
}

impl<S: State> RequestContext<S> {
    /// Whether its client has a task instead of an answer: what the handler says and asks now is read by polling.
    #[must_use]
    pub fn is_task(&self) -> bool {
        self.attachment::<Task<S>>().is_some_and(|task| task.is_told())
    }

    /// Answers the request with a task, if its tool is one that says when ([`TaskStart::WhenAsked`]) and its client knows
    /// tasks; the handler goes on all the same, and its result is that of the task. What it needs to ask before it becomes
    /// one, it asks before, and waits for the answer: the task fails with a question that was made before and is waited for
    /// after ([`AskError::BeforeTask`](crate::AskError::BeforeTask)). Whether the client has a task now. Never waits.
    pub fn become_task(&self) -> bool {
        let task = self.attachment::<Task<S>>();
        task.is_some_and(|task| {
            task.tell();
            task.is_told()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, declares_tasks};
    use serde_json::{json, value::to_raw_value};
    use std::time::Duration;

    #[test]
    fn a_wanted_time_to_live_is_a_number_of_milliseconds() {
        for (task, ttl) in [
            (json!({}), Some(None)),
            (json!({ "ttl": null }), Some(None)),
            (json!({ "ttl": 1500 }), Some(Some(Duration::from_millis(1500)))),
            (json!({ "ttl": 1e300 }), Some(Some(Duration::MAX))),
            (json!({ "ttl": -1 }), None),
            (json!({ "ttl": "1" }), None),
            (json!([]), None),
            (json!(1), None),
        ] {
            let raw = to_raw_value(&task).unwrap();
            assert_eq!(Asked(Some(&raw)).ttl().ok(), ttl, "{task}");
        }
    }

    #[test]
    fn a_client_declares_tasks_among_its_extensions() {
        for (capabilities, declared) in [
            (json!({}), false),
            (json!({ "tasks": {} }), false),
            (json!({ "extensions": {} }), false),
            (json!({ "extensions": { "io.modelcontextprotocol/tasks": null } }), false),
            (json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } }), true),
        ] {
            let params = json!({ "_meta": { "io.modelcontextprotocol/clientCapabilities": capabilities } });
            assert_eq!(declares_tasks(Some(&to_raw_value(&params).unwrap())), declared, "{params}");
        }
        assert!(!declares_tasks(None));
    }
}

//! Tasks as both eras write them.

use super::{
    Task,
    id::TaskId,
    task::{TaskStatus, View},
};
use crate::{model::ServerMeta, owner::Owner};
use freehold::{ErrorObject, State};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

/// The members of a task. Those that only one era has are left out in the other.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'static str>,
    task_id: TaskId,
    status: TaskStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<&'a str>,
    created_at: Rfc3339,
    last_updated_at: Rfc3339,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    poll_interval: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    poll_interval_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_requests: Option<BTreeMap<&'a str, &'a RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ErrorObject>,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<&'a ServerMeta>,
}

/// A time of day as the protocol writes it.
struct Rfc3339(SystemTime);

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(self.0))
    }
}

fn ms(period: Duration) -> u64 {
    u64::try_from(period.as_millis()).unwrap_or(u64::MAX)
}

/// The task as such, in the form of its era; `meta` only where the stateless one wants it.
pub(super) fn fields<'a, S: State>(
    task: &Task<S>,
    view: &'a View,
    meta: Option<&'a ServerMeta>,
) -> TaskFields<'a> {
    let (ttl, poll) = (ms(task.ttl), ms(task.poll_interval));
    let stateless = task.owner.is_stateless();
    let of_session = |value| (!stateless).then_some(value);
    let of_stateless = |value| stateless.then_some(value);
    TaskFields {
        result_type: None,
        task_id: task.id,
        status: view.status,
        status_message: view.message.as_deref(),
        created_at: Rfc3339(task.created),
        last_updated_at: Rfc3339(view.updated),
        ttl: of_session(ttl),
        poll_interval: of_session(poll),
        ttl_ms: of_stateless(ttl),
        poll_interval_ms: of_stateless(poll),
        input_requests: None,
        result: None,
        error: None,
        meta,
    }
}

/// What creates it for a client.
pub(super) fn created<'a, S: State>(task: &Task<S>, view: &'a View, meta: &'a ServerMeta) -> Created<'a> {
    match task.owner {
        Owner::Session(_) => Created::Wrapped { task: fields(task, view, None) },
        _ => Created::Flat(TaskFields { result_type: Some("task"), ..fields(task, view, Some(meta)) }),
    }
}

/// A `CreateTaskResult`.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Created<'a> {
    Wrapped { task: TaskFields<'a> },
    Flat(TaskFields<'a>),
}

/// All that a stateless client may know of it: also its questions, its result, its error.
pub(super) fn detailed<'a, S: State>(task: &Task<S>, view: &'a View) -> TaskFields<'a> {
    let inputs = view.inputs.iter().map(|input| (&*input.key, input.request()));
    let asks = view.status == TaskStatus::InputRequired;
    let outcome = view.outcome.as_deref();
    TaskFields {
        input_requests: asks.then(|| inputs.collect()),
        result: outcome.and_then(|outcome| outcome.as_ref().ok()).map(|result| &**result),
        // Of a task that was cancelled there is nothing but that to be told.
        error: outcome
            .filter(|_| view.status == TaskStatus::Failed)
            .and_then(|outcome| outcome.as_ref().err()),
        ..fields(task, view, None)
    }
}

/// The result of `tasks/get`.
pub(super) fn got<'a, S: State>(task: &Task<S>, view: &'a View, meta: &'a ServerMeta) -> TaskFields<'a> {
    if !task.owner.is_stateless() {
        return fields(task, view, None);
    }
    TaskFields { result_type: Some("complete"), meta: Some(meta), ..detailed(task, view) }
}

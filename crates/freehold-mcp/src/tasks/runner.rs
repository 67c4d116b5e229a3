//! The runner of a task: reads what its call says, decides its outcome, and takes it out of the table when its time is over.

use super::{
    Task, TaskTable,
    task::{Reserved, TaskStatus},
};
use freehold::{
    CallHandle, CancelReason, ErrorCode, ErrorObject, HandlerResult, Response, State, Step, runtime::Timer,
};
use std::{
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

/// Runs until the task is out of the table. Holds neither the table nor, once the call has ended, the engine.
pub(super) async fn run<S: State>(task: Arc<Task<S>>, table: Weak<TaskTable<S>>, call: CallHandle<S>) {
    let at =
        task.started.checked_add(task.ttl).unwrap_or(task.started + Duration::from_secs(u64::from(u32::MAX)));
    let mut expiry = task.runtime.timer(at);
    if until_its_end(&task, &table, call, &mut expiry).await.is_break() {
        return;
    }
    tokio::select! {
        _ = task.gone.wait() => {}
        () = expiry.as_mut() => leave(&task, &table),
    }
}

/// Whether the task goes on to be kept for who wants its outcome.
type Kept = std::ops::ControlFlow<()>;

async fn until_its_end<S: State>(
    task: &Arc<Task<S>>,
    table: &Weak<TaskTable<S>>,
    mut call: CallHandle<S>,
    expiry: &mut Pin<Box<dyn Timer>>,
) -> Kept {
    loop {
        tokio::select! {
            step = call.next() => match step {
                Step::Frame(frame) => task.receives(frame),
                // There is no connection of its own to let go.
                Step::CloseStream => {}
                Step::End(response) => {
                    settle(task, table, response);
                    return Kept::Continue(());
                }
            },
            _ = task.cancelled.wait() => {
                call.cancel(CancelReason::Client);
                return Kept::Continue(());
            }
            _ = task.gone.wait() => {
                call.cancel(CancelReason::CallerGone);
                return Kept::Break(());
            }
            () = expiry.as_mut() => {
                call.cancel(CancelReason::DeadlineExceeded);
                leave(task, table);
                return Kept::Break(());
            }
        }
    }
}

fn leave<S: State>(task: &Arc<Task<S>>, table: &Weak<TaskTable<S>>) {
    if let Some(table) = table.upgrade() {
        table.remove(task);
    }
}

fn settle<S: State>(task: &Task<S>, table: &Weak<TaskTable<S>>, response: Option<Response<'static>>) {
    let (status, outcome) = task.outcome_of(response);
    let result = bytes_of(&outcome);
    let words = task.last_words();
    let Some(table) = table.upgrade() else { return };
    if let Some(refused) = refused(&table, result) {
        task.settle((TaskStatus::Failed, refused), Reserved::NOTHING);
        return;
    }
    let messages = if table.keeps(words) { words } else { 0 };
    if !task.settle((status, outcome), Reserved { result, messages }) {
        table.forgets(result + messages);
    }
}

fn bytes_of(outcome: &HandlerResult) -> usize {
    match outcome {
        Ok(result) => result.get().len(),
        Err(error) => error.message.len() + error.data.as_ref().map_or(0, |data| data.get().len()),
    }
}

/// Reserves room for a result; the error instead of it if there is none.
fn refused<S: State>(table: &TaskTable<S>, bytes: usize) -> Option<HandlerResult> {
    let limit = table.limits.result_bytes;
    let reason = if bytes > limit {
        format!(
            "the result has {bytes} bytes; the limit of one that is kept is {limit}: ask for less at a time"
        )
    } else if table.keeps(bytes) {
        return None;
    } else {
        "there is no room to keep another result; try again later".to_owned()
    };
    Some(Err(ErrorObject::new(ErrorCode::ANSWER_TOO_LARGE, reason)))
}

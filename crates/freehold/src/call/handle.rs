use super::{Call, CallTask, CancelReason};
use crate::{
    message::Response,
    outbox::{FIRST_READER, Frame},
    state::State,
};
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

/// What a call gives its caller next.
///
/// Closed: a transport has to do something about each.
#[derive(Debug)]
pub enum Step {
    /// A notification or a question on the call's own stream.
    Frame(Frame),
    /// The handler asks that the connection be let go, where its client can come back for the rest. Nothing has ended: a
    /// transport that cannot take a stream up again goes on.
    CloseStream,
    /// The end: the answer, or nothing for a call that the client cancelled and whose protocol wants no answer then.
    End(Option<Response<'static>>),
}

/// A call under way, as its caller sees it. Dropping it before its end cancels the call as
/// [`CancelReason::Disconnected`]; the handler gets its grace all the same, in a task of its own.
pub struct CallHandle<S: State> {
    call: Arc<Call<S>>,
    /// The task until its first poll, which happens in the caller's; a handler that is ready then costs no task.
    task: Option<CallTask<S>>,
    ended: bool,
}

impl<S: State> CallHandle<S> {
    pub(crate) fn new(call: Arc<Call<S>>, task: CallTask<S>) -> Self {
        if task.is_queued() || !call.engine().runtime.starts_inline() {
            task.spawn();
            return Self { call, task: None, ended: false };
        }
        Self { call, task: Some(task), ended: false }
    }

    /// Of a call that has a task of its own from the start.
    pub(crate) fn apart(call: Arc<Call<S>>, task: CallTask<S>) -> Self {
        task.spawn();
        Self { call, task: None, ended: false }
    }

    /// The next step. The first poll runs the handler's own first poll. Pending after [`Step::End`].
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.ended {
            return Poll::Pending;
        }
        if let Some(task) = self.task.take()
            && let Some(task) = task.poll_first(cx)
        {
            task.spawn();
        }
        match self.call.outbox.poll_step(FIRST_READER, cx) {
            Poll::Ready(Ok(frame)) => Poll::Ready(Step::Frame(frame)),
            Poll::Ready(Err(answer)) => {
                self.ended = true;
                Poll::Ready(Step::End(answer))
            }
            // After the waker was stored: see `Call::close_stream`.
            Poll::Pending if self.call.take_stream_closes() => Poll::Ready(Step::CloseStream),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The next step. Cancel safe: a step is taken only when it is returned.
    pub async fn next(&mut self) -> Step {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Cancels the call.
    pub fn cancel(&self, reason: CancelReason) -> bool {
        self.call.cancel(reason, None)
    }
}

impl<S: State> Drop for CallHandle<S> {
    fn drop(&mut self) {
        if !self.ended {
            self.call.cancel(CancelReason::Disconnected, None);
        }
    }
}

impl<S: State> fmt::Debug for CallHandle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallHandle").field("id", &self.call.id()).field("ended", &self.ended).finish()
    }
}

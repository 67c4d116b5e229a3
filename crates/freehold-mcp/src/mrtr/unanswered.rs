use super::round::Round;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// A question that has no answer in this round. It never completes: its handler is ended when the poll that asked is over.
pub(super) struct Unanswered {
    round: Arc<Round>,
    key: String,
    told: bool,
}

impl Unanswered {
    /// Of a question that is listed in `round`; dropped, it is listed no longer.
    pub(super) fn new(round: Arc<Round>, key: String) -> Self {
        Self { round, key, told: false }
    }
}

impl Future for Unanswered {
    type Output = Infallible;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Infallible> {
        // Who ends the handler looks after each of its polls. One that happens elsewhere, in an activity of its own, must
        // cause another one of the whole.
        if !std::mem::replace(&mut self.told, true) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.round.withdraw(&self.key);
    }
}

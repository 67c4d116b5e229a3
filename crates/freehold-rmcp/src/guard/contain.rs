use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

/// A handler panicked, or dropped something that did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panicked;

fn contain<R>(foreign: impl FnOnce() -> R) -> Result<R, Panicked> {
    // What is shared with the handler is its own business, and this future is gone with it.
    catch_unwind(AssertUnwindSafe(foreign)).map_err(|payload| {
        // The payload is a foreign value too, and may panic in its drop; that one's payload is leaked, which ends it.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(again);
        }
        Panicked
    })
}

/// A future whose panics end here, also those of its drop.
pub(super) struct Contained<F: Future>(Option<Pin<Box<F>>>);

impl<F: Future> Contained<F> {
    pub(super) fn new(future: F) -> Self {
        Self(Some(Box::pin(future)))
    }

    /// Drops the future; whether it did not panic.
    fn end(&mut self) -> Result<(), Panicked> {
        let future = self.0.take();
        contain(|| drop(future))
    }
}

impl<F: Future> Future for Contained<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.0 else { return Poll::Ready(Err(Panicked)) };
        let output = match contain(|| future.as_mut().poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panicked) => Err(panicked),
        };
        // Its drop belongs to it: what panics there did not end well.
        Poll::Ready(self.end().and(output))
    }
}

impl<F: Future> Drop for Contained<F> {
    fn drop(&mut self) {
        if self.end().is_err() {
            tracing::error!("a handler panicked while it was dropped");
        }
    }
}

//! Bodies that run side by side inside an activity, each as a child activity of its own.

use super::Context;
use crate::{
    activity::{Activity, activity},
    error::Ended,
};
use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context as TaskContext, Poll},
};

impl Context {
    /// Runs both bodies as child activities, and waits for both.
    ///
    /// Unlike the arms of a plain `join!`, each has its own place in the graph and in the order of levels: it inherits
    /// what its parent holds now and does not see what the other takes. It also inherits the parent's priority, deadline
    /// and order mode. Nothing runs before the returned future is polled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops both bodies where they are.
    ///
    /// # Errors
    ///
    /// [`Ended`] for a body that was ended as an orphan; see there.
    ///
    /// # Panics
    ///
    /// With the panic of a body, which ends the other one, too.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use freehold_sync::{Mutex, activity};
    ///
    /// let m = Mutex::new(1);
    /// let both = activity(async |ctx| {
    ///     ctx.join(async |ctx| ctx.lock(&m).await.map(|n| *n), async |_ctx| "two").await
    /// });
    /// let (one, two) = both.await.unwrap();
    /// assert_eq!((one.unwrap().unwrap(), two.unwrap()), (1, "two"));
    /// # }
    /// ```
    #[track_caller]
    pub fn join<'a, A: 'a, B: 'a>(
        &'a self,
        first: impl AsyncFnOnce(&Context) -> A + 'a,
        second: impl AsyncFnOnce(&Context) -> B + 'a,
    ) -> impl Future<Output = (Result<A, Ended>, Result<B, Ended>)> {
        let first = activity(first).child_of(self.slot);
        let second = activity(second).child_of(self.slot);
        async move {
            let (mut first, mut second) = (pin!(first), pin!(second));
            let (mut a, mut b) = (None, None);
            std::future::poll_fn(move |cx| {
                poll_child(&mut first, &mut a, cx);
                poll_child(&mut second, &mut b, cx);
                match (a.take(), b.take()) {
                    (Some(x), Some(y)) => Poll::Ready((x, y)),
                    (x, y) => {
                        (a, b) = (x, y);
                        Poll::Pending
                    }
                }
            })
            .await
        }
    }

    /// Runs all bodies as child activities, and waits for all. The results come in the order of the bodies. See
    /// [`join`](Self::join).
    #[track_caller]
    pub fn join_all<'a, T: 'a, B: AsyncFnOnce(&Context) -> T + 'a>(
        &'a self,
        bodies: impl IntoIterator<Item = B>,
    ) -> impl Future<Output = Vec<Result<T, Ended>>> {
        let children: Vec<_> =
            bodies.into_iter().map(|body| (Box::pin(activity(body).child_of(self.slot)), None)).collect();
        async move {
            let mut children = children;
            std::future::poll_fn(|cx| {
                let mut waiting = false;
                for (child, result) in &mut children {
                    poll_child(&mut child.as_mut(), result, cx);
                    waiting |= result.is_none();
                }
                if waiting { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            children.into_iter().map(|(_, result)| result.expect("all are done")).collect()
        }
    }

    /// Runs both bodies as child activities until one is done, and drops the other. If both are done at once the first
    /// counts. See [`join`](Self::join).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops both. The body that loses is dropped where it is: it gives back what it holds, and what it
    /// had done so far stays done.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use freehold_sync::{Selected, activity};
    ///
    /// let first = activity(async |ctx| ctx.select(async |_| std::future::pending::<()>().await, async |_| 2).await);
    /// assert!(matches!(first.await.unwrap(), Selected::Second(Ok(2))));
    /// # }
    /// ```
    #[track_caller]
    pub fn select<'a, A: 'a, B: 'a>(
        &'a self,
        first: impl AsyncFnOnce(&Context) -> A + 'a,
        second: impl AsyncFnOnce(&Context) -> B + 'a,
    ) -> impl Future<Output = Selected<Result<A, Ended>, Result<B, Ended>>> {
        let first = activity(first).child_of(self.slot);
        let second = activity(second).child_of(self.slot);
        async move {
            let (mut first, mut second) = (pin!(first), pin!(second));
            std::future::poll_fn(move |cx| {
                if let Poll::Ready(a) = first.as_mut().poll(cx) {
                    return Poll::Ready(Selected::First(a));
                }
                second.as_mut().poll(cx).map(Selected::Second)
            })
            .await
        }
    }
}

fn poll_child<F: Future>(
    child: &mut Pin<&mut Activity<F>>,
    result: &mut Option<Result<F::Output, Ended>>,
    cx: &mut TaskContext<'_>,
) {
    if result.is_none()
        && child.needs_poll(cx.waker())
        && let Poll::Ready(output) = child.as_mut().poll(cx)
    {
        *result = Some(output);
    }
}

/// Which of two bodies was done first.
///
/// Closed: there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selected<A, B> {
    /// The first, with its output.
    First(A),
    /// The second, with its output.
    Second(B),
}

//! Waiting for the end of an activity, or for an answer from one: what a request and its reply are made of.

use crate::{
    acquire::{Acquire, Limit},
    activity::{Activity, ActivityHandle, Completer, Completion},
    clock,
    context::Context,
    error::LockError,
    mutex::limits_of,
    slot::Slot,
};
use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    panic::Location,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

/// Makes an activity of `body`, and a handle through which others wait for its end.
///
/// The activity may be run by any executor, or inside another future. Until it is done its end counts as something that
/// it holds, from this call on, so a wait for it through [`JoinHandle::join`] is an edge of the graph.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use freehold_sync::{activity, joinable};
///
/// let (callee, reply) = joinable(async |_ctx| 42);
/// let caller = activity(async move |ctx| reply.join(ctx).await);
/// tokio::spawn(callee);
/// assert_eq!(caller.await.unwrap().unwrap(), 42);
/// # }
/// ```
#[track_caller]
pub fn joinable<T>(
    body: impl AsyncFnOnce(&Context) -> T,
) -> (Activity<impl Future<Output = ()>>, JoinHandle<T>) {
    let slot = Slot::acquire(Location::caller());
    let completion = Completion::new(slot);
    let completer = Completer(completion.clone());
    let mut activity = Activity::in_slot(slot, async move {
        // Completes when it is dropped: as the last thing of the body, whatever happens to it.
        let completer = completer;
        let context = Context::new(slot);
        let result = body(&context).await;
        completer.complete(result);
    });
    let handle = activity.handle();
    (activity, JoinHandle { completion, handle: Some(handle) })
}

/// Spawns a body as an activity on tokio's runtime, and returns the [`JoinHandle`].
///
/// A macro because "this body's future is `Send`" cannot be said of an async closure in a function's bounds; here the
/// compiler sees the closure itself.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() {
/// let handle = freehold_sync::spawn!(async |_ctx| 1 + 1);
/// assert_eq!(handle.await.unwrap(), 2);
/// # }
/// ```
#[cfg(feature = "tokio")]
#[macro_export]
macro_rules! spawn {
    ($body:expr) => {{
        let (activity, handle) = $crate::joinable($body);
        $crate::__spawn(activity);
        handle
    }};
    ($name:expr, $body:expr) => {{
        let (activity, handle) = $crate::joinable($body);
        $crate::__spawn(activity.named($name));
        handle
    }};
}

/// For [`spawn!`](crate::spawn).
#[cfg(feature = "tokio")]
#[doc(hidden)]
#[expect(clippy::disallowed_methods, reason = "the seam for spawning of this crate")]
pub fn __spawn(future: impl Future<Output: Send + 'static> + Send + 'static) {
    drop(tokio::spawn(future));
}

/// The result of an activity or an answer, to wait for.
///
/// Through [`join`](Self::join), inside an activity, the wait is an edge of the graph. Awaited directly it is a wait
/// outside of the graph, with the default limit of 5 s.
#[must_use = "the result is lost if nobody waits for it"]
pub struct JoinHandle<T> {
    completion: Arc<Completion<T>>,
    handle: Option<ActivityHandle>,
}

impl<T> JoinHandle<T> {
    /// Waits for the result, as an edge of the graph, for the default limit of 5 s unless [`Join::within`] or its
    /// sisters say otherwise.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the result, and does not end the activity.
    ///
    /// # Errors
    ///
    /// [`LockError`] for the wait: a deadlock it was part of (the activity waited for is cancelled then), the deadline,
    /// or, as `Closed`, an activity that ended without a result.
    #[track_caller]
    pub fn join(self, context: &Context) -> Join<'_, T> {
        Join::new(self, Some(context.slot()), Location::caller())
    }

    /// Cancels the activity; see [`ActivityHandle::cancel`]. Nothing happens if the answer comes from no activity of
    /// its own.
    pub fn cancel(&self) {
        if let Some(handle) = &self.handle {
            handle.cancel();
        }
    }

    /// Whether the result is there, or will never be.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.completion.is_done()
    }
}

impl<T> IntoFuture for JoinHandle<T> {
    type Output = Result<T, LockError>;
    type IntoFuture = Join<'static, T>;

    #[track_caller]
    fn into_future(self) -> Join<'static, T> {
        Join::new(self, None, Location::caller())
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("done", &self.is_done()).finish_non_exhaustive()
    }
}

/// Waits for a [`JoinHandle`].
#[must_use = "futures do nothing unless polled"]
pub struct Join<'a, T> {
    /// Borrows from `handle`: dropped before it, and never handed out.
    acquire: Acquire<'static>,
    handle: JoinHandle<T>,
    context: PhantomData<&'a Context>,
}

impl<T> Join<'_, T> {
    fn new(handle: JoinHandle<T>, slot: Option<&'static Slot>, site: &'static Location<'static>) -> Self {
        // SAFETY: the lock lives in the `Arc` that `handle` keeps, at one address, longer than `acquire`, which is the
        // field before it.
        let lock = unsafe { &*std::ptr::from_ref(&handle.completion.lock) };
        Self { acquire: Acquire::new(lock, slot, 1, site), handle, context: PhantomData }
    }

    limits_of!();
}

impl<T> Future for Join<'_, T> {
    type Output = Result<T, LockError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match std::task::ready!(this.acquire.poll(cx)) {
            Ok(_) => Poll::Ready(this.handle.completion.take()),
            Err(error) => {
                if error.deadlock().is_some() {
                    this.handle.cancel();
                }
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<T> fmt::Debug for Join<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// Makes an answer and the handle to wait for it, for whoever builds request and response on channels of their own.
///
/// As long as the [`Reply`] is not bound, whoever waits for it waits for somebody unknown. Bound to an activity, it is
/// something that this activity holds.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use freehold_sync::{activity, reply};
///
/// let (reply, response) = reply::<u32>();
/// let callee = activity(async move |ctx| reply.bind(ctx).send(7));
/// tokio::spawn(callee);
/// assert_eq!(activity(async move |ctx| response.join(ctx).await).await.unwrap().unwrap(), 7);
/// # }
/// ```
pub fn reply<T>() -> (Reply<T>, JoinHandle<T>) {
    let completion = Completion::unbound();
    (Reply { completer: Completer(completion.clone()) }, JoinHandle { completion, handle: None })
}

/// An answer that is owed. Dropped without [`send`](Self::send), it tells the waiter that none will come.
pub struct Reply<T> {
    completer: Completer<T>,
}

impl<T> Reply<T> {
    /// Binds the answer to the activity of `context`: until it is sent, that activity holds it.
    pub fn bind(self, context: &Context) -> BoundReply<'_, T> {
        self.completer.0.lock.bind(context.slot());
        BoundReply { reply: self, context: PhantomData }
    }

    /// Sends the answer.
    pub fn send(self, answer: T) {
        self.completer.complete(answer);
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}

/// An answer that an activity owes; see [`Reply::bind`].
#[derive(Debug)]
pub struct BoundReply<'a, T> {
    reply: Reply<T>,
    context: PhantomData<&'a Context>,
}

impl<T> BoundReply<'_, T> {
    /// Sends the answer.
    pub fn send(self, answer: T) {
        self.reply.send(answer);
    }
}

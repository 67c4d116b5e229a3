//! Waiting for the end of an activity, or for an answer from one: what a request and its reply are made of.

mod completion;
mod reply;

pub use reply::{BoundReply, OwedReply, Reply, reply};

use crate::{
    acquire::Acquire,
    activity::{Activity, ActivityHandle},
    context::Context,
    deadline::{Limit, limits_of},
    error::{Ended, LockError, Panic},
    slot::Slot,
};
use completion::{Completer, Completion};
use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    panic::{AssertUnwindSafe, Location, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

/// Makes an activity of `body`, and a handle through which others wait for its end.
///
/// The activity may be run by any executor, or inside another future. Until it is done its end counts as something that
/// it holds, from this call on, so a wait for it through [`JoinHandle::join`] is an edge of the graph.
///
/// A panic of the body ends the activity and is kept for whoever waits, as [`Ended::Panicked`]; unlike that of a plain
/// [`activity`](crate::activity) it does not pass through the poll.
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
        let result = caught(async { body(&context).await }).await;
        completer.complete(result.map_err(|panic| Ended::Panicked(Arc::new(panic))));
    });
    let handle = activity.handle();
    (activity, JoinHandle { completion, handle: Some(handle) })
}

/// Runs `future`; its panic becomes the output.
async fn caught<F: Future>(future: F) -> Result<F::Output, Panic> {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| {
        // Nobody sees the future again once it has panicked; what else it has changed is its owners' business, as with
        // any task.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(Panic::new(payload))),
        }
    })
    .await
}

/// Spawns a body as an activity on tokio's runtime, and returns the [`JoinHandle`](crate::JoinHandle).
///
/// `spawn!(body)` or `spawn!("name", body)`. The body is an async closure that takes a
/// [`&Context`](crate::Context); what it captures, and what it holds across an await, must be `Send`. A panic of the body
/// is told to whoever waits for the handle, as with `tokio::spawn`.
///
/// A macro because "this body's future is `Send`" cannot be said of an async closure in a function's bounds; here the
/// compiler sees the closure itself.
///
/// # Panics
///
/// Outside of a tokio runtime.
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
/// outside of the graph.
///
/// A wait for an activity ([`spawn!`](crate::spawn), [`joinable`]) has no limit unless one is asked for, with
/// [`Join::within`] or [`Join::until`], and it may last without being suspected: work takes the time it takes, a ring
/// through it is proven, and an activity that ends without a result says so. A wait for a [`reply`] has the default limit
/// of 5 s and is suspected after 1 s as one for a lock is: until somebody binds it nobody knows who owes it, so nothing but
/// time could tell that nobody does. `without_deadline` waits for ever.
///
/// Dropping it, or a wait that timed out, loses the result; the activity goes on.
///
/// # Errors
///
/// Of the await: [`LockError::Ended`] if there is no result, with the reason; [`LockError::Timeout`].
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "tokio")] mod example {
/// # #[tokio::main] pub async fn main() {
/// use freehold_sync::{Ended, LockError, spawn};
///
/// let stuck = spawn!(async |_ctx| std::future::pending::<()>().await);
/// stuck.abort();
/// assert!(matches!(stuck.await, Err(LockError::Ended(Ended::Aborted))));
///
/// let fails = spawn!(async |_ctx| if true { panic!("on purpose") });
/// let Err(LockError::Ended(Ended::Panicked(panic))) = fails.await else { unreachable!() };
/// assert_eq!(panic.message(), Some("on purpose"));
/// # }}
/// # #[cfg(feature = "tokio")] fn main() { example::main() }
/// # #[cfg(not(feature = "tokio"))] fn main() {}
/// ```
#[must_use = "the result is lost if nobody waits for it"]
pub struct JoinHandle<T> {
    completion: Arc<Completion<T>>,
    handle: Option<ActivityHandle>,
}

impl<T> JoinHandle<T> {
    /// Waits for the result, as an edge of the graph. For how long: see [`JoinHandle`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the result, because it has consumed the handle. The activity goes on.
    ///
    /// # Errors
    ///
    /// * [`LockError::Deadlock`]: this wait was chosen to break a ring, and the activity waited for is cancelled; or the
    ///   activity that waits is doomed by an earlier one.
    /// * [`LockError::Timeout`]: the deadline passed, this one's or that of the activity that waits.
    /// * [`LockError::Ended`]: there is no result; the reason says whether it panicked, was aborted or dropped, or had to
    ///   be ended as an orphan.
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

    /// Ends the activity without asking it; see [`ActivityHandle::abort`]. Whoever waits gets [`Ended::Aborted`], or the
    /// result if it was there already. Nothing happens if the answer comes from no activity of its own.
    pub fn abort(&self) {
        if let Some(handle) = &self.handle {
            handle.abort();
        }
    }

    /// Whether the result is there, or will never be.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.completion.is_done()
    }

    fn take(&self) -> Result<T, Ended> {
        self.completion.take().unwrap_or_else(|| {
            let why = self.handle.as_ref().and_then(ActivityHandle::why_ended);
            Err(why.unwrap_or(Ended::Dropped))
        })
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

/// Waits for a [`JoinHandle`]; see [`JoinHandle::join`].
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
        let mut acquire = Acquire::new(lock, slot, 1, site);
        if handle.handle.is_some() {
            acquire.limit = Limit::Never;
            acquire.patient = true;
        }
        Self { acquire, handle, context: PhantomData }
    }

    limits_of!();

    /// Its age is no reason for a suspicion: work takes the time it takes.
    pub fn patient(mut self) -> Self {
        self.acquire.patient = true;
        self
    }
}

impl<T> Future for Join<'_, T> {
    type Output = Result<T, LockError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match std::task::ready!(this.acquire.poll(cx)) {
            Ok(_) => Poll::Ready(this.handle.take().map_err(LockError::Ended)),
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

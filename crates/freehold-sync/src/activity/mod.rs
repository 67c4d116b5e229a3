//! Activities: futures whose waits the graph can see.

mod child;
mod reach;

pub use reach::ActivityHandle;

use crate::{
    clock,
    context::{Context, OwnedContext},
    error::Ended,
    name::ActivityName,
    settings::OrderMode,
    shim::Ordering,
    slot::{
        Slot,
        poll::{Begin, Entered},
        state, waker,
    },
};
use child::Link;
use reach::Reach;
use std::{
    fmt,
    future::Future,
    mem::ManuallyDrop,
    panic::Location,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
    time::Instant,
};

/// A future whose waits the graph can see; made by [`activity`].
///
/// It may be spawned, awaited in place, or polled inside another activity, whose child it then is. Its output is that
/// of its body, or [`Ended`] if it was aborted, or had to be dropped because others waited for what it held and nothing
/// could have woken it any more.
///
/// # Cancel safety
///
/// Dropping it drops the body, which gives back what it holds and leaves the queues it is in.
///
/// # Panics
///
/// A panic of the body passes through the poll. Polling it again after it was done panics.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use freehold_sync::{Mutex, activity};
/// use std::sync::Arc;
///
/// let total = Arc::new(Mutex::new(0));
/// let mine = total.clone();
/// let adder = activity(async move |ctx| {
///     *ctx.lock(&mine).await? += 1;
///     Ok::<_, freehold_sync::LockError>(())
/// });
/// tokio::spawn(adder.named("adder")).await.unwrap().unwrap().unwrap();
/// assert_eq!(*total.try_lock().unwrap(), 1);
/// # }
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Activity<F> {
    slot: &'static Slot,
    link: Option<Link>,
    done: bool,
    reach: Option<Arc<Reach>>,
    body: ManuallyDrop<F>,
}

/// Makes an activity of `body`, which gets the context that its waits go through. Nothing runs until it is polled.
///
/// The body borrows the context, and guards borrow from it in turn: a guard cannot leave its activity, which is what
/// makes the graph's knowledge of who holds what exact.
///
/// ```compile_fail
/// # use freehold_sync::{Mutex, activity};
/// # use std::sync::Arc;
/// let m = Arc::new(Mutex::new(0));
/// let mut kept = None;
/// let a = activity(async |ctx| { kept = Some(ctx.lock(&m).await); });
/// ```
///
/// Nor can a future that will get a guard be spawned elsewhere, nor one that waits for it already, nor the guard:
///
/// ```compile_fail,E0521
/// # use freehold_sync::{Mutex, activity};
/// static M: Mutex<i32> = Mutex::new(0);
/// let a = activity(async |ctx| { tokio::spawn(async move { ctx.lock(&M).await.is_ok() }); });
/// ```
///
/// ```compile_fail,E0521
/// # use freehold_sync::{Mutex, activity};
/// # use std::{future::{Future, poll_fn}, task::Poll};
/// static M: Mutex<i32> = Mutex::new(0);
/// let a = activity(async |ctx| {
///     let mut half_polled = Box::pin(async { ctx.lock(&M).await.is_ok() });
///     poll_fn(|cx| Poll::Ready(half_polled.as_mut().poll(cx).is_pending())).await;
///     tokio::spawn(half_polled);
/// });
/// ```
///
/// ```compile_fail,E0521
/// # use freehold_sync::{Mutex, activity};
/// static M: Mutex<i32> = Mutex::new(0);
/// let a = activity(async |ctx| {
///     let guard = ctx.lock(&M).await.unwrap();
///     tokio::spawn(async move { drop(guard) });
/// });
/// ```
#[track_caller]
pub fn activity<T>(body: impl AsyncFnOnce(&Context) -> T) -> Activity<impl Future<Output = T>> {
    let slot = Slot::acquire(Location::caller());
    let body = async move {
        let context = Context::new(slot);
        body(&context).await
    };
    Activity::in_slot(slot, body)
}

/// Makes an activity whose body owns its context: for those who build on this crate and give their own users a context of
/// another type, with this one inside.
///
/// Lend it, as [`activity`] does: that guards and waits borrow from a context that stays in its body is what makes the
/// graph's knowledge exact. A context that outlives its activity still works, as one that belongs to nobody; but a guard
/// that was acquired inside the activity and carried out of it is booked to it all the same, and could make a verdict
/// wrong.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use freehold_sync::{LockError, Mutex, OwnedContext, activity_owning};
///
/// struct Request { id: u32, locks: OwnedContext }
///
/// async fn handle(request: &Request, total: &Mutex<u32>) -> Result<u32, LockError> {
///     let mut total = request.locks.lock(total).await?;
///     *total += request.id;
///     Ok(*total)
/// }
///
/// let total = Mutex::new(1);
/// let handled = activity_owning(async |locks| handle(&Request { id: 2, locks }, &total).await);
/// assert_eq!(handled.await.unwrap().unwrap(), 3);
/// # }
/// ```
#[track_caller]
pub fn activity_owning<F: Future>(body: impl FnOnce(OwnedContext) -> F) -> Activity<F> {
    let slot = Slot::acquire(Location::caller());
    Activity::in_slot(slot, body(OwnedContext::new(slot)))
}

impl<F> Activity<F> {
    pub(crate) fn in_slot(slot: &'static Slot, body: F) -> Self {
        Self { slot, link: None, done: false, reach: None, body: ManuallyDrop::new(body) }
    }

    /// Gives it a name, for reports; long ones are cut to [`limits::NAME_BYTES`](crate::limits::NAME_BYTES).
    pub fn named(self, name: impl Into<ActivityName>) -> Self {
        self.slot.set_name(name.into().cut());
        self
    }

    /// Sets its priority, 0 at first: higher ones are more worth keeping when a ring has to be broken by
    /// [`VictimPolicy::LowestPriority`](crate::VictimPolicy::LowestPriority).
    pub fn priority(self, priority: u8) -> Self {
        self.slot.priority.store(priority, Ordering::Relaxed);
        self
    }

    /// Gives it the birth stamp of an earlier attempt, so that re-runs age and the oldest finishes.
    pub fn born(self, birth: u64) -> Self {
        self.slot.birth.store(birth, Ordering::Relaxed);
        self
    }

    /// Its birth stamp.
    #[must_use]
    pub fn birth(&self) -> u64 {
        self.slot.birth.load(Ordering::Relaxed)
    }

    /// Sets a deadline for each of its waits for a lock, a permit or a result, and for those of its children; none lasts
    /// longer, and one that has no limit of its own not longer than half of what remains, so that there is time to do
    /// something else. It does not end the activity itself: for that see [`Context::within`]. A deadline is no sign of
    /// life: a ring of waits with deadlines is proven when it closes.
    pub fn deadline(self, at: Instant) -> Self {
        self.slot.deadline.set(clock::of(at));
        self
    }

    /// As [`deadline`](Self::deadline), at any time: the next wait goes by it, one that has begun does not.
    pub fn set_deadline(&self, at: Instant) {
        if !self.done {
            self.slot.deadline.set(clock::of(at));
        }
    }

    /// Makes it a callee of the activity of `caller`, which waits for its answer: it takes over the birth stamp, the priority
    /// and the order mode, and counts the levels that the caller holds now as held.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use freehold_sync::{activity, reply};
    ///
    /// let caller = activity(async |ctx| {
    ///     let (reply, response) = reply();
    ///     let callee = activity(async move |ctx| reply.bind(ctx).send(ctx.birth())).called_by(ctx);
    ///     tokio::spawn(callee);
    ///     assert_eq!(response.join(ctx).await.unwrap(), ctx.birth());
    /// });
    /// caller.await.unwrap();
    /// # }
    /// ```
    pub fn called_by(self, caller: &Context) -> Self {
        self.take_over(caller.slot());
        self.born(caller.birth())
    }

    /// Sets what happens when it, or a child of it, takes a lock against the order of levels; that of the process,
    /// [`set_order_mode`](crate::set_order_mode), otherwise.
    pub fn order_mode(self, mode: OrderMode) -> Self {
        self.slot.order_mode.store(mode as u8, Ordering::Relaxed);
        self
    }

    /// A handle that can cancel it from outside, see [`Context::cancelled`], or abort it.
    pub fn handle(&mut self) -> ActivityHandle {
        let slot = self.slot;
        let reach = self.reach.get_or_insert_with(|| Arc::new(Reach::new(slot)));
        ActivityHandle::new(reach.clone())
    }

    /// Drops the body as its poller, and ends the use of the slot.
    fn close(&mut self, why: Ended) {
        self.done = true;
        let _link = self.link.take();
        self.unreach(Some(why));
        self.slot.begin_close();
        {
            let _finish = Finish(self.slot);
            let _entered = Entered::enter(self.slot);
            // SAFETY: `done` was false, so the body is there, and it is not used again.
            unsafe { ManuallyDrop::drop(&mut self.body) };
        }
    }

    /// Before the slot may be given to another activity, and before anybody is told of the end.
    fn unreach(&mut self, why: Option<Ended>) {
        if let Some(reach) = &self.reach {
            reach.end(why);
        }
    }

    /// Why it is ended in this poll.
    fn why_ended(&self) -> Ended {
        if self.reach.as_ref().is_some_and(|reach| reach.is_aborting()) {
            return Ended::Aborted;
        }
        self.slot.verdict().map_or(Ended::Dropped, Ended::Orphan)
    }
}

/// Ends the use of the slot, also when the drop of the body panics.
struct Finish(&'static Slot);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// Ends a poll, or the activity, also when the body panics.
struct Polling {
    slot: &'static Slot,
    begun: u64,
    ready: bool,
    entered: Option<Entered>,
}

impl Drop for Polling {
    #[inline]
    fn drop(&mut self) {
        self.entered = None;
        if self.ready { self.slot.finish() } else { self.slot.end_poll(self.begun) }
    }
}

impl<F: Future> Future for Activity<F> {
    type Output = Result<F::Output, Ended>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        // SAFETY: the body is the only field that is pinned, and it is not moved.
        let this = unsafe { self.get_unchecked_mut() };
        assert!(!this.done, "an activity was polled after it was done");
        this.link(cx.waker());
        let begun = match this.slot.begin_poll(cx.waker()) {
            Begin::Poll(begun) => begun,
            Begin::Later => return Poll::Pending,
            Begin::End => {
                let why = this.why_ended();
                this.close(why.clone());
                return Poll::Ready(Err(why));
            }
        };
        let slot = this.slot;
        let identity = usize::from(begun & state::IDENTITY != 0);
        // SAFETY: the vtable's functions keep the contract of `RawWaker`; this one waker is not counted, and forgotten
        // instead of dropped, so it stands for no clone.
        let waker = ManuallyDrop::new(unsafe { Waker::from_raw(waker::raw(slot, identity)) });
        let mut polling = Polling { slot, begun, ready: false, entered: Some(Entered::enter(slot)) };
        // SAFETY: structurally pinned, see above.
        let body = unsafe { Pin::new_unchecked(&mut *this.body) };
        let Poll::Ready(output) = body.poll(&mut TaskContext::from_waker(&waker)) else {
            drop(polling);
            return Poll::Pending;
        };
        // The body is dropped while we still are the poller: what it captured may hold things, too.
        polling.ready = true;
        this.done = true;
        let link = this.link.take();
        this.unreach(None);
        // SAFETY: `done` was false until now, so the body is there; it is not used again.
        unsafe { ManuallyDrop::drop(&mut this.body) };
        drop(polling);
        drop(link);
        Poll::Ready(Ok(output))
    }
}

impl<F> Drop for Activity<F> {
    fn drop(&mut self) {
        if !self.done {
            self.close(Ended::Dropped);
        }
    }
}

impl<F> fmt::Debug for Activity<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activity")
            .field("name", &self.slot.name())
            .field("birth", &self.birth())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    fn run_at_once<F: Future>(activity: Activity<F>) -> (F::Output, &'static Slot) {
        let slot = activity.slot;
        let mut activity = Box::pin(activity);
        match activity.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
            Poll::Ready(Ok(output)) => (output, slot),
            _ => panic!("it has nothing to wait for"),
        }
    }

    #[test]
    fn a_slot_is_used_again_once_its_owned_context_is_gone() {
        let (context, slot) = run_at_once(activity_owning(async |context| context));
        let (_, other) = run_at_once(activity(async |_| ()));
        assert!(!slot.is(other), "it is kept by its context");
        drop(context);
        let (_, next) = run_at_once(activity(async |_| ()));
        assert!(slot.is(next), "the one given back last is taken first");
    }
}

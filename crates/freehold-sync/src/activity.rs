//! Activities: futures whose waits the graph can see.

use crate::{
    acquire::give_cell_back,
    class::ClassRef,
    clock,
    context::Context,
    error::Ended,
    limits,
    raw::{self, Kind, RawLock, event},
    settings::OrderMode,
    shim::{Mutex, Ordering, PoisonError},
    signal_wait,
    slot::{
        Slot,
        cell::{self, Source, WaitCell},
        poll::{self, Begin, Entered},
        state, waker,
    },
};
use std::{
    borrow::Cow,
    fmt,
    future::Future,
    mem::ManuallyDrop,
    ops::DerefMut,
    panic::Location,
    pin::Pin,
    ptr,
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
    /// Our cell in the activity that polls us.
    link: Option<&'static WaitCell>,
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

impl<F> Activity<F> {
    pub(crate) fn in_slot(slot: &'static Slot, body: F) -> Self {
        Self { slot, link: None, done: false, reach: None, body: ManuallyDrop::new(body) }
    }

    /// Gives it a name, for reports; long ones are cut to [`limits::NAME_BYTES`].
    pub fn named(self, name: impl Into<Cow<'static, str>>) -> Self {
        let mut name = name.into();
        if name.len() > limits::NAME_BYTES {
            let mut end = limits::NAME_BYTES;
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            name = Cow::Owned(name[..end].to_owned());
        }
        self.slot.set_name(name);
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
    /// longer. It does not end the activity itself: for that see [`Context::within`]. A deadline is no sign of life: a ring
    /// of waits with deadlines is proven when it closes.
    pub fn deadline(self, at: Instant) -> Self {
        self.slot.deadline.set(clock::of(at));
        self
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
        let reach = self.reach.get_or_insert_with(|| Arc::new(Reach(Mutex::new(Stage::Running(slot)))));
        ActivityHandle { reach: reach.clone() }
    }

    /// Lets it take over what its parent's branch holds, for the order of levels.
    pub(crate) fn child_of(self, parent: &'static Slot) -> Self {
        let levels = crate::order::levels_held(parent);
        self.slot.inherited.store(levels, Ordering::Relaxed);
        self.slot.busy.store(if levels == 0 { 0 } else { crate::slot::SPECIAL }, Ordering::Relaxed);
        self.slot.order_mode.store(parent.order_mode.load(Ordering::Relaxed), Ordering::Relaxed);
        self.slot.priority.store(parent.priority.load(Ordering::Relaxed), Ordering::Relaxed);
        self.slot.deadline.set(parent.deadline.get());
        self
    }

    /// Whether a poll with `waker` would do anything: it was woken, or its wakes go elsewhere.
    pub(crate) fn needs_poll(&self, waker: &Waker) -> bool {
        self.slot.state.load(Ordering::Acquire) & (state::WOKEN | state::END) != 0
            || !self.slot.wakes_go_to(waker)
    }

    /// Makes the edge from the activity that polls us to us, and takes an old one away.
    fn link(&mut self, parent: &Waker) {
        let above =
            poll::current().filter(|above| waker::slot_of(parent).is_some_and(|slot| slot.is(*above)));
        match (self.link, above) {
            (Some(link), Some(above)) if link.owner().is(above) => {
                link.polled.store(state::epoch(above.state.load(Ordering::Relaxed)), Ordering::Relaxed);
            }
            (None, None) => {}
            (_, above) => {
                self.unlink();
                self.link = above.map(|above| {
                    let link = above.claim_cell();
                    link.kind.store(Source::Child as u8, Ordering::Relaxed);
                    link.source.store(ptr::from_ref(self.slot).cast_mut().cast(), Ordering::Relaxed);
                    link.deadline.set(clock::NEVER);
                    link.since.set(0);
                    link.set_phase(cell::WAITING);
                    link
                });
            }
        }
    }

    fn unlink(&mut self) {
        if let Some(link) = self.link.take() {
            link.source.store(ptr::null_mut(), Ordering::Release);
            give_cell_back(link, poll::current());
        }
    }

    /// Drops the body as its poller, and ends the use of the slot.
    fn close(&mut self, why: Ended) {
        self.done = true;
        self.unreach(Some(why));
        self.slot.begin_close();
        {
            let _finish = Finish(self.slot);
            let _entered = Entered::enter(self.slot);
            // SAFETY: `done` was false, so the body is there, and it is not used again.
            unsafe { ManuallyDrop::drop(&mut self.body) };
        }
        self.unlink();
    }

    /// Before the slot may be given to another activity, and before anybody is told of the end.
    fn unreach(&mut self, why: Option<Ended>) {
        if let Some(reach) = &self.reach {
            *reach.stage() = Stage::Over(why);
        }
    }

    /// Why it is ended in this poll.
    fn why_ended(&self) -> Ended {
        if self.reach.as_ref().is_some_and(|reach| matches!(*reach.stage(), Stage::Aborting(_))) {
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
        this.unreach(None);
        // SAFETY: `done` was false until now, so the body is there; it is not used again.
        unsafe { ManuallyDrop::drop(&mut this.body) };
        drop(polling);
        this.unlink();
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

/// The way from outside to an activity, for as long as it runs.
struct Reach(Mutex<Stage>);

/// How far an activity is, seen from outside.
enum Stage {
    Running(&'static Slot),
    /// Its next poll ends it.
    Aborting(&'static Slot),
    /// It is done; with the reason if it has no result.
    Over(Option<Ended>),
}

impl Reach {
    fn stage(&self) -> impl DerefMut<Target = Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cancels or aborts an activity from outside; see [`Activity::handle`].
#[derive(Clone)]
pub struct ActivityHandle {
    reach: Arc<Reach>,
}

impl ActivityHandle {
    /// Cancels the activity: [`Context::cancelled`] becomes ready. Its body decides what to do. Nothing happens if it is
    /// done already, or was cancelled before.
    pub fn cancel(&self) {
        // Held meanwhile, so that the slot is not given to another activity; but not while anybody is woken.
        let stage = self.reach.stage();
        let wakes = match *stage {
            Stage::Running(slot) | Stage::Aborting(slot) => Some(signal_wait::cancel(slot)),
            _ => None,
        };
        drop(stage);
        if let Some(wakes) = wakes {
            wakes.wake();
        }
    }

    /// Ends the activity without asking it: its next poll drops the body where it is, which gives back what it holds and
    /// leaves the queues it is in, and its output is [`Ended::Aborted`]. It is woken for that.
    ///
    /// A poll that runs is not interrupted; if it is the last one, the result stands. Nothing happens if the activity is
    /// done already. Where the body should decide, [`cancel`](Self::cancel) it.
    pub fn abort(&self) {
        let woken = {
            let mut stage = self.reach.stage();
            let Stage::Running(slot) = *stage else { return };
            *stage = Stage::Aborting(slot);
            slot.state.fetch_or(state::END, Ordering::AcqRel);
            // Counted, so the slot stays in use until the parent is woken, which may run anything.
            slot.mark_woken().then_some(slot)
        };
        if let Some(slot) = woken {
            slot.wake_parent();
        }
    }

    /// Whether the activity is done or dropped.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(*self.reach.stage(), Stage::Over(_))
    }

    /// Why the activity has no result, once that is known.
    pub(crate) fn why_ended(&self) -> Option<Ended> {
        match &*self.reach.stage() {
            Stage::Over(why) => why.clone(),
            Stage::Running(_) | Stage::Aborting(_) => None,
        }
    }
}

impl fmt::Debug for ActivityHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActivityHandle").field("done", &self.is_done()).finish()
    }
}

// ---- the end of an activity as an edge -----------------------------------------------------------------------------

/// The result of an activity, and its end as something that it holds until then.
pub(crate) struct Completion<T> {
    pub(crate) lock: RawLock,
    result: Mutex<Option<Result<T, Ended>>>,
}

impl<T> Completion<T> {
    pub(crate) fn new(by: &'static Slot) -> Arc<Self> {
        Self::held_by(by)
    }

    /// One that nobody known will complete.
    pub(crate) fn unbound() -> Arc<Self> {
        Self::held_by(ptr::null())
    }

    fn held_by(by: *const Slot) -> Arc<Self> {
        let class = ClassRef::from_ptr(ptr::null_mut());
        Arc::new(Self {
            lock: RawLock::new(Kind::Event, event::pending(by), class, 0),
            result: Mutex::new(None),
        })
    }

    pub(crate) fn is_done(&self) -> bool {
        self.lock.word.load(Ordering::Acquire) & raw::LOCKED == 0
    }

    /// What it was completed with; nothing if that never happened.
    pub(crate) fn take(&self) -> Option<Result<T, Ended>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Completes when dropped: with the result if there is one. Dropped inside the activity, as the last thing of its body,
/// so that nobody sees the event bound to a slot whose user has changed.
pub(crate) struct Completer<T>(pub(crate) Arc<Completion<T>>);

impl<T> Completer<T> {
    pub(crate) fn complete(self, result: Result<T, Ended>) {
        *self.0.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        self.0.lock.release(Kind::Event, 1, 0, ptr::null_mut(), || false);
    }
}

//! Sessions: cheap handles to what the server keeps for one client.

mod id;
pub(crate) mod registry;
mod resume;
pub(crate) mod sweep;

pub use id::{InvalidSessionId, SessionId};
pub use resume::ResumeError;

use crate::{
    admission::{Beside, SessionSlots},
    call::{
        CallTable, CancelReason,
        effect::{self, Effect},
    },
    contain::{Contained, Panicked, contain},
    engine::{Engine, EngineState},
    event::Event,
    fault::{self, Fault},
    gate::{Gate, Turns},
    hooks::Hooks,
    lock_order,
    message::{RequestId, encode_notification},
    outbox::{Frame, Outbox, Pushed},
    question::Questions,
    runtime::{after, until},
    shim::{AtomicBool, AtomicUsize, OnceLock, Ordering, PlainU64, PlainUsize},
    state::{State, StateCell, StateError, Store, Versioned, nesting},
};
use bytes::Bytes;
use freehold_sync::{ScopedMutex, Signal};
use std::{
    any::Any,
    collections::BTreeSet,
    fmt,
    future::Future,
    num::NonZeroU8,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client asked for it.
    Client,
    /// The client's only connection ended.
    Disconnected,
    /// The application asked for it.
    Server,
    /// It was idle for longer than its time to live.
    Expired,
    /// It was not initialized in time.
    NeverInitialized,
    /// It gave way to a new session at the cap.
    Evicted,
    /// The client left so many answers unread that its stream was closed.
    StreamOverflowed,
    /// The engine stopped.
    Shutdown,
}

/// There is no such session (any more).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("session {0} does not exist or has ended; open a new one")]
pub struct SessionNotFound(pub SessionId);

/// A handle to one session. Cloning it is cheap, and holding it holds nothing else up: the session can be used, closed
/// and forgotten by others meanwhile.
pub struct Session<S: State> {
    pub(crate) inner: Arc<SessionState<S>>,
    pub(crate) engine: Arc<EngineState<S>>,
}

impl<S: State> Clone for Session<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), engine: self.engine.clone() }
    }
}

/// What the server keeps for one session.
pub(crate) struct SessionState<S: State> {
    pub(crate) id: SessionId,
    pub(crate) state: Contained<StateCell<S>>,
    pub(crate) calls: CallTable<S>,
    pub(crate) slots: SessionSlots,
    /// Its calls that came from outside and run beside the slots.
    pub(crate) beside: Beside,
    /// Those of a serial session.
    turns: OnceLock<Box<Turns>>,
    pub(crate) questions: Questions,
    pub(crate) outbox: Outbox,
    pub(crate) readers: AtomicUsize,
    /// The most messages that waited in one of its streams.
    pub(crate) most_waiting: PlainUsize,
    /// Notifications that its streams dropped.
    pub(crate) dropped: PlainU64,
    topics: ScopedMutex<BTreeSet<Box<str>>, lock_order::Topics>,
    attachment: Contained<OnceLock<Box<dyn Any + Send + Sync>>>,
    initialized: AtomicBool,
    /// Whether the registry and the store may know it.
    addressed: bool,
    closed: OnceLock<CloseReason>,
    ended: Signal,
    /// Changes of the state under way. While there are any, the entry of a closed session stays: see [`Changing`].
    changing: AtomicUsize,
    /// Milliseconds from the engine's start to the last sign of life.
    last_active: PlainU64,
}

impl<S: State> SessionState<S> {
    pub(crate) fn new(id: SessionId, state: Arc<Versioned<S>>, now_ms: u64) -> Self {
        Self {
            addressed: true,
            id,
            state: Contained::new(StateCell::new(state)),
            calls: CallTable::default(),
            slots: SessionSlots::default(),
            beside: Beside::default(),
            turns: OnceLock::new(),
            questions: Questions::default(),
            outbox: Outbox::default(),
            readers: AtomicUsize::new(0),
            most_waiting: PlainUsize::new(0),
            dropped: PlainU64::new(0),
            topics: ScopedMutex::default(),
            attachment: Contained::new(OnceLock::new()),
            initialized: AtomicBool::new(false),
            closed: OnceLock::new(),
            ended: Signal::new(),
            changing: AtomicUsize::new(0),
            last_active: PlainU64::new(now_ms),
        }
    }

    /// One that nobody can find.
    pub(crate) fn unaddressed(id: SessionId, state: Arc<Versioned<S>>) -> Self {
        Self { addressed: false, ..Self::new(id, state, 0) }
    }

    pub(crate) fn turns(&self) -> Option<&Turns> {
        self.turns.get().map(AsRef::as_ref)
    }

    pub(crate) fn make_serial(&self) {
        self.turns.get_or_init(Box::default);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get().is_some()
    }
}

impl<S: State> Session<S> {
    /// The id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.inner.id
    }

    /// Makes the session serial: one call at a time, in order of arrival (see [`Gate::Serial`](crate::Gate::Serial)). For the
    /// closure of [`Engine::open_with`]: calls that arrived before do not count. There is no way back.
    pub fn make_serial(&self) {
        self.inner.make_serial();
    }

    /// Whether its calls run one at a time.
    #[must_use]
    pub fn gate(&self) -> Gate {
        if self.inner.turns().is_some() { Gate::Serial } else { Gate::Concurrent }
    }

    /// The engine it belongs to.
    #[must_use]
    pub fn engine(&self) -> Engine<S> {
        Engine::from_state(self.engine.clone())
    }

    /// A snapshot of the state. It does not change; ask again to see later commits.
    #[must_use]
    pub fn state(&self) -> Arc<S> {
        self.inner.state.snapshot().state.clone()
    }

    /// Changes the state atomically: `change` runs on a clone, which becomes the state unless another commit came
    /// first; then it runs again on the newer one. It must therefore have no effect besides.
    ///
    /// Waits for the store only; with the store in memory it never waits.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the change happened or did not; never half.
    ///
    /// # Errors
    ///
    /// [`StateError::Contended`] after [`Limits::update_attempts`](crate::Limits::update_attempts);
    /// [`StateError::Nested`] inside of a [`transact`](Self::transact) on the same session; a store's failure.
    pub async fn update<R: Send>(&self, change: impl FnMut(&mut S) -> R + Send) -> Result<R, StateError> {
        effect::note(Effect::Committed);
        let _changing = Changing::begin(self);
        let store = self.store()?;
        if nesting::is_inside(self.inner.id) {
            return Err(StateError::Nested);
        }
        let updated = self.inner.state.update(self.inner.id, store, &self.engine.limits, change).await;
        if updated.is_err() && self.inner.is_closed() {
            return Err(StateError::Ended);
        }
        updated
    }

    /// Where the state lives.
    fn store(&self) -> Result<Option<&dyn Store<S>>, StateError> {
        if self.inner.is_closed() {
            return Err(StateError::Ended);
        }
        Ok(self.inner.addressed.then_some(&*self.engine.store))
    }

    /// Changes the state by an asynchronous `body` that gets a clone and returns what should be the state and its
    /// output. If another commit came first, the body runs again on the newer state, up to
    /// [`Limits::transact_attempts`](crate::Limits::transact_attempts) times; transactions that met a conflict take turns,
    /// as long as none of them takes longer than [`Limits::transact_turn`](crate::Limits::transact_turn).
    ///
    /// A commit to the same session from inside of the body, also by a call that it makes, is refused.
    ///
    /// # Cancel safety
    ///
    /// As [`update`](Self::update).
    ///
    /// # Errors
    ///
    /// The body's own, which ends the transaction without a change; [`StateError`] by way of `From`.
    pub async fn transact<R, E, F, Fut>(&self, mut body: F) -> Result<R, E>
    where
        F: FnMut(S) -> Fut + Send,
        Fut: Future<Output = Result<(S, R), E>> + Send,
        R: Send,
        E: From<StateError> + Send,
    {
        let _changing = Changing::begin(self);
        let store = self.store()?;
        if nesting::is_inside(self.inner.id) {
            return Err(StateError::Nested.into());
        }
        let body = |state| {
            let next = body(state);
            async {
                let next = next.await;
                if next.is_ok() {
                    effect::note(Effect::Committed);
                }
                next
            }
        };
        let (limits, runtime) = (&self.engine.limits, &*self.engine.runtime);
        self.inner.state.transact(self.inner.id, store, limits, runtime, body).await
    }

    /// Queues a notification on the session's own stream. Never waits: at a full stream the oldest one goes.
    ///
    /// # Errors
    ///
    /// If `params` cannot be written as JSON.
    pub fn notify(&self, method: &str, params: &impl serde::Serialize) -> Result<(), serde_json::Error> {
        effect::note(Effect::Sent);
        let frame = Frame::Notification(Bytes::from(encode_notification(method, params)?));
        self.push(frame);
        Ok(())
    }

    /// Queues an answer that a transport makes itself, such as one to malformed input.
    pub fn answer(&self, answer: Frame) {
        effect::note(Effect::Sent);
        self.push(answer);
    }

    /// Queues a message on the session's own stream: one that a call of it wanted to send. Whether it was queued; an answer
    /// never is. Never waits: at a full stream the oldest notification goes.
    pub fn forward(&self, frame: Frame) -> bool {
        if matches!(frame, Frame::Answer(_)) {
            return false;
        }
        effect::note(Effect::Sent);
        matches!(self.push(frame), Pushed::Queued { .. })
    }

    /// Whether anybody reads the session's own stream at this moment.
    #[must_use]
    pub fn is_listened_to(&self) -> bool {
        self.inner.readers.load(Ordering::Relaxed) > 0
    }

    /// Whether the question with this id is open: asked, and neither answered nor given up.
    #[must_use]
    pub fn asks(&self, question: &RequestId) -> bool {
        self.inner.questions.is_open(question)
    }

    /// Whether it was opened ([`Engine::open`]) and can be found by its id; not one of [`Engine::ephemeral`].
    #[must_use]
    pub fn is_addressed(&self) -> bool {
        self.inner.addressed
    }

    /// Waits until the session has no call without an outcome. Cancel safe.
    pub async fn calls_ended(&self) {
        self.inner.calls.ended().await;
    }

    /// Queues a frame on the session's own stream.
    pub(crate) fn push(&self, frame: Frame) -> Pushed {
        let pushed = self.inner.outbox.push(frame, &self.engine.limits);
        report_push(self, pushed);
        if pushed == Pushed::Overflowed {
            self.close(CloseReason::StreamOverflowed);
        }
        pushed
    }

    /// Reads the session's own stream. The newest reader takes over from an older one, which sees the end: a client
    /// that lost its connection can come back before the server has noticed.
    #[must_use]
    pub fn listen(&self) -> Listener<S> {
        effect::note(Effect::Committed);
        self.inner.readers.fetch_add(1, Ordering::Relaxed);
        let number = self.inner.outbox.take_over();
        Listener { session: self.clone(), number }
    }

    /// Cancels the call with this id: its one outcome is decided at once, its handler is told, and its future dropped
    /// after the grace. Whether there was such a call without an outcome.
    pub fn cancel(&self, id: &RequestId, why: Option<&str>) -> bool {
        effect::note(Effect::Committed);
        let call = self.inner.calls.find(id);
        call.is_some_and(|call| call.cancel(CancelReason::Client, why))
    }

    /// Marks the session as initialized and runs the `initialized` hook; once.
    pub fn mark_initialized(&self) -> bool {
        effect::note(Effect::Committed);
        let first = if fault::active(Fault::CheckThenSet) {
            let seen = self.is_initialized();
            fault::linger();
            self.inner.initialized.store(true, Ordering::Release);
            !seen
        } else {
            !self.inner.initialized.swap(true, Ordering::AcqRel)
        };
        if first {
            Hooks::initialized(self);
        }
        first
    }

    /// Whether [`mark_initialized`](Self::mark_initialized) was called.
    #[must_use]
    pub fn is_initialized(&self) -> bool {
        self.inner.initialized.load(Ordering::Acquire)
    }

    /// Attaches what a protocol keeps for a session; once. It is dropped some time after the session was closed and the
    /// last handle is gone; what must happen at the close belongs into a hook. Gives it back if something is attached already.
    ///
    /// # Errors
    ///
    /// The value, if there was one already.
    pub fn attach<T: Any + Send + Sync>(&self, value: T) -> Result<(), Box<dyn Any + Send + Sync>> {
        effect::note(Effect::Committed);
        self.inner.attachment.set(Box::new(value))
    }

    /// What was attached, if it is a `T`.
    #[must_use]
    pub fn attachment<T: Any>(&self) -> Option<&T> {
        self.inner.attachment.get()?.downcast_ref()
    }

    /// Subscribes the session to a topic. Whether it is subscribed now: not beyond
    /// [`Limits::topics_per_session`](crate::Limits::topics_per_session).
    pub fn subscribe(&self, topic: &str) -> bool {
        effect::note(Effect::Committed);
        let most = self.engine.limits.topics_per_session;
        self.inner.topics.with(|topics| {
            if topics.len() >= most && !topics.contains(topic) {
                return false;
            }
            topics.insert(topic.into());
            true
        })
    }

    /// Ends a subscription; whether there was one.
    pub fn unsubscribe(&self, topic: &str) -> bool {
        effect::note(Effect::Committed);
        self.inner.topics.with(|topics| topics.remove(topic))
    }

    /// Whether the session is subscribed to `topic`.
    #[must_use]
    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.inner.topics.with(|topics| topics.contains(topic))
    }

    /// The session shows a sign of life.
    pub fn touch(&self) {
        self.touch_at(self.engine.runtime.now());
    }

    /// As [`touch`](Self::touch), for who has looked at the clock.
    pub(crate) fn touch_at(&self, now: Instant) {
        // Relaxed: the sweep reads it as a hint; a call that is alive is counted elsewhere.
        self.inner.last_active.store(self.engine.ms_of(now), Ordering::Relaxed);
    }

    /// Waits until the session was closed. Cancel safe.
    pub async fn ended(&self) {
        self.inner.ended.wait().await;
    }

    /// Why the session ended, once it has.
    #[must_use]
    pub fn closed(&self) -> Option<CloseReason> {
        self.inner.closed.get().copied()
    }

    /// Ends the session: its calls are cancelled (each with its one outcome), its questions are told that the peer is
    /// gone, its stream ends, its state goes (except at a shutdown, after which another process may take a session up
    /// from the store they share). Never waits; handlers get their grace. Only the first call does it:
    /// later ones change nothing and return `false`.
    pub fn close(&self, reason: CloseReason) -> bool {
        effect::note(Effect::Committed);
        let first = self.inner.closed.set(reason).is_ok();
        if !first && !fault::active(Fault::CloseTwice) {
            return false;
        }
        if !fault::active(Fault::KeepPending) {
            self.end_pending(reason);
        }
        self.inner.outbox.close();
        self.inner.ended.set(NonZeroU8::MIN);
        if self.inner.addressed {
            self.engine.directory.release(self.inner.id);
            self.forget_state(reason);
            self.engine.events.emit(&Event::SessionClosed { session: self.inner.id, reason });
            Hooks::closed(self, reason);
        }
        true
    }

    /// Cancels the calls and ends the questions.
    fn end_pending(&self, reason: CloseReason) {
        let cancel = match reason {
            CloseReason::Shutdown => CancelReason::Shutdown,
            CloseReason::Disconnected => CancelReason::Disconnected,
            _ => CancelReason::SessionClosed,
        };
        for call in self.inner.calls.close() {
            call.cancel(cancel, None);
        }
        self.inner.questions.close();
    }

    /// Lets the store drop the state, in a task of its own unless that is done at once; then the registry forgets the
    /// session. Until then its entry, closed, keeps `resume` from loading the state that is about to go.
    fn forget_state(&self, reason: CloseReason) {
        let registry = &self.engine.registry;
        if reason == CloseReason::Shutdown {
            return registry.remove_session(&self.inner);
        }
        let session = self.clone();
        let mut removal = Box::pin(async move {
            let (engine, id) = (&session.engine, session.inner.id);
            let at = after(engine.runtime.now(), engine.limits.store_wait);
            let removed = until(&*engine.runtime, at, engine.store.remove(id)).await;
            if removed != Some(Ok(())) {
                tracing::warn!(session = %id, ?removed, "the state of a closed session stays in the store");
            }
            session.forget_entry();
        });
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match contain(|| removal.as_mut().poll(&mut cx)) {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) => self.engine.runtime.spawn("forget the state of a session", removal),
            Err(Panicked) => self.forget_entry(),
        }
    }

    /// The state is removed from the store, unless a change that is under way brings it back: then the end of that removes
    /// it once more.
    fn forget_entry(&self) {
        // A change adds one, then looks whether the session is closed. Of two additions one is the first, and the other one
        // sees what came before it: no change begins unseen after this has found none.
        if self.inner.changing.fetch_add(0, Ordering::AcqRel) == 0 {
            self.engine.registry.remove_session(&self.inner);
        }
    }

    /// When it was last active, and whether anything keeps it alive.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let inner = &self.inner;
        let busy =
            !inner.calls.is_empty() || inner.readers.load(Ordering::Relaxed) > 0 || inner.questions.len() > 0;
        let last_active = Duration::from_millis(inner.last_active.load(Ordering::Relaxed));
        (!busy).then(|| self.engine.started + last_active)
    }

    /// Gives back the memory of empty tables.
    pub(crate) fn shrink(&self) {
        self.inner.calls.shrink();
        self.inner.slots.shrink();
        self.inner.questions.shrink();
        self.inner.outbox.shrink();
    }
}

impl<S: State> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.inner.id).field("closed", &self.closed()).finish()
    }
}

/// A change of a session's state is under way, until it is dropped. One that a close came upon may commit after the state
/// was removed, and so bring it back; nobody may load it then.
struct Changing<'a, S: State>(&'a Session<S>);

impl<'a, S: State> Changing<'a, S> {
    fn begin(session: &'a Session<S>) -> Self {
        session.inner.changing.fetch_add(1, Ordering::AcqRel);
        Self(session)
    }
}

impl<S: State> Drop for Changing<'_, S> {
    fn drop(&mut self) {
        let session = self.0;
        let last = session.inner.changing.fetch_sub(1, Ordering::AcqRel) == 1;
        if let Some(reason) = session.closed().filter(|_| last && session.inner.addressed) {
            session.forget_state(reason);
        }
    }
}

/// Tells the counters what a push into one of the session's streams, or its calls' ones, cost.
pub(crate) fn report_push<S: State>(session: &Session<S>, pushed: Pushed) {
    let (inner, events) = (&session.inner, &session.engine.events);
    if let Pushed::Queued { waiting, .. } = pushed {
        // The look before it keeps a stream that is read from writing to the line for each push.
        if waiting > inner.most_waiting.load(Ordering::Relaxed) {
            inner.most_waiting.fetch_max(waiting, Ordering::Relaxed);
        }
    }
    match pushed {
        Pushed::Queued { dropped: 0, .. } | Pushed::NoRoom { dropped: 0 } | Pushed::Closed => {}
        Pushed::Queued { dropped, .. } | Pushed::NoRoom { dropped } => {
            inner.dropped.fetch_add(dropped, Ordering::Relaxed);
            events.emit(&Event::NotificationsDropped { count: dropped });
        }
        Pushed::Overflowed => events.emit(&Event::StreamOverflowed),
    }
}

/// The one reader of a session's own stream; see [`Session::listen`].
pub struct Listener<S: State> {
    session: Session<S>,
    number: u64,
}

impl<S: State> fmt::Debug for Listener<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("session", &self.session).finish_non_exhaustive()
    }
}

impl<S: State> Listener<S> {
    /// The next frame; `None` when the session ended or a newer listener took over.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        self.session.inner.outbox.poll_pop(self.number, cx)
    }

    /// The next frame; waits for one. Cancel safe: a frame is taken only when it is returned.
    pub async fn next(&mut self) -> Option<Frame> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &Session<S> {
        &self.session
    }
}

impl<S: State> Drop for Listener<S> {
    fn drop(&mut self) {
        self.session.inner.outbox.leave(self.number);
        self.session.inner.readers.fetch_sub(1, Ordering::Relaxed);
        self.session.touch();
        Hooks::subscriber_dropped(&self.session);
    }
}

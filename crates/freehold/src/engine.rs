//! The engine: what it consists of, and its sessions.

use crate::{
    admission::TotalCalls,
    builder::{AtCap, EngineBuilder},
    call::{
        CallsWhileHolding, LiveCalls,
        effect::{self, Effect},
    },
    cluster::{Bus, Directory, InboundCalls, NodeId},
    drain::DrainState,
    event::{Counters, Event, Events},
    fault,
    gate::Gate,
    handler::Overtake,
    hooks::Hooks,
    limits::Limits,
    message::{ErrorCode, ErrorObject},
    methods::Methods,
    recovery::{Defaults, MarkDegraded, RetryBudget, Subjects},
    runtime::Runtime,
    session::{
        CloseReason, Session, SessionId, SessionNotFound, SessionState,
        registry::{Full, Registry},
        sweep,
    },
    shim::Once,
    state::{State, Store, Versioned},
    watchdog::Watchdog,
};
use serde::Serialize;
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// A server's engine: sessions, methods, and the calls between them. A cheap handle; clones are the same engine.
///
/// `S` is the state of a session.
///
/// # Examples
///
/// ```
/// use freehold::{Context, Engine, ErrorObject, Request};
///
/// async fn add(ctx: &Context<u64>, [amount]: [u64; 1]) -> Result<u64, ErrorObject> {
///     Ok(ctx.update(|total| { *total += amount; *total }).await?)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let engine = Engine::builder(0_u64).method("add", add).build()?;
/// let session = engine.open()?;
/// let request = Request::new(1, "add", &[5])?;
/// let response = engine.process(&session, request.into()).await.expect("a request is answered");
/// assert_eq!(response.result.unwrap().get(), "5");
/// # Ok(())
/// # }
/// ```
pub struct Engine<S: State> {
    pub(crate) inner: Arc<EngineState<S>>,
}

impl<S: State> Clone for Engine<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

pub(crate) struct EngineState<S: State> {
    pub(crate) limits: Limits,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) store: Arc<dyn Store<S>>,
    pub(crate) methods: Methods<S>,
    pub(crate) hooks: Hooks<S>,
    pub(crate) events: Events,
    pub(crate) app: AppState,
    pub(crate) registry: Registry<S>,
    pub(crate) total: TotalCalls,
    pub(crate) live: LiveCalls<S>,
    pub(crate) drain: DrainState,
    /// What holds for subjects that say nothing themselves.
    pub(crate) defaults: Defaults,
    pub(crate) subjects: Subjects<S>,
    pub(crate) retry_budget: RetryBudget,
    pub(crate) mark_degraded: MarkDegraded,
    pub(crate) overtaking: Vec<Overtake<S>>,
    pub(crate) started: Instant,
    pub(crate) answer_cancelled: bool,
    pub(crate) at_cap: AtCap,
    pub(crate) gate: Gate,
    /// Itself, for the directory.
    pub(crate) node: NodeId,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) inbound: InboundCalls<S>,
    pub(crate) calls_while_holding: CallsWhileHolding,
    /// Tells it from other engines in the ids of calls.
    pub(crate) number: u64,
    pub(crate) initial: Arc<Versioned<S>>,
    pub(crate) serial: AtomicU64,
    pub(crate) sweep: Once,
    pub(crate) watchdog: Watchdog<S>,
}

/// State of the application by type.
#[derive(Default)]
pub(crate) struct AppState(pub(crate) HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl AppState {
    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<&Arc<T>> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }
}

/// A session could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// [`Limits::sessions`] exist.
    #[error("the server has as many sessions as it takes; try again later")]
    Full,
    /// The engine is draining.
    #[error("the server is shutting down")]
    Stopping,
}

impl<S: State> EngineState<S> {
    pub(crate) fn now_ms(&self) -> u64 {
        self.ms_of(self.runtime.now())
    }

    /// Milliseconds from the engine's start.
    pub(crate) fn ms_of(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.started).as_millis() as u64
    }

    pub(crate) fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn overloaded(&self) -> ErrorObject {
        let retry_after = self.limits.retry_after.as_millis() as u64;
        ErrorObject::new(
            ErrorCode::OVERLOADED,
            format!("too many calls at once; try again in {retry_after} ms"),
        )
        .with_data(&serde_json::json!({ "retryAfterMs": retry_after }))
    }

    /// A call's slot is free again.
    pub(crate) fn call_left(&self) {
        self.total.leave();
        self.drain.call_left();
    }

    /// A call that another call made is gone.
    pub(crate) fn nested_call_left(&self) {
        self.total.leave_nested();
        self.drain.call_left();
    }
}

impl<S: State> Engine<S> {
    /// Starts to build an engine whose sessions begin with `initial` as their state.
    pub fn builder(initial: S) -> EngineBuilder<S> {
        EngineBuilder::new(initial)
    }

    pub(crate) fn from_state(inner: Arc<EngineState<S>>) -> Self {
        Self { inner }
    }

    /// The limits it was built with.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// The seam for time and tasks.
    #[must_use]
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.inner.runtime
    }

    /// A snapshot of the counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.inner.events.counters()
    }

    /// How many sessions exist.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.inner.registry.len()
    }

    /// Opens a session.
    ///
    /// # Errors
    ///
    /// [`OpenError::Full`] at the cap, [`OpenError::Stopping`] while draining.
    ///
    /// # Panics
    ///
    /// With the default runtime, outside of a tokio runtime.
    pub fn open(&self) -> Result<Session<S>, OpenError> {
        self.open_with(|_| ())
    }

    /// Opens a session after `prepare` saw it: before anybody else can find it, and before the `opened` hook.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(&self, prepare: impl FnOnce(&Session<S>)) -> Result<Session<S>, OpenError> {
        effect::note(Effect::Committed);
        let engine = &self.inner;
        if engine.drain.has_begun() {
            return Err(OpenError::Stopping);
        }
        let id = SessionId::random(&*engine.runtime);
        let session = self.session_of(SessionState::new(id, engine.initial.clone(), engine.now_ms()));
        prepare(&session);
        self.with_room(|| engine.registry.insert(session.inner.clone(), engine.limits.sessions))?;
        if session.inner.is_closed() {
            // `prepare` closed it, before there was an entry to remove.
            engine.registry.remove_session(&session.inner);
            return Ok(session);
        }
        self.entered(&session);
        Ok(session)
    }

    /// Does `enter`; at the cap makes room for it if that is the policy.
    pub(crate) fn with_room<R>(&self, enter: impl Fn() -> Result<R, Full>) -> Result<R, OpenError> {
        let engine = &self.inner;
        enter().or_else(|Full| {
            let made_room = engine.at_cap == AtCap::EvictIdlest && sweep::evict_one(engine);
            if made_room { enter().map_err(|Full| OpenError::Full) } else { Err(OpenError::Full) }
        })
    }

    pub(crate) fn session_of(&self, state: SessionState<S>) -> Session<S> {
        if self.inner.gate == Gate::Serial {
            state.make_serial();
        }
        self.handle_of(state)
    }

    fn handle_of(&self, state: SessionState<S>) -> Session<S> {
        Session { inner: Arc::new(state), engine: self.inner.clone() }
    }

    pub(crate) fn entered(&self, session: &Session<S>) {
        let engine = &self.inner;
        engine.sweep.call_once(|| sweep::start(engine));
        engine.directory.claim(session.id());
        engine.events.emit(&Event::SessionOpened { session: session.id() });
        Hooks::opened(session);
        // A drain that began in between has closed all sessions it saw, and may not have seen this one.
        if engine.drain.has_begun() {
            session.close(CloseReason::Shutdown);
        }
    }

    /// A session that nobody can find: for one request of a stateless protocol. It has no entry, no hooks and no end of
    /// its own, and no store knows its state; drop it.
    #[must_use]
    pub fn ephemeral(&self) -> Session<S> {
        let engine = &self.inner;
        let id = SessionId::unaddressed(engine.next_serial());
        // Of one request: there is nothing to take turns with.
        self.handle_of(SessionState::unaddressed(id, engine.initial.clone()))
    }

    /// The session with this id. Takes no lock and never waits.
    ///
    /// # Errors
    ///
    /// [`SessionNotFound`] if it never was, has ended, or is in the store only: see [`resume`](Self::resume).
    pub fn session(&self, id: SessionId) -> Result<Session<S>, SessionNotFound> {
        match self.inner.registry.get(id) {
            Some(inner) => Ok(Session { inner, engine: self.inner.clone() }),
            None => Err(SessionNotFound(id)),
        }
    }

    /// All sessions of this moment.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session<S>> {
        let all = self.inner.registry.sessions(usize::MAX);
        all.into_iter().map(|inner| Session { inner, engine: self.inner.clone() }).collect()
    }

    /// Queues a notification on the stream of each session for which `wanted` holds; returns how many. Never waits for
    /// any of them: a full stream loses its oldest notification.
    ///
    /// # Errors
    ///
    /// If `params` cannot be written as JSON.
    pub fn broadcast(
        &self,
        method: &str,
        params: &impl Serialize,
        wanted: impl Fn(&Session<S>) -> bool,
    ) -> Result<usize, serde_json::Error> {
        use crate::{
            message::encode_notification,
            outbox::{Frame, Pushed},
        };
        effect::note(Effect::Sent);
        let bytes = bytes::Bytes::from(encode_notification(method, params)?);
        let sessions = self.sessions().into_iter().filter(|session| wanted(session));
        let push = |session: Session<S>| {
            let pushed = session.push(Frame::Notification(bytes.clone()));
            fault::written(|| session.inner.outbox.len() == 0);
            pushed
        };
        Ok(sessions.filter(|session| matches!(push(session.clone()), Pushed::Queued { .. })).count())
    }

    /// [`broadcast`](Self::broadcast) to the subscribers of `topic`.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn publish(
        &self,
        topic: &str,
        method: &str,
        params: &impl Serialize,
    ) -> Result<usize, serde_json::Error> {
        self.broadcast(method, params, |session| session.is_subscribed(topic))
    }
}

impl<S: State> fmt::Debug for Engine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("sessions", &self.session_count()).finish_non_exhaustive()
    }
}

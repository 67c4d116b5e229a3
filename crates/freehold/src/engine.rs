//! The engine: what it consists of, how it is built, and its sessions.

use crate::{
    admission::TotalCalls,
    call::LiveCalls,
    drain::DrainState,
    event::{Counters, Event, Events, Observer},
    handler::{Handler, HandlerResult, Method, MethodKind, MethodOptions, RawHandler, Typed, write_result},
    hooks::Hooks,
    limits::Limits,
    message::{ErrorCode, ErrorObject, Raw},
    methods::Methods,
    runtime::{Runtime, TokioRuntime, after, until},
    session::{
        CloseReason, Session, SessionId, SessionNotFound, SessionState,
        registry::{Found, Full, LoadEnd, Loading, Registry},
        sweep,
    },
    state::{MemoryStore, State, Store, StoreError, Versioned},
};
use freehold_sync::SignalWait;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    future::Future,
    sync::{
        Arc, Once,
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
    pub(crate) started: Instant,
    pub(crate) answer_cancelled: bool,
    at_cap: AtCap,
    initial: Arc<Versioned<S>>,
    serial: AtomicU64,
    sweep: Once,
}

/// State of the application by type.
#[derive(Default)]
pub(crate) struct AppState(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl AppState {
    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<&Arc<T>> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }
}

/// What happens to a new session when [`Limits::sessions`] exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AtCap {
    /// It is refused.
    #[default]
    Refuse,
    /// The idlest session of a sample is closed for it; one with a live call never is.
    EvictIdlest,
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

/// A session could not be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// Neither here nor in the store.
    #[error(transparent)]
    NotFound(#[from] SessionNotFound),
    /// There is no room for it here.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The engine could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two handlers for one method.
    #[error("two handlers are registered for the method {0:?}; remove one")]
    DuplicateMethod(Box<str>),
}

impl<S: State> EngineState<S> {
    pub(crate) fn now_ms(&self) -> u64 {
        self.runtime.now().saturating_duration_since(self.started).as_millis() as u64
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
    fn with_room<R>(&self, enter: impl Fn() -> Result<R, Full>) -> Result<R, OpenError> {
        let engine = &self.inner;
        enter().or_else(|Full| {
            let made_room = engine.at_cap == AtCap::EvictIdlest && sweep::evict_one(engine);
            if made_room { enter().map_err(|Full| OpenError::Full) } else { Err(OpenError::Full) }
        })
    }

    fn session_of(&self, state: SessionState<S>) -> Session<S> {
        Session { inner: Arc::new(state), engine: self.inner.clone() }
    }

    fn entered(&self, session: &Session<S>) {
        let engine = &self.inner;
        engine.sweep.call_once(|| sweep::start(engine));
        engine.events.emit(&Event::SessionOpened { session: session.id() });
        engine.hooks.opened(&engine.events, session);
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
        self.session_of(SessionState::unaddressed(id, engine.initial.clone()))
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

    /// The session with this id, loaded from the store if it is not here. Of many that ask at the same time one loads
    /// it and the others wait for that one.
    ///
    /// # Cancel safety
    ///
    /// Dropping it gives the loading up; who waits for it then loads itself.
    ///
    /// # Errors
    ///
    /// [`ResumeError`]; that the store is not available also when it takes longer than
    /// [`Limits::store_wait`](crate::Limits::store_wait).
    pub async fn resume(&self, id: SessionId) -> Result<Session<S>, ResumeError> {
        loop {
            if self.inner.drain.has_begun() {
                return Err(OpenError::Stopping.into());
            }
            let most = self.inner.limits.sessions;
            match self.with_room(|| self.inner.registry.get_or_load(id, most))? {
                Found::Closed => return Err(SessionNotFound(id).into()),
                Found::Ready(inner) => return Ok(Session { inner, engine: self.inner.clone() }),
                Found::Loading(loading) => {
                    match self.within(SignalWait::new(loading)).await.map(LoadEnd::from_code)? {
                        LoadEnd::LookAgain => {}
                        LoadEnd::NotFound => return Err(SessionNotFound(id).into()),
                        LoadEnd::Unavailable => return Err(StoreError::Unavailable.into()),
                    }
                }
                Found::Load(loading) => return self.load(id, loading).await,
            }
        }
    }

    /// Loads a session; everybody else waits for it.
    async fn load(&self, id: SessionId, loading: Arc<Loading>) -> Result<Session<S>, ResumeError> {
        let mut duty = LoadingDuty { engine: &self.inner, loading, id, end: Some(LoadEnd::LookAgain) };
        let state = match self.within(self.inner.store.load(id)).await.and_then(|loaded| loaded) {
            Ok(Some(state)) => state,
            Ok(None) => {
                duty.end = Some(LoadEnd::NotFound);
                return Err(SessionNotFound(id).into());
            }
            Err(error) => {
                duty.end = Some(LoadEnd::Unavailable);
                return Err(error.into());
            }
        };
        let session = self.session_of(SessionState::new(id, Arc::new(state), self.inner.now_ms()));
        duty.done(&session);
        self.entered(&session);
        Ok(session)
    }

    /// Waits for the store, but not for ever.
    async fn within<F: Future>(&self, wait: F) -> Result<F::Output, StoreError> {
        let runtime = &*self.inner.runtime;
        let at = after(runtime.now(), self.inner.limits.store_wait);
        until(runtime, at, wait).await.ok_or(StoreError::Unavailable)
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
        let bytes = bytes::Bytes::from(encode_notification(method, params)?);
        let sessions = self.sessions().into_iter().filter(|session| wanted(session));
        let push = |session: Session<S>| session.push(Frame::Notification(bytes.clone()));
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

/// The duty to end a `Loading`, also when the loading is given up.
struct LoadingDuty<'a, S: State> {
    engine: &'a EngineState<S>,
    loading: Arc<Loading>,
    id: SessionId,
    /// What the others are told; nothing once it is done.
    end: Option<LoadEnd>,
}

impl<S: State> LoadingDuty<'_, S> {
    fn done(mut self, session: &Session<S>) {
        self.end = None;
        self.engine.registry.loaded(&self.loading, session.inner.clone());
    }
}

impl<S: State> Drop for LoadingDuty<'_, S> {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            self.engine.registry.not_loaded(&self.loading, self.id, end);
        }
    }
}

/// Builds an [`Engine`].
#[must_use = "nothing exists before build()"]
pub struct EngineBuilder<S: State> {
    initial: S,
    limits: Limits,
    methods: Vec<Method<S>>,
    hooks: Hooks<S>,
    app: AppState,
    observer: Option<Box<dyn Observer>>,
    runtime: Arc<dyn Runtime>,
    store: Arc<dyn Store<S>>,
    at_cap: AtCap,
    answer_cancelled: bool,
}

impl<S: State> EngineBuilder<S> {
    fn new(initial: S) -> Self {
        Self {
            initial,
            limits: Limits::default(),
            methods: Vec::new(),
            hooks: Hooks::default(),
            app: AppState::default(),
            observer: None,
            runtime: Arc::new(TokioRuntime),
            store: Arc::new(MemoryStore::default()),
            at_cap: AtCap::default(),
            answer_cancelled: true,
        }
    }

    /// Handles `name` by an asynchronous function of a borrowed context and typed parameters; see [`Handler`].
    pub fn method<P, R, E, H>(self, name: &str, handler: H) -> Self
    where
        P: DeserializeOwned + Send + 'static,
        R: Serialize + Send + 'static,
        E: Into<ErrorObject> + Send + 'static,
        H: for<'a> Handler<'a, S, P, Output = Result<R, E>> + 'static,
    {
        self.method_with(name, MethodOptions::default(), handler)
    }

    /// [`method`](Self::method) with options.
    pub fn method_with<P, R, E, H>(self, name: &str, options: MethodOptions, handler: H) -> Self
    where
        P: DeserializeOwned + Send + 'static,
        R: Serialize + Send + 'static,
        E: Into<ErrorObject> + Send + 'static,
        H: for<'a> Handler<'a, S, P, Output = Result<R, E>> + 'static,
    {
        self.raw_method(name, options, Typed::new(handler))
    }

    /// Handles `name` by a handler of raw parameters.
    pub fn raw_method(mut self, name: &str, options: MethodOptions, handler: impl RawHandler<S>) -> Self {
        let kind = MethodKind::Call(Box::new(handler));
        self.methods.push(Method { name: name.into(), options, kind });
        self
    }

    /// Handles `name` at once, by a synchronous function that runs in the reader, takes no slot and overtakes a full
    /// house: for pings, cancels and handshakes. It must be quick.
    pub fn control<R: Serialize>(
        mut self,
        name: &str,
        handler: impl Fn(&Session<S>, Option<&Raw<'_>>) -> Result<R, ErrorObject> + Send + Sync + 'static,
    ) -> Self {
        let function = move |session: &Session<S>, params: Option<&Raw<'_>>| -> HandlerResult {
            write_result(&handler(session, params)?)
        };
        let kind = MethodKind::Control(Box::new(function));
        self.methods.push(Method { name: name.into(), options: MethodOptions::default(), kind });
        self
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Gives handlers state of the application, found by its type with [`Context::app`](crate::Context::app).
    pub fn app<T: Send + Sync + 'static>(mut self, state: Arc<T>) -> Self {
        self.app.0.insert(TypeId::of::<T>(), Box::new(state));
        self
    }

    /// Sets what happens at the cap of sessions.
    pub fn at_cap(mut self, at_cap: AtCap) -> Self {
        self.at_cap = at_cap;
        self
    }

    /// Whether a call that the client cancelled is answered with an error (the default; LSP wants it) or not at all
    /// (MCP wants that).
    pub fn answer_cancelled(mut self, answer: bool) -> Self {
        self.answer_cancelled = answer;
        self
    }

    /// Sets who observes the events.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Replaces the seam for time and tasks.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = runtime;
        self
    }

    /// Replaces the store of states.
    pub fn store(mut self, store: Arc<dyn Store<S>>) -> Self {
        self.store = store;
        self
    }

    /// Adds a hook that runs when a session was opened.
    pub fn on_opened(mut self, hook: impl Fn(&Session<S>) + Send + Sync + 'static) -> Self {
        self.hooks.on_opened.push(Box::new(hook));
        self
    }

    /// Adds a hook that runs when a session was initialized.
    pub fn on_initialized(mut self, hook: impl Fn(&Session<S>) + Send + Sync + 'static) -> Self {
        self.hooks.on_initialized.push(Box::new(hook));
        self
    }

    /// Adds a hook that runs when a call got its slot, before its handler.
    pub fn on_called(mut self, hook: impl Fn(&Session<S>, &str) + Send + Sync + 'static) -> Self {
        self.hooks.on_called.push(Box::new(hook));
        self
    }

    /// Adds a hook that runs when a session was closed; once for each session.
    pub fn on_closed(mut self, hook: impl Fn(&Session<S>, CloseReason) + Send + Sync + 'static) -> Self {
        self.hooks.on_closed.push(Box::new(hook));
        self
    }

    /// Adds a hook that runs when the reader of a session's stream went away.
    pub fn on_subscriber_dropped(mut self, hook: impl Fn(&Session<S>) + Send + Sync + 'static) -> Self {
        self.hooks.on_subscriber_dropped.push(Box::new(hook));
        self
    }

    /// Adds a hook that runs when a drain begins; once.
    pub fn on_shutdown_begun(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.hooks.on_shutdown_begun.push(Box::new(hook));
        self
    }

    /// Builds the engine.
    ///
    /// # Errors
    ///
    /// [`BuildError::DuplicateMethod`].
    ///
    /// # Panics
    ///
    /// With the default runtime and tokio's `test-util`, outside of a tokio runtime.
    pub fn build(self) -> Result<Engine<S>, BuildError> {
        let methods = Methods::new(self.methods).map_err(BuildError::DuplicateMethod)?;
        let started = self.runtime.now();
        let inner = EngineState {
            limits: self.limits,
            runtime: self.runtime,
            store: self.store,
            methods,
            hooks: self.hooks,
            events: Events::new(self.observer),
            app: self.app,
            registry: Registry::default(),
            total: TotalCalls::default(),
            live: LiveCalls::default(),
            drain: DrainState::default(),
            started,
            answer_cancelled: self.answer_cancelled,
            at_cap: self.at_cap,
            initial: Arc::new(Versioned::initial(self.initial)),
            serial: AtomicU64::new(0),
            sweep: Once::new(),
        };
        Ok(Engine { inner: Arc::new(inner) })
    }
}

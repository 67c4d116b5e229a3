//! How an engine is built.

use crate::{
    admission::TotalCalls,
    call::LiveCalls,
    drain::DrainState,
    engine::{AppState, Engine, EngineState},
    event::{Events, Observer},
    fault::{self, Fault},
    handler::{Handler, HandlerResult, Method, MethodKind, MethodOptions, RawHandler, Typed, write_result},
    hooks::Hooks,
    limits::Limits,
    message::{ErrorObject, Raw},
    methods::Methods,
    runtime::{Runtime, TokioRuntime},
    session::{CloseReason, Session, registry::Registry},
    state::{MemoryStore, State, Store, Versioned},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    any::TypeId,
    sync::{Arc, Once, atomic::AtomicU64},
};

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

/// The engine could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two handlers for one method.
    #[error("two handlers are registered for the method {0:?}; remove one")]
    DuplicateMethod(Box<str>),
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
    pub(crate) fn new(initial: S) -> Self {
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

    /// Adds a hook that runs when a session was opened. Like all hooks it runs under no lock of the engine and may call
    /// it back; hooks of what it causes there run on its thread as soon as it has returned.
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
        let methods =
            Methods::new(self.methods).map_err(|name| BuildError::DuplicateMethod((*name).into()))?;
        if fault::active(Fault::GraphOff) {
            freehold_sync::set_detection(false);
        }
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

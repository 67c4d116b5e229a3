//! How an engine is built.

use crate::{
    admission::TotalCalls,
    call::{CallId, CallsWhileHolding, LiveCalls},
    cluster::{Alone, Bus, Directory, InboundCalls, NoBus, NodeId},
    drain::DrainState,
    engine::{AppState, Engine, EngineState},
    event::{Events, Observer},
    fault::{self, Fault},
    gate::Gate,
    handler::{
        Arriving, Handler, HandlerResult, Method, MethodKind, MethodOptions, Overtake, RawHandler, Typed,
        write_result,
    },
    hooks::Hooks,
    layer::{Layer, Layers, layered},
    limits::Limits,
    message::{ErrorObject, Raw},
    methods::Methods,
    recovery::{
        BreakerOptions, Defaults, DegradeReason, Fallback, MarkDegraded, RetryBudget, RetryPolicy, Subjects,
        Treatment, fallback_of, mark_member,
    },
    runtime::{Runtime, SplitRuntime, TokioRuntime},
    session::{CloseReason, Session, registry::Registry},
    shim::Once,
    state::{MemoryStore, State, Store, Versioned},
    watchdog::Watchdog,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::{
    any::TypeId,
    collections::HashMap,
    fmt,
    future::Future,
    sync::{Arc, atomic::AtomicU64},
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
    /// A fallback for a method that nobody handles.
    #[error("a fallback is registered for the method {0:?}, which no handler is registered for")]
    FallbackWithoutMethod(Box<str>),
}

/// Builds an [`Engine`].
#[must_use = "nothing exists before build()"]
pub struct EngineBuilder<S: State> {
    initial: S,
    limits: Limits,
    methods: Vec<(Arc<str>, MethodOptions, MethodKind<S>)>,
    layers: Vec<Box<dyn Layer<S>>>,
    hooks: Hooks<S>,
    app: AppState,
    observers: Vec<Box<dyn Observer>>,
    runtime: Arc<dyn Runtime>,
    store: Arc<dyn Store<S>>,
    at_cap: AtCap,
    gate: Gate,
    node: NodeId,
    directory: Arc<dyn Directory>,
    bus: Arc<dyn Bus>,
    calls_while_holding: CallsWhileHolding,
    answer_cancelled: bool,
    defaults: Defaults,
    fallbacks: HashMap<Box<str>, Fallback<S>>,
    mark_degraded: MarkDegraded,
    overtaking: Vec<Overtake<S>>,
}

impl<S: State> fmt::Debug for EngineBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods: Vec<_> = self.methods.iter().map(|(name, ..)| name).collect();
        f.debug_struct("EngineBuilder").field("methods", &methods).finish_non_exhaustive()
    }
}

impl<S: State> EngineBuilder<S> {
    pub(crate) fn new(initial: S) -> Self {
        Self {
            initial,
            limits: Limits::default(),
            methods: Vec::new(),
            layers: Vec::new(),
            hooks: Hooks::default(),
            app: AppState::default(),
            observers: Vec::new(),
            runtime: Arc::new(TokioRuntime),
            store: Arc::new(MemoryStore::default()),
            at_cap: AtCap::default(),
            gate: Gate::default(),
            node: NodeId(0),
            directory: Arc::new(Alone),
            bus: Arc::new(NoBus),
            calls_while_holding: CallsWhileHolding::default(),
            answer_cancelled: true,
            defaults: Defaults::default(),
            fallbacks: HashMap::new(),
            mark_degraded: Box::new(mark_member),
            overtaking: Vec::new(),
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
        self.methods.push((name.into(), options, MethodKind::Call(Box::new(handler))));
        self
    }

    /// Sets what answers for the handler of `method` when that cannot: when it was chosen to end a deadlock, or a lock could
    /// not be had in time, and it is not (or not any more) run again, or when its circuit breaker is open. A stale snapshot,
    /// a partial answer: the answer is marked as degraded ([`mark_degraded`](Self::mark_degraded)). It gets the session, the
    /// parameters as they came, and the reason, and takes no locks of the graph. If it fails, the handler's own error is
    /// answered. It does not answer for an attempt that committed something or called a method.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold::{Context, DegradeReason, Engine, ErrorObject, Session};
    /// use freehold_sync::Mutex;
    /// use serde_json::value::RawValue;
    ///
    /// static PRICES: Mutex<u32> = Mutex::new(7);
    ///
    /// async fn price(ctx: &Context<u32>, (): ()) -> Result<u32, ErrorObject> {
    ///     Ok(*ctx.lock(&PRICES).await?)
    /// }
    ///
    /// /// The price this session saw last.
    /// async fn stale(session: Session<u32>, _: Option<Box<RawValue>>, _: DegradeReason) -> Result<u32, ErrorObject> {
    ///     Ok(*session.state())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let engine = Engine::builder(5).method("price", price).fallback("price", stale).build().unwrap();
    /// # assert_eq!(engine.session_count(), 0);
    /// # }
    /// ```
    pub fn fallback<R, E, F, Fut>(mut self, method: &str, fallback: F) -> Self
    where
        R: Serialize + 'static,
        E: Into<ErrorObject> + 'static,
        F: Fn(Session<S>, Option<Box<RawValue>>, DegradeReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        self.fallbacks.insert(method.into(), fallback_of(fallback));
        self
    }

    /// Sets how a degraded answer is marked as one. At first it gets the member `degraded`, an object with the `reason`; an
    /// answer that is no object becomes the member `result` of one.
    pub fn mark_degraded(
        mut self,
        mark: impl Fn(Box<RawValue>, DegradeReason) -> Box<RawValue> + Send + Sync + 'static,
    ) -> Self {
        self.mark_degraded = Box::new(mark);
        self
    }

    /// Gives each method and each subject a circuit breaker of its own, unless their options say otherwise. At first there
    /// is none.
    pub fn breaker(mut self, options: BreakerOptions) -> Self {
        self.defaults.breaker = Some(options);
        self
    }

    /// Sets how often calls of idempotent and read-only methods are run again, unless their options say otherwise.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.defaults.retry = policy;
        self
    }

    /// Puts a [`Layer`] around the handlers of all calls, inside of those that were put there before.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold::{Context, Engine, ErrorCode, ErrorObject, HandlerResult, LayeredCall, Next};
    ///
    /// /// Lets nobody in who does not say the word.
    /// async fn guard(call: LayeredCall<()>, next: Next<()>) -> HandlerResult {
    ///     let [word]: [String; 1] = call.read_params()?;
    ///     if word != "please" {
    ///         return Err(ErrorObject::new(ErrorCode(-31100), "say please"));
    ///     }
    ///     next.run(call).await
    /// }
    ///
    /// async fn open(_: &Context<()>, _: [String; 1]) -> Result<&'static str, ErrorObject> {
    ///     Ok("open")
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let engine = Engine::builder(()).method("open", open).layer(guard).build().unwrap();
    /// let session = engine.open().unwrap();
    /// let request = br#"{"jsonrpc":"2.0","id":1,"method":"open","params":["now"]}"#;
    /// let answer = engine.process_bytes(&session, request).await.unwrap();
    /// assert!(answer.ends_with(br#""error":{"code":-31100,"message":"say please"}}"#));
    /// # }
    /// ```
    pub fn layer(mut self, layer: impl Layer<S>) -> Self {
        self.layers.push(Box::new(layer));
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
        let options = MethodOptions::new().without_breaker();
        self.methods.push((name.into(), options, MethodKind::Control(Box::new(function))));
        self
    }

    /// Lets `answer` look at each request before anything else does, in the reader, and answer it at once: like a method
    /// that is [`control`](Self::control), but for some requests of a method only. What it leaves (`None`) goes on its way.
    /// Of several the first one that answers does. Calls that handlers make do not pass.
    ///
    /// It must be quick: it runs for every request, and its reader waits for it. A panic is an internal error.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold::{Context, Engine, ErrorObject, Gate};
    ///
    /// async fn ask(_: &Context<()>, [what]: [String; 1]) -> Result<String, ErrorObject> {
    ///     std::future::pending().await
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let engine = Engine::builder(())
    ///     .method("ask", ask)
    ///     .overtake(|request| {
    ///         let urgent = request.params?.get() == r#"["how are you?"]"#;
    ///         urgent.then(|| freehold::write_result(&"stuck"))
    ///     })
    ///     .build()
    ///     .unwrap();
    /// let session = engine.open().unwrap();
    /// let request = br#"{"jsonrpc":"2.0","id":1,"method":"ask","params":["how are you?"]}"#;
    /// let answer = engine.process_bytes(&session, request).await.unwrap();
    /// assert!(answer.ends_with(br#""result":"stuck"}"#));
    /// # }
    /// ```
    pub fn overtake(
        mut self,
        answer: impl Fn(&Arriving<'_, S>) -> Option<HandlerResult> + Send + Sync + 'static,
    ) -> Self {
        self.overtaking.push(Box::new(answer));
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

    /// Sets how many calls of a session may run at the same time; for a single session see
    /// [`Session::make_serial`].
    pub fn gate(mut self, gate: Gate) -> Self {
        self.gate = gate;
        self
    }

    /// Makes the engine one of several: `node` is its name for the directory, which says who has a session that this one does
    /// not have, and the bus reaches whoever does. What the bus brings goes to [`Engine::inbound`].
    pub fn cluster(mut self, node: NodeId, directory: Arc<dyn Directory>, bus: Arc<dyn Bus>) -> Self {
        (self.node, self.directory, self.bus) = (node, directory, bus);
        self
    }

    /// Sets what is done with calls that handlers make while they hold locks.
    pub fn calls_while_holding(mut self, what: CallsWhileHolding) -> Self {
        self.calls_while_holding = what;
        self
    }

    /// Whether a call that the client cancelled is answered with an error (the default; LSP wants it) or not at all
    /// (MCP wants that).
    pub fn answer_cancelled(mut self, answer: bool) -> Self {
        self.answer_cancelled = answer;
        self
    }

    /// Adds one who observes the events, beside those that were added before.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Replaces the seam for time and tasks.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = runtime;
        self
    }

    /// Runs handlers on another runtime of tokio, with threads of their own, so that a handler that blocks its thread delays
    /// neither transports nor pings, cancels and deadlines; everything else runs on the runtime that this is called in. See
    /// [`SplitRuntime`], also for what it costs.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn handlers_on(self, handlers: &tokio::runtime::Handle) -> Self {
        let io = tokio::runtime::Handle::current();
        self.runtime(Arc::new(SplitRuntime::new(io, handlers.clone())))
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

    /// The methods with their fallbacks and the defaults.
    fn treated_methods(&mut self) -> Result<Vec<Method<S>>, BuildError> {
        let layers: Layers<S> = std::mem::take(&mut self.layers).into();
        let methods = std::mem::take(&mut self.methods).into_iter().map(|(name, options, kind)| {
            let fallback = self.fallbacks.remove(&*name);
            let mut treatment = Treatment::new(&options, &self.defaults, fallback);
            // What is inside of the layers may enter one.
            treatment.has_subjects |= !layers.is_empty();
            let kind = if layers.is_empty() { kind } else { layered(kind, &layers) };
            Method { name, options, treatment, kind }
        });
        let methods = methods.collect();
        match self.fallbacks.keys().next() {
            Some(method) => Err(BuildError::FallbackWithoutMethod(method.clone())),
            None => Ok(methods),
        }
    }

    /// Builds the engine.
    ///
    /// # Errors
    ///
    /// [`BuildError`].
    ///
    /// # Panics
    ///
    /// With the default runtime and tokio's `test-util`, outside of a tokio runtime.
    pub fn build(mut self) -> Result<Engine<S>, BuildError> {
        let methods = self.treated_methods()?;
        let methods = Methods::new(methods).map_err(|name| BuildError::DuplicateMethod((*name).into()))?;
        if fault::active(Fault::GraphOff) {
            freehold_sync::set_detection(false);
        }
        let started = self.runtime.now();
        let number = CallId::random_engine(&*self.runtime);
        let watchdog = Watchdog::new(&self.limits, &methods);
        let inner = EngineState {
            retry_budget: RetryBudget::new(&self.limits),
            defaults: self.defaults,
            subjects: Subjects::default(),
            mark_degraded: self.mark_degraded,
            overtaking: self.overtaking,
            limits: self.limits,
            runtime: self.runtime,
            store: self.store,
            methods,
            hooks: self.hooks,
            events: Events::new(self.observers),
            app: self.app,
            registry: Registry::default(),
            total: TotalCalls::default(),
            live: LiveCalls::default(),
            drain: DrainState::default(),
            started,
            answer_cancelled: self.answer_cancelled,
            at_cap: self.at_cap,
            gate: self.gate,
            node: self.node,
            directory: self.directory,
            bus: self.bus,
            inbound: InboundCalls::default(),
            calls_while_holding: self.calls_while_holding,
            number,
            initial: Arc::new(Versioned::initial(self.initial)),
            serial: AtomicU64::new(0),
            sweep: Once::new(),
            watchdog,
        };
        Ok(Engine { inner: Arc::new(inner) })
    }
}

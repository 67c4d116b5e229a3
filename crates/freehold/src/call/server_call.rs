//! Calls that the server begins for itself: work that outlives the request it came from.

use super::{
    CallHandle, CallKey, Extension, Route,
    effect::{self, Effect},
};
use crate::{
    contain::Contained,
    engine::Engine,
    handler::MethodKind,
    message::{ErrorCode, ErrorObject, Raw},
    session::{Session, SessionNotFound},
    state::State,
};
use serde_json::value::RawValue;
use std::{
    any::Any,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// What whoever began a call keeps with it.
pub(crate) type Attachment = Arc<dyn Any + Send + Sync>;

/// How a call came to be.
pub(crate) struct Arrival {
    pub(crate) route: Route,
    pub(crate) now: Instant,
    /// What its transport knows of it.
    pub(crate) extension: Contained<Option<Extension>>,
    /// Its deadline, and the cap of it, if not those of its method and the engine.
    pub(crate) timeout: Option<Duration>,
    pub(crate) attachment: Contained<Option<Attachment>>,
}

impl Arrival {
    pub(crate) fn new(route: Route, now: Instant) -> Self {
        Self { route, now, extension: Contained::new(None), timeout: None, attachment: Contained::new(None) }
    }
}

/// A call that the server begins for itself, without a request of its own; see [`Engine::begin`].
#[must_use = "nothing runs until it is given to Engine::begin"]
pub struct ServerCall {
    method: Box<str>,
    params: Option<Box<RawValue>>,
    timeout: Option<Duration>,
    extension: Option<Extension>,
    attachment: Option<Attachment>,
}

impl ServerCall {
    /// A call of `method`.
    pub fn new(method: &str, params: Option<Box<RawValue>>) -> Self {
        Self { method: method.into(), params, timeout: None, extension: None, attachment: None }
    }

    /// How long it may take, from its beginning to its answer, also if it makes progress. The method's deadline and the engine's
    /// cap do not hold for it; a shorter one that its subject has does. As in any call the clock stands still while the client is
    /// asked, so with its questions, which have limits of their own ([`Context::ask`](crate::Context::ask)), it may take longer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Gives it what the transport knows of the request that it comes from
    /// ([`Context::request_extension`](crate::Context::request_extension)).
    pub fn extension(mut self, extension: Option<Extension>) -> Self {
        self.extension = extension;
        self
    }

    /// Attaches a value, which the handler finds by its type with [`Context::attachment`](crate::Context::attachment).
    pub fn attach<T: Any + Send + Sync>(mut self, value: Arc<T>) -> Self {
        self.attachment = Some(value);
        self
    }
}

impl fmt::Debug for ServerCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCall").field("method", &self.method).finish_non_exhaustive()
    }
}

impl<S: State> Engine<S> {
    /// Begins a call in `session` that no request waits for. It is a call like any other: it takes a slot or a place in the
    /// queue (in a serial session its turn), has a deadline, is seen by the watchdog, cancelled by the session's close and
    /// by a drain. It runs in a task of its own; its notifications, its questions and its outcome are read from the handle,
    /// and dropping that cancels it. Never waits.
    ///
    /// # Errors
    ///
    /// As a request would be refused: the method is not there or is a control method, the session is closed, the engine is
    /// full or draining, the method's circuit breaker is open.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold::{Context, Engine, ErrorObject, ServerCall, Step};
    /// use std::{sync::Arc, time::Duration};
    ///
    /// async fn job(ctx: &Context<()>, (): ()) -> Result<String, ErrorObject> {
    ///     Ok(format!("did {}", ctx.attachment::<String>().expect("it was attached")))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::builder(()).method("job", job).build()?;
    /// let session = engine.open()?;
    /// let call = ServerCall::new("job", None).timeout(Duration::from_secs(60)).attach(Arc::new("it".to_owned()));
    /// let mut running = engine.begin(&session, call).map_err(|refused| refused.message)?;
    /// let Step::End(Some(outcome)) = running.next().await else { panic!("it says nothing before its end") };
    /// assert_eq!(outcome.result.unwrap().get(), r#""did it""#);
    /// # Ok(()) }
    /// ```
    pub fn begin(&self, session: &Session<S>, call: ServerCall) -> Result<CallHandle<S>, ErrorObject> {
        effect::note(Effect::Called);
        let ServerCall { method, params, timeout, extension, attachment } = call;
        if session.closed().is_some() {
            let message = SessionNotFound(session.id()).to_string();
            return Err(ErrorObject::new(ErrorCode::SESSION_NOT_FOUND, message));
        }
        let found = self.inner.methods.find(&method);
        let is_call = |index: &usize| matches!(self.inner.methods.kind(*index), MethodKind::Call(_));
        let index = found.filter(is_call).ok_or_else(|| ErrorObject::method_not_found(&method))?;
        let key = CallKey::Unnamed(self.inner.next_serial());
        let (extension, attachment) = (Contained::new(extension), Contained::new(attachment));
        let arrival =
            Arrival { timeout, extension, attachment, ..Arrival::new(Route::Call, self.inner.runtime.now()) };
        let params = params.map(Raw::Owned);
        let (call, task) = self.admit(session, key, index, params, arrival).map_err(|(_, error)| error)?;
        Ok(CallHandle::apart(call, task))
    }
}

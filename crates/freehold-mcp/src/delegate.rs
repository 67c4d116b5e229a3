//! A server whose methods somebody else answers: another crate's model of the protocol, driven from the transports here.

use crate::{
    completion::CompletionRates,
    http::{OfRequest, Principal},
    peer::Peer,
    protocol::{SESSION_VERSIONS, method},
    server::read_initialize,
    tools::{MirroredArgument, mirrored_arguments},
};
use freehold::{
    Context, EngineBuilder, ErrorCode, ErrorObject, HandlerResult, MethodOptions, RawHandler, Session, State,
    message::Raw, runtime::BoxFuture,
};
use serde_json::{Value, json, value::RawValue};
use std::{
    any::Any,
    borrow::Cow,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
};

/// Answers the methods of the protocol in place of tools of this crate; see
/// [`McpServerBuilder::delegate`](crate::McpServerBuilder::delegate).
///
/// What belongs to the transports stays here: which revision a message speaks, its headers, the session's life, pings,
/// and cancels, which overtake a full house.
pub trait Delegate<S: State>: Send + Sync + 'static {
    /// The methods it answers, requests and notifications, each with its options. Not `ping`, nor
    /// `notifications/initialized` and `notifications/cancelled`: those are [`noticed`](Self::noticed).
    fn methods(&self) -> Vec<(Cow<'static, str>, MethodOptions)>;

    /// Starts to answer; as [`RawHandler::start`]. [`Context::method`] names the method. `initialize` is one of them: its
    /// answer begins the session, once [`accept_client`] was called.
    fn start(&self, context: Context<S>, params: Option<Box<RawValue>>) -> BoxFuture<'static, HandlerResult>;

    /// The client said `notifications/initialized` or `notifications/cancelled`, and what follows from it was done. Runs in
    /// the reader, so it must be quick.
    fn noticed(&self, session: &Session<S>, method: &str, params: Option<&RawValue>) {
        let _ = (session, method, params);
    }

    /// The JSON Schema of a tool's arguments, for the headers that mirror them. Asked for before a stateless request becomes a call,
    /// for which what had to be made for the answer can be [kept](Kept::keep).
    fn tool_schema(&self, tool: &str, kept: &Kept) -> Option<Value> {
        let _ = (tool, kept);
        None
    }
}

/// What a [`Delegate`] made for a stateless request before that was a call. It is dropped with the request.
#[derive(Default)]
pub struct Kept(OnceLock<Box<dyn Any + Send + Sync>>);

impl Kept {
    /// What was kept for a request, by the session of its call; nothing for one of a client's sessions, or of stdio.
    #[must_use]
    pub fn of<S: State>(session: &Session<S>) -> Option<&Self> {
        session.attachment().map(|OfRequest { kept, .. }| kept)
    }

    /// Keeps a value for the call. The first one stays.
    pub fn keep<T: Any + Send + Sync>(&self, value: T) {
        let _ = self.0.set(Box::new(value));
    }

    /// The value, if it is a `T`.
    #[must_use]
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.get()?.downcast_ref()
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("any", &self.0.get().is_some()).finish()
    }
}

/// Notes what `initialize` said of the client, whose it is, and the revision that was agreed on. Belongs to the answer of
/// `initialize` by a [`Delegate`]; a session accepts one client.
///
/// # Errors
///
/// [`ErrorCode::INVALID_PARAMS`] for params that are none of `initialize`, [`ErrorCode::INVALID_REQUEST`] for a session
/// that is initialized already, [`ErrorCode::INTERNAL_ERROR`] for a revision that is not in [`SESSION_VERSIONS`].
pub fn accept_client<S: State>(
    context: &Context<S>,
    params: Option<&RawValue>,
    version: &str,
) -> Result<(), ErrorObject> {
    let principal = context.extension::<Principal>().cloned().map(Arc::new);
    let mut peer = read_initialize(params)?.opened_by(principal);
    let Some(version) = SESSION_VERSIONS.into_iter().find(|spoken| *spoken == version) else {
        tracing::error!(version, "this revision has no sessions here, so none can be opened in it");
        return Err(ErrorObject::internal());
    };
    peer.version = version;
    context.session().attach(peer).map_err(|_| already_initialized())
}

/// Whether a session has its client.
#[must_use]
pub fn has_client<S: State>(session: &Session<S>) -> bool {
    Peer::of(session).is_some()
}

/// The error of a second `initialize`.
pub(crate) fn already_initialized() -> ErrorObject {
    ErrorObject::new(ErrorCode::INVALID_REQUEST, "this session is initialized already; open another one")
}

/// Whom a server delegates to.
pub(crate) type Delegated<S> = Arc<dyn Delegate<S>>;

struct Answering<S: State> {
    delegate: Delegated<S>,
    /// Of the method that is limited.
    rates: Option<Arc<CompletionRates>>,
}

impl<S: State> RawHandler<S> for Answering<S> {
    fn start(&self, context: Context<S>, params: Option<Box<RawValue>>) -> BoxFuture<'static, HandlerResult> {
        match self.rates.as_ref().map_or(Ok(()), |rates| rates.take(&context)) {
            Ok(()) => self.delegate.start(context, params),
            Err(refused) => Box::pin(std::future::ready(Err(refused.into()))),
        }
    }
}

/// Registers what the delegate answers, and what is answered here.
pub(crate) fn register<S: State>(
    mut engine: EngineBuilder<S>,
    delegate: &Delegated<S>,
    completions: &Arc<CompletionRates>,
    cancel: impl Fn(&Session<S>, Option<&Raw<'_>>) -> Result<(), ErrorObject> + Send + Sync + 'static,
) -> EngineBuilder<S> {
    for (name, options) in delegate.methods() {
        let rates = (name == method::COMPLETE).then(|| completions.clone());
        engine = engine.raw_method(&name, options, Answering { delegate: delegate.clone(), rates });
    }
    let (initialized, cancelled) = (delegate.clone(), delegate.clone());
    engine
        .control(method::PING, |_, _| Ok(json!({})))
        .control(method::INITIALIZED, move |session, params| {
            if session.mark_initialized() {
                initialized.noticed(session, method::INITIALIZED, params.map(|raw| &**raw));
            }
            Ok(())
        })
        .control(method::CANCELLED, move |session, params| {
            cancel(session, params)?;
            cancelled.noticed(session, method::CANCELLED, params.map(|raw| &**raw));
            Ok(())
        })
}

/// The arguments of a tool that headers mirror.
pub(crate) fn mirrored_of<S: State>(
    delegate: &Delegated<S>,
    tool: &str,
    session: &Session<S>,
) -> Vec<MirroredArgument> {
    let Some(kept) = Kept::of(session) else { return Vec::new() };
    // Code of an application, in the task of a connection.
    let schema = catch_unwind(AssertUnwindSafe(|| delegate.tool_schema(tool, kept)));
    // Clients leave a tool out whose headers are not allowed; nobody repeats its arguments.
    schema.ok().flatten().and_then(|schema| mirrored_arguments(&schema).ok()).unwrap_or_default()
}

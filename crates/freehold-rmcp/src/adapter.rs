//! An rmcp handler as the delegate of a server: each message of the client is a call of the engine that asks the handler.

use crate::{
    background::{self, ASK},
    convert::{error_object, id_of},
    peer::{Connected, Era, Inbox, Loan, Return, Serving, SessionPeers, giver_of},
    request::{NOTIFICATIONS, REQUESTS, method, read_notification, read_request},
};
use freehold_mcp::{
    Delegate, Kept, Principal, SESSION_VERSIONS, STATELESS_VERSIONS, accept_client,
    freehold::{
        Context, ErrorCode, ErrorObject, Extension, HandlerResult, MethodOptions, Notification, Route,
        Session, SessionId, message::Raw, runtime::BoxFuture, write_result,
    },
    has_client,
};
use papaya::HashMap;
use rmcp::{
    RoleServer, ServerHandler, Service,
    model::{
        ClientNotification, ClientRequest, ErrorData, GetExtensions, GetMeta, InitializeRequestParams,
        InitializeResult, JsonRpcMessage, NumberOrString, ProgressNotificationParam, ProtocolVersion,
        RequestMetaObject, ServerResult,
    },
    service::{NotificationContext, RequestContext},
};
use serde_json::{Value, value::RawValue};
use std::{borrow::Cow, convert::Infallible, future::Future, io, pin::pin, sync::Arc};

/// Where a session, or a stateless request, gets its handler.
pub(crate) enum Source<H> {
    /// One for all.
    Shared(Arc<H>),
    /// One for each.
    Each(Box<dyn Fn() -> io::Result<H> + Send + Sync>),
}

/// A handler with what it needs from here.
pub(crate) struct Adapter<H> {
    parts: Arc<Parts<H>>,
}

struct Parts<H> {
    source: Source<H>,
    own_methods: Vec<String>,
    options: std::collections::HashMap<String, MethodOptions>,
    sessions: Sessions<H>,
}

/// The sessions that were initialized, or are about to be.
pub(crate) type Sessions<H> = Arc<HashMap<SessionId, Arc<Home<H>>>>;

/// What is kept for a session.
pub(crate) struct Home<H> {
    handler: Arc<H>,
    pub(crate) peers: Arc<SessionPeers>,
}

/// Who answers a request.
struct Answerer<H> {
    handler: Arc<H>,
    loan: Loan,
    era: Era,
}

/// Done in the reader, and then told to the handler under a name of its own, which is the second.
const NOTICED: [(&str, &str); 2] = [
    ("notifications/initialized", "notifications/rmcp/initialized"),
    ("notifications/cancelled", "notifications/rmcp/cancelled"),
];

/// The name under which a notification goes to the handler.
fn forwarded(name: &'static str) -> &'static str {
    NOTICED.iter().find(|(original, _)| *original == name).map_or(name, |(_, forwarded)| *forwarded)
}

/// Goes with what the reader has noticed: no client can send that, whatever name it gives.
struct Noticed;

/// The name that the client gave a notification; none for one that only the reader may forward, and did not.
fn original<'a>(name: &'a str, context: &Context<()>) -> Option<&'a str> {
    let Some((original, _)) = NOTICED.iter().find(|(_, forwarded)| *forwarded == name) else {
        return Some(name);
    };
    context.extension::<Noticed>().map(|Noticed| *original)
}

impl<H: ServerHandler> Adapter<H> {
    pub(crate) fn new(
        source: Source<H>,
        own_methods: Vec<String>,
        options: std::collections::HashMap<String, MethodOptions>,
        sessions: Sessions<H>,
    ) -> Self {
        Self { parts: Arc::new(Parts { source, own_methods, options, sessions }) }
    }
}

impl<H: ServerHandler> Delegate<()> for Adapter<H> {
    fn methods(&self) -> Vec<(Cow<'static, str>, MethodOptions)> {
        let options = |name: &str| self.parts.options.get(name).cloned().unwrap_or_default();
        let known = REQUESTS.iter().chain(NOTIFICATIONS).map(|(name, _)| *name);
        let known = known.map(|name| (Cow::Borrowed(forwarded(name)), options(name)));
        let own = self.parts.own_methods.iter().map(|name| (Cow::Owned(name.clone()), options(name)));
        let ask = std::iter::once((Cow::Borrowed(ASK), MethodOptions::new().without_breaker()));
        known.chain(own).chain(ask).collect()
    }

    fn start(
        &self,
        context: Context<()>,
        params: Option<Box<RawValue>>,
    ) -> BoxFuture<'static, HandlerResult> {
        let parts = self.parts.clone();
        Box::pin(async move { parts.answer(context, params).await })
    }

    fn noticed(&self, session: &Session<()>, name: &str, params: Option<&RawValue>) {
        let Some((_, forwarded)) = NOTICED.iter().find(|(original, _)| *original == name) else { return };
        if !self.parts.sessions.pin().contains_key(&session.id()) {
            return;
        }
        let params = params.map(|params| Raw::Owned(params.to_owned()));
        let notification = Notification { method: Cow::Borrowed(forwarded), params };
        let noticed: Extension = Arc::new(Noticed);
        drop(session.engine().dispatch_with(session, notification.into(), Route::Session, Some(noticed)));
    }

    fn tool_schema(&self, tool: &str, kept: &Kept) -> Option<Value> {
        let handler = self.parts.handler().ok()?;
        let tool = handler.get_tool(tool);
        kept.keep(handler);
        Some(Value::Object((*tool?.input_schema).clone()))
    }
}

impl<H: ServerHandler> Parts<H> {
    fn handler(&self) -> Result<Arc<H>, ErrorObject> {
        match &self.source {
            Source::Shared(handler) => Ok(handler.clone()),
            Source::Each(make) => make().map(Arc::new).map_err(|error| {
                tracing::error!(%error, "no handler could be made");
                ErrorObject::internal()
            }),
        }
    }

    /// The handler of a stateless request: that which has told what its headers mirror, if it was asked.
    fn handler_of(&self, session: &Session<()>) -> Result<Arc<H>, ErrorObject> {
        let kept = Kept::of(session).and_then(|kept| kept.get::<Arc<H>>());
        kept.cloned().map_or_else(|| self.handler(), Ok)
    }

    fn home(&self, session: &Session<()>) -> Option<Arc<Home<H>>> {
        self.sessions.pin().get(&session.id()).cloned()
    }

    async fn answer(&self, context: Context<()>, params: Option<Box<RawValue>>) -> HandlerResult {
        let name = context.method().to_owned();
        if name == ASK {
            return background::asked(&context).await;
        }
        if name.starts_with(method::NOTIFICATIONS) {
            let Some(original) = original(&name, &context) else {
                return Err(ErrorObject::method_not_found(&name));
            };
            return self.notification(context, original, params).await;
        }
        let request = read_request(&name, params.as_deref())?;
        match request {
            ClientRequest::InitializeRequest(request) => {
                let client = request.params.clone();
                self.initialize(context, client, request.into(), params.as_deref()).await
            }
            request => self.request(context, request).await,
        }
    }

    /// Any request but `initialize`.
    async fn request(&self, context: Context<()>, mut request: ClientRequest) -> HandlerResult {
        if let ClientRequest::CallToolRequest(call) = &request {
            context.set_subject(Arc::from(&*call.params.name));
        }
        let listens = context.method() == method::LISTEN;
        if listens {
            context.remove_deadline();
        }
        let discovers = context.method() == method::DISCOVER;
        let answerer = self.answerer(&context, request.get_meta_mut(), listens)?;
        let mut result = answerer.ask(Arc::new(context), request, listens).await.map_err(error_object)?;
        if let ServerResult::DiscoverResult(result) = &mut result
            && discovers
        {
            result.supported_versions.retain(is_spoken);
        }
        write_result(&result)
    }

    /// Who answers: in a session its handler, by one of its peers; a stateless request has both to itself.
    fn answerer(
        &self,
        context: &Context<()>,
        meta: &RequestMetaObject,
        listens: bool,
    ) -> Result<Answerer<H>, ErrorObject> {
        if let Some(version) = meta.protocol_version() {
            let client = InitializeRequestParams::new(
                meta.client_capabilities().unwrap_or_default(),
                meta.client_info().unwrap_or_default(),
            );
            let connected = Connected::new(None, client.with_protocol_version(version));
            let era = Era::Stateless { log_level: meta.log_level(), listens };
            let handler = self.handler_of(context.session())?;
            return Ok(Answerer { handler, loan: Loan::new(connected, None), era });
        }
        let home = self.home(context.session());
        let loan = home.as_ref().and_then(|home| home.peers.lend());
        match (home, loan) {
            (Some(home), Some(loan)) => {
                Ok(Answerer { handler: home.handler.clone(), loan, era: Era::Session })
            }
            _ => Err(ErrorObject::new(
                ErrorCode::INVALID_REQUEST,
                "initialize first, or say in params._meta which revision this request speaks",
            )),
        }
    }

    /// The handshake of a session.
    async fn initialize(
        &self,
        context: Context<()>,
        mut client: InitializeRequestParams,
        request: ClientRequest,
        params: Option<&RawValue>,
    ) -> HandlerResult {
        let context = Arc::new(context);
        let session = context.session().clone();
        let already = || {
            let reason = "this session is initialized already; open another one";
            ErrorObject::new(ErrorCode::INVALID_REQUEST, reason)
        };
        if has_client(&session) {
            return Err(already());
        }
        let handler = self.handler()?;
        let peers = Arc::new(SessionPeers::new(session.clone()));
        let loan = peers.lend_to_begin(&client);
        let peer = loan.peer().clone();
        let answerer = Answerer { handler: handler.clone(), loan, era: Era::Session };
        let mut result = match answerer.ask(context.clone(), request, false).await.map_err(error_object)? {
            ServerResult::InitializeResult(result) => result,
            _ => return Err(ErrorObject::internal()),
        };
        let requested = std::mem::take(&mut client.protocol_version);
        let version = agree(&requested, &result, &ServerHandler::supported_protocol_versions(&handler))?;
        result.protocol_version = version.clone();
        client.protocol_version = version;
        peer.set_peer_info(client.clone());
        peers.set_client(client);
        // Before the client is accepted: from then on its requests may come.
        if self
            .sessions
            .pin()
            .try_insert(session.id(), Arc::new(Home { handler, peers: peers.clone() }))
            .is_err()
        {
            return Err(already());
        }
        let accepted = accept_client(&context, params, result.protocol_version.as_str());
        if accepted.is_err() || session.closed().is_some() {
            // The hook that removes it may have run before it was there.
            self.sessions.pin().remove(&session.id());
            peers.end();
        }
        accepted?;
        write_result(&result)
    }

    async fn notification(
        &self,
        context: Context<()>,
        name: &str,
        params: Option<Box<RawValue>>,
    ) -> HandlerResult {
        // A client without a session has nobody to tell.
        let Some(home) = self.home(context.session()) else { return write_result(&()) };
        let Some(loan) = home.peers.lend() else { return write_result(&()) };
        let mut notification = read_notification(name, params.as_deref())?;
        let inbox = match &mut notification {
            ClientNotification::ProgressNotification(progress) => {
                progress_goes_to(&home.peers, &mut progress.params)
            }
            _ => None,
        };
        let serving = Arc::new(Serving { context: Arc::new(context), era: Era::Session });
        loan.serve(serving);
        let (way, mut back) = Return::way();
        notification.extensions_mut().insert(way);
        let message = JsonRpcMessage::notification(notification);
        // The peer ends with its session only; then nobody is to be told any more.
        if inbox.as_ref().unwrap_or(loan.inbox()).send(message).await.is_err() {
            return write_result(&());
        }
        if let Some((notification, context)) = back.recv().await {
            self.tell(&home.handler, notification, context).await?;
        }
        write_result(&())
    }

    async fn tell(
        &self,
        handler: &H,
        notification: ClientNotification,
        context: NotificationContext<RoleServer>,
    ) -> Result<(), ErrorObject> {
        handler.handle_notification(notification, context).await.map_err(error_object)
    }
}

impl<H: ServerHandler> Answerer<H> {
    /// Has the handler answer. It is told when the call is cancelled; then, at its deadline, or when it panics, the engine
    /// has decided already and drops this.
    async fn ask(
        self,
        context: Arc<Context<()>>,
        mut request: ClientRequest,
        listens: bool,
    ) -> Result<ServerResult, ErrorData> {
        let Self { handler, loan, era } = self;
        let id = context.request_id().map(id_of).unwrap_or(NumberOrString::Number(0));
        let mut asked = RequestContext::new(id, loan.peer().clone());
        asked.meta = std::mem::take(request.get_meta_mut());
        asked.extensions = std::mem::take(request.extensions_mut());
        if let Some(principal) = context.extension::<Principal>() {
            asked.extensions.insert(principal.clone());
        }
        let serving = Arc::new(Serving { context, era });
        loan.serve(serving.clone());
        let cancelled = asked.ct.clone();
        // Tasks that the handler left behind are told that its request is over.
        let _over = asked.ct.clone().drop_guard();
        let handling = pin!(handler.handle_request(request, asked));
        let cancelling = pin!(async {
            cancelled_or_drained(&serving.context, listens).await;
            cancelled.cancel();
            std::future::pending::<Infallible>().await
        });
        first_of(handling, cancelling).await
    }
}

/// Waits until the call is cancelled, or, of one that goes on until then, the engine drains.
async fn cancelled_or_drained(context: &Context<()>, listens: bool) {
    let engine = context.engine();
    tokio::select! {
        _ = context.cancelled() => {}
        () = engine.drain_begun(), if listens => {}
    }
}

/// What `handling` gives, while `beside` runs.
async fn first_of<T>(handling: impl Future<Output = T>, beside: impl Future<Output = Infallible>) -> T {
    tokio::select! {
        biased;
        given = handling => given,
        never = beside => match never {},
    }
}

/// Progress of the client on what a peer asked it belongs to that peer, whose timeout begins anew.
fn progress_goes_to(peers: &SessionPeers, progress: &mut ProgressNotificationParam) -> Option<Inbox> {
    let (number, token) = giver_of(&progress.progress_token)?;
    let inbox = peers.inbox(number)?;
    progress.progress_token = token;
    Some(inbox)
}

fn is_spoken(version: &ProtocolVersion) -> bool {
    SESSION_VERSIONS.contains(&version.as_str()) || STATELESS_VERSIONS.contains(&version.as_str())
}

/// The revision of a session: what the handler says if it has sessions here, else the newest one that it and the
/// transports speak.
fn agree(
    requested: &ProtocolVersion,
    result: &InitializeResult,
    supported: &[ProtocolVersion],
) -> Result<ProtocolVersion, ErrorObject> {
    let spoken = |version: &&ProtocolVersion| SESSION_VERSIONS.contains(&version.as_str());
    let of_handler = Some(&result.protocol_version).filter(spoken);
    let newest = || supported.iter().filter(spoken).max_by(|one, other| one.as_str().cmp(other.as_str()));
    of_handler
        .or_else(newest)
        .cloned()
        .ok_or_else(|| error_object(ErrorData::unsupported_protocol_version(requested.clone(), supported)))
}

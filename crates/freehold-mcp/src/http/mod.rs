//! Streamable HTTP: both eras of the protocol on one endpoint.
//!
//! A request goes through these rooms, in this order: [`front_door`] (path, host, origin, token, method, media types),
//! [`body`] (size and time), the decoder of the engine, [`era`] (which revision speaks), then [`session`] or
//! [`stateless`], and its answer through [`answer`] (JSON, or a stream of events).

mod answer;
mod authorization;
mod batch;
mod body;
mod era;
mod front_door;
mod headers;
mod limits;
mod options;
mod resumption;
mod serve;
mod session;
mod stateless;
mod tower;
mod write_stall;

pub use answer::HttpBody;
pub use authorization::{
    Audience, Authorization, AuthorizationTarget, AuthorizeError, Authorizer, InvalidAuthorization, Principal,
};
pub use options::HttpOptions;
pub(crate) use resumption::Streams;
pub use resumption::{
    EventLimits, EventStore, EventStoreError, MemoryEventStore, Resumption, StoredEvent, StreamId, StreamKey,
};
pub use serve::{HttpListener, ServeError};
pub(crate) use stateless::OfRequest;

use crate::server::McpServer;
use answer::Refusal;
use freehold::{
    State,
    message::{Decoded, Message, decode},
};
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use std::{fmt, sync::Arc};

/// The HTTP face of a server, to be served by any `hyper` or `axum` program. A cheap handle.
pub struct HttpService<S: State = ()> {
    pub(crate) server: McpServer<S>,
    pub(crate) options: Arc<HttpOptions>,
}

impl<S: State> Clone for HttpService<S> {
    fn clone(&self) -> Self {
        Self { server: self.server.clone(), options: self.options.clone() }
    }
}

impl<S: State> fmt::Debug for HttpService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpService").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<S: State> HttpService<S> {
    /// The face of `server`.
    #[must_use]
    pub fn new(server: McpServer<S>, options: HttpOptions) -> Self {
        Self { server, options: Arc::new(options) }
    }

    /// Answers one request. Every failure is a response.
    ///
    /// Waits for the body (within its limits), then for the handler or the first of its messages, whichever comes
    /// first; the rest of the messages is in the response's body.
    ///
    /// # Cancel safety
    ///
    /// Dropping it, or the body of its response, cancels the call.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<HttpBody>
    where
        B: Body<Data = bytes::Bytes> + Unpin,
        B::Error: fmt::Display,
    {
        let origin = front_door::cors_origin(&self.options, request.headers());
        if let Some(metadata) = self.metadata(&request) {
            return metadata;
        }
        let mut response = match front_door::check(&self.options, &request) {
            Ok(()) => match self.principal(request.method(), request.headers(), request.extensions()).await {
                Ok(principal) => self.route(request, principal).await,
                Err(refusal) => *refusal,
            },
            Err(refusal) => *refusal,
        };
        if let Some(origin) = origin {
            front_door::add_cors(&mut response, origin);
        }
        response
    }

    /// On whose behalf the request comes: as its token says, or as a layer in front has found out.
    async fn principal(
        &self,
        method: &Method,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Option<Arc<Principal>>, Refusal> {
        match &self.options.authorization {
            Some(authorization) if method != Method::OPTIONS => {
                Box::pin(self.authorize(authorization, headers)).await.map(Some)
            }
            _ => Ok(extensions.get::<Principal>().cloned().map(Arc::new)),
        }
    }

    async fn route<B>(&self, request: Request<B>, principal: Option<Arc<Principal>>) -> Response<HttpBody>
    where
        B: Body<Data = bytes::Bytes> + Unpin,
        B::Error: fmt::Display,
    {
        if let Err(refusal) = front_door::check_form(&request) {
            return *refusal;
        }
        match *request.method() {
            Method::POST => self.post(request, principal).await,
            Method::GET => self.get(request.headers(), principal.as_ref()).await,
            Method::DELETE => self.delete(request.headers(), principal.as_ref()),
            _ => answer::empty(StatusCode::NO_CONTENT),
        }
    }

    async fn post<B>(&self, request: Request<B>, principal: Option<Arc<Principal>>) -> Response<HttpBody>
    where
        B: Body<Data = bytes::Bytes> + Unpin,
        B::Error: fmt::Display,
    {
        let (head, body) = request.into_parts();
        let limits = self.server.engine().limits();
        let bytes = match body::collect(body, limits.message_bytes, &self.options, self.server.engine()).await
        {
            Ok(bytes) => bytes,
            Err(refusal) => return *refusal,
        };
        match decode(&bytes, limits) {
            Decoded::Single(Ok(message)) => self.message(&head.headers, message, principal).await,
            Decoded::Single(Err(malformed)) => {
                let refused = self.server.engine().refuse_malformed(&malformed);
                answer::json(StatusCode::BAD_REQUEST, &refused)
            }
            // Rare, and its future large.
            Decoded::Batch(parts) => Box::pin(self.batch(&head.headers, parts, principal)).await,
        }
    }

    async fn message(
        &self,
        headers: &HeaderMap,
        message: Message<'_>,
        principal: Option<Arc<Principal>>,
    ) -> Response<HttpBody> {
        if let Err(refusal) = self.check_scopes(principal.as_ref(), &message) {
            return *refusal;
        }
        match era::of(headers, &message) {
            Ok(era::Era::Session) => self.session_message(headers, message, principal).await,
            Ok(era::Era::Stateless) => self.stateless_message(headers, message, principal).await,
            Err((id, error)) => answer::error(StatusCode::BAD_REQUEST, id, error),
        }
    }
}

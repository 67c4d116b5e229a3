//! Requests of the revisions with sessions.

use super::{
    HttpService, Principal,
    answer::{self, CallEvents, HttpBody, Refusal},
    authorization,
    era::header_is_stateless,
    front_door::method_not_allowed,
    headers::{SESSION_ID, check_session_version, single},
};
use crate::{delegate::has_client, peer::Peer, protocol::method, server::read_initialize};
use freehold::{
    CloseReason, Dispatched, ErrorCode, ErrorObject, Extension, Message, OpenError, Request, RequestId,
    Response as Answer, Route, Session, State,
};
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, RETRY_AFTER},
};
use std::{borrow::Cow, sync::Arc};

/// The status of an answer from a handler.
fn ok(_answer: &Answer<'_>) -> StatusCode {
    // Never 404, whatever the error: to a client that means that its session is gone.
    StatusCode::OK
}

/// The status of an answer that needed no handler.
fn at_once(answer: &Answer<'_>) -> StatusCode {
    match &answer.result {
        Err(error) if error.code == ErrorCode::SESSION_NOT_FOUND => StatusCode::NOT_FOUND,
        // An id that is in use, or a second initialize.
        Err(error) if error.code == ErrorCode::INVALID_REQUEST => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// The response to an `initialize` that was accepted.
fn begin<S: State>(session: &Session<S>, mut response: Response<HttpBody>) -> Response<HttpBody> {
    if let Ok(value) = HeaderValue::from_str(&session.id().to_string()) {
        response.headers_mut().insert(SESSION_ID, value);
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A session whose handshake is under way: it is closed unless it was accepted, or the handshake goes on in the stream of
/// the response; then it has its time to be initialized.
struct Undecided<'a, S: State> {
    session: &'a Session<S>,
    goes_on: bool,
}

impl<S: State> Drop for Undecided<'_, S> {
    fn drop(&mut self) {
        if !self.goes_on && !has_client(self.session) {
            self.session.close(CloseReason::Client);
        }
    }
}

impl<S: State> HttpService<S> {
    pub(super) async fn session_message(
        &self,
        headers: &HeaderMap,
        message: Message<'_>,
        principal: Option<Arc<Principal>>,
    ) -> Response<HttpBody> {
        let id = match &message {
            Message::Request(request) => Some(request.id.clone()),
            _ => None,
        };
        let message = match message {
            Message::Request(request)
                if request.method == method::INITIALIZE && !headers.contains_key(SESSION_ID) =>
            {
                return match &self.server.inner.delegate {
                    Some(_) => Box::pin(self.initialize_by_call(request, principal)).await,
                    None => self.initialize(&request, principal),
                };
            }
            message => message,
        };
        let session = match self.session_of(headers, id, principal.as_ref()) {
            Ok(session) => session,
            Err(refusal) => return *refusal,
        };
        let engine = self.server.engine();
        if let Message::Request(request) = &message
            && !method::is_for_sessions(&request.method)
        {
            let error = ErrorObject::method_not_found(&request.method);
            return answer::error(StatusCode::OK, Some(request.id.clone()), error);
        }
        let extension = principal.map(|principal| principal as Extension);
        match engine.dispatch_with(&session, message, Route::Call, extension) {
            Dispatched::Answer(reply) => answer::json(at_once(&reply), &reply),
            Dispatched::Nothing => answer::empty(StatusCode::ACCEPTED),
            Dispatched::Running(call) => match &self.options.resumption {
                None => answer::of_call(call, &self.options, engine.runtime(), ok).await,
                Some(resumption) => {
                    let source = Box::new(CallEvents(Some(call)));
                    Box::pin(self.answer_resumably(resumption, &session, source)).await
                }
            },
        }
    }

    /// Opens a session. It is the whole handshake of the server's side, so a refused one leaves nothing behind.
    fn initialize(&self, request: &Request<'_>, principal: Option<Arc<Principal>>) -> Response<HttpBody> {
        let id = Some(request.id.clone());
        let peer = match read_initialize(request.params.as_deref()) {
            Ok(peer) => peer.opened_by(principal),
            Err(error) => return answer::error(StatusCode::OK, id, error),
        };
        let result = self.server.inner.description.initialize_result(peer.version);
        let opened = self.server.engine().open_with(|session| {
            let attached = session.attach(peer);
            debug_assert!(attached.is_ok(), "nobody else has seen the session yet");
        });
        let session = match opened {
            Ok(session) => session,
            Err(error) => return self.no_session(id, error),
        };
        let result = freehold::write_result(&result).map(Cow::Owned);
        begin(&session, answer::json(StatusCode::OK, &Answer { id, result }))
    }

    /// Opens a session whose handshake is a call. One that is refused leaves no session behind.
    async fn initialize_by_call(
        &self,
        request: Request<'_>,
        principal: Option<Arc<Principal>>,
    ) -> Response<HttpBody> {
        let engine = self.server.engine();
        let session = match engine.open() {
            Ok(session) => session,
            Err(error) => return self.no_session(Some(request.id), error),
        };
        let mut undecided = Undecided { session: &session, goes_on: false };
        let extension = principal.map(|principal| principal as Extension);
        let response = match engine.dispatch_with(&session, request.into(), Route::Call, extension) {
            Dispatched::Answer(reply) => answer::json(at_once(&reply), &reply),
            Dispatched::Nothing => answer::empty(StatusCode::ACCEPTED),
            Dispatched::Running(call) => answer::of_call(call, &self.options, engine.runtime(), ok).await,
        };
        undecided.goes_on = !response.body().is_whole();
        if undecided.goes_on || has_client(&session) { begin(&session, response) } else { response }
    }

    fn no_session(&self, id: Option<RequestId>, error: OpenError) -> Response<HttpBody> {
        let code = match error {
            OpenError::Stopping => ErrorCode::STOPPING,
            _ => ErrorCode::OVERLOADED,
        };
        let error = ErrorObject::new(code, error.to_string());
        let mut response = answer::error(StatusCode::SERVICE_UNAVAILABLE, id, error);
        let seconds = self.server.engine().limits().retry_after.as_secs().max(1);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        response
    }

    /// The session that the header names. To anybody but who opened it, it does not exist.
    pub(super) fn session_of(
        &self,
        headers: &HeaderMap,
        id: Option<RequestId>,
        principal: Option<&Arc<Principal>>,
    ) -> Result<Session<S>, Refusal> {
        let Ok(Some(text)) = single(headers, SESSION_ID) else {
            let message = "the header Mcp-Session-Id is missing: initialize first, then send the id you got";
            return Err(Refusal::from(answer::refuse(StatusCode::BAD_REQUEST, id, message)));
        };
        let session = text.parse().ok().and_then(|id| self.server.engine().session(id).ok());
        let opened_by = |session: &Session<S>| Peer::of(session).and_then(|peer| peer.principal.clone());
        let owned = session.filter(|session| authorization::owns(opened_by(session).as_ref(), principal));
        owned.ok_or_else(|| {
            let error = ErrorObject::new(
                ErrorCode::SESSION_NOT_FOUND,
                "this session does not exist or has ended; initialize a new one",
            );
            Refusal::from(answer::error(StatusCode::NOT_FOUND, id, error))
        })
    }

    /// GET: the session's own stream, or one that the client comes back to.
    pub(super) async fn get(
        &self,
        headers: &HeaderMap,
        principal: Option<&Arc<Principal>>,
    ) -> Response<HttpBody> {
        let session = match self.session_itself(headers, principal) {
            Ok(session) => session,
            Err(refusal) => return *refusal,
        };
        match &self.options.resumption {
            None => answer::of_session(session.listen(), &self.options, self.server.engine().runtime()),
            Some(resumption) => self.get_resumably(resumption, headers, &session).await,
        }
    }

    /// DELETE: the client ends the session.
    pub(super) fn delete(
        &self,
        headers: &HeaderMap,
        principal: Option<&Arc<Principal>>,
    ) -> Response<HttpBody> {
        match self.session_itself(headers, principal) {
            Ok(session) => {
                session.close(CloseReason::Client);
                answer::empty(StatusCode::NO_CONTENT)
            }
            Err(refusal) => *refusal,
        }
    }

    /// The session that a request without a message is about.
    fn session_itself(
        &self,
        headers: &HeaderMap,
        principal: Option<&Arc<Principal>>,
    ) -> Result<Session<S>, Refusal> {
        if header_is_stateless(headers) {
            return Err(method_not_allowed("POST").into());
        }
        if let Err(error) = check_session_version(headers) {
            return Err(answer::error(StatusCode::BAD_REQUEST, None, error).into());
        }
        self.session_of(headers, None, principal)
    }
}

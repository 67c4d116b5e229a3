//! Requests of the revisions with sessions.

use super::{
    HttpService,
    answer::{self, HttpBody, Refusal},
    era::header_is_stateless,
    front_door::method_not_allowed,
    headers::{SESSION_ID, check_session_version, single},
};
use crate::{protocol::method, server::read_initialize};
use freehold::{
    CloseReason, Dispatched, ErrorCode, ErrorObject, Message, OpenError, Request, RequestId,
    Response as Answer, Route, Session, State,
};
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, RETRY_AFTER},
};
use std::borrow::Cow;

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

impl<S: State> HttpService<S> {
    pub(super) async fn session_message(
        &self,
        headers: &HeaderMap,
        message: Message<'_>,
    ) -> Response<HttpBody> {
        let id = match &message {
            Message::Request(request) => Some(request.id.clone()),
            _ => None,
        };
        if let Message::Request(request) = &message
            && request.method == method::INITIALIZE
            && !headers.contains_key(SESSION_ID)
        {
            return self.initialize(request);
        }
        let session = match self.session_of(headers, id) {
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
        match engine.dispatch(&session, message, Route::Call) {
            Dispatched::Answer(reply) => answer::json(at_once(&reply), &reply),
            Dispatched::Nothing => answer::empty(StatusCode::ACCEPTED),
            Dispatched::Running(call) => answer::of_call(call, &self.options, engine.runtime(), ok).await,
        }
    }

    /// Opens a session. It is the whole handshake of the server's side, so a refused one leaves nothing behind.
    fn initialize(&self, request: &Request<'_>) -> Response<HttpBody> {
        let id = Some(request.id.clone());
        let peer = match read_initialize(request.params.as_deref()) {
            Ok(peer) => peer,
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
        let mut response = answer::json(StatusCode::OK, &Answer { id, result });
        if let Ok(value) = HeaderValue::from_str(&session.id().to_string()) {
            response.headers_mut().insert(SESSION_ID, value);
        }
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
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

    /// The session that the header names.
    fn session_of(&self, headers: &HeaderMap, id: Option<RequestId>) -> Result<Session<S>, Refusal> {
        let Ok(Some(text)) = single(headers, SESSION_ID) else {
            let message = "the header Mcp-Session-Id is missing: initialize first, then send the id you got";
            return Err(Refusal::from(answer::refuse(StatusCode::BAD_REQUEST, id, message)));
        };
        let session = text.parse().ok().and_then(|id| self.server.engine().session(id).ok());
        session.ok_or_else(|| {
            let error = ErrorObject::new(
                ErrorCode::SESSION_NOT_FOUND,
                "this session does not exist or has ended; initialize a new one",
            );
            Refusal::from(answer::error(StatusCode::NOT_FOUND, id, error))
        })
    }

    /// GET: the session's own stream.
    pub(super) fn get(&self, headers: &HeaderMap) -> Response<HttpBody> {
        match self.session_itself(headers) {
            Ok(session) => {
                answer::of_session(session.listen(), &self.options, self.server.engine().runtime())
            }
            Err(refusal) => *refusal,
        }
    }

    /// DELETE: the client ends the session.
    pub(super) fn delete(&self, headers: &HeaderMap) -> Response<HttpBody> {
        match self.session_itself(headers) {
            Ok(session) => {
                session.close(CloseReason::Client);
                answer::empty(StatusCode::NO_CONTENT)
            }
            Err(refusal) => *refusal,
        }
    }

    /// The session that a request without a message is about.
    fn session_itself(&self, headers: &HeaderMap) -> Result<Session<S>, Refusal> {
        if header_is_stateless(headers) {
            return Err(method_not_allowed("POST").into());
        }
        if let Err(error) = check_session_version(headers) {
            return Err(answer::error(StatusCode::BAD_REQUEST, None, error).into());
        }
        self.session_of(headers, None)
    }
}

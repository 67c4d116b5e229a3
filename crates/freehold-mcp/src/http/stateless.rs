//! Requests of the stateless revisions: each stands alone and brings all that is to know about its client.

use super::{
    HttpService, Principal,
    answer::{self, HttpBody},
    headers,
};
use crate::{
    delegate::Kept,
    model::Meta,
    protocol::{HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION, method},
};
use freehold::{
    Dispatched, ErrorCode, ErrorObject, Extension, Message, Request, Response as Answer, Route, Session,
    State,
};
use http::{HeaderMap, Response, StatusCode};
use std::sync::Arc;

/// Attached to the session of a stateless request that is a principal's or goes to a delegate.
#[derive(Default)]
pub(crate) struct OfRequest {
    /// Whom it is from.
    pub(crate) principal: Option<Arc<Principal>>,
    pub(crate) kept: Kept,
}

impl<S: State> HttpService<S> {
    pub(super) async fn stateless_message(
        &self,
        headers: &HeaderMap,
        message: Message<'_>,
        principal: Option<Arc<Principal>>,
    ) -> Response<HttpBody> {
        match message {
            // A notification is accepted and does nothing: a client cancels by closing its stream, and an id in a
            // notification could be that of somebody else's request.
            Message::Notification(notification) => {
                match headers::check_notification(headers, &notification) {
                    Ok(()) => answer::empty(StatusCode::ACCEPTED),
                    Err(error) => answer::error(StatusCode::BAD_REQUEST, None, error),
                }
            }
            Message::Request(request) => self.stateless_request(headers, request, principal).await,
            Message::Response(_) => {
                answer::refuse(StatusCode::BAD_REQUEST, None, "a stateless client has nothing to answer")
            }
        }
    }

    async fn stateless_request(
        &self,
        headers: &HeaderMap,
        request: Request<'_>,
        principal: Option<Arc<Principal>>,
    ) -> Response<HttpBody> {
        let engine = self.server.engine();
        let session = engine.ephemeral();
        if principal.is_some() || self.server.inner.delegate.is_some() {
            let attached = session.attach(OfRequest { principal: principal.clone(), ..OfRequest::default() });
            debug_assert!(attached.is_ok(), "the session is new");
        }
        if let Err(error) = self.check_stateless(headers, &request, &session) {
            return answer::error(status_of_code(error.code), Some(request.id), error);
        }
        let extension = principal.map(|principal| principal as Extension);
        match engine.dispatch_with(&session, Message::Request(request), Route::Call, extension) {
            Dispatched::Answer(reply) => answer::json(status(&reply), &reply),
            Dispatched::Nothing => answer::empty(StatusCode::ACCEPTED),
            Dispatched::Running(call) => answer::of_call(call, &self.options, engine.runtime(), status).await,
        }
    }

    /// The checks in the order in which the protocol wants them reported.
    fn check_stateless(
        &self,
        headers: &HeaderMap,
        request: &Request<'_>,
        session: &Session<S>,
    ) -> Result<(), ErrorObject> {
        let meta = Meta::of(request.params.as_deref());
        meta.check_shape()?;
        headers::check_version(headers, &meta)?;
        meta.check_version()?;
        meta.client()?;
        headers::check_target(headers, request)?;
        if method::SESSION_ONLY.contains(&&*request.method) {
            return Err(ErrorObject::method_not_found(&request.method));
        }
        headers::check_arguments(headers, request, &self.server.inner, session)
    }
}

fn status(reply: &Answer<'_>) -> StatusCode {
    match &reply.result {
        Ok(_) => StatusCode::OK,
        Err(error) if error.code == ErrorCode::INVALID_PARAMS => StatusCode::OK,
        Err(error) => status_of_code(error.code),
    }
}

fn status_of_code(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_VERSION | ErrorCode::INVALID_PARAMS => {
            StatusCode::BAD_REQUEST
        }
        ErrorCode::OVERLOADED | ErrorCode::STOPPING | ErrorCode::CIRCUIT_OPEN => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorCode::RATE_LIMITED => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::OK,
    }
}

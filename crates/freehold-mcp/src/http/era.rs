//! Which revision of the protocol a message speaks: one with sessions, or a stateless one.
//!
//! A request of a stateless revision says so in its `_meta`, and once more in a header.

use super::headers::{PROTOCOL_VERSION, check_session_version, single};
use crate::{
    model::Meta,
    protocol::{HEADER_MISMATCH, STATELESS_VERSIONS, check_params, method},
};
use freehold::{ErrorCode, ErrorObject, Message, RequestId, message::Raw};
use http::HeaderMap;
use memchr::memmem;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    Session,
    Stateless,
}

/// What a claim to be stateless contains; looked for before anything is parsed. Not the whole key, since JSON may
/// escape its slash.
const CLAIM: &[u8] = b"protocolVersion";

pub(super) fn header_is_stateless(headers: &HeaderMap) -> bool {
    single(headers, PROTOCOL_VERSION)
        .is_ok_and(|version| version.is_some_and(|version| STATELESS_VERSIONS.contains(&version)))
}

fn may_claim(params: Option<&Raw<'_>>) -> bool {
    params.is_some_and(|params| memmem::find(params.get().as_bytes(), CLAIM).is_some())
}

/// The era of a message, or why it belongs to none.
pub(super) fn of(
    headers: &HeaderMap,
    message: &Message<'_>,
) -> Result<Era, (Option<RequestId>, ErrorObject)> {
    let stateless_header = header_is_stateless(headers);
    match message {
        Message::Response(_) if stateless_header => {
            let reason = "a stateless client cannot be asked, so it has nothing to answer";
            Err((None, ErrorObject::new(ErrorCode::INVALID_REQUEST, reason)))
        }
        Message::Response(_) => of_session(headers, None),
        Message::Notification(_) if stateless_header => Ok(Era::Stateless),
        Message::Notification(notification) => {
            let claims = may_claim(notification.params.as_ref())
                && Meta::of(notification.params.as_deref()).claims_stateless();
            if claims { Ok(Era::Stateless) } else { of_session(headers, None) }
        }
        Message::Request(request) => {
            let fail = |error| Err((Some(request.id.clone()), error));
            if let Err(error) = check_params(request) {
                return fail(error);
            }
            // Its room checks the rest; here nothing more needs to be read.
            if stateless_header && request.method != method::INITIALIZE {
                return Ok(Era::Stateless);
            }
            let meta = if may_claim(request.params.as_ref()) {
                Meta::of(request.params.as_deref())
            } else {
                Meta::default()
            };
            if request.method == method::INITIALIZE && !meta.is_valid() {
                if stateless_header {
                    let reason = "initialize belongs to revisions with sessions, the header to one without";
                    return fail(ErrorObject::new(HEADER_MISMATCH, reason));
                }
                return Ok(Era::Session);
            }
            if meta.claims_stateless() || request.method == method::DISCOVER {
                return Ok(Era::Stateless);
            }
            of_session(headers, Some(&request.id))
        }
    }
}

fn of_session(headers: &HeaderMap, id: Option<&RequestId>) -> Result<Era, (Option<RequestId>, ErrorObject)> {
    match check_session_version(headers) {
        Ok(()) => Ok(Era::Session),
        Err(error) => Err((id.cloned(), error)),
    }
}

//! Refusals with the header that tells a client what to do about it (RFC 6750, RFC 9728).

use crate::http::answer::{self, HttpBody};
use freehold::{ErrorCode, ErrorObject, RequestId};
use http::{HeaderValue, Response, StatusCode, header::WWW_AUTHENTICATE};
use std::fmt::Write as _;

/// A refusal.
#[derive(Debug)]
pub(super) struct Challenge<'a> {
    pub(super) status: StatusCode,
    /// The code of the refusal; none for a request without a token, which did nothing wrong.
    pub(super) error: Option<&'static str>,
    pub(super) description: &'a str,
    pub(super) scopes: Vec<&'a str>,
}

impl Challenge<'_> {
    pub(super) fn response(&self, id: Option<RequestId>, metadata_url: &str) -> Response<HttpBody> {
        let error = ErrorObject::new(ErrorCode::INVALID_REQUEST, self.description.to_owned());
        let mut response = answer::error(self.status, id, error);
        if let Ok(value) = HeaderValue::from_str(&self.header(metadata_url)) {
            response.headers_mut().insert(WWW_AUTHENTICATE, value);
        }
        response
    }

    fn header(&self, metadata_url: &str) -> String {
        let mut header = format!("Bearer resource_metadata=\"{metadata_url}\"");
        // Writing to a string cannot fail.
        if let Some(error) = self.error {
            let _ =
                write!(header, ", error=\"{error}\", error_description=\"{}\"", quotable(self.description));
        }
        if !self.scopes.is_empty() {
            let _ = write!(header, ", scope=\"{}\"", self.scopes.join(" "));
        }
        header
    }
}

/// What may stand between quotes there.
fn quotable(text: &str) -> String {
    let fits = |letter: char| matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\');
    text.chars().map(|letter| if fits(letter) { letter } else { '\'' }).collect()
}

/// Whether a scope is one (RFC 6749, 3.3).
pub(super) fn is_scope(scope: &str) -> bool {
    !scope.is_empty() && scope.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

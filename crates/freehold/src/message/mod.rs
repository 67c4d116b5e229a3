//! JSON-RPC 2.0 messages: the envelope, read in one pass; the payload stays raw until its handler reads it.

mod decode;
mod encode;
mod error;
mod id;
mod write;

pub use decode::{Decoded, Malformed, MalformedKind, decode};
pub use encode::{encode_batch, encode_notification, encode_request};
pub(crate) use error::Member;
pub use error::{ErrorCode, ErrorObject};
pub use id::RequestId;
pub(crate) use write::raw_json;

use serde_json::value::RawValue;
use std::borrow::Cow;

/// Parameters or a result that nobody has read yet.
pub type Raw<'a> = Cow<'a, RawValue>;

/// One JSON-RPC message, borrowed from the bytes it was read from or owned (`Message<'static>`).
///
/// Closed, as are its three parts: JSON-RPC 2.0 has these and their members, and no others.
#[derive(Clone, Debug)]
pub enum Message<'a> {
    /// Wants an answer.
    Request(Request<'a>),
    /// Wants none.
    Notification(Notification<'a>),
    /// The peer's answer to a question of ours.
    Response(Response<'a>),
}

/// A call that wants an answer.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The id the answer will carry.
    pub id: RequestId,
    /// The method's name.
    pub method: Cow<'a, str>,
    /// An object or an array, if any.
    pub params: Option<Raw<'a>>,
}

/// A call that wants no answer.
#[derive(Clone, Debug)]
pub struct Notification<'a> {
    /// The method's name.
    pub method: Cow<'a, str>,
    /// An object or an array, if any.
    pub params: Option<Raw<'a>>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response<'a> {
    /// The id of the request; `None` (JSON `null`) when the request's id could not be read.
    pub id: Option<RequestId>,
    /// The result, or why there is none.
    pub result: Result<Raw<'a>, ErrorObject>,
}

impl Request<'static> {
    /// A request with parameters that serialize to an object or an array.
    ///
    /// # Errors
    ///
    /// If `params` cannot be written as JSON.
    pub fn new(
        id: impl Into<RequestId>,
        method: impl Into<String>,
        params: &impl serde::Serialize,
    ) -> Result<Self, serde_json::Error> {
        let params = serde_json::value::to_raw_value(params)?;
        Ok(Self { id: id.into(), method: Cow::Owned(method.into()), params: Some(Cow::Owned(params)) })
    }
}

impl Notification<'static> {
    /// A notification with parameters that serialize to an object or an array.
    ///
    /// # Errors
    ///
    /// If `params` cannot be written as JSON.
    pub fn new(method: impl Into<String>, params: &impl serde::Serialize) -> Result<Self, serde_json::Error> {
        let params = serde_json::value::to_raw_value(params)?;
        Ok(Self { method: Cow::Owned(method.into()), params: Some(Cow::Owned(params)) })
    }
}

impl<'a> From<Request<'a>> for Message<'a> {
    fn from(request: Request<'a>) -> Self {
        Message::Request(request)
    }
}

impl<'a> From<Notification<'a>> for Message<'a> {
    fn from(notification: Notification<'a>) -> Self {
        Message::Notification(notification)
    }
}

impl<'a> From<Response<'a>> for Message<'a> {
    fn from(response: Response<'a>) -> Self {
        Message::Response(response)
    }
}

impl Response<'_> {
    /// An error answer.
    #[must_use]
    pub fn error(id: Option<RequestId>, error: ErrorObject) -> Response<'static> {
        Response { id, result: Err(error) }
    }

    /// The message as JSON bytes, without a line end.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode::encode_response(self)
    }
}

//! The decoder: bytes to [`Message`]s, in one pass over the envelope.
//!
//! Every input gives messages or [`Malformed`]s, never a panic, and a malformed message keeps the id that its error
//! must carry whenever that id can be read.

use super::{ErrorCode, ErrorObject, Message, Notification, Request, RequestId, Response};
use crate::{
    fault::{self, Fault},
    limits::Limits,
};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// What one transport unit (a line, a body) held.
///
/// Closed: JSON-RPC has no third form.
#[derive(Debug)]
pub enum Decoded<'a> {
    /// One message.
    Single(Result<Message<'a>, Malformed>),
    /// An array of messages, each with its own verdict; never empty.
    Batch(Vec<Result<Message<'a>, Malformed>>),
}

/// Why something is no message, and the answer it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Malformed {
    /// The id, if it could be read.
    pub id: Option<RequestId>,
    /// What is wrong.
    pub kind: MalformedKind,
    /// One sentence for the peer.
    pub reason: Cow<'static, str>,
}

/// The kinds of malformed input; counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MalformedKind {
    /// Not JSON, or not UTF-8.
    NotJson,
    /// JSON, but neither an object nor an array.
    NotAMessage,
    /// `jsonrpc` is missing or not `"2.0"`.
    Version,
    /// `id` is null, a fraction, too long, or of another type.
    Id,
    /// `method` is not a string, or too long.
    Method,
    /// `params` is neither an object nor an array, nor null, which is taken as if it were not there.
    Params,
    /// A key stands twice, or `method`, `result` and `error` contradict each other.
    Shape,
    /// More bytes or more messages than the limits allow, or an empty batch.
    Size,
}

impl Decoded<'_> {
    /// The seeded fault: what is malformed becomes a notification that nobody handles.
    fn without_malformed(self) -> Self {
        let ignored = || Message::Notification(Notification { method: Cow::Borrowed(""), params: None });
        match self {
            Self::Single(part) => Self::Single(Ok(part.unwrap_or_else(|_| ignored()))),
            Self::Batch(parts) => {
                Self::Batch(parts.into_iter().map(|part| Ok(part.unwrap_or_else(|_| ignored()))).collect())
            }
        }
    }
}

impl Malformed {
    fn new(id: Option<RequestId>, kind: MalformedKind, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { id, kind, reason: reason.into() }
    }

    /// A message of more bytes than the limit.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        Self::new(None, MalformedKind::Size, format!("the message has more bytes than the limit of {limit}"))
    }

    /// A message in a batch, where the protocol has none.
    #[must_use]
    pub fn in_batch(part: Result<Message<'_>, Self>) -> Self {
        let id = match part {
            Ok(Message::Request(request)) => Some(request.id),
            Ok(_) => None,
            Err(malformed) => return malformed,
        };
        Self::new(
            id,
            MalformedKind::Shape,
            "batches are not part of this protocol; send one message at a time",
        )
    }

    /// The answer to send: the error with the id if that could be read, `null` otherwise.
    #[must_use]
    pub fn response(&self) -> Response<'static> {
        let code = match self.kind {
            MalformedKind::NotJson => ErrorCode::PARSE_ERROR,
            MalformedKind::Params => ErrorCode::INVALID_PARAMS,
            _ => ErrorCode::INVALID_REQUEST,
        };
        Response::error(self.id.clone(), ErrorObject::new(code, self.reason.clone()))
    }
}

/// Reads one transport unit.
///
/// # Examples
///
/// ```
/// use freehold::{Limits, message::{decode, Decoded, Message}};
///
/// let bytes = br#"{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":"hi"}}"#;
/// let Decoded::Single(Ok(Message::Request(request))) = decode(bytes, &Limits::default()) else { panic!() };
/// assert_eq!(request.method, "echo");
/// ```
#[must_use]
pub fn decode<'a>(bytes: &'a [u8], limits: &Limits) -> Decoded<'a> {
    let decoded = decode_unit(bytes, limits);
    if fault::active(Fault::DropMalformed) { decoded.without_malformed() } else { decoded }
}

fn decode_unit<'a>(bytes: &'a [u8], limits: &Limits) -> Decoded<'a> {
    if bytes.len() > limits.message_bytes {
        let reason = format!("the message has {} bytes; the limit is {}", bytes.len(), limits.message_bytes);
        return Decoded::Single(Err(Malformed::new(None, MalformedKind::Size, reason)));
    }
    // The whole of it: who only reads what it needs would take a message with other bytes in a member it ignores.
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let reason = format!("not UTF-8: {error}");
            return Decoded::Single(Err(Malformed::new(None, MalformedKind::NotJson, reason)));
        }
    };
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => decode_batch(text, limits),
        Some(b'{') => Decoded::Single(decode_single(text, limits)),
        _ => Decoded::Single(Err(not_an_object(text))),
    }
}

/// Something that does not start like an object: no JSON at all, or JSON of another type.
fn not_an_object(text: &str) -> Malformed {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => Malformed::new(None, MalformedKind::NotAMessage, "a message must be a JSON object"),
        Err(error) => Malformed::new(None, MalformedKind::NotJson, format!("not JSON: {error}")),
    }
}

fn decode_batch<'a>(text: &'a str, limits: &Limits) -> Decoded<'a> {
    let parts: Vec<&'a RawValue> = match serde_json::from_str(text) {
        Ok(parts) => parts,
        Err(error) => {
            let reason = format!("not JSON: {error}");
            return Decoded::Single(Err(Malformed::new(None, MalformedKind::NotJson, reason)));
        }
    };
    if parts.is_empty() {
        let empty = Malformed::new(None, MalformedKind::Size, "a batch must not be empty");
        return Decoded::Single(Err(empty));
    }
    if parts.len() > limits.batch_messages {
        let reason =
            format!("the batch has {} messages; the limit is {}", parts.len(), limits.batch_messages);
        return Decoded::Single(Err(Malformed::new(None, MalformedKind::Size, reason)));
    }
    let decode_part = |part: &'a RawValue| match part.get() {
        text if text.starts_with('{') => decode_single(text, limits),
        text => Err(not_an_object(text)),
    };
    Decoded::Batch(parts.into_iter().map(decode_part).collect())
}

fn decode_single<'a>(text: &'a str, limits: &Limits) -> Result<Message<'a>, Malformed> {
    match serde_json::from_str::<Envelope<'a>>(text) {
        Ok(envelope) => envelope.into_message(limits),
        Err(error) => Err(Malformed::new(None, MalformedKind::NotJson, format!("not JSON: {error}"))),
    }
}

/// The members of a message's object as they stand, before any of them is judged: judging while reading would lose the
/// id of a message whose fault comes before it.
#[derive(Default)]
struct Envelope<'a> {
    version: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    twice: Option<&'static str>,
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON-RPC message")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(key) = map.next_key::<Member>()? {
            let (name, slot) = match key {
                Member::Version => ("jsonrpc", &mut envelope.version),
                Member::Id => ("id", &mut envelope.id),
                Member::Method => ("method", &mut envelope.method),
                Member::Params => ("params", &mut envelope.params),
                Member::Result => ("result", &mut envelope.result),
                Member::Error => ("error", &mut envelope.error),
                Member::Other => {
                    map.next_value::<de::IgnoredAny>()?;
                    continue;
                }
            };
            if slot.replace(map.next_value()?).is_some() {
                envelope.twice = Some(name);
            }
        }
        Ok(envelope)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Member {
    #[serde(rename = "jsonrpc")]
    Version,
    #[serde(rename = "id")]
    Id,
    #[serde(rename = "method")]
    Method,
    #[serde(rename = "params")]
    Params,
    #[serde(rename = "result")]
    Result,
    #[serde(rename = "error")]
    Error,
    #[serde(other)]
    Other,
}

impl<'a> Envelope<'a> {
    fn into_message(self, limits: &Limits) -> Result<Message<'a>, Malformed> {
        use MalformedKind as Kind;
        // A member that stands twice makes the id itself doubtful when it is the id.
        let id = match self.id {
            Some(_) if self.twice == Some("id") => {
                return Err(Malformed::new(None, Kind::Shape, "the member \"id\" stands twice"));
            }
            // What a peer answers when it could not read our id. Calling it malformed would answer an error with an error,
            // and two peers that do so never stop.
            Some(raw) if raw.get() == "null" && self.error.is_some() && self.method.is_none() => None,
            Some(raw) => Some(read_id(raw, limits).map_err(|reason| Malformed::new(None, Kind::Id, reason))?),
            None => None,
        };
        let fail = |kind, reason: Cow<'static, str>| Err(Malformed::new(id.clone(), kind, reason));
        if let Some(name) = self.twice {
            return fail(Kind::Shape, format!("the member {name:?} stands twice").into());
        }
        if self.version.map(RawValue::get) != Some("\"2.0\"") {
            return fail(Kind::Version, "the member \"jsonrpc\" must be \"2.0\"".into());
        }
        match (self.method, self.result, self.error) {
            (Some(method), None, None) => {
                let method = match read_method(method, limits) {
                    Ok(method) => method,
                    Err(reason) => return fail(Kind::Method, reason),
                };
                // Some clients write parameters that they do not have as null, rmcp's among them.
                let params = self.params.filter(|raw| raw.get() != "null");
                let params = match params {
                    Some(raw) if !raw.get().starts_with(['{', '[']) => {
                        return fail(Kind::Params, "\"params\" must be an object or an array".into());
                    }
                    params => params.map(Cow::Borrowed),
                };
                Ok(match id {
                    Some(id) => Message::Request(Request { id, method, params }),
                    None => Message::Notification(Notification { method, params }),
                })
            }
            (None, Some(result), None) => match id {
                Some(_) => Ok(Message::Response(Response { id, result: Ok(Cow::Borrowed(result)) })),
                None => fail(Kind::Id, "a response needs an \"id\"".into()),
            },
            (None, None, Some(error)) => match serde_json::from_str(error.get()) {
                Ok(error) => Ok(Message::Response(Response { id, result: Err(error) })),
                Err(error) => fail(Kind::Shape, format!("\"error\" is not an error object: {error}").into()),
            },
            (None, None, None) => fail(Kind::Shape, "neither \"method\" nor \"result\" nor \"error\"".into()),
            _ => fail(Kind::Shape, "only one of \"method\", \"result\" and \"error\" may be there".into()),
        }
    }
}

fn read_id(raw: &RawValue, limits: &Limits) -> Result<RequestId, Cow<'static, str>> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'"') => {
            if text.len() > limits.id_bytes + 2 {
                return Err(format!("the id is longer than {} bytes", limits.id_bytes).into());
            }
            match serde_json::from_str::<Cow<'_, str>>(text) {
                Ok(string) => Ok(RequestId::String(string.into())),
                Err(error) => Err(format!("the id is not a string: {error}").into()),
            }
        }
        Some(b'-' | b'0'..=b'9') => text
            .parse()
            .map(RequestId::Number)
            .map_err(|_| "an id that is a number must be an integer of 64 bits".into()),
        _ => Err("the id must be a string or an integer".into()),
    }
}

fn read_method<'a>(raw: &'a RawValue, limits: &Limits) -> Result<Cow<'a, str>, Cow<'static, str>> {
    let text = raw.get();
    if !text.starts_with('"') {
        return Err("\"method\" must be a string".into());
    }
    if text.len() > limits.method_bytes + 2 {
        return Err(format!("the method's name is longer than {} bytes", limits.method_bytes).into());
    }
    let inner = &text[1..text.len() - 1];
    if !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    match serde_json::from_str::<String>(text) {
        Ok(method) => Ok(Cow::Owned(method)),
        Err(error) => Err(format!("\"method\" is not a string: {error}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Decoded, MalformedKind, Message, decode};
    use crate::limits::Limits;

    /// The answer that `input` gets, or what kind of message it is.
    fn check(input: &str) -> String {
        match decode(input.as_bytes(), &Limits::default()) {
            Decoded::Single(Ok(message)) => kind(&message).to_owned(),
            Decoded::Single(Err(malformed)) => {
                String::from_utf8(malformed.response().encode()).expect("answers are UTF-8")
            }
            Decoded::Batch(parts) => {
                let part = |part: &Result<Message<'_>, _>| part.as_ref().map_or("malformed", kind);
                parts.iter().map(part).collect::<Vec<_>>().join(" ")
            }
        }
    }

    fn kind(message: &Message<'_>) -> &'static str {
        match message {
            Message::Request(_) => "request",
            Message::Notification(_) => "notification",
            Message::Response(_) => "response",
        }
    }

    #[test]
    fn well_formed_messages() {
        for (input, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#, "request"),
            (r#" {"method":"m","params":[],"id":"a","jsonrpc":"2.0","extra":{"x":[1]}} "#, "request"),
            (r#"{"jsonrpc":"2.0","method":"m","params":{}}"#, "notification"),
            (r#"{"jsonrpc":"2.0","id":7,"result":null}"#, "response"),
            (r#"{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"no"}}"#, "response"),
            (r#"{"jsonrpc":"2.0","error":{"code":-1,"message":"no","data":{}}}"#, "response"),
            (r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}"#, "response"),
            (
                r#"[{"jsonrpc":"2.0","id":1,"method":"m"}, 5, {"jsonrpc":"2.0","method":"m"}]"#,
                "request malformed notification",
            ),
            (r#"{"jsonrpc":"2.0","id":1,"m\u0065thod":"a\u0062"}"#, "request"),
        ] {
            assert_eq!(check(input), expected, "{input}");
        }
    }

    #[test]
    fn params_that_are_null_are_not_there() {
        for input in [
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":null}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params": null }"#,
            r#"{"jsonrpc":"2.0","method":"m","params":null}"#,
            r#"[{"params":null,"jsonrpc":"2.0","method":"m"}]"#,
        ] {
            let decoded = match decode(input.as_bytes(), &Limits::default()) {
                Decoded::Single(decoded) => decoded,
                Decoded::Batch(mut parts) => parts.remove(0),
            };
            match decoded {
                Ok(Message::Request(request)) => assert!(request.params.is_none(), "{input}"),
                Ok(Message::Notification(notification)) => assert!(notification.params.is_none(), "{input}"),
                other => panic!("{input} gave {other:?}"),
            }
        }
    }

    /// The table of malformed inputs and the answers they get.
    #[test]
    fn malformed_messages_get_one_error_with_the_id_if_it_can_be_read() {
        for (input, id, code, words) in [
            ("", "null", -32700, "not JSON"),
            ("{", "null", -32700, "not JSON"),
            ("\u{feff}{}", "null", -32700, "not JSON"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m"} x"#, "null", -32700, "not JSON"),
            ("5", "null", -32600, "must be a JSON object"),
            ("null", "null", -32600, "must be a JSON object"),
            ("[]", "null", -32600, "must not be empty"),
            ("{}", "null", -32600, "jsonrpc"),
            (r#"{"id":1,"method":"m"}"#, "1", -32600, "jsonrpc"),
            (r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#, "1", -32600, "jsonrpc"),
            (r#"{"jsonrpc":2.0,"id":"x","method":"m"}"#, "\"x\"", -32600, "jsonrpc"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, "null", -32600, "string or an integer"),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"m"}"#, "null", -32600, "integer"),
            (r#"{"jsonrpc":"2.0","id":99999999999999999999,"method":"m"}"#, "null", -32600, "integer"),
            (r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#, "null", -32600, "string or an integer"),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#, "null", -32600, "stands twice"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","method":"n"}"#, "1", -32600, "stands twice"),
            (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, "1", -32600, "must be a string"),
            (r#"{"jsonrpc":"2.0","method":"m","params":"p","id":1}"#, "1", -32602, "object or an array"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":false}"#, "1", -32602, "object or an array"),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":null,"params":{}}"#,
                "1",
                -32600,
                "stands twice",
            ),
            (r#"{"jsonrpc":"2.0","id":1}"#, "1", -32600, "neither"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","result":1}"#, "1", -32600, "only one"),
            (r#"{"jsonrpc":"2.0","id":1,"error":"no"}"#, "1", -32600, "not an error object"),
            (r#"{"jsonrpc":"2.0","result":1}"#, "null", -32600, "needs an"),
        ] {
            let answer = check(input);
            let start = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"#);
            assert!(answer.starts_with(&start) && answer.contains(words), "{input} got {answer}");
        }
    }

    #[test]
    fn limits_hold() {
        let limits = Limits {
            message_bytes: 100,
            batch_messages: 2,
            id_bytes: 4,
            method_bytes: 4,
            ..Limits::default()
        };
        let code = |input: &str| match decode(input.as_bytes(), &limits) {
            Decoded::Single(Err(malformed)) => malformed.reason.into_owned(),
            other => panic!("{input} gave {other:?}"),
        };
        assert!(code(&" ".repeat(101)).contains("101 bytes"));
        assert!(code("[1,1,1]").contains("3 messages"));
        assert!(code(r#"{"jsonrpc":"2.0","id":"abcde","method":"m"}"#).contains("longer than 4"));
        assert!(code(r#"{"jsonrpc":"2.0","id":1,"method":"abcde"}"#).contains("longer than 4"));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_wherever_they_stand() {
        for input in [
            &b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}"[..],
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"ignored\":\"\xff\"}",
            b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"ignored\":\"\xff\"}]",
            b"\xff",
        ] {
            let decoded = decode(input, &Limits::default());
            let Decoded::Single(Err(malformed)) = decoded else { panic!("accepted: {decoded:?}") };
            assert_eq!((malformed.id, malformed.kind), (None, MalformedKind::NotJson));
            assert!(malformed.reason.starts_with("not UTF-8"), "{}", malformed.reason);
        }
    }

    #[test]
    fn deep_nesting_is_no_stack_overflow() {
        let deep = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{}1{}}}"#,
            "[".repeat(200_000),
            "]".repeat(200_000)
        );
        assert_eq!(check(&deep), "request");
    }
}

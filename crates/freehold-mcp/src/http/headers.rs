//! The headers in which a stateless request repeats parts of its body, so that proxies can route by them.

use crate::{
    delegate::mirrored_of,
    model::Meta,
    protocol::{HEADER_MISMATCH, SESSION_VERSIONS, method, unsupported_version},
    server::ServerState,
    tools::MirroredArgument,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use freehold::{ErrorObject, Notification, Request, Session, State};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::borrow::Cow;

pub(super) const PROTOCOL_VERSION: &str = "mcp-protocol-version";
pub(super) const SESSION_ID: &str = "mcp-session-id";
pub(super) const LAST_EVENT_ID: &str = "last-event-id";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
const PARAM_PREFIX: &str = "mcp-param-";

/// A header that is there more than once, or is not text.
#[derive(Debug)]
pub(super) struct Unclear;

/// The value of a header that may stand once.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Unclear> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Unclear);
    }
    value.to_str().map(|text| Some(text.trim_matches([' ', '\t']))).map_err(|_| Unclear)
}

fn mismatch(reason: String) -> ErrorObject {
    ErrorObject::new(HEADER_MISMATCH, format!("header mismatch: {reason}"))
}

fn unclear(name: &str) -> ErrorObject {
    mismatch(format!("the header {name} stands twice or is not text"))
}

fn required<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, ErrorObject> {
    match single(headers, name) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(mismatch(format!("the header {name} is missing"))),
        Err(Unclear) => Err(unclear(name)),
    }
}

fn must_equal(name: &str, header: &str, body: &str) -> Result<(), ErrorObject> {
    if header == body {
        return Ok(());
    }
    Err(mismatch(format!("{name} says {header:?} where the body says {body:?}")))
}

/// Checks the version's header against the body's.
pub(super) fn check_version(headers: &HeaderMap, meta: &Meta<'_>) -> Result<(), ErrorObject> {
    must_equal(PROTOCOL_VERSION, required(headers, PROTOCOL_VERSION)?, &meta.version().unwrap_or_default())
}

/// Checks the version's header of a message of a session: it may be missing, but not name another revision.
pub(super) fn check_session_version(headers: &HeaderMap) -> Result<(), ErrorObject> {
    match single(headers, PROTOCOL_VERSION) {
        Ok(None) => Ok(()),
        Ok(Some(version)) if SESSION_VERSIONS.contains(&version) => Ok(()),
        Ok(Some(version)) => Err(unsupported_version(version)),
        Err(Unclear) => Err(unclear(PROTOCOL_VERSION)),
    }
}

/// Checks the headers of a notification, which may leave the method's out.
pub(super) fn check_notification(
    headers: &HeaderMap,
    notification: &Notification<'_>,
) -> Result<(), ErrorObject> {
    let meta = Meta::of(notification.params.as_deref());
    if meta.claims_stateless() {
        check_version(headers, &meta)?;
        meta.check_version()?;
    }
    if headers.contains_key(METHOD) {
        must_equal(METHOD, required(headers, METHOD)?, &notification.method)?;
    }
    Ok(())
}

/// Checks the headers of the method and of what it names.
pub(super) fn check_target(headers: &HeaderMap, request: &Request<'_>) -> Result<(), ErrorObject> {
    must_equal(METHOD, required(headers, METHOD)?, &request.method)?;
    let Some(name) = target_name(&request.method, request.params.as_deref()) else { return Ok(()) };
    let header = required(headers, NAME)?;
    must_equal(NAME, &decoded(NAME, header)?, &name)
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Located<'a> {
    #[serde(borrow)]
    uri: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OneTask<'a> {
    #[serde(borrow)]
    task_id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Completes<'a> {
    #[serde(borrow, rename = "ref")]
    of: Reference<'a>,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Reference<'a> {
    #[serde(rename = "ref/prompt")]
    Prompt {
        #[serde(borrow)]
        name: Cow<'a, str>,
    },
    #[serde(rename = "ref/resource")]
    Resource {
        #[serde(borrow)]
        uri: Cow<'a, str>,
    },
}

fn read<'a, P: Deserialize<'a>>(params: &'a RawValue) -> Option<P> {
    serde_json::from_str(params.get()).ok()
}

/// What a header must repeat of what a request names, if its method is one of those and the body says it: else the method
/// itself will complain.
fn target_name<'a>(called: &str, params: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
    let params = params?;
    match called {
        method::TOOLS_CALL | method::PROMPTS_GET => read::<Named<'a>>(params).map(|named| named.name),
        method::RESOURCES_READ => read::<Located<'a>>(params).map(|located| located.uri),
        method::TASK_GET | method::TASK_UPDATE | method::TASK_CANCEL => {
            read::<OneTask<'a>>(params).map(|task| task.task_id)
        }
        _ => None,
    }
}

/// What a request names, whether a header must repeat it or not.
pub(super) fn subject_name<'a>(called: &str, params: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
    match called {
        method::RESOURCES_SUBSCRIBE | method::RESOURCES_UNSUBSCRIBE => {
            read::<Located<'a>>(params?).map(|located| located.uri)
        }
        method::TASK_RESULT => read::<OneTask<'a>>(params?).map(|task| task.task_id),
        method::COMPLETE => read::<Completes<'a>>(params?).map(|completes| match completes.of {
            Reference::Prompt { name: subject } | Reference::Resource { uri: subject } => subject,
        }),
        called => target_name(called, params),
    }
}

/// Undoes the form in which a header carries text that headers cannot: `=?base64?...?=`.
fn decoded<'a>(name: &str, value: &'a str) -> Result<Cow<'a, str>, ErrorObject> {
    let Some(encoded) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Ok(Cow::Borrowed(value));
    };
    let bytes = BASE64_STANDARD.decode(encoded).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(Cow::Owned).ok_or_else(|| mismatch(format!("{name} is not Base64 of UTF-8 text")))
}

/// Checks the headers that mirror arguments of the called tool.
pub(super) fn check_arguments<S: State>(
    headers: &HeaderMap,
    request: &Request<'_>,
    server: &ServerState<S>,
    session: &Session<S>,
) -> Result<(), ErrorObject> {
    if request.method != method::TOOLS_CALL {
        return Ok(());
    }
    let Some(params) = request.params.as_deref() else { return Ok(()) };
    let Some(name) = target_name(method::TOOLS_CALL, Some(params)) else { return Ok(()) };
    if let Some(delegate) = &server.delegate {
        return check_mirrored(headers, params, &mirrored_of(delegate, &name, session));
    }
    server.tools.find(&name).map_or(Ok(()), |tool| check_mirrored(headers, params, &tool.mirrored))
}

fn check_mirrored(
    headers: &HeaderMap,
    params: &RawValue,
    mirrored: &[MirroredArgument],
) -> Result<(), ErrorObject> {
    #[derive(Deserialize)]
    struct Call {
        #[serde(default)]
        arguments: Value,
    }
    if mirrored.is_empty() {
        return Ok(());
    }
    // The handler may take what is no value here, and a proxy has seen the headers only.
    let Call { arguments } = serde_json::from_str(params.get())
        .map_err(|error| mismatch(format!("the arguments cannot be compared with headers: {error}")))?;
    for mirrored in mirrored {
        let name = format!("{PARAM_PREFIX}{}", mirrored.header);
        let value = mirrored.path.iter().try_fold(&arguments, |value, step| value.get(step));
        check_argument(headers, &name, value.filter(|value| !value.is_null()))?;
    }
    Ok(())
}

fn check_argument(headers: &HeaderMap, name: &str, value: Option<&Value>) -> Result<(), ErrorObject> {
    let header = match (single(headers, name), value) {
        (Err(Unclear), _) => return Err(unclear(name)),
        (Ok(None), None) => return Ok(()),
        (Ok(None), Some(Value::String(_) | Value::Number(_) | Value::Bool(_))) => {
            return Err(mismatch(format!("the header {name} is missing")));
        }
        (Ok(None), Some(_)) => return Ok(()),
        (Ok(Some(_)), None) => {
            return Err(mismatch(format!("the header {name} is there where the body has no such argument")));
        }
        (Ok(Some(header)), Some(_)) => decoded(name, header)?,
    };
    let fits = match value {
        Some(Value::String(text)) => header == text.as_str(),
        Some(Value::Bool(flag)) => header == if *flag { "true" } else { "false" },
        Some(Value::Number(number)) => same_number(&header, number),
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(mismatch(format!("{name} says {header:?}, which is not the body's argument")))
    }
}

/// `42.0` in a header is `42` in a body.
fn same_number(header: &str, number: &serde_json::Number) -> bool {
    let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    // By its digits, since a float has too few of them to tell large integers apart.
    let zeros = |fraction: &str| !fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0');
    let integer =
        header.split_once('.').filter(|(_, fraction)| zeros(fraction)).map_or(header, |(integer, _)| integer);
    match (integer.parse::<i128>(), whole) {
        (Ok(header), Some(number)) => header == number,
        _ => header.parse::<f64>().ok() == number.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::{MirroredArgument, check_argument, check_mirrored, decoded};
    use http::HeaderMap;
    use serde_json::{Value, json, value::RawValue};

    #[test]
    fn base64_is_strict_and_everything_else_literal() {
        for (value, expected) in [
            ("plain", Some("plain")),
            ("=?base64?SGVsbG8=?=", Some("Hello")),
            ("=?base64?SGVsbG8?=", None),
            ("=?base64?SGVs!!!bG8=?=", None),
            ("=?base64?SGVsbG8=", Some("=?base64?SGVsbG8=")),
            ("=?BASE64?SGVsbG8=?=", Some("=?BASE64?SGVsbG8=?=")),
        ] {
            assert_eq!(decoded("n", value).ok().as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn mirrored_arguments() {
        let check = |header: Option<&str>, value: Value| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert("mcp-param-x", header.parse().unwrap());
            }
            check_argument(&headers, "mcp-param-x", Some(&value).filter(|value| !value.is_null())).is_ok()
        };
        assert!(check(None, Value::Null));
        assert!(!check(Some("a"), Value::Null));
        assert!(!check(None, json!("a")));
        assert!(check(Some(" a "), json!("a")));
        assert!(!check(Some("b"), json!("a")));
        assert!(check(Some("42.0"), json!(42)));
        assert!(check(Some("9007199254740993.00"), json!(9_007_199_254_740_993_i64)));
        assert!(!check(Some("9007199254740993.0"), json!(9_007_199_254_740_992_i64)));
        assert!(check(Some("true"), json!(true)));
        assert!(check(None, json!({})));
    }

    #[test]
    fn arguments_that_cannot_be_compared_are_refused_where_headers_mirror_some() {
        let mirrored = [MirroredArgument { header: "x".to_owned(), path: vec!["x".to_owned()] }];
        let mut headers = HeaderMap::new();
        headers.insert("mcp-param-x", "a".parse().unwrap());
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for (odd, compared) in [("1", true), ("1e999", false), (r#""\ud800""#, false), (&deep, false)] {
            let params = format!(r#"{{"name":"t","arguments":{{"x":"a","zz":{odd}}}}}"#);
            let params = RawValue::from_string(params).unwrap();
            assert_eq!(check_mirrored(&headers, &params, &mirrored).is_ok(), compared, "{odd}");
            assert!(check_mirrored(&headers, &params, &[]).is_ok(), "{odd}");
        }
    }
}

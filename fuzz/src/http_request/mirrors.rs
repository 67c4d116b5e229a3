//! Headers that repeat what a stateless request's body says: written, and a second opinion on whether they do.

use crate::oracle::Clear;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Number, Value};

const VERSION: &str = "mcp-protocol-version";
const STATELESS: &str = "2026-07-28";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
/// Below it a float has all digits of an integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// An argument of a tool that a header repeats: the tool, the header, the way to the argument.
struct Argument(&'static str, &'static str, &'static [&'static str]);

const ARGUMENTS: [Argument; 4] = [
    Argument("echo", "mcp-param-text", &["text"]),
    Argument("route", "mcp-param-zone", &["zone"]),
    Argument("route", "mcp-param-dry", &["dry"]),
    Argument("route", "mcp-param-row", &["at", "row"]),
];

impl Argument {
    fn of(&self, params: &Value) -> Option<Value> {
        let arguments = params.get("arguments")?;
        let value = self.2.iter().try_fold(arguments, |value, step| value.get(step))?;
        (!value.is_null()).then(|| value.clone())
    }
}

/// The arguments that headers repeat in a call with these parameters.
fn arguments(params: &Value) -> impl Iterator<Item = &'static Argument> {
    let tool = params.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    ARGUMENTS.iter().filter(move |argument| argument.0 == tool)
}

/// The member of the parameters that the name's header repeats.
fn named(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" => Some("uri"),
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
        _ => None,
    }
}

/// Repeats what the body says, as a client of a stateless revision must.
pub(super) fn write(headers: &mut HeaderMap, method: Option<&Value>, params: Option<&Value>) {
    let mut set = |name: &'static str, value: Option<&Value>| {
        if let Some(value) = value.and_then(written) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set(METHOD, method);
    let Some(params) = params else { return };
    // Also where no name is wanted: that does no harm.
    set(NAME, params.get("name").or_else(|| params.get("uri")));
    for argument in arguments(params) {
        set(argument.1, argument.of(params).as_ref());
    }
}

/// The value as a header carries it.
fn written(value: &Value) -> Option<HeaderValue> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return None,
    };
    if text.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        return HeaderValue::from_str(&text).ok();
    }
    HeaderValue::from_str(&format!("=?base64?{}?=", BASE64_STANDARD.encode(text))).ok()
}

/// Whether the headers of a request that says it is stateless repeat what its body says; nothing if that is not clear.
pub(super) fn agree(headers: &HeaderMap, body: &[u8]) -> Option<bool> {
    if only(headers, VERSION) != Ok(Some(STATELESS)) {
        return None;
    }
    let body = Clear::read(body)?;
    let method = body.get("method")?.as_str().filter(|method| *method != "initialize")?;
    body.get("id").filter(|id| id.is_string() || id.is_i64())?;
    let params = body.get("params").filter(|params| params.is_object())?;
    let version = params.get("_meta").and_then(|meta| meta.get("io.modelcontextprotocol/protocolVersion"));
    let mut all = version.is_some_and(|version| version == STATELESS);
    all &= only(headers, METHOD) == Ok(Some(method));
    if let Some(name) = named(method).and_then(|member| params.get(member)).and_then(Value::as_str) {
        all &= only(headers, NAME).ok().flatten().and_then(decoded).is_some_and(|header| header == name);
    }
    if method == "tools/call" {
        for argument in arguments(params) {
            all &= repeats(only(headers, argument.1), argument.of(params).as_ref())?;
        }
    }
    Some(all)
}

/// The text of a header that stands once at most.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ()> {
    let all: Vec<_> = headers.get_all(name).iter().collect();
    match all[..] {
        [] => Ok(None),
        [one] => one.to_str().map(|text| Some(text.trim_matches([' ', '\t']))).map_err(drop),
        _ => Err(()),
    }
}

fn decoded(header: &str) -> Option<String> {
    match header.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok(),
        None => Some(header.to_owned()),
    }
}

fn repeats(header: Result<Option<&str>, ()>, value: Option<&Value>) -> Option<bool> {
    let Ok(header) = header else { return Some(false) };
    let (header, value) = match (header, value) {
        (None, None | Some(Value::Array(_) | Value::Object(_))) => return Some(true),
        (Some(header), Some(value)) => (decoded(header), value),
        _ => return Some(false),
    };
    let Some(header) = header else { return Some(false) };
    match value {
        Value::String(text) => Some(header == *text),
        Value::Bool(flag) => Some(header == flag.to_string()),
        Value::Number(number) => equal(&header, number),
        _ => Some(false),
    }
}

/// Numbers are compared as numbers, where nobody can be of two minds.
fn equal(header: &str, number: &Number) -> Option<bool> {
    let Ok(told) = serde_json::from_str::<Number>(header) else {
        // Other ways to write a number may be taken or not.
        return if header.parse::<f64>().is_ok() { None } else { Some(false) };
    };
    if told == *number {
        return Some(true);
    }
    let (told, number) = (told.as_f64()?, number.as_f64()?);
    (told.abs() < EXACT && number.abs() < EXACT).then_some(told == number)
}

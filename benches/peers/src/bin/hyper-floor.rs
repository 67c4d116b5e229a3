//! The floor: a bare hyper server that reads and writes the same JSON, and does nothing else.
//!
//! No engine, no session, no header check, no deadline: what remains is the price of HTTP and JSON,
//! which every server pays.

use std::borrow::Cow;
use std::convert::Infallible;
use std::error::Error;

use bytes::Bytes;
use freehold_bench_peers::arguments::Arguments;
use freehold_bench_peers::http_server;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const FIXED_SESSION: HeaderValue = HeaderValue::from_static("00000000000000000000000000000001");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

const INITIALIZED: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"hyper-floor","version":"0"}}"#;

#[derive(Deserialize)]
struct Call<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arguments: Option<EchoArguments<'a>>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct EchoArguments<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed because a real server has to, though the floor decides nothing by it")]
struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    protocol_version: Cow<'a, str>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientInfo")]
    client_info: Option<ClientInfo<'a>>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientCapabilities")]
    client_capabilities: &'a RawValue,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "as for Meta")]
struct ClientInfo<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
}

#[derive(Serialize)]
struct Answer<R> {
    jsonrpc: &'static str,
    id: u64,
    result: R,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EchoResult<'a> {
    content: [Text<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'static str>,
}

#[derive(Serialize)]
struct Text<'a> {
    r#type: &'static str,
    text: &'a str,
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    http_server::serve(Arguments::from_command_line(), service_fn(respond))
}

async fn respond(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if *request.method() != Method::POST {
        return Ok(empty(StatusCode::METHOD_NOT_ALLOWED));
    }
    let Ok(body) = request.into_body().collect().await else {
        return Ok(empty(StatusCode::BAD_REQUEST));
    };
    Ok(answer(&body.to_bytes()).unwrap_or_else(|| empty(StatusCode::BAD_REQUEST)))
}

/// `None` stands for a body that the floor does not understand.
fn answer(body: &[u8]) -> Option<Response<Full<Bytes>>> {
    let call: Call<'_> = serde_json::from_slice(body).ok()?;
    let Some(id) = call.id else {
        return Some(empty(StatusCode::ACCEPTED));
    };
    match &*call.method {
        "tools/call" => echo(id, call.params?),
        "initialize" => initialize(id),
        _ => None,
    }
}

fn echo(id: u64, params: Params<'_>) -> Option<Response<Full<Bytes>>> {
    if params.name.as_deref() != Some("echo") {
        return None;
    }
    let text = &*params.arguments?.text;
    let content = [Text { r#type: "text", text }];
    json(&Answer {
        jsonrpc: "2.0",
        id,
        result: EchoResult { content, result_type: params.meta.map(|_| "complete") },
    })
}

fn initialize(id: u64) -> Option<Response<Full<Bytes>>> {
    let result: &RawValue = serde_json::from_str(INITIALIZED).ok()?;
    let mut response = json(&Answer { jsonrpc: "2.0", id, result })?;
    response.headers_mut().insert(SESSION_ID, FIXED_SESSION);
    Some(response)
}

fn json(answer: &impl Serialize) -> Option<Response<Full<Bytes>>> {
    let body = serde_json::to_vec(answer).ok()?;
    let mut response = Response::new(Full::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    Some(response)
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

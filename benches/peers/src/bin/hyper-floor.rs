//! The floor: a bare hyper server that reads and writes the same JSON, alone or as an event stream, and does nothing else.
//!
//! No engine, no session, no header check, no deadline: what remains is the price of HTTP and JSON,
//! which every server pays.

use std::borrow::Cow;
use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use freehold_bench_peers::arguments::Arguments;
use freehold_bench_peers::http_server;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const FIXED_SESSION: HeaderValue = HeaderValue::from_static("00000000000000000000000000000001");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

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
    arguments: Option<ToolArguments<'a>>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct ToolArguments<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    n: Option<u32>,
    bytes: Option<usize>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed because a real server has to, though the floor decides little by it")]
struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    protocol_version: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientInfo")]
    client_info: Option<ClientInfo<'a>>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientCapabilities")]
    client_capabilities: Option<&'a RawValue>,
    #[serde(rename = "progressToken")]
    progress_token: Option<u64>,
}

impl Meta<'_> {
    fn result_type(&self) -> Option<&'static str> {
        self.protocol_version.is_some().then_some("complete")
    }
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
struct CallResult<'a> {
    content: [Text<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'static str>,
}

#[derive(Serialize)]
struct Text<'a> {
    r#type: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
struct Notification<'a> {
    jsonrpc: &'static str,
    method: &'static str,
    params: Progress<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress<'a> {
    progress_token: u64,
    progress: u32,
    total: u32,
    message: &'a str,
}

/// Events that are all there: each is a chunk.
struct Events(std::vec::IntoIter<Bytes>);

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|event| Ok(Frame::data(event))))
    }
}

type Answered = Response<Either<Full<Bytes>, Events>>;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    http_server::serve(Arguments::from_command_line(), service_fn(respond))
}

async fn respond(request: Request<Incoming>) -> Result<Answered, Infallible> {
    if *request.method() != Method::POST {
        return Ok(empty(StatusCode::METHOD_NOT_ALLOWED));
    }
    let Ok(body) = request.into_body().collect().await else {
        return Ok(empty(StatusCode::BAD_REQUEST));
    };
    Ok(respond_to(&body.to_bytes()).unwrap_or_else(|| empty(StatusCode::BAD_REQUEST)))
}

/// `None` stands for a body that the floor does not understand.
fn respond_to(body: &[u8]) -> Option<Answered> {
    let call: Call<'_> = serde_json::from_slice(body).ok()?;
    let Some(id) = call.id else {
        return Some(empty(StatusCode::ACCEPTED));
    };
    match &*call.method {
        "tools/call" => self::call(id, call.params?),
        "initialize" => initialize(id),
        _ => None,
    }
}

fn call(id: u64, params: Params<'_>) -> Option<Answered> {
    let arguments = params.arguments?;
    match params.name.as_deref()? {
        "echo" => json(&answer(id, &arguments.text?, params.meta.as_ref())),
        "flood" => flood(id, arguments.n?, arguments.bytes?, &params.meta?),
        _ => None,
    }
}

fn answer<'a>(id: u64, text: &'a str, meta: Option<&Meta<'_>>) -> Answer<CallResult<'a>> {
    let content = [Text { r#type: "text", text }];
    Answer {
        jsonrpc: "2.0",
        id,
        result: CallResult { content, result_type: meta.and_then(Meta::result_type) },
    }
}

fn flood(id: u64, total: u32, bytes: usize, meta: &Meta<'_>) -> Option<Answered> {
    let (progress_token, message) = (meta.progress_token?, "x".repeat(bytes));
    let told = (1..=total).map(|progress| {
        let params = Progress { progress_token, progress, total, message: &message };
        event(&Notification { jsonrpc: "2.0", method: "notifications/progress", params })
    });
    let end = event(&answer(id, &format!("{total} notifications"), Some(meta)));
    let events = told.chain([end]).collect::<Option<Vec<_>>>()?;
    let mut response = Response::new(Either::Right(Events(events.into_iter())));
    response.headers_mut().insert(header::CONTENT_TYPE, EVENT_STREAM);
    Some(response)
}

fn event(message: &impl Serialize) -> Option<Bytes> {
    let mut event = b"data: ".to_vec();
    serde_json::to_writer(&mut event, message).ok()?;
    event.extend_from_slice(b"\n\n");
    Some(event.into())
}

fn initialize(id: u64) -> Option<Answered> {
    let result: &RawValue = serde_json::from_str(INITIALIZED).ok()?;
    let mut response = json(&Answer { jsonrpc: "2.0", id, result })?;
    response.headers_mut().insert(SESSION_ID, FIXED_SESSION);
    Some(response)
}

fn json(answer: &impl Serialize) -> Option<Answered> {
    let body = serde_json::to_vec(answer).ok()?;
    let mut response = Response::new(Either::Left(Full::from(body)));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    Some(response)
}

fn empty(status: StatusCode) -> Answered {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = status;
    response
}

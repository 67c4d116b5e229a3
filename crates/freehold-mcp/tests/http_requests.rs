//! Every request that is malformed, oversized, wrongly addressed or of another revision, and what it gets.

mod stage;
#[expect(dead_code, reason = "no stream here can be taken up")]
mod wire;

use freehold_mcp::{HttpOptions, freehold::Limits};
use serde_json::{Value, json};
use stage::server;
use std::{net::SocketAddr, time::Duration};
use wire::{Connection, Request, Response, STATELESS, open_session, serve};

const MESSAGE_BYTES: usize = 64 << 10;
const VERSION: &str = "MCP-Protocol-Version";
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
const HEADER_MISMATCH: i32 = -32020;
const MISSING_CAPABILITY: i32 = -32021;
const UNSUPPORTED_VERSION: i32 = -32022;
const SESSION_NOT_FOUND: i32 = -31001;

/// Ways to spoil a request.
impl Request {
    fn path(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// Replaces a header.
    fn set(self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.without(name).with(name, value)
    }
}

/// What a request gets.
enum Gets {
    /// This status, and an error with this code and id (`None`: without an id).
    Error(u16, i32, Option<u32>),
    /// A result for this id.
    Result(u32),
    /// This status and an empty body.
    Empty(u16),
}
use Gets::{Empty, Error, Result};

type Row = (&'static str, Request, Gets);

fn small() -> Limits {
    Limits { message_bytes: MESSAGE_BYTES, ..Limits::default() }
}

async fn start() -> SocketAddr {
    serve(&server(small()).0, HttpOptions::default()).await
}

async fn check(address: SocketAddr, rows: Vec<Row>) {
    for (name, request, gets) in rows {
        let response = request.exchange(address).await;
        println!("{name}: {} {}", response.status, String::from_utf8_lossy(&response.body));
        match gets {
            Empty(status) => assert_eq!((response.status, response.body.len()), (status, 0), "{name}"),
            Result(id) => {
                assert_eq!(response.status, 200, "{name}");
                let message = response.json();
                assert_eq!(message["id"], id, "{name}");
                assert!(message["result"].is_object(), "{name}");
            }
            Error(status, code, id) => check_error(name, &response, status, code, id),
        }
    }
}

fn check_error(name: &str, response: &Response, status: u16, code: i32, id: Option<u32>) {
    assert_eq!(response.status, status, "{name}");
    let message = response.json();
    assert_eq!(message["jsonrpc"], "2.0", "{name}");
    assert_eq!(message["error"]["code"], code, "{name}");
    // An id that could not be read is left out; `null` is no id in this protocol.
    assert_eq!(message.get("id"), id.map(Value::from).as_ref(), "{name}");
    assert!(message["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
}

fn request(id: u32, method: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method })
}

fn initialize() -> Value {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {} });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params })
}

fn ping(session: &str) -> Request {
    Request::post(&request(1, "ping")).in_session(session)
}

#[tokio::test]
async fn the_front_door() {
    let address = start().await;
    let session = open_session(address).await;
    let ping = || ping(&session);
    check(
        address,
        vec![
            ("as it should be", ping(), Result(1)),
            ("another path", ping().path("/other"), Error(404, INVALID_REQUEST, None)),
            ("another host", ping().set("Host", "evil.test"), Error(403, INVALID_REQUEST, None)),
            (
                "another host that begins like this one",
                ping().set("Host", "localhost.evil.test:80"),
                Error(403, INVALID_REQUEST, None),
            ),
            ("a loopback host", ping().set("Host", "[::1]:8080"), Result(1)),
            ("no host", ping().without("Host"), Error(400, INVALID_REQUEST, None)),
            ("two hosts", ping().with("Host", "evil.test"), Error(400, INVALID_REQUEST, None)),
            ("another origin", ping().with("Origin", "http://evil.test"), Error(403, INVALID_REQUEST, None)),
            ("an opaque origin", ping().with("Origin", "null"), Error(403, INVALID_REQUEST, None)),
            (
                "two origins",
                ping().with("Origin", "http://localhost").with("Origin", "http://evil.test"),
                Error(403, INVALID_REQUEST, None),
            ),
            ("an origin on this machine", ping().with("Origin", "http://localhost:3000"), Result(1)),
            ("another method", Request::new("PUT", "{}"), Error(405, INVALID_REQUEST, None)),
            ("no accept", ping().without("Accept"), Error(406, INVALID_REQUEST, None)),
            (
                "accepts JSON only",
                ping().set("Accept", "application/json"),
                Error(406, INVALID_REQUEST, None),
            ),
            (
                "accepts streams only",
                ping().set("Accept", "text/event-stream"),
                Error(406, INVALID_REQUEST, None),
            ),
            ("accepts all", ping().set("Accept", "*/*"), Result(1)),
            (
                "accepts in two lines",
                ping().set("Accept", "application/json").with("Accept", "text/event-stream"),
                Result(1),
            ),
            ("no content type", ping().without("Content-Type"), Error(415, INVALID_REQUEST, None)),
            ("text", ping().set("Content-Type", "text/plain"), Error(415, INVALID_REQUEST, None)),
            ("JSON with a charset", ping().set("Content-Type", "Application/JSON; charset=utf-8"), Result(1)),
            (
                "GET that accepts no stream",
                Request::new("GET", "").set("Accept", "application/json").in_session(&session),
                Error(406, INVALID_REQUEST, None),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_method_that_is_not_served_is_told_which_are() {
    let address = start().await;
    let response = Request::new("PATCH", "").exchange(address).await;
    assert_eq!(response.status, 405);
    assert_eq!(response.headers["allow"], "GET, POST, DELETE, OPTIONS");
    let stateless = Request::new("GET", "").with(VERSION, STATELESS).exchange(address).await;
    assert_eq!((stateless.status, &stateless.headers["allow"]), (405, &"POST".parse().unwrap()));
}

#[tokio::test]
async fn what_is_no_http_gets_400_and_the_end() {
    let address = start().await;
    let mut connection = Connection::open(address, b"\x16\x03\x01 hello\r\n\r\n").await;
    assert_eq!(connection.head().await.0, 400);
}

#[tokio::test]
async fn bodies() {
    let address = start().await;
    let session = open_session(address).await;
    let post = |body: &str| Request::new("POST", body).in_session(&session);
    let long = "x".repeat(300);
    let call = r#""jsonrpc":"2.0","id":7,"method":"ping""#;
    let malformed = Error(400, INVALID_REQUEST, None);
    check(
        address,
        vec![
            ("nothing", post(""), Error(400, PARSE_ERROR, None)),
            ("half of it", post(r#"{"jsonrpc":"2.0","id":7"#), Error(400, PARSE_ERROR, None)),
            ("something after it", post(&format!("{{{call}}}x")), Error(400, PARSE_ERROR, None)),
            (
                "not UTF-8",
                Request::new("POST", b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"\xff\"}")
                    .in_session(&session),
                Error(400, PARSE_ERROR, None),
            ),
            ("a number", post("5"), Error(400, INVALID_REQUEST, None)),
            ("a string", post(r#""ping""#), Error(400, INVALID_REQUEST, None)),
            ("an empty batch", post("[]"), Error(400, INVALID_REQUEST, None)),
            ("a batch", post(&format!("[{{{call}}}]")), Error(400, INVALID_REQUEST, None)),
            ("an empty object", post("{}"), Error(400, INVALID_REQUEST, None)),
            ("no version", post(r#"{"id":7,"method":"ping"}"#), Error(400, INVALID_REQUEST, Some(7))),
            (
                "another version",
                post(r#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#),
                Error(400, INVALID_REQUEST, Some(7)),
            ),
            ("the id null", post(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#), malformed),
            (
                "the id a fraction",
                post(r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#),
                Error(400, INVALID_REQUEST, None),
            ),
            (
                "the id a truth",
                post(r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#),
                Error(400, INVALID_REQUEST, None),
            ),
            (
                "the id an object",
                post(r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#),
                Error(400, INVALID_REQUEST, None),
            ),
            (
                "the id too long",
                post(&format!(r#"{{"jsonrpc":"2.0","id":"{long}","method":"ping"}}"#)),
                Error(400, INVALID_REQUEST, None),
            ),
            ("the id twice", post(&format!(r#"{{{call},"id":8}}"#)), Error(400, INVALID_REQUEST, None)),
            (
                "the method twice",
                post(&format!(r#"{{{call},"method":"ping"}}"#)),
                Error(400, INVALID_REQUEST, Some(7)),
            ),
            (
                "the method a number",
                post(r#"{"jsonrpc":"2.0","id":7,"method":5}"#),
                Error(400, INVALID_REQUEST, Some(7)),
            ),
            (
                "the method too long",
                post(&format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{long}"}}"#)),
                Error(400, INVALID_REQUEST, Some(7)),
            ),
            (
                "neither method nor result",
                post(r#"{"jsonrpc":"2.0","id":7}"#),
                Error(400, INVALID_REQUEST, Some(7)),
            ),
            (
                "method and result",
                post(&format!(r#"{{{call},"result":{{}}}}"#)),
                Error(400, INVALID_REQUEST, Some(7)),
            ),
            (
                "params a number",
                post(&format!(r#"{{{call},"params":5}}"#)),
                Error(400, INVALID_PARAMS, Some(7)),
            ),
            (
                "params an array",
                post(&format!(r#"{{{call},"params":[]}}"#)),
                Error(400, INVALID_PARAMS, Some(7)),
            ),
            ("white space around it", post(&format!(" \r\n{{{call}}}\n")), Result(7)),
            ("in chunks", post(&format!("{{{call}}}")).with("Transfer-Encoding", "chunked"), Result(7)),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_comes() {
    let address = start().await;
    let body = |bytes: usize| {
        let text = "x".repeat(bytes);
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"text":"{text}"}}}}"#)
    };
    let session = open_session(address).await;
    let post = |bytes| Request::new("POST", body(bytes)).in_session(&session);
    let chunked = |bytes| post(bytes).with("Transfer-Encoding", "chunked");
    check(
        address,
        vec![
            ("within the limit", post(MESSAGE_BYTES / 2), Result(1)),
            ("one byte too many", post(MESSAGE_BYTES - body(0).len() + 1), Error(413, INVALID_REQUEST, None)),
            ("as many as may be", post(MESSAGE_BYTES - body(0).len()), Result(1)),
            ("announced", post(MESSAGE_BYTES * 2), Error(413, INVALID_REQUEST, None)),
            ("in chunks", chunked(MESSAGE_BYTES * 2), Error(413, INVALID_REQUEST, None)),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_waited_for_only_so_long() {
    let options = HttpOptions { body_timeout: Duration::from_millis(50), ..HttpOptions::default() };
    let address = serve(&server(small()).0, options).await;
    let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nContent-Type: application/json\r\n";
    let mut connection =
        Connection::open(address, format!("{head}Content-Length: 9\r\n\r\n{{").as_bytes()).await;
    assert_eq!(connection.head().await.0, 408);
}

#[tokio::test]
async fn sessions() {
    let address = start().await;
    let session = open_session(address).await;
    let unknown = "0123456789abcdef0123456789abcdef";
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let response = json!({ "jsonrpc": "2.0", "id": 99, "result": {} });
    let post = |message: &Value| Request::post(message).in_session(&session);
    let to_unknown = |message: &Value| Request::post(message).in_session(unknown);
    let ping = || ping(&session);
    let get = || Request::new("GET", "");
    let delete = || Request::new("DELETE", "");
    check(
        address,
        vec![
            (
                "a request without a session",
                Request::post(&request(1, "ping")),
                Error(400, INVALID_REQUEST, Some(1)),
            ),
            (
                "a notification without a session",
                Request::post(&notification),
                Error(400, INVALID_REQUEST, None),
            ),
            ("an answer without a session", Request::post(&response), Error(400, INVALID_REQUEST, None)),
            ("GET without a session", get(), Error(400, INVALID_REQUEST, None)),
            ("DELETE without a session", delete(), Error(400, INVALID_REQUEST, None)),
            ("two sessions", ping().in_session(unknown), Error(400, INVALID_REQUEST, Some(1))),
            ("an unknown session", to_unknown(&request(1, "ping")), Error(404, SESSION_NOT_FOUND, Some(1))),
            (
                "a malformed session",
                Request::post(&request(1, "ping")).in_session("../../etc"),
                Error(404, SESSION_NOT_FOUND, Some(1)),
            ),
            (
                "a notification to an unknown session",
                to_unknown(&notification),
                Error(404, SESSION_NOT_FOUND, None),
            ),
            ("an answer to an unknown session", to_unknown(&response), Error(404, SESSION_NOT_FOUND, None)),
            ("GET of an unknown session", get().in_session(unknown), Error(404, SESSION_NOT_FOUND, None)),
            (
                "DELETE of an unknown session",
                delete().in_session(unknown),
                Error(404, SESSION_NOT_FOUND, None),
            ),
            (
                "initialize an unknown session",
                to_unknown(&initialize()),
                Error(404, SESSION_NOT_FOUND, Some(1)),
            ),
            ("initialize again", post(&initialize()), Error(400, INVALID_REQUEST, Some(1))),
            (
                "initialize without params",
                Request::post(&request(1, "initialize")),
                Error(200, INVALID_PARAMS, Some(1)),
            ),
            (
                "initialize under a stateless header",
                Request::post(&initialize()).with(VERSION, STATELESS),
                Error(400, HEADER_MISMATCH, Some(1)),
            ),
            ("a notification", post(&notification), Empty(202)),
            (
                "a notification that nobody handles",
                post(&json!({ "jsonrpc": "2.0", "method": "x" })),
                Empty(202),
            ),
            ("an answer to no question", post(&response), Empty(202)),
            (
                "an answer under a stateless header",
                post(&response).with(VERSION, STATELESS),
                Error(400, INVALID_REQUEST, None),
            ),
            ("another revision of the era", ping().with(VERSION, "2025-06-18"), Result(1)),
            ("the oldest one", ping().with(VERSION, "2025-03-26"), Result(1)),
            ("white space around the revision", ping().with(VERSION, "  2025-11-25\t"), Result(1)),
            (
                "an unknown revision",
                ping().with(VERSION, "2001-01-01"),
                Error(400, UNSUPPORTED_VERSION, Some(1)),
            ),
            (
                "two revisions",
                ping().with(VERSION, "2025-11-25").with(VERSION, "2025-06-18"),
                Error(400, HEADER_MISMATCH, Some(1)),
            ),
            (
                "a notification of an unknown revision",
                post(&notification).with(VERSION, "2001-01-01"),
                Error(400, UNSUPPORTED_VERSION, None),
            ),
            (
                "GET of an unknown revision",
                get().in_session(&session).with(VERSION, "2001-01-01"),
                Error(400, UNSUPPORTED_VERSION, None),
            ),
            (
                "DELETE of an unknown revision",
                delete().in_session(&session).with(VERSION, "2001-01-01"),
                Error(400, UNSUPPORTED_VERSION, None),
            ),
            (
                "the stateless revision, with a session and no envelope",
                ping().with(VERSION, STATELESS),
                Error(400, INVALID_PARAMS, Some(1)),
            ),
            ("headers of the other era", ping().with("Mcp-Method", "x").with("Mcp-Name", "y"), Result(1)),
            ("an unknown method", post(&request(1, "x")), Error(200, METHOD_NOT_FOUND, Some(1))),
            (
                "a method of the other era",
                post(&request(1, "subscriptions/listen")),
                Error(200, METHOD_NOT_FOUND, Some(1)),
            ),
            (
                "a notification as a request",
                post(&request(1, "notifications/initialized")),
                Error(200, METHOD_NOT_FOUND, Some(1)),
            ),
            ("a call without params", post(&request(1, "tools/call")), Error(200, INVALID_PARAMS, Some(1))),
            ("DELETE", delete().in_session(&session), Empty(204)),
            ("after DELETE", ping(), Error(404, SESSION_NOT_FOUND, Some(1))),
            ("DELETE again", delete().in_session(&session), Error(404, SESSION_NOT_FOUND, None)),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_revision_of_a_session_is_the_one_asked_for_or_the_newest() {
    let address = start().await;
    for (asked, given) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        ("2024-11-05", "2024-11-05"),
        ("2024-10-07", "2025-11-25"),
        ("2001-01-01", "2025-11-25"),
        (STATELESS, "2025-11-25"),
    ] {
        let mut message = initialize();
        message["params"]["protocolVersion"] = json!(asked);
        let opened = Request::post(&message).exchange(address).await;
        assert_eq!(opened.json()["result"]["protocolVersion"], given, "{asked}");
        let session = opened.headers["mcp-session-id"].as_bytes();
        assert!(session.iter().all(u8::is_ascii_graphic));
    }
}

#[tokio::test]
async fn calls_of_tools() {
    let address = start().await;
    let session = open_session(address).await;
    let call = |tool: &str, arguments| Request::call(&session, 1, tool, arguments);
    let list = |cursor: Value| {
        let params = json!({ "cursor": cursor });
        Request::post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params }))
            .in_session(&session)
    };
    let level = |level: &str| {
        let params = json!({ "level": level });
        Request::post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "logging/setLevel", "params": params }))
            .in_session(&session)
    };
    check(
        address,
        vec![
            ("as it should be", call("echo", json!({ "text": "hi" })), Result(1)),
            ("arguments that do not fit are for the model", call("echo", json!({})), Result(1)),
            ("an unknown tool", call("nobody", json!({})), Error(200, INVALID_PARAMS, Some(1))),
            (
                "arguments that are no object",
                call("echo", json!(["hi"])),
                Error(200, INVALID_PARAMS, Some(1)),
            ),
            ("a stranger's cursor", list(json!("x")), Error(200, INVALID_PARAMS, Some(1))),
            ("a cursor that is no text", list(json!(5)), Error(200, INVALID_PARAMS, Some(1))),
            ("a level", level("debug"), Result(1)),
            ("an unknown level", level("loud"), Error(200, INVALID_PARAMS, Some(1))),
        ],
    )
    .await;
    let unfit = call("echo", json!({})).exchange(address).await.json();
    assert_eq!(unfit["result"]["isError"], true);
    // A capability that the client did not declare is the model's to know, not the program's.
    let opened = Request::post(&initialize()).exchange(address).await;
    let incapable = opened.headers["mcp-session-id"].to_str().unwrap();
    let refused = Request::call(incapable, 1, "needs_sampling", json!({})).exchange(address).await;
    assert_eq!(refused.json()["result"]["isError"], true);
}

#[tokio::test]
async fn an_id_in_use_is_refused_and_the_first_call_goes_on() {
    let (server, mut audience) = server(small());
    let address = serve(&server, HttpOptions::default()).await;
    let session = open_session(address).await;
    let mut first = Request::call(&session, 5, "wait", json!({})).send(address).await;
    assert_eq!(audience.hears().await, "waiting");
    let second = Request::call(&session, 5, "wait", json!({})).exchange(address).await;
    check_error("the second", &second, 400, INVALID_REQUEST, Some(5));
    audience.release();
    assert_eq!(first.head().await.0, 200);
}

fn envelope(version: &str) -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// A request of the stateless revision with this `_meta`, under this version's header.
fn with_meta(meta: Value, version: &str) -> Request {
    let params = json!({ "_meta": meta });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": params });
    Request::post(&message).with(VERSION, version).with("Mcp-Method", "server/discover")
}

#[tokio::test]
async fn stateless_envelopes() {
    let address = start().await;
    let session = open_session(address).await;
    let discover = || Request::stateless(1, "server/discover", json!({}));
    let changed = |key: &str, value: Value| {
        let mut meta = envelope(STATELESS);
        meta[format!("io.modelcontextprotocol/{key}")] = value;
        with_meta(meta, STATELESS)
    };
    let only = |key: &str| {
        let key = format!("io.modelcontextprotocol/{key}");
        let value = envelope(STATELESS)[&key].clone();
        with_meta(json!({ key: value }), STATELESS)
    };
    let no_envelope = |method: &str| Request::post(&request(1, method));
    let unfit = || Error(400, INVALID_PARAMS, Some(1));
    let notification = |version: &str| json!({ "jsonrpc": "2.0", "method": "notifications/x", "params": { "_meta": envelope(version) } });
    check(
        address,
        vec![
            ("as it should be", discover(), Result(1)),
            ("in a session, which is ignored", discover().in_session(&session), Result(1)),
            ("in a session that does not exist", discover().in_session("x"), Result(1)),
            (
                "no envelope under the header",
                no_envelope("tools/list").with(VERSION, STATELESS).with("Mcp-Method", "tools/list"),
                unfit(),
            ),
            ("discover without an envelope", no_envelope("server/discover"), unfit()),
            ("an envelope that is an array", with_meta(json!([STATELESS]), STATELESS), unfit()),
            ("only a version", only("protocolVersion"), unfit()),
            ("only capabilities", only("clientCapabilities"), unfit()),
            ("the version a number", changed("protocolVersion", json!(5)), unfit()),
            ("capabilities a text", changed("clientCapabilities", json!("all")), unfit()),
            ("a client without a name", changed("clientInfo", json!({ "version": "1" })), unfit()),
            ("a client", changed("clientInfo", json!({ "name": "c", "version": "1" })), Result(1)),
            ("an unknown log level", changed("logLevel", json!("loud")), unfit()),
            ("no header of the version", discover().without(VERSION), Error(400, HEADER_MISMATCH, Some(1))),
            (
                "another version in the header",
                with_meta(envelope("v999.0.0"), STATELESS),
                Error(400, HEADER_MISMATCH, Some(1)),
            ),
            (
                "two headers of the version",
                discover().with(VERSION, STATELESS),
                Error(400, HEADER_MISMATCH, Some(1)),
            ),
            (
                "an unknown version in both",
                with_meta(envelope("v999.0.0"), "v999.0.0"),
                Error(400, UNSUPPORTED_VERSION, Some(1)),
            ),
            (
                "a version with sessions in both",
                with_meta(envelope("2025-11-25"), "2025-11-25"),
                Error(400, UNSUPPORTED_VERSION, Some(1)),
            ),
            ("a notification", Request::post(&notification(STATELESS)).with(VERSION, STATELESS), Empty(202)),
            (
                "a notification under another version's header",
                Request::post(&notification(STATELESS)).with(VERSION, "2025-11-25"),
                Error(400, HEADER_MISMATCH, None),
            ),
            (
                "a notification of an unknown version",
                Request::post(&notification("v999.0.0")).with(VERSION, "v999.0.0"),
                Error(400, UNSUPPORTED_VERSION, None),
            ),
            (
                "a notification under another method's header",
                Request::post(&notification(STATELESS)).with(VERSION, STATELESS).with("Mcp-Method", "ping"),
                Error(400, HEADER_MISMATCH, None),
            ),
            ("GET", Request::new("GET", "").with(VERSION, STATELESS), Error(405, INVALID_REQUEST, None)),
            (
                "DELETE",
                Request::new("DELETE", "").with(VERSION, STATELESS),
                Error(405, INVALID_REQUEST, None),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn stateless_methods_and_their_headers() {
    let address = start().await;
    let gone = |method: &str| Request::stateless(1, method, json!({}));
    let call = || Request::stateless_call(1, "echo", json!({ "text": "hi" }));
    let region = |value: Value| Request::stateless_call(1, "mirrored", json!({ "region": value }));
    let mismatch = || Error(400, HEADER_MISMATCH, Some(1));
    let unknown = || Error(404, METHOD_NOT_FOUND, Some(1));
    check(
        address,
        vec![
            ("initialize", gone("initialize"), unknown()),
            ("ping", gone("ping"), unknown()),
            ("logging/setLevel", gone("logging/setLevel"), unknown()),
            ("resources/subscribe", gone("resources/subscribe"), unknown()),
            ("an unknown method", gone("unknown/method"), unknown()),
            ("no header of the method", gone("tools/list").without("Mcp-Method"), mismatch()),
            ("another method's header", gone("tools/list").set("Mcp-Method", "tools/call"), mismatch()),
            ("the method in capitals", gone("tools/list").set("Mcp-Method", "TOOLS/LIST"), mismatch()),
            ("two headers of the method", gone("tools/list").with("Mcp-Method", "tools/list"), mismatch()),
            ("a header that is no text", gone("tools/list").set("Mcp-Method", b"\xff".to_vec()), mismatch()),
            ("a call", call(), Result(1)),
            ("no header of the name", call().without("Mcp-Name"), mismatch()),
            ("another name's header", call().set("Mcp-Name", "wait"), mismatch()),
            ("white space around the name", call().set("Mcp-Name", "  echo\t"), Result(1)),
            ("the name in Base64", call().set("Mcp-Name", "=?base64?ZWNobw==?="), Result(1)),
            ("broken Base64", call().set("Mcp-Name", "=?base64?ZWNobw?="), mismatch()),
            (
                "an unknown tool",
                Request::stateless_call(1, "x", json!({})),
                Error(200, INVALID_PARAMS, Some(1)),
            ),
            ("a mirrored argument", region(json!("eu")).with("Mcp-Param-Region", "eu"), Result(1)),
            (
                "a mirrored argument in Base64",
                region(json!("ü")).with("mcp-param-region", "=?base64?w7w=?="),
                Result(1),
            ),
            ("a mirrored argument without its header", region(json!("eu")), mismatch()),
            ("another one in the header", region(json!("eu")).with("Mcp-Param-Region", "us"), mismatch()),
            ("a header without its argument", region(Value::Null).with("Mcp-Param-Region", "eu"), mismatch()),
            ("neither", region(Value::Null), Result(1)),
            ("the header of no argument", call().with("Mcp-Param-Other", "x"), Result(1)),
            (
                "a capability that the client lacks",
                Request::stateless_call(1, "needs_sampling", json!({})),
                Error(400, MISSING_CAPABILITY, Some(1)),
            ),
            (
                "listen to nothing",
                Request::stateless(1, "subscriptions/listen", json!({})),
                Error(200, INVALID_PARAMS, Some(1)),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_request_that_must_be_a_stream_is_one() {
    let params = json!({ "notifications": {} });
    let mut stream = Request::stateless(1, "subscriptions/listen", params).send(start().await).await;
    stream.begins_events().await;
    assert_eq!(stream.message().await.unwrap()["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(stream.message().await.unwrap()["id"], 1);
    assert_eq!(stream.message().await, None);
}

#[tokio::test]
async fn errors_say_what_the_client_needs_to_go_on() {
    let address = start().await;
    let discovered = Request::stateless(1, "server/discover", json!({})).exchange(address).await;
    assert!(!discovered.headers.contains_key("mcp-session-id"));
    let supported = &discovered.json()["result"]["supportedVersions"];
    let refused = with_meta(envelope("v999.0.0"), "v999.0.0").exchange(address).await.json();
    assert_eq!(refused["error"]["data"], json!({ "supported": supported, "requested": "v999.0.0" }));
    let incapable = Request::stateless_call(1, "needs_sampling", json!({})).exchange(address).await.json();
    assert_eq!(incapable["error"]["data"], json!({ "requiredCapabilities": { "sampling": {} } }));
}

#[tokio::test]
async fn browsers_are_told_what_they_may_send_and_read() {
    let options = HttpOptions { token: Some("secret".to_owned()), ..HttpOptions::default() };
    let address = serve(&server(small()).0, options).await;
    let origin = "http://localhost:3000";
    let preflight = Request::new("OPTIONS", "").with("Origin", origin).exchange(address).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.headers["access-control-allow-origin"], origin);
    let allowed = preflight.headers["access-control-allow-headers"].to_str().unwrap();
    assert!(["Mcp-Session-Id", "Authorization", "*"].iter().all(|name| allowed.contains(name)));
    let refused = Request::post(&initialize()).with("Origin", origin).exchange(address).await;
    check_error("no token", &refused, 401, INVALID_REQUEST, None);
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
    assert_eq!(refused.headers["access-control-allow-origin"], origin);
    let opened = Request::post(&initialize()).with("Authorization", "Bearer secret").exchange(address).await;
    assert_eq!(opened.status, 200);
}

#[tokio::test]
async fn one_session_too_many_is_told_when_to_come_back() {
    let address = serve(&server(Limits { sessions: 1, ..small() }).0, HttpOptions::default()).await;
    open_session(address).await;
    let full = Request::post(&initialize()).exchange(address).await;
    assert_eq!((full.status, &full.headers["retry-after"]), (503, &"1".parse().unwrap()));
}

#[tokio::test]
async fn one_connection_too_many_is_told_when_to_come_back() {
    let options = HttpOptions { connections: 1, ..HttpOptions::default() };
    let address = serve(&server(small()).0, options).await;
    let first = Connection::open(address, b"POST /mcp HTTP/1.1\r\n").await;
    let second = Request::post(&initialize()).exchange(address).await;
    assert_eq!((second.status, &second.headers["retry-after"]), (503, &"1".parse().unwrap()));
    drop(first);
}

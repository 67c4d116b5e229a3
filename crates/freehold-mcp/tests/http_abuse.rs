//! What requests get that should not be: a table, held against `docs/http-abuse.md`.
//!
//! `UPDATE_DOCS=1 cargo test -p freehold-mcp --test http_abuse` writes the document.

#[expect(dead_code, reason = "nobody has to be waited for")]
mod stage;
#[expect(dead_code, reason = "what is refused has no events")]
mod wire;

use freehold_mcp::{
    Audience, Authorization, AuthorizeError, HttpOptions, McpServer, MemoryEventStore, Principal, Resumption,
    freehold::Limits,
};
use serde_json::{Value, json};
use stage::server;
use std::{fmt::Write as _, fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use wire::{Connection, Request, STATELESS, open_session, open_session_as, serve};

const MESSAGE_BYTES: usize = 64 << 10;
const CLOSED: &str = "the connection is closed";
const VERSION: &str = "MCP-Protocol-Version";

/// A row: what is tried, and what it gets.
struct Row {
    what: &'static str,
    gets: String,
}

/// A heading, and its rows.
type Section = (&'static str, Vec<Row>);

impl Request {
    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    fn set(self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.without(name).with(name, value)
    }

    fn path(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }
}

/// The status, and the code of the error if there is one.
async fn outcome(connection: &mut Connection) -> String {
    let Some((status, headers)) = connection.head_or_end().await else { return CLOSED.to_owned() };
    let body = connection.body(&headers).await;
    let code = serde_json::from_slice::<Value>(&body).ok().and_then(|body| body["error"]["code"].as_i64());
    let allow = headers.get("allow").and_then(|allow| allow.to_str().ok());
    match (code, allow) {
        (Some(code), Some(allow)) => format!("{status}, error {code}, `Allow: {allow}`"),
        (Some(code), None) => format!("{status}, error {code}"),
        (None, _) => status.to_string(),
    }
}

async fn rows(address: SocketAddr, tries: Vec<(&'static str, Request)>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, request) in tries {
        let gets = outcome(&mut request.send(address).await).await;
        rows.push(Row { what, gets });
    }
    rows
}

async fn raw(address: SocketAddr, what: &'static str, bytes: &[u8]) -> Row {
    Row { what, gets: outcome(&mut Connection::open(address, bytes).await).await }
}

fn request(id: u32, method: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method })
}

fn initialize() -> Value {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {} });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params })
}

/// So long that only a failure takes it.
const LONG: Duration = Duration::from_secs(600);
/// So short that nobody waits for it. It stands for one thing only at a time, which then takes longer however fast the
/// machine is; all else has time enough however slow it is.
const SHORT: Duration = Duration::from_millis(100);

fn options() -> HttpOptions {
    HttpOptions {
        resumption: Some(Resumption::new(Arc::new(MemoryEventStore::default()))),
        keep_alive: LONG,
        header_timeout: LONG,
        body_timeout: LONG,
        write_timeout: LONG,
        ..HttpOptions::default()
    }
}

fn limits() -> Limits {
    Limits { message_bytes: MESSAGE_BYTES, ..Limits::default() }
}

async fn malformed(address: SocketAddr) -> Section {
    let session = &open_session(address).await;
    let post = |body: &str| Request::new("POST", body).in_session(session);
    let mut rows = rows(
        address,
        vec![
            ("an empty body", post("")),
            ("half a message", post(r#"{"jsonrpc":"2.0","id":7"#)),
            ("bytes that are not UTF-8", Request::new("POST", b"{\"\xff\"}").in_session(session)),
            ("JSON that is no object", post("5")),
            ("another version of JSON-RPC", post(r#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#)),
            ("the id `null`", post(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#)),
            ("a member twice", post(r#"{"jsonrpc":"2.0","id":7,"method":"ping","method":"ping"}"#)),
            (
                "parameters that are no object",
                post(r#"{"jsonrpc":"2.0","id":7,"method":"ping","params":[]}"#),
            ),
            ("a batch, where the revision has none", post(r#"[{"jsonrpc":"2.0","id":7,"method":"ping"}]"#)),
            ("another media type", post("{}").set("Content-Type", "text/plain")),
            ("no media type", post("{}").without("Content-Type")),
            ("an answer that must not be a stream", post("{}").set("Accept", "application/json")),
            ("another path", post("{}").path("/other")),
            ("another method", Request::new("PUT", "{}")),
        ],
    )
    .await;
    rows.push(raw(address, "what is no HTTP", b"\x16\x03\x01 hello\r\n\r\n").await);
    ("Malformed", rows)
}

async fn oversized(address: SocketAddr) -> Section {
    let session = &open_session(address).await;
    let batches = &open_session_as(address, "2025-03-26").await;
    let post = |body: String| Request::new("POST", body).in_session(session);
    let long = "x".repeat(300);
    let body = || {
        let text = "x".repeat(MESSAGE_BYTES);
        post(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"text":"{text}"}}}}"#))
    };
    let many: Vec<_> = (0..101).map(|id| request(id, "ping")).collect();
    let mut rows = rows(
        address,
        vec![
            ("a body beyond the limit, announced", body()),
            ("a body beyond the limit, in chunks", body().with("Transfer-Encoding", "chunked")),
            (
                "a request id beyond its limit",
                post(format!(r#"{{"jsonrpc":"2.0","id":"{long}","method":"ping"}}"#)),
            ),
            (
                "a method's name beyond its limit",
                post(format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{long}"}}"#)),
            ),
            (
                "a batch of more messages than the limit",
                Request::post(&Value::Array(many)).in_session(batches),
            ),
        ],
    )
    .await;
    let head = |lines: String| format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
    let many: String = (0..200).map(|number| format!("X-{number}: x\r\n")).collect();
    rows.push(raw(address, "two hundred headers", head(many).as_bytes()).await);
    let large = format!("X-Large: {}\r\n", "x".repeat(1 << 20));
    rows.push(raw(address, "a header of a megabyte", head(large).as_bytes()).await);
    ("Oversized", rows)
}

async fn slow(server: &McpServer, address: SocketAddr) -> Section {
    const HALF_A_HEAD: &[u8] = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n";
    let half_a_body = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nContent-Type: application/json\r\n\
        Content-Length: 9\r\n\r\n{";
    // More than all buffers on the way hold.
    let flood = || Request::stateless_call(1, "flood", json!({ "n": 4_000, "bytes": 8 << 10 }));
    // Where nobody loses patience with them, an honest one comes.
    let beside = [
        Connection::open(address, HALF_A_HEAD).await,
        Connection::open(address, b"").await,
        Connection::open(address, half_a_body.as_bytes()).await,
        flood().send(address).await,
    ];
    let session = open_session(address).await;
    let echo = Request::call(&session, 9, "echo", json!({ "text": "hi" }));
    let honest = outcome(&mut echo.send(address).await).await;
    drop(beside);

    let heads = serve(server, HttpOptions { header_timeout: SHORT, ..options() }).await;
    let bodies = serve(server, HttpOptions { body_timeout: SHORT, ..options() }).await;
    let writes = serve(server, HttpOptions { write_timeout: SHORT, ..options() }).await;
    let mut rows = vec![
        raw(heads, "a head that never ends", HALF_A_HEAD).await,
        raw(heads, "a connection that never says anything", b"").await,
        raw(bodies, "a body that never ends", half_a_body.as_bytes()).await,
    ];
    flood().send(writes).await.ends_unread().await;
    rows.push(Row { what: "a stream that its client leaves unread", gets: CLOSED.to_owned() });
    rows.push(Row { what: "an honest request beside all of these", gets: honest });
    ("Slow", rows)
}

async fn too_many() -> Row {
    let address = serve(&server(limits()).0, HttpOptions { connections: 1, ..options() }).await;
    let _first = Connection::open(address, b"POST /mcp HTTP/1.1\r\n").await;
    let gets = outcome(&mut Request::post(&initialize()).send(address).await).await;
    Row { what: "a connection more than the limit", gets }
}

async fn mismatched(address: SocketAddr) -> Section {
    let list = || Request::stateless(1, "tools/list", json!({}));
    let call = || Request::stateless_call(1, "echo", json!({ "text": "hi" }));
    let region = || Request::stateless_call(1, "mirrored", json!({ "region": "eu" }));
    let unknown = |version: &'static str| {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let mut message = request(1, "tools/list");
        message["params"]["_meta"] = meta;
        Request::post(&message).with("Mcp-Method", "tools/list")
    };
    let rows = rows(
        address,
        vec![
            ("`MCP-Protocol-Version` is missing", list().without(VERSION)),
            (
                "`MCP-Protocol-Version` says another one than the body",
                unknown("2026-07-29").with(VERSION, STATELESS),
            ),
            ("both say one that is not spoken here", unknown("2026-07-29").with(VERSION, "2026-07-29")),
            ("`MCP-Protocol-Version` twice", list().with(VERSION, STATELESS)),
            ("`Mcp-Method` is missing", list().without("Mcp-Method")),
            ("`Mcp-Method` says another one", list().set("Mcp-Method", "tools/call")),
            ("`Mcp-Method` in capitals", list().set("Mcp-Method", "TOOLS/LIST")),
            ("`Mcp-Name` is missing", call().without("Mcp-Name")),
            ("`Mcp-Name` says another one", call().set("Mcp-Name", "wait")),
            ("`Mcp-Name` in broken Base64", call().set("Mcp-Name", "=?base64?ZWNobw?=")),
            ("`Mcp-Name` is no text", call().set("Mcp-Name", b"\xff".to_vec())),
            ("`Mcp-Param-…` is missing", region()),
            ("`Mcp-Param-…` says another value", region().with("Mcp-Param-Region", "us")),
            ("`Mcp-Param-…` twice", region().with("Mcp-Param-Region", "eu").with("Mcp-Param-Region", "eu")),
            ("a method that exists in sessions only", Request::stateless(1, "initialize", json!({}))),
            ("GET of a stateless client", Request::new("GET", "").with(VERSION, STATELESS)),
            ("DELETE of a stateless client", Request::new("DELETE", "").with(VERSION, STATELESS)),
            ("a session id in a stateless request, which means nothing", list().in_session("of nobody")),
            (
                "`Last-Event-ID` in a stateless request, which means nothing",
                list().with("Last-Event-ID", "1"),
            ),
        ],
    )
    .await;
    ("Headers that do not match", rows)
}

async fn wrong_session(address: SocketAddr) -> Section {
    let session = &open_session(address).await;
    let ended = &open_session(address).await;
    Request::new("DELETE", "").in_session(ended).exchange(address).await;
    let ping = || Request::post(&request(1, "ping"));
    let unknown = "0123456789abcdef0123456789abcdef";
    let rows = rows(
        address,
        vec![
            ("a request without a session", ping()),
            ("an unknown session", ping().in_session(unknown)),
            ("a session that is none", ping().in_session("../../etc/passwd")),
            ("a session that has ended", ping().in_session(ended)),
            ("two sessions", ping().in_session(session).in_session(unknown)),
            ("GET of an unknown session", Request::new("GET", "").in_session(unknown)),
            ("DELETE of an unknown session", Request::new("DELETE", "").in_session(unknown)),
            ("a revision that is none", ping().in_session(session).with(VERSION, "1.0")),
        ],
    )
    .await;
    ("Wrong session", rows)
}

async fn replayed(address: SocketAddr) -> Section {
    let session = &open_session(address).await;
    let other = &open_session(address).await;
    let mut call = Request::call(session, 50, "step_and_wait", json!({})).send(address).await;
    call.begins_events().await;
    let first = call.fields().await.and_then(|priming| priming.id).expect("a priming event");
    let post = |message: &Value| Request::post(message).in_session(session);
    let resume =
        |session: &str, last: &str| Request::new("GET", "").in_session(session).with("Last-Event-ID", last);
    let notification =
        |method: &str, id: u32| json!({ "jsonrpc": "2.0", "method": method, "params": { "requestId": id } });
    let rows = rows(
        address,
        vec![
            ("a request whose id is in use", post(&request(50, "tools/call"))),
            ("a request again, after its answer", post(&request(51, "ping"))),
            ("`initialize` again", post(&initialize())),
            (
                "an answer to a question that was answered, or never asked",
                post(&json!({ "jsonrpc": "2.0", "id": 1, "result": {} })),
            ),
            ("a cancel of what is over", post(&notification("notifications/cancelled", 51))),
            ("an event id of another session", resume(other, &first)),
            ("an event id that is ahead of its stream", resume(session, &first.replace("-0", "-ff"))),
            ("an event id that is none", resume(session, "1")),
        ],
    )
    .await;
    ("Replayed", rows)
}

async fn cross_origin(address: SocketAddr) -> Section {
    let session = &open_session(address).await;
    let ping = || Request::post(&request(1, "ping")).in_session(session);
    let rows = rows(
        address,
        vec![
            ("an origin elsewhere", ping().with("Origin", "https://evil.test")),
            ("an opaque origin", ping().with("Origin", "null")),
            ("an origin that begins like this machine", ping().with("Origin", "http://localhost.evil.test")),
            ("two origins", ping().with("Origin", "http://localhost").with("Origin", "https://evil.test")),
            ("a preflight from elsewhere", Request::new("OPTIONS", "").with("Origin", "https://evil.test")),
            (
                "a preflight from this machine",
                Request::new("OPTIONS", "").with("Origin", "http://localhost:3000"),
            ),
            (
                "an event stream from elsewhere",
                Request::new("GET", "").in_session(session).with("Origin", "https://evil.test"),
            ),
            ("a host name that is not served (DNS rebinding)", ping().set("Host", "evil.test")),
            ("a host that begins like this machine", ping().set("Host", "localhost.evil.test:80")),
            ("two hosts", ping().with("Host", "evil.test")),
            ("no host", ping().without("Host")),
        ],
    )
    .await;
    ("From another origin", rows)
}

async fn unauthorized() -> Section {
    let check = async |token: String| match token.as_str() {
        "alice" | "bob" => Ok(Principal::new(token, Audience::Verified)),
        "elsewhere" => {
            Ok(Principal::new("alice", Audience::Claimed(vec!["https://other.example.com".to_owned()])))
        }
        _ => Err(AuthorizeError::Invalid("it is unknown".into())),
    };
    let check = move |token| -> std::pin::Pin<Box<dyn Future<Output = _> + Send>> { Box::pin(check(token)) };
    let authorization = Authorization::new("https://mcp.example.com/mcp", ["https://as.example.com"], check)
        .expect("it is one");
    let options = HttpOptions { authorization: Some(authorization), ..options() };
    let address = serve(&server(limits()).0, options).await;
    let by = |token: &str, request: Request| request.with("Authorization", format!("Bearer {token}"));
    let opened = by("alice", Request::post(&initialize())).exchange(address).await;
    let session = opened.headers["mcp-session-id"].to_str().expect("it is text");
    let ping = || Request::post(&request(1, "ping")).in_session(session);
    let get = || Request::new("GET", "").in_session(session);
    let delete = || Request::new("DELETE", "").in_session(session);
    let rows = rows(
        address,
        vec![
            ("no token", ping()),
            ("a token that is not valid", by("mallory", ping())),
            ("a token that was issued for another server", by("elsewhere", ping())),
            ("a token that is none", by("alice bob", ping())),
            ("a token in the URI", ping().path("/mcp?access_token=alice")),
            ("a request to somebody else's session", by("bob", ping())),
            ("GET of somebody else's session", by("bob", get())),
            ("DELETE of somebody else's session", by("bob", delete())),
            ("what its owner gets after all this", by("alice", ping())),
        ],
    )
    .await;
    ("With OAuth", rows)
}

fn document(sections: &[Section]) -> String {
    let mut text = "# What abuse gets

The table is what the test `http_abuse` of `freehold-mcp` saw; it fails when this file says anything else. Error codes are
those of JSON-RPC and MCP; -31001 is *session not found*. No answer says anything of another session or principal: what is
somebody else's gets byte for byte what does not exist gets (tests `resumption` and `authorization`).
"
    .to_owned();
    for (heading, rows) in sections {
        let _ = write!(text, "\n## {heading}\n\n| What | What it gets |\n|---|---|\n");
        for Row { what, gets } in rows {
            let _ = writeln!(text, "| {what} | {gets} |");
        }
    }
    text
}

#[tokio::test]
async fn what_abuse_gets_is_what_the_document_says() {
    let (server, _audience) = server(limits());
    let address = serve(&server, options()).await;
    let mut sections = vec![malformed(address).await, oversized(address).await, slow(&server, address).await];
    sections[2].1.push(too_many().await);
    sections.push(mismatched(address).await);
    sections.push(wrong_session(address).await);
    sections.push(replayed(address).await);
    sections.push(cross_origin(address).await);
    sections.push(unauthorized().await);
    let text = document(&sections);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/http-abuse.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &text).expect("the document can be written");
    }
    let written = fs::read_to_string(&path).expect("the document is there");
    assert_eq!(text, written);
}

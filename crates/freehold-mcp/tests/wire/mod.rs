//! HTTP/1.1 as bytes on a socket, without a client library between the test and what it wants to send.

use crate::stage::within;
use bytes::{Buf, Bytes, BytesMut};
use freehold_mcp::{
    HttpOptions, McpServer,
    freehold::{
        State,
        runtime::{Runtime, TokioRuntime, pause},
    },
};
use http::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The stateless revision.
pub(crate) const STATELESS: &str = "2026-07-28";

/// Serves on a free port until the test's runtime ends.
pub(crate) async fn serve<S: State>(server: &McpServer<S>, options: HttpOptions) -> SocketAddr {
    let listener = server.bind_http("127.0.0.1:0", options).await.expect("a port is free");
    let address = listener.address();
    TokioRuntime.spawn("server", Box::pin(listener.serve()));
    address
}

/// A request as it will be written.
#[derive(Clone)]
pub(crate) struct Request {
    method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) headers: Vec<(&'static str, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// With the headers that every revision wants.
    pub(crate) fn new(method: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![
            ("Host", b"localhost".to_vec()),
            ("Accept", b"application/json, text/event-stream".to_vec()),
            ("Content-Type", b"application/json".to_vec()),
        ];
        Self { method, path: "/mcp", headers, body: body.into() }
    }

    /// A message.
    pub(crate) fn post(message: &Value) -> Self {
        Self::new("POST", message.to_string())
    }

    /// A whole request of the stateless revision, headers and all.
    pub(crate) fn stateless(id: u32, method: &str, params: Value) -> Self {
        Self::stateless_with(id, method, params, json!({}))
    }

    /// The same, of a client that declares these capabilities.
    pub(crate) fn stateless_with(id: u32, method: &str, mut params: Value, capabilities: Value) -> Self {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(STATELESS);
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
        let target = params["name"].as_str().or(params["uri"].as_str()).map(str::to_owned);
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let request = Self::post(&message).with("MCP-Protocol-Version", STATELESS).with("Mcp-Method", method);
        match target {
            Some(target) => request.with("Mcp-Name", target),
            None => request,
        }
    }

    /// A call of a tool, in the stateless revision.
    pub(crate) fn stateless_call(id: u32, tool: &str, arguments: Value) -> Self {
        let params = json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": id } });
        Self::stateless(id, "tools/call", params)
    }

    /// A call of a tool in a session.
    pub(crate) fn call(session: &str, id: u32, tool: &str, arguments: Value) -> Self {
        let params = json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": id } });
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        Self::post(&message).in_session(session)
    }

    pub(crate) fn in_session(self, session: &str) -> Self {
        self.with("Mcp-Session-Id", session)
    }

    /// Adds a line of header, also a second one of a name.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let chunked = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Transfer-Encoding"));
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.headers {
            out.extend_from_slice(format!("{name}: ").as_bytes());
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        if chunked {
            out.extend_from_slice(format!("\r\n{:x}\r\n", self.body.len()).as_bytes());
            out.extend_from_slice(&self.body);
            out.extend_from_slice(b"\r\n0\r\n\r\n");
        } else {
            out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", self.body.len()).as_bytes());
            out.extend_from_slice(&self.body);
        }
        out
    }

    /// Sends it on a connection of its own and reads the whole answer.
    pub(crate) async fn exchange(&self, address: SocketAddr) -> Response {
        let mut connection = self.send(address).await;
        let (status, headers) = connection.head().await;
        let body = connection.body(&headers).await;
        Response { status, headers, body }
    }

    /// Sends it on a connection of its own.
    pub(crate) async fn send(&self, address: SocketAddr) -> Connection {
        Connection::open(address, &self.bytes()).await
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// Opens a session whose client can do all that a client can, and returns its id.
pub(crate) async fn open_session(address: SocketAddr) -> String {
    open_session_as(address, "2025-11-25").await
}

/// The same, of another revision.
pub(crate) async fn open_session_as(address: SocketAddr, version: &str) -> String {
    let params = json!({
        "protocolVersion": version,
        "capabilities": { "sampling": {} },
        "clientInfo": { "name": "test", "version": "1" },
    });
    let message = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    let response = Request::post(&message).exchange(address).await;
    assert_eq!(response.json()["result"]["protocolVersion"], version);
    let session = response.headers["mcp-session-id"].to_str().expect("it is visible ASCII").to_owned();
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let accepted = Request::post(&initialized).in_session(&session).exchange(address).await;
    assert_eq!((accepted.status, accepted.body.len()), (202, 0));
    session
}

/// What a stream of events brings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Comment,
    Message(Value),
}

/// The fields of an event.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields {
    pub(crate) id: Option<String>,
    pub(crate) retry: Option<String>,
    pub(crate) data: Option<String>,
}

impl Fields {
    pub(crate) fn message(&self) -> Value {
        serde_json::from_str(self.data.as_deref().expect("there is data")).expect("the data is JSON")
    }
}

/// One connection, with what was read from it but not yet used.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    /// Decoded from chunks, up to the next whole event.
    events: BytesMut,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr, bytes: &[u8]) -> Self {
        let mut stream = within(TcpStream::connect(address)).await.expect("the server listens");
        // A server that refuses what it has not read yet may close before it is written.
        let _ = within(stream.write_all(bytes)).await;
        Self { stream, buffer: BytesMut::new(), events: BytesMut::new() }
    }

    async fn fill(&mut self) {
        let read = within(self.stream.read_buf(&mut self.buffer)).await.expect("the connection holds");
        assert_ne!(read, 0, "the connection ended in the middle: {:?}", self.buffer);
    }

    /// The next `count` bytes.
    async fn take(&mut self, count: usize) -> Bytes {
        while self.buffer.len() < count {
            self.fill().await;
        }
        self.buffer.split_to(count).freeze()
    }

    /// What stands before `end`, which is taken, too.
    async fn take_until(&mut self, end: &[u8]) -> Bytes {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                let taken = self.buffer.split_to(at).freeze();
                self.buffer.advance(end.len());
                return taken;
            }
            self.fill().await;
        }
    }

    /// Status and headers of the answer.
    pub(crate) async fn head(&mut self) -> (u16, HeaderMap) {
        let head = self.take_until(b"\r\n\r\n").await;
        let head = std::str::from_utf8(&head).expect("the head is text");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("there is a status");
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("a header has a colon");
            let name: HeaderName = name.parse().expect("the name is one");
            (name, value.parse().expect("the value is one"))
        });
        (status.parse().expect("the status is a number"), headers.collect())
    }

    /// The same; nothing if the connection ends instead.
    pub(crate) async fn head_or_end(&mut self) -> Option<(u16, HeaderMap)> {
        while self.buffer.is_empty() {
            // A reset is an end, too.
            if within(self.stream.read_buf(&mut self.buffer)).await.unwrap_or(0) == 0 {
                return None;
            }
        }
        Some(self.head().await)
    }

    /// Leaves everything unread until the server has given the connection up.
    pub(crate) async fn ends_unread(&mut self) {
        let closed = async {
            // Writing is told of a connection that the other side has given up; what is written is no request.
            while self.stream.write_all(b"\r\n").await.is_ok() {
                pause(&TokioRuntime, Duration::from_millis(20)).await;
            }
        };
        within(closed).await;
    }

    pub(crate) async fn body(&mut self, headers: &HeaderMap) -> Vec<u8> {
        if headers.contains_key("transfer-encoding") {
            let mut body = Vec::new();
            while let Some(chunk) = self.chunk().await {
                body.extend_from_slice(&chunk);
            }
            return body;
        }
        let length = headers.get("content-length").map_or(0, |length| {
            length.to_str().ok().and_then(|length| length.parse().ok()).expect("the length is a number")
        });
        self.take(length).await.to_vec()
    }

    /// One chunk; `None` at the orderly end.
    async fn chunk(&mut self) -> Option<Bytes> {
        let size = self.take_until(b"\r\n").await;
        let size = std::str::from_utf8(&size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let chunk = self.take(size.expect("a chunk has a size")).await;
        assert_eq!(self.take(2).await, b"\r\n"[..]);
        (!chunk.is_empty()).then_some(chunk)
    }

    /// Reads the head of a stream of events.
    pub(crate) async fn begins_events(&mut self) {
        let (status, headers) = self.head().await;
        assert_eq!(status, 200);
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "no-cache, no-transform");
        assert_eq!(headers["x-accel-buffering"], "no");
    }

    /// The lines of the next event; `None` at the orderly end.
    async fn lines(&mut self) -> Option<Vec<String>> {
        let end = loop {
            if let Some(at) = self.events.windows(2).position(|window| window == b"\n\n") {
                break at;
            }
            let Some(chunk) = self.chunk().await else {
                assert!(self.events.is_empty(), "the stream ended in the middle of an event");
                return None;
            };
            self.events.extend_from_slice(&chunk);
        };
        let event = self.events.split_to(end);
        self.events.advance(2);
        let text = std::str::from_utf8(&event).expect("events are text");
        Some(text.lines().map(str::to_owned).collect())
    }

    /// The next event; `None` at the orderly end. Checks that a message is one `data` line, and has no id.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        let lines = self.lines().await?;
        match lines.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [comment] if comment.starts_with(':') => Some(Event::Comment),
            ["event: message", data] => {
                let message = data.strip_prefix("data: ").expect("the second line has the data");
                Some(Event::Message(serde_json::from_str(message).expect("the data is JSON")))
            }
            _ => panic!("not an event as it should be: {lines:?}"),
        }
    }

    /// The next event of a stream that can be taken up again, comments left out; `None` at the orderly end.
    pub(crate) async fn fields(&mut self) -> Option<Fields> {
        let fields = async {
            loop {
                let lines = self.lines().await?;
                if lines.iter().all(|line| line.starts_with(':')) {
                    continue;
                }
                let field = |name: &str| {
                    let mut values =
                        lines.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    let value = values.next().map(str::to_owned);
                    assert_eq!(values.next(), None, "the field {name} stands once");
                    value
                };
                return Some(Fields { id: field("id"), retry: field("retry"), data: field("data") });
            }
        };
        within(fields).await
    }

    /// The next event that is no comment. Comments come for ever, so they do not count as a sign of life.
    pub(crate) async fn message(&mut self) -> Option<Value> {
        let message = async {
            loop {
                match self.event().await? {
                    Event::Comment => {}
                    Event::Message(message) => return Some(message),
                }
            }
        };
        within(message).await
    }
}

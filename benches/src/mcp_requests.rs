//! MCP requests as bytes, ready to be sent.

use std::fmt;
use std::io::Write;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

const SESSION_VERSION: &str = "2025-11-25";
const NO_SESSION_ID_VERSION: &str = "2025-06-18";
const STATELESS_VERSION: &str = "2026-07-28";
const CLIENT: &str = r#"{"name":"freehold-bench","version":"1.0.0"}"#;
const CAPABILITIES: &str = r#"{"elicitation":{}}"#;

/// The ways of speaking MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Era {
    /// 2025-11-25: initialize, then a session id on every request.
    Session,
    /// 2025-06-18 with a server that gives no session id: initialize, then requests that say nothing of it.
    NoSessionId,
    /// 2026-07-28: every request carries version, client and capabilities.
    Stateless,
}

impl Era {
    /// The protocol version spoken.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::Session => SESSION_VERSION,
            Self::NoSessionId => NO_SESSION_ID_VERSION,
            Self::Stateless => STATELESS_VERSION,
        }
    }
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Session => "session",
            Self::NoSessionId => "no session id",
            Self::Stateless => "stateless",
        })
    }
}

/// A call of one of the tools that every server under test offers.
#[derive(Debug, Clone, Copy)]
pub enum ToolCall<'a> {
    /// Answers the text, which must need no escaping in JSON.
    Echo(&'a str),
    /// Answers after so many milliseconds.
    Slow(u64),
    /// Sends `n` progress notifications of `bytes` each, then answers.
    Flood {
        /// How many notifications.
        n: u32,
        /// How long each one's message is.
        bytes: usize,
    },
}

impl ToolCall<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Echo(_) => "echo",
            Self::Slow(_) => "slow",
            Self::Flood { .. } => "flood",
        }
    }

    fn write_arguments(self, out: &mut Vec<u8>) {
        match self {
            Self::Echo(text) => put(out, format_args!(r#"{{"text":"{text}"}}"#)),
            Self::Slow(ms) => put(out, format_args!(r#"{{"ms":{ms}}}"#)),
            Self::Flood { n, bytes } => put(out, format_args!(r#"{{"n":{n},"bytes":{bytes}}}"#)),
        }
    }
}

/// Writes requests into a buffer of its own, one after the other.
#[derive(Debug)]
pub struct RequestWriter {
    era: Era,
    port: u16,
    session: Option<String>,
    body: Vec<u8>,
    request: Vec<u8>,
}

impl RequestWriter {
    /// Requests for the server at `port`.
    #[must_use]
    pub fn new(era: Era, port: u16) -> Self {
        Self { era, port, session: None, body: Vec::new(), request: Vec::new() }
    }

    /// From now on requests belong to this session.
    pub fn set_session(&mut self, session: String) {
        self.session = Some(session);
    }

    /// The session that requests belong to.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// `initialize`, which belongs to no session.
    pub fn initialize(&mut self, id: u64) -> &[u8] {
        let version = self.era.version();
        self.session = None;
        self.body.clear();
        put(
            &mut self.body,
            format_args!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{CAPABILITIES},"clientInfo":{CLIENT}}}}}"#
            ),
        );
        self.post("initialize", None)
    }

    /// `notifications/initialized`.
    pub fn initialized(&mut self) -> &[u8] {
        self.body.clear();
        put(&mut self.body, format_args!(r#"{{"jsonrpc":"2.0","method":"notifications/initialized"}}"#));
        self.post("notifications/initialized", None)
    }

    /// `tools/call`. A flood asks for progress.
    pub fn tool_call(&mut self, id: u64, call: ToolCall<'_>) -> &[u8] {
        let name = call.name();
        self.body.clear();
        put(
            &mut self.body,
            format_args!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}","arguments":"#
            ),
        );
        call.write_arguments(&mut self.body);
        let token = matches!(call, ToolCall::Flood { .. }).then_some(id);
        write_meta(&mut self.body, self.era, token);
        self.body.extend_from_slice(b"}}");
        self.post("tools/call", Some(name))
    }

    /// DELETE, which ends the session.
    pub fn end_session(&mut self) -> &[u8] {
        self.request.clear();
        let port = self.port;
        put(&mut self.request, format_args!("DELETE /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"));
        self.put_session_headers();
        self.request.extend_from_slice(b"\r\n");
        &self.request
    }

    fn post(&mut self, method: &str, name: Option<&str>) -> &[u8] {
        self.request.clear();
        let (port, length) = (self.port, self.body.len());
        put(
            &mut self.request,
            format_args!(
                "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
                 Accept: application/json, text/event-stream\r\nContent-Length: {length}\r\n"
            ),
        );
        match self.era {
            Era::Session => self.put_session_headers(),
            Era::NoSessionId => self.put_version_header(),
            Era::Stateless => self.put_stateless_headers(method, name),
        }
        self.request.extend_from_slice(b"\r\n");
        self.request.extend_from_slice(&self.body);
        &self.request
    }

    fn put_session_headers(&mut self) {
        if let Some(session) = &self.session {
            put(&mut self.request, format_args!("Mcp-Session-Id: {session}\r\n"));
            self.put_version_header();
        }
    }

    fn put_version_header(&mut self) {
        put(&mut self.request, format_args!("MCP-Protocol-Version: {}\r\n", self.era.version()));
    }

    fn put_stateless_headers(&mut self, method: &str, name: Option<&str>) {
        self.put_version_header();
        put(&mut self.request, format_args!("Mcp-Method: {method}\r\n"));
        if let Some(name) = name {
            put(&mut self.request, format_args!("Mcp-Name: {name}\r\n"));
        }
    }
}

fn write_meta(out: &mut Vec<u8>, era: Era, token: Option<u64>) {
    match (era, token) {
        (Era::Session | Era::NoSessionId, None) => {}
        (Era::Session | Era::NoSessionId, Some(token)) => {
            put(out, format_args!(r#","_meta":{{"progressToken":{token}}}"#));
        }
        (Era::Stateless, token) => {
            out.extend_from_slice(br#","_meta":{"#);
            if let Some(token) = token {
                put(out, format_args!(r#""progressToken":{token},"#));
            }
            put(
                out,
                format_args!(
                    r#""io.modelcontextprotocol/protocolVersion":"{STATELESS_VERSION}","io.modelcontextprotocol/clientInfo":{CLIENT},"io.modelcontextprotocol/clientCapabilities":{CAPABILITIES}}}"#
                ),
            );
        }
    }
}

fn put(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes every byte");
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Era, RequestWriter, ToolCall};

    fn body(request: &[u8]) -> Value {
        let text = str::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn calls() {
        let rows = [
            (ToolCall::Echo("hi"), json!({"name": "echo", "arguments": {"text": "hi"}})),
            (ToolCall::Slow(5), json!({"name": "slow", "arguments": {"ms": 5}})),
            (
                ToolCall::Flood { n: 2, bytes: 9 },
                json!({"name": "flood", "arguments": {"n": 2, "bytes": 9}, "_meta": {"progressToken": 7}}),
            ),
        ];
        for (call, params) in rows {
            let mut writer = RequestWriter::new(Era::Session, 1);
            let expected = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
            assert_eq!(body(writer.tool_call(7, call)), expected, "{call:?}");
        }
    }

    #[test]
    fn stateless_calls_carry_everything() {
        for call in [ToolCall::Echo("hi"), ToolCall::Flood { n: 2, bytes: 9 }] {
            let mut writer = RequestWriter::new(Era::Stateless, 1);
            let request = writer.tool_call(7, call);
            assert_eq!(
                body(request)["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"],
                "2026-07-28"
            );
            let head = String::from_utf8_lossy(request).into_owned();
            for header in ["MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: "] {
                assert!(head.contains(header), "{head}");
            }
        }
    }

    #[test]
    fn without_a_session_id_there_is_only_the_version() {
        let mut writer = RequestWriter::new(Era::NoSessionId, 1);
        assert_eq!(body(writer.initialize(1))["params"]["protocolVersion"], "2025-06-18");
        let text = String::from_utf8_lossy(writer.tool_call(7, ToolCall::Echo("hi"))).into_owned();
        assert!(text.contains("MCP-Protocol-Version: 2025-06-18\r\n"), "{text}");
        assert!(!text.contains("Mcp-Session-Id") && !text.contains("_meta"), "{text}");
    }

    #[test]
    fn sessions() {
        let mut writer = RequestWriter::new(Era::Session, 1);
        assert_eq!(body(writer.initialize(1))["params"]["protocolVersion"], "2025-11-25");
        writer.set_session("s1".to_owned());
        for request in [writer.initialized().to_vec(), writer.end_session().to_vec()] {
            let text = String::from_utf8(request).unwrap();
            assert!(text.contains("Mcp-Session-Id: s1\r\n"), "{text}");
        }
    }
}

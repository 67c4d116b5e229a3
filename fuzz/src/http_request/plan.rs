//! An input as requests. Requests stand one after the other, with a line `%%` between them:
//!
//! ```text
//! 0100
//! MCP-Protocol-Version: 2026-07-28
//!
//! {"jsonrpc":"2.0", ...
//! ```
//!
//! The first line chooses, one character each: method, session and revision, front door, delivery of the body; what is
//! missing is 0, the usual. Headers follow, which replace those that were chosen (`:path` is the target), an empty line
//! and the body. So inputs can be read, and whatever is changed in them is still requests.

use super::{
    body::{Delivery, SentBody},
    mirrors,
};
use crate::oracle::Members;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};

/// How a request names its session and its revision.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    InSession,
    Stateless,
    NoSession,
    InSessionWithoutVersion,
    InNoSuchSession,
    InTwoSessions,
    Both,
    InNonsense,
}

/// What stands at the front door.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Front {
    Usual,
    Browser,
    ForeignBrowser,
    WrongPath,
    NoHost,
    NoAccept,
    WrongType,
    NoToken,
    Token,
    UriHost,
    ForeignHost,
}

/// The entry of `table` that a character chooses: 0 to 9 are the first ten.
fn choice<T: Copy, const N: usize>(characters: &mut impl Iterator<Item = u8>, table: [T; N]) -> T {
    let character = characters.next().unwrap_or(b'0');
    table[usize::from(character.wrapping_sub(b'0')) % N]
}

/// One request.
pub(super) struct Plan<'a> {
    method: Method,
    speaks: Speaks,
    front: Front,
    delivery: Delivery,
    headers: Vec<(&'a [u8], &'a [u8])>,
    pub(super) body: &'a [u8],
}

/// The requests of an input; more than a few only take time.
pub(super) fn plans(data: &[u8]) -> impl Iterator<Item = Plan<'_>> {
    const MOST: usize = 6;
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let (part, after) = split(rest.take()?, b"\n%%\n");
        rest = after;
        Some(Plan::read(part))
    })
    .take(MOST)
}

fn split<'a>(data: &'a [u8], at: &[u8]) -> (&'a [u8], Option<&'a [u8]>) {
    match data.windows(at.len()).position(|window| window == at) {
        Some(found) => (&data[..found], Some(&data[found + at.len()..])),
        None => (data, None),
    }
}

impl<'a> Plan<'a> {
    fn read(part: &'a [u8]) -> Self {
        let (choices, mut rest) = split(part, b"\n");
        let choices = &mut choices.iter().copied();
        let custom = Method::from_bytes(b"BREW").expect("a token");
        let methods: [&Method; 12] = [
            &Method::POST,
            &Method::POST,
            &Method::POST,
            &Method::POST,
            &Method::POST,
            &Method::GET,
            &Method::DELETE,
            &Method::OPTIONS,
            &Method::PUT,
            &Method::HEAD,
            &Method::CONNECT,
            &custom,
        ];
        let method = choice(choices, methods).clone();
        let speaks = choice(
            choices,
            [
                Speaks::InSession,
                Speaks::Stateless,
                Speaks::NoSession,
                Speaks::InSessionWithoutVersion,
                Speaks::InNoSuchSession,
                Speaks::InTwoSessions,
                Speaks::Both,
                Speaks::InNonsense,
            ],
        );
        let front = choice(
            choices,
            [
                Front::Usual,
                Front::Browser,
                Front::ForeignBrowser,
                Front::WrongPath,
                Front::NoHost,
                Front::NoAccept,
                Front::WrongType,
                Front::NoToken,
                Front::Token,
                Front::UriHost,
                Front::ForeignHost,
                Front::Usual,
            ],
        );
        let delivery = choice(choices, Delivery::ALL);
        let mut headers = Vec::new();
        let mut body: &[u8] = &[];
        while let Some(text) = rest {
            let (line, after) = split(text, b"\n");
            if line.is_empty() {
                body = after.unwrap_or_default();
                break;
            }
            // The colon of a pseudo-header's name is not the one before its value.
            if let Some(colon) = line.iter().skip(1).position(|byte| *byte == b':') {
                headers.push((&line[..=colon], line[colon + 2..].trim_ascii()));
            }
            rest = after;
        }
        Self { method, speaks, front, delivery, headers, body }
    }

    /// Whether the server with a token is asked.
    pub(super) fn needs_token(&self) -> bool {
        matches!(self.front, Front::NoToken | Front::Token)
    }

    pub(super) fn is_post(&self) -> bool {
        self.method == Method::POST
    }

    /// Whether nothing at the front door can refuse it: what it says is read.
    pub(super) fn gets_in(&self) -> bool {
        let front = matches!(self.front, Front::Usual | Front::Browser | Front::Token | Front::UriHost);
        front && self.headers.is_empty()
    }

    /// Whether the whole body arrives.
    pub(super) fn is_delivered(&self) -> bool {
        self.delivery.is_whole()
    }

    /// The request. `live` is a session that exists.
    pub(super) fn request(&self, live: &HeaderValue) -> Request<SentBody> {
        let mut request = Request::new(SentBody::new(self.body, self.delivery));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = match self.front {
            Front::WrongPath => Uri::from_static("/elsewhere"),
            Front::UriHost => Uri::from_static("http://localhost/mcp"),
            _ => Uri::from_static("/mcp"),
        };
        let headers = request.headers_mut();
        self.knock(headers);
        self.speak(headers, live);
        let mut replaced: Vec<HeaderName> = Vec::new();
        for &(name, value) in &self.headers {
            if name == b":path" {
                if let Ok(uri) = Uri::from_maybe_shared(Bytes::copy_from_slice(value)) {
                    *request.uri_mut() = uri;
                }
                continue;
            }
            let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) else {
                continue;
            };
            let headers = request.headers_mut();
            if replaced.contains(&name) {
                headers.append(name, value);
            } else {
                headers.insert(&name, value);
                replaced.push(name);
            }
        }
        request
    }

    /// The headers of the front door.
    fn knock(&self, headers: &mut HeaderMap) {
        let mut set = |name: HeaderName, value: &'static str| {
            headers.insert(name, HeaderValue::from_static(value));
        };
        match self.front {
            Front::NoHost | Front::UriHost => {}
            Front::ForeignHost => set(header::HOST, "evil.test"),
            _ => set(header::HOST, "127.0.0.1:8080"),
        }
        if self.front != Front::NoAccept {
            set(header::ACCEPT, "application/json, text/event-stream");
        }
        set(
            header::CONTENT_TYPE,
            if self.front == Front::WrongType { "text/plain" } else { "application/json" },
        );
        match self.front {
            Front::Browser => set(header::ORIGIN, "http://localhost:6274"),
            Front::ForeignBrowser => set(header::ORIGIN, "https://evil.test"),
            Front::Token => set(header::AUTHORIZATION, "Bearer secret"),
            _ => {}
        }
    }

    /// The headers of the protocol.
    fn speak(&self, headers: &mut HeaderMap, live: &HeaderValue) {
        let version = match self.speaks {
            Speaks::InSession | Speaks::InTwoSessions => Some("2025-11-25"),
            Speaks::Stateless | Speaks::Both => Some("2026-07-28"),
            _ => None,
        };
        if let Some(version) = version {
            headers.insert("mcp-protocol-version", HeaderValue::from_static(version));
        }
        let session = match self.speaks {
            Speaks::Stateless | Speaks::NoSession => None,
            Speaks::InNoSuchSession => Some(HeaderValue::from_static("00000000000000000000000000000000")),
            Speaks::InNonsense => Some(HeaderValue::from_static("nonsense")),
            _ => Some(live.clone()),
        };
        if let Some(session) = session {
            headers.insert("mcp-session-id", session.clone());
            if self.speaks == Speaks::InTwoSessions {
                headers.append("mcp-session-id", session);
            }
        }
        if version == Some("2026-07-28")
            && let Some(members) = Members::read(self.body)
        {
            mirrors::write(headers, members.once("method"), members.once("params"));
        }
    }
}

mod body;
mod mirrors;
mod plan;

use crate::server::{SESSIONS, calls_end, check_message, runtime, server, within};
use freehold_mcp::{
    HttpBody, HttpOptions, HttpService, McpServer,
    freehold::{
        Limits, Message, RequestId,
        message::{Decoded, decode},
    },
};
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use plan::{Plan, plans};
use serde_json::Value;
use std::cell::{OnceCell, RefCell};
use tokio::runtime::Runtime;

/// The code of the refusal of headers that differ from the body.
const HEADER_MISMATCH: i64 = -32_020;

thread_local! {
    // Leaked: what it is made of must not outlive the thread's other variables.
    static WORLD: OnceCell<&'static World> = const { OnceCell::new() };
}

/// Any requests, one after the other, to one server that lives as long as the process: each gets a response, in the
/// forms of the protocol; nothing is left of them but sessions, and of these not too many.
///
/// The format of the input is described in `http_request/plan.rs`.
///
/// # Panics
///
/// When that does not hold.
pub fn http_request(data: &[u8]) {
    WORLD.with(|world| {
        let world = world.get_or_init(|| Box::leak(Box::new(World::new())));
        world.runtime.block_on(world.visit(data));
    });
}

struct World {
    runtime: Runtime,
    server: McpServer<()>,
    open: HttpService<()>,
    with_token: HttpService<()>,
    /// A session that outlives inputs, unless one ends it.
    session: RefCell<HeaderValue>,
}

/// What a request was, as far as its response depends on it.
struct Asked {
    is_post: bool,
    gets_in: bool,
    /// What its body said, if that arrived.
    message: Option<Verdict>,
    /// Whether its headers repeat its body, as stateless requests must.
    mirrors: Option<bool>,
}

enum Verdict {
    Request { id: RequestId, ends: bool },
    NotARequest,
    Malformed(Option<RequestId>),
}

impl Verdict {
    fn of(body: &[u8], limits: &Limits) -> Self {
        match decode(body, limits) {
            Decoded::Single(Ok(Message::Request(request))) => {
                Self::Request { id: request.id, ends: request.method != "subscriptions/listen" }
            }
            Decoded::Single(Ok(_)) => Self::NotARequest,
            Decoded::Single(Err(malformed)) => Self::Malformed(malformed.id),
            Decoded::Batch(_) => Self::Malformed(None),
        }
    }

    fn id(&self) -> Option<Value> {
        let id = match self {
            Self::Request { id, .. } | Self::Malformed(Some(id)) => id,
            _ => return None,
        };
        Some(serde_json::to_value(id).expect("an id is JSON"))
    }
}

impl World {
    fn new() -> Self {
        let runtime = runtime();
        let server = runtime.block_on(async { server() });
        let open = HttpService::new(server.clone(), HttpOptions::default());
        let options = HttpOptions { token: Some("secret".into()), ..HttpOptions::default() };
        let with_token = HttpService::new(server.clone(), options);
        let session = RefCell::new(HeaderValue::from_static("none yet"));
        Self { runtime, server, open, with_token, session }
    }

    async fn visit(&self, data: &[u8]) {
        let mut streams = Vec::new();
        for plan in plans(data) {
            self.live().await;
            if let Some(stream) = self.exchange(&plan).await {
                streams.push(stream);
            }
        }
        let cancels = data.windows(9).any(|window| window == b"cancelled");
        for (stream, asked) in streams {
            self.read_events(stream, &asked, cancels).await;
        }
        calls_end(&self.server).await;
        assert!(self.server.engine().session_count() <= SESSIONS);
    }

    /// Makes sure that there is a live session.
    async fn live(&self) {
        let known = self.session.borrow().to_str().ok().and_then(|id| id.parse().ok());
        if known.is_some_and(|id| self.server.engine().session(id).is_ok()) {
            return;
        }
        let opening = concat!(
            "02\n\n",
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","#,
            r#""capabilities":{"elicitation":{}},"clientInfo":{"name":"c","version":"1"}}}"#,
        );
        let plan = plans(opening.as_bytes()).next().expect("one request");
        let none = self.exchange(&plan).await;
        assert!(none.is_none());
    }

    /// Sends one request and checks its response; the rest of it, if it goes on.
    async fn exchange(&self, plan: &Plan<'_>) -> Option<(HttpBody, Asked)> {
        /// For what a response needs besides its body's parts.
        const POLLS: usize = 32;
        let request = plan.request(&self.session.borrow());
        let limits = self.server.engine().limits();
        let message = (plan.is_post() && plan.is_delivered()).then(|| Verdict::of(plan.body, limits));
        let mirrors = message.as_ref().and_then(|_| mirrors::agree(request.headers(), plan.body));
        let asked = Asked { is_post: plan.is_post(), gets_in: plan.gets_in(), message, mirrors };
        let service = if plan.needs_token() { &self.with_token } else { &self.open };
        let budget = POLLS + 2 * plan.body.len();
        let response = within(&self.server, budget, service.handle(request)).await;
        if let Some(opened) = response.headers().get("mcp-session-id") {
            *self.session.borrow_mut() = opened.clone();
        }
        self.check_response(response, asked).await
    }

    async fn check_response(&self, response: Response<HttpBody>, asked: Asked) -> Option<(HttpBody, Asked)> {
        let status = response.status();
        let known = [200, 202, 204, 400, 401, 403, 404, 405, 406, 408, 413, 415, 503];
        assert!(known.contains(&status.as_u16()), "{status}");
        assert!(
            status != StatusCode::OK || asked.mirrors != Some(false),
            "headers that differ from the body were taken"
        );
        let kind = response.headers().get(CONTENT_TYPE).map(|kind| kind.to_str().expect("text").to_owned());
        let mut body = response.into_body();
        match kind.as_deref() {
            None => {
                assert!(body.frame().await.is_none(), "an empty body");
                let request = matches!(asked.message, Some(Verdict::Request { .. }));
                assert!(!(request && status == StatusCode::ACCEPTED), "a request needs more");
            }
            Some("application/json") => {
                let whole = whole(&mut body).await;
                let (id, is_answer) = check_message(&whole);
                assert!(is_answer);
                if asked.mirrors == Some(true) {
                    let answer: Value = serde_json::from_slice(&whole).expect("it was checked");
                    assert_ne!(
                        answer["error"]["code"], HEADER_MISMATCH,
                        "the headers say what the body says"
                    );
                }
                let expected = asked.message.as_ref().and_then(Verdict::id);
                // Only a refusal before the body was read may have none.
                let must_have = status == StatusCode::OK || asked.gets_in;
                assert!(id == expected || (id.is_none() && !must_have), "{id:?} for {expected:?}");
            }
            Some("text/event-stream") => {
                assert_eq!(status, StatusCode::OK);
                return Some((body, asked));
            }
            other => panic!("{other:?}"),
        }
        None
    }

    /// Reads a stream of events: to its end if it has one.
    async fn read_events(&self, mut stream: HttpBody, asked: &Asked, cancels: bool) {
        /// How many comments in a row end the reading of a stream that may stay open.
        const QUIET: usize = 2;
        /// And of one that must end: more than the longest deadline and question have.
        const TOO_QUIET: usize = 100;
        let (id, ends) = match &asked.message {
            Some(verdict @ Verdict::Request { ends, .. }) => (verdict.id(), *ends),
            _ => (None, false),
        };
        assert!(id.is_some() || !asked.is_post, "only a request gets a stream");
        let (mut quiet, mut answered) = (0, false);
        while let Some(event) = within(&self.server, 64, stream.frame()).await {
            let event = event.expect("infallible").into_data().expect("no trailers");
            assert!(!answered, "the answer is the last event");
            if event.starts_with(b":") {
                assert_eq!(event, ": keep-alive\n\n");
                quiet += 1;
                assert!(quiet < TOO_QUIET, "no end");
                if quiet > QUIET && !ends {
                    return;
                }
                continue;
            }
            quiet = 0;
            let message = event.strip_prefix(b"event: message\ndata: ").expect("an event");
            let message = message.strip_suffix(b"\n\n").expect("a whole event");
            assert!(!message.contains(&b'\n') && !message.contains(&b'\r'), "on one line");
            let (event_id, is_answer) = check_message(message);
            if is_answer {
                assert_eq!(event_id, id);
                answered = true;
            }
        }
        // An ended session ends its streams; who cancels gets no answer.
        assert!(answered || cancels || !asked.is_post, "the stream ended without an answer");
    }
}

async fn whole(body: &mut HttpBody) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        bytes.extend_from_slice(&frame.expect("infallible").into_data().expect("no trailers"));
    }
    bytes
}

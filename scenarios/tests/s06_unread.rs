//! S-06: a subscriber that never reads.

mod sdk;

use freehold_mcp::{
    LogLevel, Tool, ToolError,
    freehold::{Limits, OutcomeKind},
};
use freehold_scenarios::{
    Builder, Client, Connection, Ctx, Cut, Outcome, Pace, TestServer, Transport, checks, http_request,
    limits::limited, limits::patient, limits::prompt, over_both_transports,
};
use rmcp::{
    ServiceExt,
    service::{PeerRequestOptions, RequestHandle},
};
use serde_json::{Value, json};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpSocket,
};

over_both_transports!(default_queues => s06_default_queues_http, s06_default_queues_stdio);
over_both_transports!(smallest_queues => s06_smallest_queues_http, s06_smallest_queues_stdio);

/// Of each kind.
const NOTIFICATIONS: u64 = 10_000;
const KINDS: [&str; 3] =
    ["notifications/progress", "notifications/message", "notifications/resources/updated"];
const TOPIC: &str = "file:///resource";

/// Sends notifications of each kind, without a pause, and then answers.
async fn flood(ctx: &Ctx, (): ()) -> Result<&'static str, ToolError> {
    for number in 1..=NOTIFICATIONS {
        ctx.progress(number as f64, None, None);
        ctx.log(LogLevel::Info, &json!({ "number": number }));
        let update = json!({ "uri": TOPIC, "number": number });
        ctx.engine().publish(TOPIC, KINDS[2], &update)?;
    }
    Ok("flooded")
}

fn with_flood(builder: Builder) -> Builder {
    builder.tool(Tool::new("flood", "Sends many notifications.", flood))
}

async fn default_queues(transport: Transport) {
    unread(transport, patient()).await;
}

async fn smallest_queues(transport: Transport) {
    // Room for two answers: more of them, unread, end a session by their own bound.
    let limits = Limits { stream_messages: 1, stream_bytes: 512, stream_answer_bytes: 1 << 10, ..patient() };
    unread(transport, limits).await;
}

/// What a client over HTTP does not read.
struct Unread {
    call: Connection,
    stream: Connection,
}

async fn unread_request(server: &TestServer, method: &str, client: &Client, body: &str) -> Connection {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 << 10).expect("a small buffer");
    let mut connection = Connection::on(socket.connect(server.address).await.expect("a connection"));
    let session = client.session.to_string();
    let request = http_request(method, server.address, &[("mcp-session-id", &session)], body);
    connection.send(&request, &mut Pace::Whole).await.expect("it is sent");
    connection
}

/// Calls `flood` and stops reading; the call's id.
async fn start_unread(server: &TestServer, transport: Transport, client: &Client) -> (Value, Option<Unread>) {
    let (id, text) =
        client.prepare("tools/call", json!({ "name": "flood", "_meta": { "progressToken": 1 } }));
    match transport {
        Transport::Http => {
            let stream = unread_request(server, "GET", client, "").await;
            let session = server.session(client.session);
            checks::eventually("the stream is open", || session.lag().listeners == 1).await;
            let call = unread_request(server, "POST", client, &text).await;
            (id, Some(Unread { call, stream }))
        }
        Transport::Stdio => {
            client.pause_reading();
            client.raw(&text).await;
            (id, None)
        }
    }
}

async fn unread(transport: Transport, limits: Limits) {
    let room = limits.stream_messages;
    let server = TestServer::with(limits, with_flood).await;
    let client = Client::connect(&server, transport).await;
    let session = server.session(client.session);
    assert!(session.subscribe(TOPIC));
    client.request("logging/setLevel", json!({ "level": "debug" })).await;

    let (first, unread) = start_unread(&server, transport, &client).await;
    answered(&server, 1).await;
    let second = client.call("echo", json!({ "text": "second" }));
    answered(&server, 2).await;
    if transport == Transport::Http {
        // It has a connection of its own, which is read.
        assert_eq!(client.answer(&second).await["result"]["content"][0]["text"], "second");
    }
    // Nobody reads, and it is bounded: what may wait, and the answers.
    let lag = session.lag();
    assert!(lag.waiting <= lag.most_waiting && lag.most_waiting <= room + 2, "{lag:?}");
    assert!(lag.dropped > 0, "{lag:?}");
    assert_eq!(lag.dropped, server.engine().counters().notifications_dropped);
    assert_eq!(server.engine().call_count(), 0, "nothing waits for the reader");

    // What was not dropped is there, and so are the answers.
    let stream = read_on(&client, unread).await;
    let answer = client.answer(&first).await;
    assert_eq!(answer["result"]["content"][0]["text"], "flooded", "{answer}");
    assert_eq!(client.answer(&second).await["result"]["content"][0]["text"], "second");
    let all = 3 * NOTIFICATIONS - lag.dropped;
    checks::eventually("the rest has come", || client.inbox.notifications().len() as u64 >= all).await;
    assert_eq!(client.inbox.notifications().len() as u64, all, "each came or was counted as dropped");
    in_order(&client);
    drop(stream);
    checks::everything(&server, vec![client]).await;
}

async fn answered(server: &TestServer, count: usize) {
    let all = || server.record.outcomes("tools/call", OutcomeKind::Answered) == count;
    checks::eventually("the requests are answered", all).await;
}

/// Reads what was left unread; the task that reads the session's stream, if that is another one.
async fn read_on(client: &Client, unread: Option<Unread>) -> Option<tokio::task::JoinHandle<()>> {
    let Some(Unread { mut call, mut stream }) = unread else {
        client.resume_reading();
        return None;
    };
    prompt("the call's stream ends", call.response(&client.inbox)).await.expect("a whole response");
    let inbox = client.inbox.clone();
    Some(tokio::spawn(async move {
        let _ = stream.response(&inbox).await;
    }))
}

/// Of each kind those that came are in order; the last of them all is there: it is the oldest that go.
fn in_order(client: &Client) {
    let notifications = client.inbox.notifications();
    for kind in KINDS {
        let of_kind = notifications.iter().filter(|message| message["method"] == kind);
        let numbers: Vec<_> = of_kind.map(|message| number_of(&message["params"])).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{kind}");
    }
    let update = notifications.iter().rfind(|message| message["method"] == KINDS[2]).expect("at least one");
    assert_eq!(number_of(&update["params"]), NOTIFICATIONS);
}

fn number_of(params: &Value) -> u64 {
    let number = [&params["number"], &params["data"]["number"]].into_iter().find_map(Value::as_u64);
    number.or_else(|| params["progress"].as_f64().map(|progress| progress as u64)).expect("a number")
}

/// The bound of the answers themselves: the subscriber is closed, with a reason, and no answer is lost in silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_too_many_answers_stdio() {
    limited(async {
        let limits = Limits { stream_messages: 1, stream_answer_bytes: 64 << 10, ..patient() };
        let server = TestServer::with(limits, with_flood).await;
        let client = Client::connect(&server, Transport::Stdio).await;
        client.pause_reading();
        let ids: Vec<_> =
            (0..40).map(|_| client.call("echo", json!({ "text": "x".repeat(8 << 10) }))).collect();
        let reason = server.record.closed(client.session).await;
        assert_eq!(reason, freehold_mcp::freehold::CloseReason::StreamOverflowed);
        client.resume_reading();
        prompt("the output ends", client.inbox.until_closed()).await;
        let ended =
            ids.iter().filter(|id| matches!(client.inbox.outcomes(id)[..], [Outcome::Ended(_)])).count();
        assert!(ended > 0, "who got no answer saw the end");
        client.kill(Cut::Close).await;
        checks::everything(&server, vec![]).await;
    })
    .await;
}

/// An input that can be held up.
struct Gated<R> {
    input: R,
    gate: Arc<Mutex<Gate>>,
}

#[derive(Default)]
struct Gate {
    shut: bool,
    waiting: Option<Waker>,
}

fn open(gate: &Mutex<Gate>, open: bool) {
    let mut gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
    gate.shut = !open;
    if let Some(waiting) = gate.waiting.take() {
        waiting.wake();
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Gated<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = &mut *self;
        {
            let mut gate = this.gate.lock().unwrap_or_else(PoisonError::into_inner);
            gate.waiting = Some(cx.waker().clone());
            if gate.shut {
                return Poll::Pending;
            }
        }
        Pin::new(&mut this.input).poll_read(cx, buf)
    }
}

/// The SDK's client always reads; here its pipe is held up. (Over HTTP it has a connection for each call, and holding up
/// one of them is what the raw client does.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_sdk_client_stdio() {
    limited(async {
        for limits in [patient(), Limits { stream_messages: 1, stream_bytes: 512, ..patient() }] {
            let server = TestServer::with(limits, with_flood).await;
            let (input, output) = server.pipes();
            let gate = Arc::new(Mutex::new(Gate::default()));
            let pipes = (Gated { input, gate: gate.clone() }, output);
            let connecting = Box::pin(sdk::Person.serve(pipes));
            let client = prompt("the SDK's client connects", connecting).await.expect("a session");
            for session in server.engine().sessions() {
                session.subscribe(TOPIC);
            }
            open(&gate, false);
            let first = sdk::start(&client, "flood", json!({}), PeerRequestOptions::no_options()).await;
            answered(&server, 1).await;
            let text = json!({ "text": "second" });
            let second = sdk::start(&client, "echo", text, PeerRequestOptions::no_options()).await;
            answered(&server, 2).await;
            assert!(server.engine().counters().notifications_dropped > 0);
            open(&gate, true);
            for call in [first, second] {
                finished(call).await;
            }
            sdk::leave(client).await;
            checks::everything(&server, vec![]).await;
        }
    })
    .await;
}

async fn finished(call: RequestHandle<rmcp::RoleClient>) {
    prompt("the SDK's client is answered", call.await_response()).await.expect("an answer");
}

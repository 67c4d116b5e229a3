//! S-19: stop with everything open.
//!
//! The operating system's stop signal is sent to the real binary in `freehold-cli`'s tests. The child that ignores the
//! polite signal needs the gateway, which does not exist yet.

mod sdk;

use freehold_mcp::{
    Tool, ToolError,
    freehold::{CloseReason, DrainReport, ErrorCode, Limits, OutcomeKind},
};
use freehold_scenarios::{
    Builder, Client, Connection, Ctx, Cut, Outcome, Pace, Probe, Seen, TestServer, Transport, checks,
    http_request, limits::patient, limits::prompt, over_both_transports,
};
use rmcp::service::PeerRequestOptions;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{
    io::{ReadHalf, WriteHalf},
    net::TcpSocket,
};

over_both_transports!(everything_open => s19_everything_open_http, s19_everything_open_stdio);
over_both_transports!(one_session_alone => s19_one_session_alone_http, s19_one_session_alone_stdio);
over_both_transports!(sdk_clients => s19_sdk_clients_http, s19_sdk_clients_stdio);

/// G.
const GRACE: Duration = Duration::from_millis(1_000);
/// What a stop may take beyond its grace.
const MARGIN: Duration = Duration::from_millis(500);
const STATELESS: &str = "2026-07-28";

/// Sends progress until it is cancelled, to a client that does not read.
async fn flood(ctx: &Ctx, (): ()) -> Result<&'static str, ToolError> {
    ctx.app::<Probe>().enter();
    let message = "x".repeat(16 << 10);
    for sent in 0.. {
        if ctx.cancel_reason().is_some() {
            break;
        }
        ctx.progress(f64::from(sent), None, Some(&message));
        tokio::task::yield_now().await;
    }
    Ok("nobody reads this")
}

fn with_flood(builder: Builder) -> Builder {
    builder.tool(Tool::new("flood", "Sends without end.", flood))
}

fn limits() -> Limits {
    Limits { cancel_grace: Duration::from_millis(200), ..patient() }
}

/// All that is open when the stop comes.
struct Open {
    /// Has a stream, a call that ends soon, one that never ends and one that ignores its cancel.
    client: Client,
    short: Value,
    never: Value,
    stubborn: Value,
    /// Listens to changes without a session.
    subscription: Subscription,
    /// Does not read what it is sent.
    blocked: Client,
    flood: Option<Connection>,
    /// Has said nothing at all.
    idle: Vec<Idle>,
}

enum Subscription {
    Http(Connection),
    Stdio(Client, Value),
}

#[expect(dead_code, reason = "held open")]
enum Idle {
    Connection(Connection),
    Pipe(ReadHalf<tokio::io::DuplexStream>, WriteHalf<tokio::io::DuplexStream>),
}

fn subscribe_params() -> Value {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": STATELESS,
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({ "_meta": meta, "notifications": { "toolsListChanged": true } })
}

async fn subscribe(server: &TestServer, transport: Transport) -> Subscription {
    if transport == Transport::Stdio {
        let client = Client::connect(server, transport).await;
        let id = client.send("subscriptions/listen", subscribe_params());
        let acknowledged = client.inbox.notification("notifications/subscriptions/acknowledged", 1);
        prompt("the subscription is acknowledged", acknowledged).await;
        return Subscription::Stdio(client, id);
    }
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": subscribe_params() });
    let headers = [("mcp-protocol-version", STATELESS), ("mcp-method", "subscriptions/listen")];
    let mut stream = Connection::open(server.address).await.expect("a connection");
    let request = http_request("POST", server.address, &headers, &body.to_string());
    stream.send(&request, &mut Pace::Whole).await.expect("it is sent");
    assert_eq!(prompt("its head", stream.head()).await.expect("a head").status, 200);
    let acknowledged = prompt("the acknowledgement", stream.chunk()).await.expect("the stream is open");
    assert!(String::from_utf8_lossy(&acknowledged.expect("an event")).contains("acknowledged"));
    Subscription::Http(stream)
}

/// A call of `flood` whose messages nobody reads.
async fn start_flood(server: &TestServer, transport: Transport, client: &Client) -> Option<Connection> {
    let params = json!({ "name": "flood", "_meta": { "progressToken": 1 } });
    let (id, text) = client.prepare("tools/call", params);
    client.inbox.excuses(&id);
    if transport == Transport::Stdio {
        client.pause_reading();
        client.raw(&text).await;
        return None;
    }
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 << 10).expect("a small buffer");
    let mut unread = Connection::on(socket.connect(server.address).await.expect("a connection"));
    let session = client.session.to_string();
    let request = http_request("POST", server.address, &[("mcp-session-id", &session)], &text);
    unread.send(&request, &mut Pace::Whole).await.expect("it is sent");
    Some(unread)
}

async fn open(server: &TestServer, transport: Transport) -> Open {
    let client = Client::connect(server, transport).await;
    client.listen("its stream").await;
    let [short, never, stubborn] = ["wait", "never", "stubborn"].map(|tool| client.call(tool, json!({})));
    let blocked = Client::connect(server, transport).await;
    let flood = start_flood(server, transport, &blocked).await;
    server.probe.entered(4).await;
    let dropped = || server.engine().counters().notifications_dropped > 0;
    checks::eventually("the writer is blocked", dropped).await;
    let subscription = subscribe(server, transport).await;
    let mut half = Connection::open(server.address).await.expect("a connection");
    half.send(b"POST /mcp HTTP/1.1\r\nhost: ", &mut Pace::Whole).await.expect("it is sent");
    let silent = Connection::open(server.address).await.expect("a connection");
    let (output, input) = server.pipes();
    let idle = vec![Idle::Connection(half), Idle::Connection(silent), Idle::Pipe(output, input)];
    Open { client, short, never, stubborn, subscription, blocked, flood, idle }
}

async fn everything_open(transport: Transport) {
    let mut server = TestServer::with(limits(), with_flood).await;
    let open = open(&server, transport).await;
    let sessions = || server.engine().session_count();
    let opened = match transport {
        Transport::Http => 3,
        Transport::Stdio => 4,
    };
    checks::eventually("all sessions are there", || sessions() == opened).await;

    let begin = Instant::now();
    let engine = server.engine().clone();
    let both = async {
        let reports = tokio::join!(engine.drain(GRACE), engine.drain(GRACE));
        (reports, begin.elapsed())
    };
    let ((report, second), took) = tokio::join!(both, while_it_stops(&server, transport, &open)).0;
    println!("stopped after {took:?}: {report:?}");
    assert!(took >= GRACE && took <= GRACE + MARGIN, "{took:?}");
    assert_eq!(second, report);
    let DrainReport { running, cancelled, ref abandoned, sessions: closed, .. } = report;
    // The short call and the subscription ended by themselves.
    assert_eq!((running, report.drained(), cancelled, closed), (5, 2, 3, opened));
    assert_eq!(abandoned.as_slice(), ["tools/call stubborn"]);
    assert_eq!(server.record.count(|event| matches!(event, Seen::Abandoned { .. })), 1);

    told_at_the_end(&server, transport, open).await;
    server.stopped().await;
    // Again: nothing happens, at once.
    let again = Instant::now();
    assert_eq!(server.engine().drain(GRACE).await, report);
    assert!(again.elapsed() < GRACE);
    checks::at_base_line(&server).await;
    checks::events_add_up(&server);
    checks::quiet().await;
}

/// Between the beginning of the stop and its end.
async fn while_it_stops(server: &TestServer, transport: Transport, open: &Open) {
    prompt("the stop begins", server.engine().drain_begun()).await;
    // Pings and cancels still come through; new calls and sessions are told to go elsewhere.
    open.client.ping().await;
    let late = open.client.tool("echo", json!({ "text": "too late" })).await;
    assert_eq!(late["error"]["code"], ErrorCode::STOPPING.0, "{late}");
    if transport == Transport::Http {
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "late", "version": "1" } });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params }).to_string();
        let mut late = Connection::open(server.address).await.expect("a connection");
        let request = http_request("POST", server.address, &[], &body);
        late.send(&request, &mut Pace::Whole).await.expect("it is sent");
        assert_eq!(prompt("a refusal", late.head()).await.expect("a head").status, 503);
    }
    // The call that needs a little longer gets it.
    server.probe.release(1);
    let answer = open.client.answer(&open.short).await;
    assert_eq!(answer["result"]["content"][0]["text"], "released", "{answer}");
    assert_eq!(server.record.outcomes("tools/call", OutcomeKind::Cancelled), 0, "nothing is cancelled yet");
}

async fn told_at_the_end(server: &TestServer, transport: Transport, open: Open) {
    let Open { client, never, stubborn, subscription, blocked, flood, idle, .. } = open;
    for error in checks::all_failed(&client, &[never, stubborn], ErrorCode::CANCELLED.0.into()).await {
        assert_eq!(error["data"]["reason"], "shutdown", "{error}");
    }
    server.probe.saw(1, "never cancelled: Shutdown").await;
    server.probe.saw(1, "stubborn dropped").await;
    match subscription {
        Subscription::Http(mut stream) => {
            let mut text = Vec::new();
            while let Some(chunk) = prompt("the subscription ends", stream.chunk()).await.expect("properly") {
                text.extend(chunk);
            }
            assert!(String::from_utf8_lossy(&text).contains("complete"));
        }
        Subscription::Stdio(client, id) => {
            let answer = client.answer(&id).await;
            assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
            prompt("the output ends", client.inbox.until_closed()).await;
            client.kill(Cut::Close).await;
        }
    }
    match transport {
        Transport::Http => {
            let ended = client.outcome(&json!("its stream")).await;
            assert_eq!(ended, Outcome::Ended("status 200 and the end".to_owned()), "properly");
        }
        Transport::Stdio => {
            prompt("the output ends", client.inbox.until_closed()).await;
        }
    }
    client.inbox.assert_one_outcome_each();
    // Who did not read is left; what it was sent is not waited for.
    drop(flood);
    blocked.kill(Cut::Close).await;
    client.kill(Cut::Close).await;
    // The server's side of these ended by itself.
    drop(idle);
}

/// The same for one session: by its close, and nobody else notices.
async fn one_session_alone(transport: Transport) {
    let server = TestServer::with(limits(), with_flood).await;
    let other = Client::connect(&server, transport).await;
    let others = other.call("wait", json!({}));
    server.probe.entered(1).await;
    let open = open(&server, transport).await;
    let Open { client, short, never, stubborn, subscription, blocked, flood, idle } = open;
    for session in [client.session, blocked.session] {
        let session = server.session(session);
        let begin = Instant::now();
        assert!(session.close(CloseReason::Server));
        assert!(!session.close(CloseReason::Server), "the second time nothing happens");
        assert!(begin.elapsed() < MARGIN, "it waits for nobody");
    }
    for error in checks::all_failed(&client, &[short, never, stubborn], ErrorCode::CANCELLED.0.into()).await {
        assert_eq!(error["data"]["reason"], "sessionClosed", "{error}");
    }
    server.probe.saw(1, "stubborn dropped").await;
    let stubborn = |event: &Seen| matches!(event, Seen::Abandoned { .. });
    server.record.until("the stubborn one is told of", 1, stubborn).await;
    let of_others = match (&subscription, transport) {
        (Subscription::Stdio(..), _) | (_, Transport::Http) => 2,
        _ => 1,
    };
    checks::eventually("only the others' calls go on", || server.engine().call_count() == of_others).await;
    other.echo("undisturbed").await;
    assert_eq!(other.inbox.outcomes(&others), []);
    server.probe.release(1);
    assert_eq!(other.answer(&others).await["result"]["content"][0]["text"], "released");
    drop((flood, idle));
    blocked.kill(Cut::Close).await;
    let mut left = vec![other, client];
    match subscription {
        Subscription::Http(stream) => drop(stream),
        Subscription::Stdio(client, id) => {
            client.cancel(&id, "enough").await;
            left.push(client);
        }
    }
    checks::everything(&server, left).await;
}

async fn sdk_clients(transport: Transport) {
    let mut server = TestServer::with(limits(), with_flood).await;
    let (a, b) = (sdk::connect(&server, transport).await, sdk::connect(&server, transport).await);
    let short = sdk::start(&a, "wait", json!({}), PeerRequestOptions::no_options()).await;
    let never = sdk::start(&b, "never", json!({}), PeerRequestOptions::no_options()).await;
    server.probe.entered(2).await;
    let engine = server.engine().clone();
    let during = async {
        prompt("the stop begins", engine.drain_begun()).await;
        assert!(sdk::call(&a, "echo", json!({ "text": "too late" })).await.is_err());
        server.probe.release(1);
        prompt("the short call is answered", short.await_response()).await.expect("an answer");
    };
    let begin = Instant::now();
    let (report, ()) = tokio::join!(engine.drain(GRACE), during);
    assert!(begin.elapsed() <= GRACE + MARGIN);
    assert_eq!((report.drained(), report.cancelled, report.abandoned.len()), (1, 1, 0));
    let error = prompt("the other one is told", never.await_response()).await.expect_err("it was cancelled");
    println!("{error}");
    sdk::leave(a).await;
    sdk::leave(b).await;
    server.stopped().await;
    checks::at_base_line(&server).await;
    checks::events_add_up(&server);
}

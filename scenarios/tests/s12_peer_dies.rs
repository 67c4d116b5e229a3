//! S-12: the peer dies with 20 calls and 20 questions pending.
//!
//! This is the server's role: its client dies. The client's role (an answer of HTTP 500, 404 for the session, a stream
//! that ends early or with an error) belongs to the gateway, which is a client of other servers and does not exist yet.
//!
//! A network that drops everything silently cannot be made here; what detects it is: a client that leaves what it is
//! sent unread runs into the write timeout of HTTP, and into the bound of unread answers of a pipe.

mod sdk;

use freehold_mcp::{
    HttpOptions, Tool, ToolError,
    freehold::{CloseReason, ErrorCode, Limits, OutcomeKind, SessionId},
};
use freehold_scenarios::{
    Builder, Client, Connection, Ctx, Cut, Outcome, Pace, Probe, Seen, TestServer, Transport, checks,
    http_request, limits::limited, limits::lively, limits::patient, limits::prompt, over_both_transports,
};
use rmcp::service::PeerRequestOptions;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpSocket;

over_both_transports!(killed => s12_killed_http, s12_killed_stdio);
over_both_transports!(closed_by_the_server => s12_closed_by_the_server_http, s12_closed_by_the_server_stdio);
over_both_transports!(initialized_again => s12_initialized_again_http, s12_initialized_again_stdio);
over_both_transports!(sdk_dies => s12_sdk_dies_http, s12_sdk_dies_stdio);

const PENDING: usize = 20;

/// A client with 20 calls and 20 questions pending, and their requests' ids.
async fn pending(server: &TestServer, transport: Transport) -> (Client, Vec<Value>) {
    let client = Client::connect(server, transport).await;
    let mut ids = client.calls(PENDING, "never");
    ids.extend(client.calls(PENDING, "ask"));
    server.probe.entered(2 * PENDING as u32).await;
    for _ in 0..PENDING {
        client.question().await;
    }
    let gauges = server.session(client.session).gauges();
    assert_eq!((gauges.running, gauges.in_flight, gauges.questions), (2 * PENDING, 2 * PENDING, PENDING));
    (client, ids)
}

/// All that was pending ends soon, each with its one event, and each handler is told why.
async fn all_end(server: &TestServer, session: SessionId, reason: &str) {
    let cancelled = |event: &Seen| matches!(event, Seen::Ended { session: of, id: Some(_), outcome: OutcomeKind::Cancelled, .. } if *of == session);
    server.record.until("all calls end", 2 * PENDING, cancelled).await;
    server.probe.saw(PENDING, &format!("never cancelled: {reason}")).await;
    server.probe.saw(PENDING, "ask failed").await;
    checks::eventually("no call is left", || server.engine().call_count() == 0).await;
}

async fn all_told(client: &Client, ids: &[Value], reason: &str) {
    for error in checks::all_failed(client, ids, ErrorCode::CANCELLED.0.into()).await {
        assert_eq!(error["data"]["reason"], reason, "{error}");
    }
}

async fn killed(transport: Transport) {
    for how in [Cut::Close, Cut::Reset] {
        let server = TestServer::start().await;
        let (client, _) = pending(&server, transport).await;
        let session = client.session;
        client.kill(how).await;
        all_end(&server, session, "Disconnected").await;
        match transport {
            // The session outlives its connections.
            Transport::Http => assert!(server.session(session).close(CloseReason::Server)),
            Transport::Stdio => assert_eq!(server.record.closed(session).await, CloseReason::Disconnected),
        }
        checks::everything(&server, vec![]).await;
    }
}

async fn closed_by_the_server(transport: Transport) {
    let server = TestServer::start().await;
    let (client, ids) = pending(&server, transport).await;
    client.listen("the stream").await;
    assert!(server.session(client.session).close(CloseReason::Server));
    all_end(&server, client.session, "SessionClosed").await;
    all_told(&client, &ids, "sessionClosed").await;
    nothing_more(&client, transport).await;
    checks::everything(&server, vec![client]).await;
}

/// A session that is over takes nothing more.
async fn nothing_more(client: &Client, transport: Transport) {
    match transport {
        Transport::Http => {
            let ended = client.outcome(&json!("the stream")).await;
            assert_eq!(ended, Outcome::Ended("status 200 and the end".to_owned()));
            let late = client.request("tools/list", json!({})).await;
            assert_eq!(late["error"]["code"], ErrorCode::SESSION_NOT_FOUND.0, "{late}");
        }
        Transport::Stdio => {
            prompt("the output ends", client.inbox.until_closed()).await;
            let late = client.send("tools/list", json!({}));
            assert!(matches!(client.outcome(&late).await, Outcome::Ended(_)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_deleted_http() {
    limited(async {
        let server = TestServer::start().await;
        let (client, ids) = pending(&server, Transport::Http).await;
        client.listen("the stream").await;
        assert_eq!(client.delete().await.status, 204);
        assert_eq!(server.record.closed(client.session).await, CloseReason::Client);
        all_end(&server, client.session, "SessionClosed").await;
        all_told(&client, &ids, "sessionClosed").await;
        assert_eq!(client.delete().await.status, 404);
        nothing_more(&client, Transport::Http).await;
        checks::everything(&server, vec![client]).await;
    })
    .await;
}

/// The end of the input says that nothing more is asked, not that nobody listens: calls have a while to finish.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_end_of_input_stdio() {
    limited(async {
        let server = TestServer::start().await;
        let (mut client, ids) = pending(&server, Transport::Stdio).await;
        client.end_input();
        all_end(&server, client.session, "Disconnected").await;
        all_told(&client, &ids, "disconnected").await;
        prompt("the output ends", client.inbox.until_closed()).await;
        checks::everything(&server, vec![client]).await;
    })
    .await;
}

/// A second handshake in the middle of the calls: on the same session it is refused, a new session is another one.
async fn initialized_again(transport: Transport) {
    let server = TestServer::start().await;
    let (client, ids) = pending(&server, transport).await;
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "again", "version": "1" } });
    let again = client.request("initialize", params).await;
    assert_eq!(again["error"]["code"], ErrorCode::INVALID_REQUEST.0, "{again}");
    let other = Client::connect(&server, transport).await;
    other.echo("a new session").await;
    let gauges = server.session(client.session).gauges();
    assert_eq!((gauges.in_flight, gauges.questions), (2 * PENDING, PENDING), "nothing was disturbed");
    assert!(server.session(client.session).close(CloseReason::Server));
    all_end(&server, client.session, "SessionClosed").await;
    all_told(&client, &ids, "sessionClosed").await;
    checks::everything(&server, vec![client, other]).await;
}

async fn sdk_dies(transport: Transport) {
    let server = TestServer::start().await;
    let client = sdk::connect(&server, transport).await;
    for _ in 0..PENDING / 2 {
        drop(sdk::start(&client, "never", json!({}), PeerRequestOptions::no_options()).await);
    }
    server.probe.entered(PENDING as u32 / 2).await;
    // Dropped in the middle of everything, without a farewell.
    drop(client);
    server.probe.saw(PENDING / 2, "never cancelled").await;
    checks::eventually("no call is left", || server.engine().call_count() == 0).await;
    for session in server.engine().sessions() {
        session.close(CloseReason::Server);
    }
    checks::everything(&server, vec![]).await;
}

/// Sends progress until it is cancelled.
async fn flood(ctx: &Ctx, (): ()) -> Result<&'static str, ToolError> {
    let probe = ctx.app::<Probe>();
    probe.enter();
    let message = "x".repeat(32 << 10);
    for sent in 0.. {
        if let Some(reason) = ctx.cancel_reason() {
            probe.log(format!("flood cancelled: {reason:?}"));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_unread_stream_http() {
    limited(async {
        let options = HttpOptions { write_timeout: Duration::from_millis(300), ..lively() };
        let server = TestServer::with_options(patient(), options, with_flood).await;
        let client = Client::connect(&server, Transport::Http).await;
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4 << 10).expect("a small buffer");
        let stream = socket.connect(server.address).await.expect("a connection");
        let mut unread = Connection::on(stream);
        let params = json!({ "name": "flood", "arguments": {}, "_meta": { "progressToken": 1 } });
        let (id, text) = client.prepare("tools/call", params);
        let session = client.session.to_string();
        let request = http_request("POST", server.address, &[("mcp-session-id", &session)], &text);
        unread.send(&request, &mut Pace::Whole).await.expect("it is sent");
        server.probe.entered(1).await;
        server.probe.saw(1, "flood cancelled: Disconnected").await;
        // The session, and who else uses it, notice nothing.
        client.echo("still here").await;
        client.inbox.ended(&id, Outcome::Cut);
        drop(unread);
        checks::everything(&server, vec![client]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_unread_output_stdio() {
    limited(async {
        let limits = Limits { stream_answer_bytes: 1 << 20, ..patient() };
        let server = TestServer::with(limits, |builder| builder).await;
        let (client, _) = pending(&server, Transport::Stdio).await;
        client.pause_reading();
        let text = "x".repeat(64 << 10);
        for _ in 0..40 {
            client.call("echo", json!({ "text": text }));
        }
        assert_eq!(server.record.closed(client.session).await, CloseReason::StreamOverflowed);
        assert_eq!(server.record.count(|event| *event == Seen::Overflowed), 1);
        all_end(&server, client.session, "SessionClosed").await;
        client.kill(Cut::Close).await;
        checks::everything(&server, vec![]).await;
    })
    .await;
}

//! S-15: the deadline covers the whole wait.

mod sdk;

use freehold_mcp::freehold::{CommitOutcome, CommitToken, Resolution, Store, StoreError, Version, Versioned};
use freehold_mcp::{
    HttpOptions, Tool, ToolError,
    freehold::{
        ErrorCode, Limits, OutcomeKind, SessionId, Stage,
        runtime::{BoxFuture, pause},
    },
};
use freehold_scenarios::{
    Builder, Client, Connection, Ctx, Inbox, Pace, Probe, Seen, TestServer, Transport, checks, http_request,
    limits::FAR, limits::limited, limits::lively, limits::patient, limits::prompt, over_both_transports,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpSocket;

over_both_transports!(stalls_before_and_in_the_handler => s15_stalls_http, s15_stalls_stdio);
over_both_transports!(stalls_in_the_store => s15_store_http, s15_store_stdio);
over_both_transports!(stalls_in_the_write => s15_write_http, s15_write_stdio);
over_both_transports!(progress_for_ever => s15_progress_http, s15_progress_stdio);
over_both_transports!(a_person_is_asked => s15_person_http, s15_person_stdio);
over_both_transports!(close_does_not_wait => s15_close_http, s15_close_stdio);
over_both_transports!(sdk_client => s15_sdk_client_http, s15_sdk_client_stdio);

/// The deadline under test.
const D: Duration = Duration::from_millis(300);
/// The total cap.
const T: Duration = Duration::from_millis(900);

fn limits() -> Limits {
    Limits { deadline: D, deadline_cap: T, ..patient() }
}

/// Has no deadline; returns when it is cancelled.
async fn holder(ctx: &Ctx, (): ()) -> Result<&'static str, ToolError> {
    ctx.remove_deadline();
    ctx.app::<Probe>().enter();
    ctx.cancelled().await;
    Ok("too late")
}

/// Makes progress for ever.
async fn busy(ctx: &Ctx, (): ()) -> Result<&'static str, ToolError> {
    let runtime = ctx.engine().runtime().clone();
    ctx.app::<Probe>().enter();
    for step in 0.. {
        if ctx.cancel_reason().is_some() {
            break;
        }
        ctx.progress(f64::from(step), None, None);
        pause(&*runtime, Duration::from_millis(10)).await;
    }
    Ok("too late")
}

async fn never(ctx: &Ctx, (): ()) -> Result<&'static str, ToolError> {
    ctx.app::<Probe>().enter();
    ctx.cancelled().await;
    Ok("too late")
}

async fn commit(ctx: &Ctx, (): ()) -> Result<String, ToolError> {
    Ok(ctx.update(|state| *state += 1).await.map(|()| "committed".to_owned())?)
}

/// Says so much that no reader's buffer takes it, as fast as it can.
async fn flood(ctx: &Ctx, (): ()) -> Result<&'static str, ToolError> {
    let message = "x".repeat(32 << 10);
    ctx.app::<Probe>().enter();
    for step in 0.. {
        if ctx.cancel_reason().is_some() {
            break;
        }
        // Not progress, which would extend the deadline.
        ctx.notify("notifications/message", &json!({ "level": "info", "data": message, "step": step }))?;
        tokio::task::yield_now().await;
    }
    Ok("too late")
}

fn tools(builder: Builder) -> Builder {
    builder
        .tool(Tool::new("holder", "Holds its slot.", holder))
        .tool(Tool::new("busy", "Makes progress.", busy))
        .tool(Tool::new("endless", "Has a deadline beyond the cap.", never).timeout(FAR))
        .tool(Tool::new("commit", "Changes the state.", commit))
        .tool(Tool::new("flood", "Says a lot.", flood))
}

/// The answer of a call that ended at its deadline, which says where it was.
fn assert_ended_at(answer: &Value, stage: Stage) {
    let error = &answer["error"];
    assert_eq!(error["code"], ErrorCode::DEADLINE_EXCEEDED.0, "{answer}");
    assert_eq!(error["data"]["stage"], json!(stage), "{answer}");
    assert!(error["data"]["waitedMs"].as_u64() >= Some(D.as_millis() as u64), "{answer}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("deadline")), "{answer}");
}

/// How long the calls took that ended at their deadline there.
fn ended_at(server: &TestServer, wanted: Stage) -> Vec<Duration> {
    let events = server.record.events();
    let took = events.iter().filter_map(|event| match event {
        Seen::Ended { outcome: OutcomeKind::DeadlineExceeded, stage, took, .. } if *stage == wanted => {
            Some(*took)
        }
        _ => None,
    });
    took.collect()
}

async fn stalls_before_and_in_the_handler(transport: Transport) {
    let server = TestServer::with(Limits { running_per_session: 1, ..limits() }, tools).await;
    let client = Client::connect(&server, transport).await;
    // In the queue: the only slot is taken.
    let held = client.call("holder", json!({}));
    server.probe.entered(1).await;
    assert_ended_at(&client.tool("echo", json!({ "text": "waits" })).await, Stage::Queue);
    client.cancel(&held, "make room").await;
    checks::gauges(&server, client.session, 0, 0).await;
    // In the handler: one that obeys its cancel, and one that does not and is dropped after its grace. Both give their
    // slot back.
    for tool in ["never", "stubborn"] {
        assert_ended_at(&client.tool(tool, json!({})).await, Stage::Handler);
        client.echo("the slot is free again").await;
    }
    server.probe.saw(1, "stubborn dropped").await;
    assert_eq!(server.record.count(|event| matches!(event, Seen::Abandoned { .. })), 1);
    // A deadline beyond the cap ends at the cap.
    assert_ended_at(&client.tool("endless", json!({})).await, Stage::Handler);
    assert_eq!(ended_at(&server, Stage::Queue).len(), 1);
    let took = ended_at(&server, Stage::Handler);
    assert_eq!(took.len(), 3);
    assert!(took.iter().all(|took| *took >= D) && took[2] >= T, "{took:?}");
    checks::everything(&server, vec![client]).await;
}

/// A store that never answers.
struct Silent;

impl Store<u64> for Silent {
    fn load(&self, _id: SessionId) -> BoxFuture<'_, Result<Option<Versioned<u64>>, StoreError>> {
        Box::pin(std::future::pending())
    }

    fn commit(
        &self,
        _id: SessionId,
        _expected: Version,
        _next: Arc<u64>,
    ) -> BoxFuture<'_, CommitOutcome<u64>> {
        Box::pin(std::future::pending())
    }

    fn resolve(&self, _id: SessionId, _token: CommitToken) -> BoxFuture<'_, Resolution<u64>> {
        Box::pin(std::future::pending())
    }

    fn touch(&self, _id: SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::pending())
    }

    fn remove(&self, _id: SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::pending())
    }
}

async fn stalls_in_the_store(transport: Transport) {
    let limits = Limits { store_wait: Duration::from_millis(200), ..limits() };
    let server =
        TestServer::with(limits, |builder| tools(builder).engine(|engine| engine.store(Arc::new(Silent))))
            .await;
    let client = Client::connect(&server, transport).await;
    assert_ended_at(&client.tool("commit", json!({})).await, Stage::Handler);
    // The closing of sessions asks the store, too: it is over all the same.
    checks::everything(&server, vec![client]).await;
}

/// The client reads nothing of what the call says.
async fn stalls_in_the_write(transport: Transport) {
    let server = TestServer::with(limits(), tools).await;
    let client = Client::connect(&server, transport).await;
    let params = json!({ "name": "flood", "arguments": {} });
    match transport {
        Transport::Http => {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_recv_buffer_size(4 << 10).expect("a small buffer");
            let mut unread = Connection::on(socket.connect(server.address).await.expect("a connection"));
            let (id, text) = client.prepare("tools/call", params);
            let session = client.session.to_string();
            let request = http_request("POST", server.address, &[("mcp-session-id", &session)], &text);
            unread.send(&request, &mut Pace::Whole).await.expect("it is sent");
            at_its_deadline(&server).await;
            // Its answer is still there for a client that reads in the end.
            prompt("the response ends", unread.response(&client.inbox)).await.expect("a whole response");
            assert_ended_at(&client.answer(&id).await, Stage::Handler);
            drop(unread);
            checks::everything(&server, vec![client]).await;
        }
        Transport::Stdio => {
            client.pause_reading();
            client.send("tools/call", params);
            at_its_deadline(&server).await;
            client.kill(freehold_scenarios::Cut::Close).await;
            checks::everything(&server, vec![]).await;
        }
    }
}

async fn at_its_deadline(server: &TestServer) {
    let over = |event: &Seen| matches!(event, Seen::Ended { outcome: OutcomeKind::DeadlineExceeded, .. });
    server.record.until("the call ends at its deadline", 1, over).await;
    checks::eventually("no call is left", || server.engine().call_count() == 0).await;
}

async fn progress_for_ever(transport: Transport) {
    let server = TestServer::with(limits(), tools).await;
    let client = Client::connect(&server, transport).await;
    let params = json!({ "name": "busy", "arguments": {}, "_meta": { "progressToken": "p" } });
    let id = client.send("tools/call", params);
    // Meanwhile, others that make none end at theirs.
    assert_ended_at(&client.tool("never", json!({})).await, Stage::Handler);
    assert_eq!(client.inbox.outcomes(&id), [], "progress extended its deadline");
    assert_ended_at(&client.answer(&id).await, Stage::Handler);
    let took = ended_at(&server, Stage::Handler);
    assert!(took.len() == 2 && took[1] >= T, "{took:?}");
    assert!(client.inbox.notifications().len() > 1);
    checks::everything(&server, vec![client]).await;
}

async fn a_person_is_asked(transport: Transport) {
    const SHORT: Duration = Duration::from_millis(50);
    let limits = Limits { deadline: SHORT, question_timeout: 30 * SHORT, ..limits() };
    let server = TestServer::with(limits, tools).await;
    let client = Client::connect(&server, transport).await;
    let asking = client.call("ask", json!({ "n": 1 }));
    let question = client.question().await;
    // Ten deadlines pass, one after the other.
    for _ in 0..10 {
        let ended = client.tool("never", json!({})).await;
        assert_eq!(ended["error"]["code"], ErrorCode::DEADLINE_EXCEEDED.0, "{ended}");
    }
    assert_eq!(client.inbox.outcomes(&asking), [], "its clock stood still");
    client.reply(&question, json!({ "action": "accept", "content": {} })).await;
    let answer = client.answer(&asking).await;
    assert!(
        answer["result"]["content"][0]["text"].as_str().is_some_and(|text| text.contains("accept")),
        "{answer}"
    );
    // Nobody answers: the person's budget ends it, and says what for.
    let asking = client.call("ask", json!({ "n": 2 }));
    client.question().await;
    let answer = client.answer(&asking).await;
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(answer.to_string().contains("did not answer"), "{answer}");
    server.probe.saw(1, "ask failed: Question(TimedOut").await;
    assert_eq!(server.session(client.session).gauges().questions, 0);
    checks::everything(&server, vec![client]).await;
}

/// Closing is not held up by a handler that ignores its cancel.
async fn close_does_not_wait(transport: Transport) {
    let server = TestServer::with(Limits { cancel_grace: FAR, ..patient() }, tools).await;
    let client = Client::connect(&server, transport).await;
    let id = client.call("stubborn", json!({}));
    server.probe.entered(1).await;
    let session = client.session;
    match transport {
        Transport::Http => {
            assert_eq!(client.delete().await.status, 204);
            checks::all_failed(&client, &[id], ErrorCode::CANCELLED.0.into()).await;
        }
        Transport::Stdio => client.leave().await,
    }
    server.record.closed(session).await;
    // Its handler is still in its grace; a snapshot says so.
    let calls = server.engine().calls();
    assert!(calls.len() == 1 && calls[0].settled, "{calls:?}");
    assert_eq!(server.probe.count("stubborn dropped"), 0);
    checks::canary(&server, &[]).await;
    checks::events_add_up(&server);
}

async fn sdk_client(transport: Transport) {
    let server = TestServer::with(limits(), tools).await;
    let client = sdk::connect(&server, transport).await;
    for tool in ["never", "stubborn", "endless"] {
        let error = sdk::call(&client, tool, json!({})).await.expect_err("its deadline passes");
        assert!(error.to_string().contains("deadline"), "{error}");
    }
    sdk::echo(&client, "all the same").await;
    sdk::leave(client).await;
    checks::everything(&server, vec![]).await;
}

/// A request that does not come, or not whole, or byte by byte for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s15_requests_that_do_not_come_http() {
    limited(async {
        let options = HttpOptions { header_timeout: D, body_timeout: D, ..lively() };
        let server = TestServer::with_options(limits(), options, tools).await;
        let inbox = Inbox::default();
        let whole = http_request("POST", server.address, &[], &"x".repeat(10_000));
        let head_end = whole.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
        // Nothing, half a head, no body, half a body: each is ended.
        for sent in [0, head_end / 2, head_end, head_end + 5_000] {
            let mut connection = Connection::open(server.address).await.expect("a connection");
            connection.send(&whole[..sent], &mut Pace::Whole).await.expect("it is sent");
            let response = prompt("the connection ends", connection.response(&inbox)).await;
            match response {
                Ok(head) => assert_eq!(head.status, 408),
                Err(error) => assert!(sent < head_end, "no response: {error}"),
            }
        }
        // A byte now and then is no excuse.
        for begin in [20, head_end] {
            let mut connection = Connection::open(server.address).await.expect("a connection");
            connection.send(&whole[..begin], &mut Pace::Whole).await.expect("it is sent");
            let trickle = async {
                for byte in whole[begin..].chunks(1) {
                    if connection.send(byte, &mut Pace::Whole).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(D / 20).await;
                }
            };
            prompt("the connection is closed", trickle).await;
        }
        let told = inbox.unaddressed_count();
        assert!(told >= 2, "told why: {told}");
        checks::everything(&server, vec![]).await;
    })
    .await;
}

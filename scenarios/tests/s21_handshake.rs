//! S-21: handshake races.

mod sdk;

use freehold_mcp::{
    Tool,
    freehold::{ErrorCode, SessionId},
};
use freehold_scenarios::{
    ALL_CAPABILITIES, Client, Inbox, Pace, Seen, TestServer, Transport, checks, echo, limits::patient,
    limits::prompt, over_both_transports,
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

over_both_transports!(initialize_again => s21_initialize_again_http, s21_initialize_again_stdio);
over_both_transports!(initialized_twice => s21_initialized_twice_http, s21_initialized_twice_stdio);
over_both_transports!(before_initialized => s21_before_initialized_http, s21_before_initialized_stdio);
over_both_transports!(sixty_four_clients => s21_sixty_four_clients_http, s21_sixty_four_clients_stdio);
over_both_transports!(sdk_clients => s21_sdk_clients_http, s21_sdk_clients_stdio);

const TOOLS: usize = 400;

/// How often the `initialized` hook ran for each session.
type Initialized = Arc<Mutex<HashMap<SessionId, usize>>>;

async fn start() -> (TestServer, Initialized) {
    let initialized = Initialized::default();
    let seen = initialized.clone();
    let server = TestServer::with(patient(), |mut builder| {
        for n in 0..TOOLS {
            builder = builder.tool(Tool::new(&format!("tool{n}"), "One of many.", echo));
        }
        builder.engine(|engine| {
            engine.on_initialized(move |session| *seen.lock().unwrap().entry(session.id()).or_default() += 1)
        })
    })
    .await;
    (server, initialized)
}

fn handshake() -> Value {
    json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "racer", "version": "1" } })
}

async fn greet(server: &TestServer, transport: Transport) -> Client {
    Client::greet(server, transport, ALL_CAPABILITIES, Pace::Whole).await
}

async fn all_tools(client: &Client) {
    let listed = client.request("tools/list", json!({})).await;
    let count = listed["result"]["tools"].as_array().map_or(0, Vec::len);
    assert!(count >= TOOLS, "{count} tools");
}

/// Each session was initialized once, and never before it was opened or after it was closed.
fn assert_each_once(server: &TestServer, initialized: &Initialized, sessions: &[SessionId]) {
    let times = initialized.lock().unwrap();
    for session in sessions {
        assert_eq!(times.get(session), Some(&1), "session {session}");
    }
    let opened = |event: &Seen| matches!(event, Seen::Opened(opened) if sessions.contains(opened));
    assert_eq!(server.record.count(opened), sessions.len());
}

/// On one session the first `initialize` wins, however many come at the same instant and while a tool runs.
async fn initialize_again(transport: Transport) {
    let (server, initialized) = start().await;
    let client = greet(&server, transport).await;
    let at_once: Vec<_> = (0..8).map(|_| client.send("initialize", handshake())).collect();
    checks::all_failed(&client, &at_once, ErrorCode::INVALID_REQUEST.0.into()).await;
    client.notify("notifications/initialized", json!({})).await;
    client.echo("usable").await;

    let running = client.call("wait", json!({}));
    let asking = client.call("ask", json!({ "n": 1 }));
    server.probe.entered(2).await;
    let question = client.question().await;
    let again = client.send("initialize", handshake());
    checks::all_failed(&client, &[again], ErrorCode::INVALID_REQUEST.0.into()).await;
    // What ran keeps its state, and the session its capabilities: the handshake just refused had none.
    assert_eq!(client.inbox.outcomes(&running), []);
    client.reply(&question, json!({ "action": "accept", "content": {} })).await;
    assert!(client.answer(&asking).await.to_string().contains("accept"));
    let asking = client.call("ask", json!({ "n": 2 }));
    let question = client.question().await;
    client.reply(&question, json!({ "action": "decline" })).await;
    assert!(client.answer(&asking).await.to_string().contains("decline"));
    server.probe.release(1);
    assert_eq!(client.answer(&running).await["result"]["content"][0]["text"], "released");
    assert_each_once(&server, &initialized, &[client.session]);
    checks::everything(&server, vec![client]).await;
}

/// Many at the same instant; each session is initialized once.
async fn initialized_twice(transport: Transport) {
    let (server, initialized) = start().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let client = greet(&server, transport).await;
        let twice = || client.notify("notifications/initialized", json!({}));
        tokio::join!(twice(), twice(), all_tools(&client), twice());
        client.ping().await;
        clients.push(client);
    }
    let sessions: Vec<_> = clients.iter().map(|client| client.session).collect();
    assert_each_once(&server, &initialized, &sessions);
    checks::everything(&server, clients).await;
}

/// What comes early is served; nothing of the server's overtakes the answer to `initialize`.
async fn before_initialized(transport: Transport) {
    let (server, initialized) = start().await;
    let client = greet(&server, transport).await;
    client.ping().await;
    let level = client.request("logging/setLevel", json!({ "level": "error" })).await;
    assert_eq!(level["result"], json!({}), "{level}");
    all_tools(&client).await;
    client.echo("early").await;
    // Not initialized, not told.
    server.server.tools().add(Tool::new("late", "Came late.", echo)).expect("a new name");
    client.ping().await;
    assert_eq!(client.inbox.notifications(), Vec::<Value>::new());
    client.notify("notifications/initialized", json!({})).await;
    client.listen("the stream").await;
    client.ping().await;
    server.server.tools().remove("late");
    prompt("it is told now", client.inbox.notification("notifications/tools/list_changed", 1)).await;
    assert_each_once(&server, &initialized, &[client.session]);

    // Notifications before `initialize`, on a pipe that has just been opened and over HTTP without a session.
    let early = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string();
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } })
            .to_string();
    match transport {
        Transport::Http => {
            let inbox = Inbox::default();
            for text in [early, cancel] {
                let request = freehold_scenarios::http_request("POST", server.address, &[], &text);
                let mut connection =
                    freehold_scenarios::Connection::open(server.address).await.expect("a connection");
                connection.send(&request, &mut Pace::Whole).await.expect("it is sent");
                let head = prompt("a response", connection.response(&inbox)).await.expect("a response");
                assert_eq!(head.status, 400);
            }
        }
        Transport::Stdio => notifications_first(&server, &[early, cancel]).await,
    }
    checks::everything(&server, vec![client]).await;
}

async fn notifications_first(server: &TestServer, notifications: &[String]) {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let (input, mut output) = server.pipes();
    let mut lines = BufReader::new(input).lines();
    for text in notifications {
        output.write_all(format!("{text}\n").as_bytes()).await.expect("it is written");
    }
    let requests = [
        json!({ "jsonrpc": "2.0", "id": "early", "method": "tools/list" }),
        json!({ "jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": handshake() }),
        json!({ "jsonrpc": "2.0", "id": "later", "method": "tools/list" }),
    ];
    for (request, works) in requests.iter().zip([false, true, true]) {
        output.write_all(format!("{request}\n").as_bytes()).await.expect("it is written");
        let line = prompt("an answer", lines.next_line()).await.expect("a line").expect("not the end");
        let answer: Value = serde_json::from_str(&line).expect("a line is JSON");
        assert_eq!((&answer["id"], answer.get("result").is_some()), (&request["id"], works), "{answer}");
    }
}

async fn sixty_four_clients(transport: Transport) {
    let (server, initialized) = start().await;
    let server = Arc::new(server);
    let mut starting = Vec::new();
    for n in 0..64 {
        let server = server.clone();
        starting.push(tokio::spawn(async move {
            let client = Client::connect(&server, transport).await;
            if n % 8 == 0 {
                all_tools(&client).await;
            }
            client.ping().await;
            client.echo(&format!("client {n}")).await;
            client
        }));
    }
    let mut clients = Vec::new();
    for client in starting {
        clients.push(client.await.expect("it does not panic"));
    }
    let sessions: Vec<_> = clients.iter().map(|client| client.session).collect();
    assert_each_once(&server, &initialized, &sessions);
    assert_eq!(server.engine().session_count(), 64);
    checks::everything(&server, clients).await;
}

async fn sdk_clients(transport: Transport) {
    let (server, _) = start().await;
    let server = Arc::new(server);
    let connecting: Vec<_> = (0..16)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move { sdk::connect(&server, transport).await })
        })
        .collect();
    for client in connecting {
        let client = client.await.expect("it does not panic");
        sdk::echo(&client, "connected").await;
        sdk::leave(client).await;
    }
    checks::everything(&server, vec![]).await;
}

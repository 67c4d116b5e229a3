//! S-17: quiet streams. Over HTTP: a pipe has no stream that is opened and left alone.
//!
//! Its fifth step in the other role, a client that connects to a server which sends no headers before it has something
//! to say, belongs to the gateway, which does not exist yet; here it is the server that sends its headers at once.

mod sdk;

use freehold_mcp::{
    HttpOptions,
    freehold::{CloseReason, Limits},
};
use freehold_scenarios::{
    Client, Connection, Head, Pace, TestServer, Transport, checks, http_request, limits::large,
    limits::limited, limits::lively, limits::patient, limits::prompt,
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

const CLIENTS: usize = 50;
const POSTS_EACH: usize = 10;
/// Ten minutes are forty times the default keep-alive; here they take two seconds.
const KEEP_ALIVE: Duration = Duration::from_millis(50);
const IDLE_FOR: u32 = 40;
/// Less than the streams stay idle: it is they that keep their sessions alive.
const TTL: Duration = Duration::from_millis(1_000);
const STREAMS: usize = 1_000;
const STATELESS: &str = "2026-07-28";

async fn server() -> TestServer {
    let options = HttpOptions { keep_alive: KEEP_ALIVE, ..lively() };
    let limits = Limits { session_ttl: TTL, initialize_window: TTL, ..patient() };
    TestServer::with_options(limits, options, |builder| builder).await
}

async fn open(address: SocketAddr, method: &str, headers: &[(&str, &str)], body: &str) -> (Connection, Head) {
    let mut connection = Connection::open(address).await.expect("a connection");
    connection
        .send(&http_request(method, address, headers, body), &mut Pace::Whole)
        .await
        .expect("it is sent");
    let head = prompt("the head of a stream comes at once", connection.head()).await.expect("a head");
    (connection, head)
}

/// Opens a session's stream; its first bytes come with it.
async fn listen(client: &Client, address: SocketAddr) -> Connection {
    let session = client.session.to_string();
    let (mut stream, head) = open(address, "GET", &[("mcp-session-id", &session)], "").await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    assert_keep_alive(&mut stream).await;
    stream
}

async fn assert_keep_alive(stream: &mut Connection) {
    let bytes = prompt("bytes of a quiet stream", stream.chunk()).await.expect("the stream is open");
    assert_eq!(bytes.as_deref(), Some(&b": keep-alive\n\n"[..]));
}

/// Reads a quiet stream for as long as it should stay open, and sees that there are bytes at the interval.
async fn idle(mut stream: Connection) -> Connection {
    let begin = Instant::now();
    for _ in 0..IDLE_FOR {
        assert_keep_alive(&mut stream).await;
    }
    // The first of these gaps began before.
    assert!(begin.elapsed() > KEEP_ALIVE * (IDLE_FOR - 2), "more often than at the interval");
    stream
}

/// Opens a stream of the stateless revision.
async fn listen_stateless(address: SocketAddr, id: usize) -> Connection {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": STATELESS,
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({ "_meta": meta, "notifications": { "toolsListChanged": true } });
    let body = json!({ "jsonrpc": "2.0", "id": id, "method": "subscriptions/listen", "params": params });
    let headers = [("mcp-protocol-version", STATELESS), ("mcp-method", "subscriptions/listen")];
    let (mut stream, head) = open(address, "POST", &headers, &body.to_string()).await;
    assert_eq!(head.status, 200);
    let first = prompt("the acknowledgement", stream.chunk()).await.expect("the stream is open");
    assert!(String::from_utf8_lossy(&first.expect("a first event")).contains("acknowledged"));
    stream
}

fn open_streams(server: &TestServer) -> usize {
    server.engine().sessions().iter().map(|session| session.lag().listeners).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_idle_streams_http() {
    large(async {
        let server = server().await;
        let mut clients = Vec::new();
        let mut idling = Vec::new();
        for number in 0..CLIENTS {
            let client = Client::connect(&server, Transport::Http).await;
            idling.push(tokio::spawn(idle(listen(&client, server.address).await)));
            if number % 5 == 0 {
                idling.push(tokio::spawn(idle(listen_stateless(server.address, number).await)));
            }
            clients.push(Arc::new(client));
        }
        let stateless = idling.len() - CLIENTS;
        assert_eq!((open_streams(&server), server.connections()), (CLIENTS, CLIENTS + stateless));
        // Meanwhile the same clients work.
        let mut posting = Vec::new();
        for client in &clients {
            let client = client.clone();
            posting.push(tokio::spawn(async move {
                for post in 0..POSTS_EACH {
                    client.echo(&format!("post {post}")).await;
                }
            }));
        }
        for posts in posting {
            posts.await.expect("all are answered");
        }
        let mut streams = Vec::new();
        for idle in idling {
            streams.push(idle.await.expect("it stays open and lively"));
        }
        assert_eq!(server.engine().counters().sessions_expired, 0, "the streams kept them alive");
        let clients: Vec<_> =
            clients.into_iter().map(|client| Arc::into_inner(client).expect("the only one")).collect();
        for client in &clients {
            assert!(server.session(client.session).closed().is_none());
        }
        drop(streams);
        checks::eventually("their ends are seen", || open_streams(&server) == 0).await;
        checks::everything(&server, clients).await;
        assert_no_half_open_sockets(&server);
    })
    .await;
}

/// How a stream ends that nobody needs any more.
#[derive(Clone, Copy, Debug)]
enum End {
    Dropped,
    Reset,
    HalfClosed,
}

async fn open_and_end(client: Arc<Client>, address: SocketAddr, end: End) {
    // A newer stream of the same session ends an older one: that is an end, too.
    let session = client.session.to_string();
    let (mut stream, head) = open(address, "GET", &[("mcp-session-id", &session)], "").await;
    assert_eq!(head.status, 200);
    match end {
        End::Dropped => drop(stream),
        End::Reset => stream.reset(),
        End::HalfClosed => {
            stream.half_close().await.expect("TCP can");
            prompt("a half-closed stream is closed by the server", stream.until_closed()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_a_thousand_streams_opened_and_dropped_http() {
    large(async {
        let server = server().await;
        let client = Arc::new(Client::connect(&server, Transport::Http).await);
        let others = [
            Client::connect(&server, Transport::Http).await,
            Client::connect(&server, Transport::Http).await,
        ];
        let clients: Vec<_> = others.into_iter().map(Arc::new).collect();
        let kept = listen(&client, server.address).await;
        for round in 0..STREAMS / 50 {
            let ending = (0..50).map(|number| {
                let end = [End::Dropped, End::Reset, End::HalfClosed][number % 3];
                let of = clients[(round + number) % clients.len()].clone();
                tokio::spawn(open_and_end(of, server.address, end))
            });
            for ended in ending.collect::<Vec<_>>() {
                ended.await.expect("it ends");
            }
        }
        // Within the keep-alive all is as before: one stream, one connection.
        let back = || (open_streams(&server), server.connections()) == (1, 1);
        checks::eventually("the streams are gone", back).await;
        assert_no_half_open_sockets(&server);
        drop(kept);
        let mut left = vec![Arc::into_inner(client).expect("the only one")];
        for client in clients {
            left.push(Arc::into_inner(client).expect("the only one"));
        }
        checks::everything(&server, left).await;
    })
    .await;
}

/// Sockets of the server whose other end is closed, but not ours.
fn assert_no_half_open_sockets(server: &TestServer) {
    const CLOSE_WAIT: &str = "08";
    let Ok(table) = std::fs::read_to_string("/proc/net/tcp") else { return };
    let port = format!(":{:04X}", server.address.port());
    let half_open = table.lines().skip(1).filter(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next(), fields.nth(1));
        local.is_some_and(|local| local.ends_with(&port)) && state == Some(CLOSE_WAIT)
    });
    assert_eq!(half_open.collect::<Vec<_>>(), [""; 0]);
}

/// Without sessions there is no stream of a session, and nobody who would wait for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_stateless_get_http() {
    limited(async {
        let server = server().await;
        for method in ["GET", "DELETE"] {
            let headers = [("mcp-protocol-version", STATELESS)];
            let (mut connection, head) = open(server.address, method, &headers, "").await;
            assert_eq!((head.status, head.header("allow")), (405, Some("POST")), "{method}");
            prompt("the connection ends", connection.until_closed()).await;
        }
        checks::everything(&server, vec![]).await;
    })
    .await;
}

/// A call that says nothing for a long time holds up neither its own client's other calls nor anybody's connect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_quiet_calls_http() {
    limited(async {
        let server = server().await;
        let client = Client::connect(&server, Transport::Http).await;
        let session = client.session.to_string();
        let mut quiet: Vec<(Value, Connection)> = Vec::new();
        for _ in 0..CLIENTS {
            let (id, text) = client.prepare("tools/call", json!({ "name": "wait", "arguments": {} }));
            let (stream, head) = open(server.address, "POST", &[("mcp-session-id", &session)], &text).await;
            assert_eq!(
                head.header("content-type"),
                Some("text/event-stream"),
                "the headers before any event"
            );
            quiet.push((id, stream));
        }
        server.probe.entered(CLIENTS as u32).await;
        for (_, stream) in &mut quiet {
            assert_keep_alive(stream).await;
        }
        let other = Client::connect(&server, Transport::Http).await;
        other.echo("connected at once").await;
        client.echo("and served").await;
        server.probe.release(CLIENTS);
        for (id, stream) in &mut quiet {
            let answer = async {
                while !matches!(client.inbox.outcomes(id)[..], [_]) {
                    let chunk = stream.chunk().await.expect("the stream is whole").expect("an answer");
                    let text = String::from_utf8(chunk).expect("UTF-8");
                    if let Some(data) = text.lines().find_map(|line| line.strip_prefix("data: ")) {
                        client.inbox.take(serde_json::from_str(data).expect("JSON"));
                    }
                }
            };
            prompt("a quiet call is answered", answer).await;
        }
        drop(quiet);
        checks::everything(&server, vec![client, other]).await;
    })
    .await;
}

/// The SDK's clients, with streams of both revisions that nothing comes from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_sdk_clients_http() {
    Box::pin(limited(async {
        let server = server().await;
        let (a, b) =
            (sdk::connect(&server, Transport::Http).await, sdk::connect(&server, Transport::Http).await);
        let stateless = sdk::connect_stateless(&server, Transport::Http).await;
        checks::eventually("they listen", || open_streams(&server) == 2).await;
        // Idle sessions without a stream live and expire meanwhile.
        for _ in 0..2 {
            let idle = server.engine().open().expect("a session");
            idle.mark_initialized();
            assert_eq!(server.record.closed(idle.id()).await, CloseReason::Expired);
        }
        for client in [&a, &b, &stateless] {
            sdk::echo(client, "after a long silence").await;
        }
        assert_eq!(server.engine().session_count(), 2);
        for client in [a, b, stateless] {
            sdk::leave(client).await;
        }
        for session in server.engine().sessions() {
            session.close(CloseReason::Server);
        }
        checks::everything(&server, vec![]).await;
    }))
    .await;
}

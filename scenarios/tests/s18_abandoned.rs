//! S-18: ten thousand abandoned sessions.
//!
//! A peer that vanishes without closing anything cannot be made on one machine; half-open here is a client that sends
//! nothing more and reads nothing, but leaves its socket open.

mod sdk;

use freehold_mcp::{
    HttpOptions,
    freehold::{AtCap, CloseReason, ErrorCode, Limits},
};
use freehold_scenarios::{
    Client, Connection, Cut, Head, Pace, Seen, TestServer, Transport, checks, http_request, limits::large,
    limits::limited, limits::lively, limits::patient, limits::prompt, over_both_transports,
};
use peak_alloc::PeakAlloc;
use serde_json::json;
use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, sync::Mutex};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory is the whole process's: one test after the other.
static ALONE: Mutex<()> = Mutex::const_new(());

over_both_transports!(sdk_clients => s18_sdk_clients_http, s18_sdk_clients_stdio);

/// Of each of the five kinds.
const EACH: usize = 2_000;
/// At the same time, lest the file descriptors of a careful system run out.
const PARALLEL: usize = 16;
const HELD: usize = 150;
const TTL: Duration = Duration::from_millis(2_000);
const WINDOW: Duration = Duration::from_millis(1_000);
/// Memory and tasks are back to this share of the base line.
const BACK_TO: f64 = 1.05;
/// The table of sessions keeps its places, as many as there ever were sessions: 9 bytes each, a third of them empty, and
/// doubled when they do not suffice.
const BYTES_A_PLACE: usize = 24;

fn short_lived() -> Limits {
    Limits { session_ttl: TTL, initialize_window: WINDOW, ..patient() }
}

async fn server(limits: Limits, at_cap: AtCap) -> TestServer {
    let options = HttpOptions { header_timeout: Duration::from_millis(1_000), ..lively() };
    TestServer::with_options(limits, options, |builder| builder.engine(|engine| engine.at_cap(at_cap))).await
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"gone","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

async fn sent(address: SocketAddr, request: &[u8]) -> (Connection, Head) {
    let exchange = async {
        let mut connection = Connection::open(address).await?;
        connection.send(request, &mut Pace::Whole).await?;
        let head = connection.head().await?;
        std::io::Result::Ok((connection, head))
    };
    prompt("a response", exchange).await.expect("a response")
}

async fn request(
    address: SocketAddr,
    method: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (Connection, Head) {
    sent(address, &http_request(method, address, headers, body)).await
}

/// Initializes, and gives the id of the session.
async fn initialize(address: SocketAddr) -> String {
    let (_, head) = request(address, "POST", &[], INITIALIZE).await;
    assert_eq!(head.status, 200);
    head.header("mcp-session-id").expect("a session").to_owned()
}

async fn initialized(address: SocketAddr) -> String {
    let session = initialize(address).await;
    let (_, head) = request(address, "POST", &[("mcp-session-id", &session)], INITIALIZED).await;
    assert_eq!(head.status, 202);
    session
}

/// Does `one` so often, some of them at the same time.
async fn many<F: Future<Output = ()> + Send + 'static>(
    count: usize,
    one: impl Fn(usize) -> F + Send + Sync + 'static,
) {
    let (next, one) = (Arc::new(AtomicUsize::new(0)), Arc::new(one));
    let workers = (0..PARALLEL).map(|_| {
        let (next, one) = (next.clone(), one.clone());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                one(number).await;
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.expect("it does not panic");
    }
}

/// Connects and says nothing, until the server has had enough.
async fn silent_connections(address: SocketAddr, count: usize) {
    let mut left = count;
    while left > 0 {
        let now = left.min(HELD);
        let mut held = Vec::new();
        for _ in 0..now {
            held.push(Connection::open(address).await.expect("a connection"));
        }
        for mut connection in held {
            prompt("a silent connection is closed", connection.until_closed()).await;
        }
        left -= now;
    }
}

/// Opens a pipe, with or without a handshake, and closes it.
async fn pipe(server: &TestServer, handshake: bool) {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    let (output, mut input) = server.pipes();
    let mut output = BufReader::new(output);
    if handshake {
        input.write_all(format!("{INITIALIZE}\n{INITIALIZED}\n").as_bytes()).await.expect("it reads");
        let mut line = String::new();
        prompt("the answer", output.read_line(&mut line)).await.expect("it writes");
        assert!(line.contains("serverInfo"), "{line}");
    }
    input.shutdown().await.expect("it reads");
    prompt("the output ends", output.read_to_end(&mut Vec::new())).await.expect("an end");
}

/// Listens, then sends nothing more and reads nothing.
async fn listen_half_open(address: SocketAddr) {
    let session = initialized(address).await;
    let (mut stream, head) = request(address, "GET", &[("mcp-session-id", &session)], "").await;
    assert_eq!(head.status, 200);
    stream.half_close().await.expect("TCP can");
    prompt("the server closes it", stream.until_closed()).await;
}

async fn delete(address: SocketAddr) {
    let session = initialized(address).await;
    let (_, head) = request(address, "DELETE", &[("mcp-session-id", &session)], "").await;
    assert_eq!(head.status, 204);
}

/// A request that is refused, of several kinds in turn.
async fn refused(address: SocketAddr, number: usize) {
    let plain = String::from_utf8(http_request("POST", address, &[], INITIALIZE)).expect("text");
    let (bytes, status) = match number % 5 {
        0 => (plain.replace("application/json, text/event-stream", "text/html").into_bytes(), 406),
        1 => (http_request("POST", address, &[("origin", "http://evil.test")], INITIALIZE), 403),
        2 => (http_request("GET", address, &[], ""), 400),
        3 => {
            let probe = String::from_utf8(http_request("GET", address, &[], "")).expect("text");
            (probe.replace("GET /mcp", "GET /.well-known/oauth-protected-resource").into_bytes(), 404)
        }
        _ => (
            http_request("POST", address, &[], &INITIALIZE.replace("2025-11-25", "2025-11-25\",\"x\":")),
            400,
        ),
    };
    let (_, head) = sent(address, &bytes).await;
    assert_eq!(head.status, status, "{number}");
}

/// All kinds of abandoned sessions, so many of each; returns how many sessions ended for which reason.
async fn abandon(server: &Arc<TestServer>, each: usize) -> HashMap<CloseReason, usize> {
    let address = server.address;
    let pipes = each / 4;
    let over_http = each - pipes;
    let silent = tokio::spawn(silent_connections(address, over_http));
    let of = server.clone();
    many(2 * pipes, move |number| {
        let server = of.clone();
        async move { pipe(&server, number % 2 == 0).await }
    })
    .await;
    // Vanished: half of them before they said that they are initialized.
    many(over_http, move |number| async move {
        match number % 2 {
            0 => drop(initialize(address).await),
            _ => drop(initialized(address).await),
        }
    })
    .await;
    many(each, move |_| listen_half_open(address)).await;
    many(each, move |_| delete(address)).await;
    let before = server.engine().counters().sessions_opened;
    many(each, move |number| refused(address, number)).await;
    assert_eq!(server.engine().counters().sessions_opened, before, "a refused request made a session");
    silent.await.expect("silent connections are closed");
    HashMap::from([
        (CloseReason::Disconnected, 2 * pipes),
        (CloseReason::NeverInitialized, over_http.div_ceil(2)),
        (CloseReason::Expired, over_http / 2 + each),
        (CloseReason::Client, each),
    ])
}

/// Waits until one session is left, and sees that each other one ended as it should.
async fn one_is_left(server: &TestServer, expected: &HashMap<CloseReason, usize>) {
    let gone = async {
        while server.engine().session_count() > 1 {
            tokio::time::sleep(TTL / 100).await;
            // No session is older than its time and one sweep, with some patience for a busy machine.
            let idle = server.engine().sessions().into_iter().filter_map(|session| session.idle_for()).max();
            assert!(idle.unwrap_or_default() < TTL * 2, "{idle:?}");
        }
    };
    tokio::time::timeout(TTL * 3, gone).await.expect("all but one expire within their time and a sweep");
    let mut reasons = HashMap::new();
    for event in server.record.events() {
        if let Seen::Closed(_, reason) = event {
            *reasons.entry(reason).or_insert(0) += 1;
        }
    }
    // The test server's own first one.
    reasons.entry(CloseReason::Server).and_modify(|count| *count -= 1);
    reasons.retain(|_, count| *count > 0);
    assert_eq!(&reasons, expected);
    let counters = server.engine().counters();
    assert_eq!(counters.sessions_opened, counters.sessions_closed + 1);
}

/// Bytes in use beside the record of events, and tasks.
async fn usage(server: &TestServer) -> (usize, usize) {
    checks::eventually("no connection is left", || server.connections() == 0).await;
    let used = || MEMORY.current_usage();
    // First, since it gives back what the record has in reserve.
    let recorded = server.record.bytes(used);
    (used() - recorded, Handle::current().metrics().num_alive_tasks())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_ten_thousand_abandoned_sessions() {
    let _alone = ALONE.lock().await;
    large(async {
        let server = Arc::new(server(short_lived(), AtCap::Refuse).await);
        let client = Client::connect(&server, Transport::Stdio).await;
        let long = client.call("wait", json!({}));
        server.probe.entered(1).await;
        // What is allocated once is no growth.
        let mut expected = abandon(&server, EACH / 20).await;
        one_is_left(&server, &expected).await;
        let (bytes_before, tasks_before) = usage(&server).await;

        for (reason, count) in abandon(&server, EACH).await {
            *expected.entry(reason).or_default() += count;
        }
        one_is_left(&server, &expected).await;
        let back = || Handle::current().metrics().num_alive_tasks() <= tasks_before;
        checks::eventually("the tasks are gone", back).await;
        let (bytes, tasks) = usage(&server).await;
        println!("before {bytes_before} bytes in {tasks_before} tasks, after {bytes} in {tasks}");
        let places =
            BYTES_A_PLACE * (expected[&CloseReason::Expired] + expected[&CloseReason::NeverInitialized]);
        let most = bytes_before as f64 * BACK_TO + places as f64;
        assert!(bytes as f64 <= most, "{bytes_before} bytes became {bytes}");

        assert_eq!(client.inbox.outcomes(&long), [], "the long call goes on");
        assert!(server.session(client.session).idle_for().is_none());
        server.probe.release(1);
        assert_eq!(client.answer(&long).await["result"]["content"][0]["text"], "released");
        checks::everything(&server, vec![client]).await;
    })
    .await;
}

/// At the cap new clients are refused until there is room again, and who has a place keeps it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_refused_at_the_cap_http() {
    let _alone = ALONE.lock().await;
    limited(async {
        let server = server(Limits { sessions: 20, ..short_lived() }, AtCap::Refuse).await;
        let client = Client::connect(&server, Transport::Http).await;
        let long = client.call("wait", json!({}));
        server.probe.entered(1).await;
        for _ in 1..20 {
            initialized(server.address).await;
        }
        let (_, head) = request(server.address, "POST", &[], INITIALIZE).await;
        assert_eq!((head.status, head.header("retry-after")), (503, Some("1")));
        assert_eq!(server.engine().session_count(), 20);
        checks::eventually("the abandoned ones expire", || server.engine().session_count() == 1).await;
        let fresh = Client::connect(&server, Transport::Http).await;
        fresh.echo("room again").await;
        server.probe.release(1);
        assert_eq!(client.answer(&long).await["result"]["content"][0]["text"], "released");
        checks::everything(&server, vec![client, fresh]).await;
    })
    .await;
}

/// Or the idlest one gives way; never one with a call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_evicted_at_the_cap_http() {
    let _alone = ALONE.lock().await;
    limited(async {
        let server = server(Limits { sessions: 20, ..patient() }, AtCap::EvictIdlest).await;
        let client = Client::connect(&server, Transport::Http).await;
        let long = client.call("wait", json!({}));
        server.probe.entered(1).await;
        for _ in 1..20 {
            initialized(server.address).await;
        }
        for _ in 0..60 {
            initialized(server.address).await;
            assert!(server.engine().session_count() <= 20);
        }
        let evicted = |event: &Seen| matches!(event, Seen::Closed(_, CloseReason::Evicted));
        assert_eq!(server.record.count(evicted), 60);
        server.probe.release(1);
        assert_eq!(client.answer(&long).await["result"]["content"][0]["text"], "released");
        // All busy: nobody can give way.
        let mut busy = Vec::new();
        for _ in 0..20 {
            let client = Client::connect(&server, Transport::Http).await;
            busy.push((client.call("wait", json!({})), client));
            server.probe.entered(1).await;
        }
        let (_, head) = request(server.address, "POST", &[], INITIALIZE).await;
        assert_eq!(head.status, 503);
        server.probe.release(20);
        let mut clients = Vec::new();
        for (id, client) in busy {
            assert!(client.answer(&id).await["result"].is_object());
            clients.push(client);
        }
        // The first one was the idlest by then.
        let late = client.request("ping", json!({})).await;
        assert_eq!(late["error"]["code"], ErrorCode::SESSION_NOT_FOUND.0, "{late}");
        client.kill(Cut::Close).await;
        checks::everything(&server, clients).await;
    })
    .await;
}

/// The SDK's clients vanish.
async fn sdk_clients(transport: Transport) {
    let _alone = ALONE.lock().await;
    let server = server(short_lived(), AtCap::Refuse).await;
    for _ in 0..10 {
        let client = sdk::connect(&server, transport).await;
        sdk::echo(&client, "hello").await;
        drop(client);
    }
    let reason = match transport {
        // The SDK says DELETE even when it is dropped, if it has the time.
        Transport::Http => [CloseReason::Expired, CloseReason::Client],
        Transport::Stdio => [CloseReason::Disconnected; 2],
    };
    let ended = |event: &Seen| matches!(event, Seen::Closed(_, ended) if reason.contains(ended));
    server.record.until("all sessions end", 10, ended).await;
    checks::everything(&server, vec![]).await;
}

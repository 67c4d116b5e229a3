//! S-22: one slow subscriber among a hundred.

mod sdk;

use freehold_mcp::freehold::{CloseReason, Engine, Limits, Session, SessionId};
use freehold_scenarios::{
    ALL_CAPABILITIES, Client, Connection, Cut, Pace, TestServer, Transport, checks, http_request, limits,
    limits::patient, limits::prompt, over_both_transports,
};
use rmcp::{
    ClientHandler, RoleClient,
    model::{ClientConfig, Implementation, ResourceUpdatedNotificationParam},
    service::{NotificationContext, ServiceExt},
    transport::StreamableHttpClientTransport,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{net::TcpSocket, sync::watch, task::JoinHandle};

over_both_transports!(one_of_a_hundred => s22_one_of_a_hundred_http, s22_one_of_a_hundred_stdio, limits::large);
over_both_transports!(sdk_clients => s22_sdk_clients_http, s22_sdk_clients_stdio);

const SESSIONS: usize = 100;
const UPDATES: u64 = 1_000;
/// After so many updates all who read must have them.
const BURST: u64 = 50;
/// More than a burst, so that who reads misses nothing.
const ROOM: usize = 64;
const TOPIC: &str = "file:///resource";
/// A stream of which nothing was taken while another client was answered so often is full.
const FULL_FOR_ANSWERS: usize = 200;
/// No publishing may take longer, whoever reads or does not. Far above the microseconds that it takes.
const PUBLISH_AT_MOST: Duration = Duration::from_millis(500);

fn updated(number: u64) -> Value {
    json!({ "uri": TOPIC, "number": number })
}

async fn server() -> TestServer {
    TestServer::with(Limits { stream_messages: ROOM, ..patient() }, |builder| builder).await
}

/// Publishes a burst in a task of its own, as an application does, and gives how long each update took.
fn publish(engine: &Engine<u64>, from: u64) -> JoinHandle<Vec<Duration>> {
    let engine = engine.clone();
    let one = move |number| {
        let begin = Instant::now();
        engine.publish(TOPIC, "notifications/resources/updated", &updated(number)).expect("JSON");
        begin.elapsed()
    };
    tokio::spawn(async move { (from..from + BURST).map(one).collect() })
}

/// The one that never reads.
enum Slow {
    Http(Client, Connection),
    Stdio(Client),
}

impl Slow {
    async fn connect(server: &TestServer, transport: Transport) -> Self {
        let client = Client::connect(server, transport).await;
        let slow = Self::listen(server, transport, client).await;
        let session = server.session(slow.session());
        let witness = Client::connect(server, transport).await;
        fill(&session, &witness).await;
        witness.leave().await;
        assert!(session.subscribe(TOPIC));
        slow
    }

    async fn listen(server: &TestServer, transport: Transport, client: Client) -> Self {
        if transport == Transport::Stdio {
            client.pause_reading();
            return Self::Stdio(client);
        }
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4 << 10).expect("a small buffer");
        let mut stream = Connection::on(socket.connect(server.address).await.expect("a connection"));
        let session = client.session.to_string();
        let request = http_request("GET", server.address, &[("mcp-session-id", &session)], "");
        stream.send(&request, &mut Pace::Whole).await.expect("it is sent");
        let listens = server.session(client.session);
        checks::eventually("the slow one's stream is open", || listens.lag().listeners == 1).await;
        Self::Http(client, stream)
    }

    fn session(&self) -> SessionId {
        match self {
            Self::Http(client, _) | Self::Stdio(client) => client.session,
        }
    }

    /// Waits until the server's side has closed it too.
    async fn gone(self) {
        match self {
            Self::Http(client, stream) => {
                stream.reset();
                client.kill(Cut::Close).await;
            }
            Self::Stdio(client) => client.kill(Cut::Close).await,
        }
    }
}

/// Sends until nothing more is taken: what lies between a server and a client that does not read is large. Who writes to
/// the slow one had its turns while the witness was answered.
async fn fill(session: &Session<u64>, witness: &Client) {
    let filler = json!({ "level": "info", "data": "x".repeat(8 << 10) });
    loop {
        let mut answers = 0;
        while session.lag().waiting >= ROOM - 1 {
            if answers == FULL_FOR_ANSWERS {
                return;
            }
            witness.ping().await;
            answers += 1;
        }
        session.notify("notifications/message", &filler).expect("JSON");
    }
}

async fn one_of_a_hundred(transport: Transport) {
    let server = server().await;
    let mut clients = Vec::new();
    for _ in 1..SESSIONS {
        let client = Client::connect(&server, transport).await;
        client.listen("its stream").await;
        assert!(server.session(client.session).subscribe(TOPIC));
        clients.push(client);
    }
    let slow = Slow::connect(&server, transport).await;
    let mut took = Vec::new();
    took.extend(publish_all(&server, &clients, 0, async {}).await);
    // Who is behind, and how far, can be seen.
    let behind: Vec<_> =
        server.engine().sessions().into_iter().filter(|session| session.lag().waiting > 0).collect();
    assert_eq!(behind.iter().map(|session| session.id()).collect::<Vec<_>>(), [slow.session()]);
    let lag = behind[0].lag();
    assert_eq!(
        (lag.listeners, lag.waiting, lag.most_waiting),
        (1, ROOM, ROOM),
        "as much as its policy keeps"
    );
    assert_eq!(lag.dropped, UPDATES - 1, "the oldest went");
    assert_eq!(server.engine().counters().notifications_dropped, lag.dropped, "nobody else missed any");

    // Again, and in the middle of it the slow one is closed.
    let closing = async {
        assert!(behind[0].close(CloseReason::Server));
    };
    took.extend(publish_all(&server, &clients, UPDATES, closing).await);
    assert_eq!(server.record.closed(slow.session()).await, CloseReason::Server);
    slow.gone().await;
    for client in &clients {
        let numbers: Vec<_> =
            client.inbox.notifications().iter().map(|update| update["params"]["number"].as_u64()).collect();
        assert!(numbers.into_iter().eq((0..2 * UPDATES).map(Some)), "each update once and in order");
    }
    took.sort_unstable();
    let [p50, p99] = [50, 99].map(|percent| took[took.len() * percent / 100]);
    println!("publishing to {SESSIONS}: p50 {p50:?}, p99 {p99:?}, most {:?}", took[took.len() - 1]);
    assert!(took[took.len() - 1] < PUBLISH_AT_MOST);
    Box::pin(checks::everything(&server, clients)).await;
}

/// Publishes all updates in bursts; after each all who read have its last one soon. Does something else in the middle.
async fn publish_all(
    server: &TestServer,
    clients: &[Client],
    from: u64,
    in_the_middle: impl Future<Output = ()>,
) -> Vec<Duration> {
    let (mut took, mut in_the_middle) = (Vec::new(), Some(in_the_middle));
    for burst in (from..from + UPDATES).step_by(BURST as usize) {
        let publishing = publish(server.engine(), burst);
        if burst == from + UPDATES / 2
            && let Some(middle) = in_the_middle.take()
        {
            middle.await;
        }
        took.extend(prompt("an update is published", publishing).await.expect("no panic"));
        let last = burst + BURST - 1;
        for client in clients {
            let has_last = |update: &Value| update["params"]["number"] == last;
            prompt("a subscriber has the last update", client.inbox.latest(has_last)).await;
        }
    }
    took
}

/// Counts what it is told of.
struct Counts(watch::Sender<u64>);

impl ClientHandler for Counts {
    fn get_info(&self) -> ClientConfig {
        let capabilities = serde_json::from_str(ALL_CAPABILITIES).expect("the SDK knows them all");
        ClientConfig::new(capabilities, Implementation::new("sdk", "1"))
    }

    async fn on_resource_updated(
        &self,
        params: ResourceUpdatedNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        assert_eq!(params.uri, TOPIC);
        self.0.send_modify(|count| *count += 1);
    }
}

async fn sdk_clients(transport: Transport) {
    let server = server().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let (sender, count) = watch::channel(0);
        let connecting = async {
            match transport {
                Transport::Http => {
                    Counts(sender).serve(StreamableHttpClientTransport::from_uri(server.url())).await
                }
                Transport::Stdio => Counts(sender).serve(server.pipes()).await,
            }
        };
        let client = prompt("the SDK's client connects", Box::pin(connecting)).await.expect("a session");
        clients.push((client, count));
    }
    let subscribed = || server.engine().sessions().iter().all(|session| session.lag().listeners == 1);
    checks::eventually("the SDK's clients listen", subscribed).await;
    for session in server.engine().sessions() {
        assert!(session.subscribe(TOPIC));
    }
    let slow = Slow::connect(&server, transport).await;
    for burst in (0..UPDATES).step_by(BURST as usize) {
        let took =
            prompt("the updates are published", publish(server.engine(), burst)).await.expect("no panic");
        assert!(took.into_iter().all(|took| took < PUBLISH_AT_MOST));
        for (_, count) in &mut clients {
            let all = count.wait_for(|count| *count == burst + BURST);
            assert!(prompt("the SDK's client has them all", all).await.is_ok());
        }
    }
    let lag = server.session(slow.session()).lag();
    assert_eq!((lag.waiting, lag.dropped), (ROOM, UPDATES - 1), "{lag:?}");
    for (mut client, _) in clients {
        prompt("the SDK's client leaves", client.close()).await.expect("it does not panic");
    }
    assert!(server.session(slow.session()).close(CloseReason::Server));
    slow.gone().await;
    checks::everything(&server, vec![]).await;
}

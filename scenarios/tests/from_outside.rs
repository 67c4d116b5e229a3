//! The scenarios as `compare` drives them from outside: Freehold does what each asks for, and servers that do not are told
//! from it.

use freehold_mcp::{HttpOptions, freehold::Limits};
use freehold_scenarios::{
    hide_seeded_panics, limits,
    outside::{Drive, Fact, NOT_VISIBLE, SCENARIOS, Scenario, Times, client::Target, freehold},
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

/// What `compare` waits for, as long as the suite waits. The server of S-15 and S-17 is told to wait less.
const TIMES: Times = Times {
    hang: limits::TIME_LIMIT,
    unanswered: limits::TIME_LIMIT,
    block: limits::DEADLINE,
    silence: limits::TIME_LIMIT,
};

fn scenario(number: &str) -> &'static Scenario {
    SCENARIOS.iter().find(|scenario| scenario.number == number).expect("there is one of this number")
}

async fn facts(number: &str, times: Times, address: SocketAddr) -> Vec<Fact> {
    let drive = Drive::new(Target::at(address), times, None);
    let mut facts = Vec::new();
    limits::large(async { facts = scenario(number).run(&drive).await }).await;
    facts
}

/// The limits that end what nobody else ends, shortened; all others as they come.
fn impatient() -> (Limits, HttpOptions) {
    let second = Duration::from_secs(1);
    let limits = Limits { deadline: second, question_timeout: second, ..Limits::default() };
    let options = HttpOptions { body_timeout: second, keep_alive: second, ..HttpOptions::default() };
    (limits, options)
}

/// Threads for handlers alone.
struct Threads(Option<Runtime>);

impl Threads {
    fn start() -> Self {
        let threads = Builder::new_multi_thread().worker_threads(4).enable_all().build();
        Self(Some(threads.expect("threads")))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // An async context may not wait for them.
        self.0.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

async fn freehold_does(number: &str) {
    hide_seeded_panics();
    let (limits, options) = match number {
        "S-15" | "S-17" => impatient(),
        _ => (Limits::default(), HttpOptions::default()),
    };
    let mut server = freehold::server().limits(limits);
    let threads = Threads::start();
    if let ("S-09", Some(threads)) = (number, &threads.0) {
        // Handlers that block share their threads with pings unless told otherwise.
        server = server.engine(|engine| engine.handlers_on(threads.handle()));
    }
    let server = server.build().expect("a server");
    let listener = server.bind_http("127.0.0.1:0", options).await.expect("a port");
    let address = listener.address();
    let serving = tokio::spawn(listener.serve());
    let facts = facts(number, TIMES, address).await;
    let otherwise: Vec<&Fact> = facts.iter().filter(|fact| !fact.held).collect();
    assert!(otherwise.is_empty(), "{otherwise:#?}");
    serving.abort();
}

macro_rules! freehold_does {
    ($($test:ident $number:literal,)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            freehold_does($number).await;
        })*

        #[test]
        fn all_that_are_driven_are_tested() {
            let driven: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.number).collect();
            assert_eq!(driven, [$($number),*]);
        }
    };
}

freehold_does! {
    s01_slow_tool_http "S-01",
    s03_ask_back_http "S-03",
    s04_full_house_http "S-04",
    s06_unread_http "S-06",
    s09_blocked_threads_http "S-09",
    s11_torn_frames_http "S-11",
    s12_peer_dies_http "S-12",
    s13_every_id_http "S-13",
    s14_panics_http "S-14",
    s15_deadlines_http "S-15",
    s16_client_goes_away_http "S-16",
    s17_quiet_streams_http "S-17",
    s18_abandoned_http "S-18",
    s21_handshake_http "S-21",
    s22_slow_subscriber_http "S-22",
}

#[test]
fn every_scenario_is_driven_or_said_to_be_not() {
    let driven = SCENARIOS.iter().map(|scenario| scenario.number);
    let mut numbers: Vec<_> = driven.chain(NOT_VISIBLE.iter().map(|(number, ..)| *number)).collect();
    numbers.sort_unstable();
    let all: Vec<_> = (1..=22).map(|number| format!("S-{number:02}")).collect();
    assert_eq!(numbers, all);
}

/// Shakes hands with everybody, and answers nothing else.
async fn mute(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move { greet(stream).await });
    }
}

async fn greet(mut stream: TcpStream) -> std::io::Result<()> {
    const RESULT: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"mute","version":"1"}}}"#;
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request);
    let (head, body) = match request {
        _ if request.contains("notifications/initialized") => ("202 Accepted", ""),
        _ if request.contains(r#""initialize""#) => {
            ("200 OK\r\nmcp-session-id: 1\r\ncontent-type: application/json", RESULT)
        }
        _ => return std::future::pending().await,
    };
    let response = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(response.as_bytes()).await
}

/// How a server that does nothing looks: each of these facts is not as it should be, and says what was waited for.
#[tokio::test]
async fn a_server_that_answers_nothing_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mute = tokio::spawn(mute(listener));
    let times = Times { hang: Duration::from_millis(200), ..TIMES };
    for fact in facts("S-14", times, address).await {
        match fact.label.as_str() {
            "afterwards: handlers of the clients that left" => assert_eq!(fact.what, "not known: no answer"),
            _ => assert!(fact.what.ends_with("no answer within 200 ms") && !fact.held, "{fact:?}"),
        }
    }
    let blocked = facts("S-01", times, address).await;
    assert!(
        blocked.iter().any(|fact| fact.label == "the scenario could not go on" && !fact.held),
        "{blocked:?}"
    );
    mute.abort();
}

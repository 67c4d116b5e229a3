//! What the soak's client makes of what servers answer: exactly one outcome for each call, and only the right ones pass.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use freehold_benches::mcp_requests::ToolCall;
use freehold_benches::soak::client::{Clients, Manner, Speaker};
use freehold_benches::soak::connections::Connections;
use freehold_benches::soak::tally::{Outcome, SharedTally, Tally};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const HINT: &str = r#"{"code":-31002,"message":"m","data":{"retryAfterMs":500}}"#;

fn json(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn echo(text: &str) -> String {
    let content = format!(r#"[{{"type":"text","text":"{text}"}}]"#);
    json("200 OK", &format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":{content}}}}}"#))
}

fn error(status: &str, error: &str) -> String {
    json(status, &format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#))
}

/// Answers the first request of a connection with `answer`, then waits for its end.
async fn answer_once(mut stream: TcpStream, answer: Arc<str>) {
    let mut buffer = vec![0; 4096];
    let Ok(1..) = stream.read(&mut buffer).await else { return };
    stream.write_all(answer.as_bytes()).await.unwrap();
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

async fn call(answer: String, manner: Manner) -> Tally {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let connections = Arc::new(Connections::new(listener.local_addr().unwrap().port()));
    let answer: Arc<str> = answer.into();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_once(stream, Arc::clone(&answer)));
        }
    });
    let tally = SharedTally::new(Duration::from_secs(1));
    let clients = Clients::new(connections, tally.clone());
    let speaker = Speaker::Session("s".into());
    clients.call(&speaker, ToolCall::Echo("hello"), manner).await;
    clients.connections.close_idle(&tally);
    server.abort();
    tally.take()
}

async fn check(answer: String, manner: Manner, expected: Outcome, unasked: u64) {
    let tally = call(answer.clone(), manner).await;
    assert_eq!(tally.calls.into_iter().collect::<Vec<_>>(), [(expected, 1)], "{manner:?} {answer}");
    assert_eq!((tally.sent, tally.unasked), (1, unasked), "{answer}");
    assert_eq!(tally.complaints.is_empty(), expected != Outcome::Wrong, "{:?}", tally.complaints);
}

#[tokio::test]
async fn answers_and_refusals() {
    let never = Duration::from_secs(60);
    check(echo("hello"), Manner::Patient, Outcome::Result, 0).await;
    check(echo("hello"), Manner::Leaves(never), Outcome::Result, 0).await;
    check(error("200 OK", HINT), Manner::Patient, Outcome::Overloaded, 0).await;
    check(error("503 Service Unavailable", HINT), Manner::Patient, Outcome::Overloaded, 0).await;
    let cancelled = r#"{"code":-32800,"message":"m"}"#;
    check(error("200 OK", cancelled), Manner::MayEnd, Outcome::Cancelled, 0).await;
    check(String::new(), Manner::Leaves(Duration::ZERO), Outcome::GivenUp, 0).await;
}

#[tokio::test]
async fn what_is_none() {
    let ended = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 2\r\n\r\n:\n";
    let rows = [
        echo("hullo"),
        echo("hello").replace("\"id\":1", "\"id\":2"),
        error("200 OK", r#"{"code":-31002,"message":"without a hint"}"#),
        error("200 OK", r#"{"code":-32603,"message":"m"}"#),
        error("200 OK", r#"{"code":-32800,"message":"nobody cancelled"}"#),
        ended.to_owned(),
    ];
    for answer in rows {
        check(answer, Manner::Patient, Outcome::Wrong, 0).await;
    }
    check(echo("hello") + &echo("hello"), Manner::Patient, Outcome::Result, 1).await;
}

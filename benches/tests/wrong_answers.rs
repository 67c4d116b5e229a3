//! A load with a single wrong answer is an error, never a figure.

use std::net::Ipv4Addr;
use std::time::Duration;

use freehold_benches::cpu_time::CpuClock;
use freehold_benches::load::{self, Answers, LoadPlan, Sessions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How the server below answers its third echo; the others are right.
#[derive(Debug, Clone, Copy)]
enum Third {
    Right,
    OtherText,
    OtherId,
    Failure,
    HalfAnAnswer,
}

async fn serve(listener: TcpListener, third: Third) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer_echoes(stream, third));
    }
}

async fn answer_echoes(mut stream: TcpStream, third: Third) {
    let mut buffer = vec![0; 4096];
    for number in 1.. {
        let Ok(count @ 1..) = stream.read(&mut buffer).await else { return };
        let request = str::from_utf8(&buffer[..count]).unwrap();
        let body = request.split_once("\r\n\r\n").unwrap().1;
        let mut answer = right_answer(body);
        if number == 3 {
            answer = spoil(answer, third);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        if number == 3 && matches!(third, Third::HalfAnAnswer) {
            return;
        }
    }
}

fn right_answer(body: &str) -> String {
    let request: serde_json::Value = serde_json::from_str(body).unwrap();
    let (id, text) = (&request["id"], &request["params"]["arguments"]["text"]);
    http(&format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","content":[{{"type":"text","text":{text}}}]}}}}"#
    ))
}

fn http(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// Keeps the length. The ids of the first connection begin with a 4, those of the second with an 8.
fn spoil(answer: String, third: Third) -> String {
    match third {
        Third::Right => answer,
        Third::OtherText => answer.replace("echo 0", "echo 1"),
        Third::OtherId => answer.replace("\"id\":4", "\"id\":5").replace("\"id\":8", "\"id\":9"),
        Third::Failure => http(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}"#),
        Third::HalfAnAnswer => answer[..answer.len() / 2].to_owned(),
    }
}

async fn check(third: Third, accepted: bool) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let plan = LoadPlan {
        port: listener.local_addr().unwrap().port(),
        connections: 2,
        first_number: 1,
        sessions: Sessions::None,
        warm_up: Duration::ZERO,
        measure: Duration::from_millis(50),
        answers: Answers::Plain,
    };
    let server = tokio::spawn(serve(listener, third));
    let report = load::run(&plan, CpuClock::of(std::process::id()).unwrap()).await;
    server.abort();
    assert_eq!(report.is_ok(), accepted, "{third:?}: {report:?}");
}

#[tokio::test]
async fn one_wrong_answer_fails_the_load() {
    check(Third::Right, true).await;
    for third in [Third::OtherText, Third::OtherId, Third::Failure, Third::HalfAnAnswer] {
        check(third, false).await;
    }
}

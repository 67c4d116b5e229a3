//! Every line that is malformed, too long or of another revision, and what it gets; both eras on one pipe.

mod pipe;
mod stage;

use freehold_mcp::freehold::{
    Limits,
    runtime::{Runtime, TokioRuntime},
};
use pipe::Pipe;
use serde_json::{Value, json};
use stage::{Audience, server, within};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const MESSAGE_BYTES: usize = 64 << 10;
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
const UNSUPPORTED_VERSION: i32 = -32022;
const STATELESS: &str = "2026-07-28";

fn to_stage() -> (Pipe, Audience) {
    let (server, audience) = server(Limits { message_bytes: MESSAGE_BYTES, ..Limits::default() });
    (Pipe::new(server), audience)
}

fn request(id: u32, method: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method })
}

fn with_params(id: u32, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn call(id: u32, tool: &str, arguments: Value) -> Value {
    with_params(id, "tools/call", json!({ "name": tool, "arguments": arguments }))
}

/// The same request with the envelope of a stateless revision.
fn stateless(mut request: Value, version: &str) -> Value {
    let meta = &mut request["params"]["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = json!(version);
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    request
}

/// What a line gets.
enum Gets {
    /// An error with this code and id (`None`: without an id).
    Error(i32, Option<u32>),
    /// A result for this id.
    Result(u32),
}
use Gets::{Error, Result as Answer};

async fn check(pipe: &mut Pipe, rows: Vec<(&str, String, Gets)>) {
    for (name, line, gets) in rows {
        pipe.send(line.as_bytes()).await;
        pipe.send(b"\n").await;
        let message = pipe.line().await.expect("there is an answer");
        println!("{name}: {message}");
        match gets {
            Error(code, id) => {
                assert_eq!(message["error"]["code"], code, "{name}");
                assert_eq!(message.get("id"), id.map(Value::from).as_ref(), "{name}");
            }
            Answer(id) => {
                assert_eq!(message["id"], id, "{name}");
                assert!(message["result"].is_object(), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn lines() {
    let (mut pipe, _audience) = to_stage();
    pipe.initialize().await;
    let ping = r#""jsonrpc":"2.0","id":7,"method":"ping""#;
    let row = |name, line: &str, gets| (name, line.to_owned(), gets);
    let rows = vec![
        row("as it should be", &format!("{{{ping}}}"), Answer(7)),
        row("ended by CRLF", &format!("{{{ping}}}\r"), Answer(7)),
        row("after empty lines", &format!("\r\n \n\n{{{ping}}}"), Answer(7)),
        row("no JSON", "hello", Error(PARSE_ERROR, None)),
        row("half of it", r#"{"jsonrpc":"2.0""#, Error(PARSE_ERROR, None)),
        row("a number", "5", Error(INVALID_REQUEST, None)),
        row("an empty batch", "[]", Error(INVALID_REQUEST, None)),
        row("a batch", &format!("[{{{ping}}}]"), Error(INVALID_REQUEST, Some(7))),
        row("no version", r#"{"id":7,"method":"ping"}"#, Error(INVALID_REQUEST, Some(7))),
        row("the id null", r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, Error(INVALID_REQUEST, None)),
        row(
            "the id a fraction",
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            Error(INVALID_REQUEST, None),
        ),
        row("params an array", &format!(r#"{{{ping},"params":[]}}"#), Error(INVALID_PARAMS, Some(7))),
        row("too long", &"x".repeat(MESSAGE_BYTES + 1), Error(INVALID_REQUEST, None)),
        row("after one too long", &format!("{{{ping}}}"), Answer(7)),
    ];
    check(&mut pipe, rows).await;
    pipe.finish().await;
}

#[tokio::test]
async fn each_message_of_a_batch_is_refused_by_its_id() {
    let (mut pipe, _audience) = to_stage();
    pipe.send_line(&json!([request(1, "ping"), request(2, "ping")])).await;
    for id in [1, 2] {
        let refused = pipe.line().await.unwrap();
        assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(id), &json!(INVALID_REQUEST)));
    }
    pipe.finish().await;
}

#[tokio::test]
async fn both_eras_on_one_pipe() {
    let (mut pipe, _audience) = to_stage();
    let line = |message: Value| message.to_string();
    let modern = |message: Value| stateless(message, STATELESS).to_string();
    let echo = || call(1, "echo", json!({ "text": "hi" }));
    let without_capabilities = || {
        let meta = json!({ "io.modelcontextprotocol/protocolVersion": STATELESS });
        line(with_params(1, "tools/list", json!({ "_meta": meta })))
    };
    let rows = vec![
        ("ping before initialize", line(request(1, "ping")), Answer(1)),
        (
            "another request before initialize",
            line(request(1, "tools/list")),
            Error(INVALID_REQUEST, Some(1)),
        ),
        ("a call before initialize", line(echo()), Error(INVALID_REQUEST, Some(1))),
        ("discover", modern(request(1, "server/discover")), Answer(1)),
        ("discover without an envelope", line(request(1, "server/discover")), Error(INVALID_PARAMS, Some(1))),
        ("half an envelope", without_capabilities(), Error(INVALID_PARAMS, Some(1))),
        (
            "an unknown version",
            line(stateless(request(1, "tools/list"), "v999.0.0")),
            Error(UNSUPPORTED_VERSION, Some(1)),
        ),
        ("a list", modern(request(1, "tools/list")), Answer(1)),
        ("a call", modern(echo()), Answer(1)),
        ("initialize in an envelope", modern(request(1, "initialize")), Error(METHOD_NOT_FOUND, Some(1))),
        ("ping in an envelope", modern(request(1, "ping")), Error(METHOD_NOT_FOUND, Some(1))),
        ("an unknown method in an envelope", modern(request(1, "x")), Error(METHOD_NOT_FOUND, Some(1))),
    ];
    check(&mut pipe, rows).await;
    pipe.initialize().await;
    let rows = vec![
        ("a list of the session", line(request(1, "tools/list")), Answer(1)),
        ("a call of the session", line(echo()), Answer(1)),
        ("a stateless call after initialize", modern(echo()), Answer(1)),
        ("listen in the session", line(request(1, "subscriptions/listen")), Error(METHOD_NOT_FOUND, Some(1))),
        (
            "a notification as a request",
            line(request(1, "notifications/initialized")),
            Error(METHOD_NOT_FOUND, Some(1)),
        ),
        (
            "initialize again",
            line(with_params(1, "initialize", json!({ "protocolVersion": "x" }))),
            Error(INVALID_REQUEST, Some(1)),
        ),
    ];
    check(&mut pipe, rows).await;
    // Each era's results have its form.
    let of_session = pipe.ask(&echo()).await;
    assert!(of_session["result"].get("resultType").is_none());
    let of_stateless = pipe.ask(&stateless(echo(), STATELESS)).await;
    assert_eq!(of_stateless["result"]["resultType"], "complete");
    pipe.finish().await;
}

#[tokio::test]
async fn a_conversation_may_come_in_any_pieces() {
    for piece in 1..=7 {
        let (mut pipe, _audience) = to_stage();
        pipe.initialize().await;
        let text = "ä€𝄞".repeat(5);
        let mut bytes = Vec::new();
        for (id, end) in [(1, "\n"), (2, "\r\n"), (3, "\n\n")] {
            bytes.extend_from_slice(format!("{}{end}", call(id, "echo", json!({ "text": text }))).as_bytes());
        }
        for piece in bytes.chunks(piece) {
            pipe.send(piece).await;
        }
        let mut answered = Vec::new();
        for _ in 0..3 {
            let answer = pipe.line().await.unwrap();
            assert_eq!(answer["result"]["content"][0]["text"], text);
            answered.push(answer["id"].as_u64().unwrap());
        }
        answered.sort_unstable();
        assert_eq!(answered, [1, 2, 3], "in pieces of {piece}");
        pipe.finish().await;
    }
}

#[tokio::test]
async fn the_last_line_needs_no_end() {
    let (mut pipe, _audience) = to_stage();
    pipe.initialize().await;
    pipe.send(call(1, "echo", json!({ "text": "hi" })).to_string().as_bytes()).await;
    pipe.input = None;
    assert_eq!(pipe.line().await.unwrap()["result"]["content"][0]["text"], "hi");
    pipe.finish().await;
}

#[tokio::test]
async fn a_call_that_runs_when_the_input_ends_is_still_answered() {
    let (mut pipe, mut audience) = to_stage();
    pipe.initialize().await;
    pipe.send_line(&call(1, "wait", json!({}))).await;
    assert_eq!(audience.hears().await, "waiting");
    pipe.input = None;
    audience.release();
    assert_eq!(pipe.line().await.unwrap()["result"]["content"][0]["text"], "released");
    pipe.finish().await;
}

/// Clients kill a server that does not end within two seconds.
const PATIENCE_OF_CLIENTS: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_ever_does_not_hold_the_end_up() {
    let (mut pipe, mut audience) = to_stage();
    pipe.initialize().await;
    pipe.send_line(&call(1, "wait", json!({}))).await;
    assert_eq!(audience.hears().await, "waiting");
    let ended = TokioRuntime.now();
    pipe.input = None;
    assert_eq!(audience.hears().await, "cancelled: Disconnected");
    while pipe.line().await.is_some() {}
    pipe.finish().await;
    assert!(TokioRuntime.now() - ended < PATIENCE_OF_CLIENTS);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_its_answers_unread_loses_its_session_and_the_server_ends() {
    let limits = Limits { message_bytes: MESSAGE_BYTES, stream_answer_bytes: 4 << 10, ..Limits::default() };
    let (server, _audience) = server(limits);
    let Pipe { input, output, ended, .. } = Pipe::new(server);
    let mut input = input.expect("the input is open");
    let initialize = with_params(0, "initialize", json!({ "protocolVersion": "2025-11-25" }));
    within(input.write_all(format!("{initialize}\n").as_bytes())).await.expect("the server reads");
    // Neither end is closed: only the session's own end can end the server.
    let flood = async {
        let mut id = 0;
        loop {
            id += 1;
            let ping = json!({ "jsonrpc": "2.0", "id": id, "method": "ping" });
            if input.write_all(format!("{ping}\n").as_bytes()).await.is_err() {
                return;
            }
        }
    };
    within(flood).await;
    within(ended).await.expect("the server ends").expect("its input did not fail");
    drop(output);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_listens_does_not_hold_the_end_up_at_all() {
    let (mut pipe, _audience) = to_stage();
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let listen = stateless(with_params(1, "subscriptions/listen", listen), STATELESS);
    pipe.ask(&listen).await;
    let ended = TokioRuntime.now();
    pipe.finish().await;
    assert_eq!(TokioRuntime.now(), ended);
}

#[tokio::test]
async fn a_cancelled_call_has_no_answer_in_either_era() {
    for modern in [false, true] {
        let (mut pipe, mut audience) = to_stage();
        pipe.initialize().await;
        let wait = call(1, "wait", json!({}));
        pipe.send_line(&if modern { stateless(wait, STATELESS) } else { wait }).await;
        assert_eq!(audience.hears().await, "waiting");
        let params = json!({ "requestId": 1 });
        let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
        pipe.send_line(&cancel).await;
        assert_eq!(audience.hears().await, "cancelled: Client");
        assert_eq!(pipe.ask(&request(2, "ping")).await["id"], 2, "nothing came for the call");
        pipe.finish().await;
    }
}

#[tokio::test]
async fn a_client_that_listens_is_told_of_changes_until_it_cancels() {
    let (server, _audience) = server(Limits::default());
    let mut pipe = Pipe::new(server.clone());
    let listen =
        with_params(1, "subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    let acknowledged = pipe.ask(&stateless(listen, STATELESS)).await;
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["notifications"], json!({ "toolsListChanged": true }));
    server.tools().changed();
    let changed = pipe.line().await.unwrap();
    assert_eq!(changed["method"], "notifications/tools/list_changed");
    assert_eq!(changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    let params = json!({ "requestId": 1 });
    pipe.send_line(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })).await;
    assert_eq!(pipe.ask(&request(2, "ping")).await["id"], 2);
    pipe.finish().await;
}

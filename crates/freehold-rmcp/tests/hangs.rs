//! What hangs in rmcp's own transports does not on these: each case gets an answer, and others go on meanwhile.

mod stage;
#[path = "../../freehold-mcp/tests/wire/mod.rs"]
#[allow(dead_code, reason = "made for other tests, too")]
mod wire;

use freehold_rmcp::{
    freehold_mcp::{
        HttpOptions,
        freehold::{ErrorCode, Limits},
    },
    rmcp::ServiceError,
};
use serde_json::{Value, json};
use stage::{Way, connect, connect_as, pipes, server, within};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use wire::{Request, open_session, serve};

/// Limits that a test can wait for.
fn short() -> Limits {
    let short = Duration::from_millis(200);
    Limits {
        deadline: short,
        question_timeout: short,
        cancel_grace: Duration::from_millis(50),
        ..Limits::default()
    }
}

fn code_of(error: &ServiceError) -> i32 {
    match error {
        ServiceError::McpError(error) => error.code.0,
        other => panic!("an error of the server, not {other}"),
    }
}

#[tokio::test]
async fn a_handler_that_panics() {
    for way in Way::ALL {
        let (server, _audience) = server(Limits::default());
        let client = connect(&server, way).await;
        let error = client.call("panics", json!({})).await.expect_err("it panicked");
        assert_eq!(code_of(&error), ErrorCode::INTERNAL_ERROR.0, "{way:?}");
        client.echoes().await;
    }
}

#[tokio::test]
async fn a_handler_that_never_returns() {
    for way in Way::ALL {
        let (server, mut audience) = server(short());
        let client = connect(&server, way).await;
        let error = client.call("stuck", json!({})).await.expect_err("its deadline passed");
        assert_eq!(code_of(&error), ErrorCode::DEADLINE_EXCEEDED.0, "{way:?}");
        audience.hears_of("stuck is dropped").await;
        client.echoes().await;
    }
}

#[tokio::test]
async fn a_client_that_never_answers() {
    for way in Way::SESSIONS {
        let (server, _audience) = server(short());
        let mut client = connect_as(&server, way, false, json!({ "roots": {} })).await;
        let error = client.call("roots", json!({})).await.expect_err("nobody answered");
        assert_eq!(client.hears().await, "asked for roots", "{way:?}");
        assert!(error.to_string().contains("did not answer \"roots/list\" within"), "{way:?}: {error}");
        client.echoes().await;
    }
}

fn call(id: u32, tool: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": tool } })
}

#[tokio::test]
async fn two_requests_with_one_id_over_http() {
    let (server, mut audience) = server(Limits::default());
    let address = serve(&server, HttpOptions::default()).await;
    let session = open_session(address).await;
    audience.hears_of("initialized by test").await;
    let mut first = Request::call(&session, 1, "wait", json!({})).send(address).await;
    audience.hears_of("waiting").await;
    let second = Request::call(&session, 1, "wait", json!({})).exchange(address).await;
    assert_eq!(second.status, 400);
    assert_eq!(second.json()["error"]["code"], ErrorCode::INVALID_REQUEST.0);
    audience.release();
    let (status, _) = first.head().await;
    assert_eq!(status, 200, "the first one is not disturbed");
}

#[tokio::test]
async fn two_requests_with_one_id_over_stdio() {
    let (server, mut audience) = server(Limits::default());
    let (output, mut input) = pipes(&server);
    let mut lines = BufReader::new(output).lines();
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
    let mut send = async |message: &Value| {
        within(input.write_all(format!("{message}\n").as_bytes())).await.expect("the pipe holds");
    };
    let mut answer = async || -> Value {
        let line = within(lines.next_line()).await.expect("the pipe holds").expect("a line");
        serde_json::from_str(&line).expect("JSON")
    };
    send(&initialize).await;
    assert_eq!(answer().await["result"]["serverInfo"]["name"], "stage");
    send(&call(1, "wait")).await;
    audience.hears_of("waiting").await;
    send(&call(1, "wait")).await;
    assert_eq!(answer().await["error"]["code"], ErrorCode::INVALID_REQUEST.0);
    audience.release();
    let first = answer().await;
    assert_eq!((&first["id"], &first["result"]["content"][0]["text"]), (&json!(1), &json!("released")));
}

#[tokio::test]
async fn a_client_that_does_not_read_one_of_its_streams() {
    let (server, mut audience) = server(Limits::default());
    let address = serve(&server, HttpOptions::default()).await;
    let session = open_session(address).await;
    // More than sockets and streams take together.
    let unread =
        Request::call(&session, 1, "flood", json!({ "n": 3_000, "bytes": 4_096 })).send(address).await;
    audience.hears_of("flooded").await;
    for id in 2..20 {
        let answer =
            within(Request::call(&session, id, "echo", json!({ "text": "hi" })).exchange(address)).await;
        assert_eq!(answer.json()["result"]["content"][0]["text"], "hi");
    }
    drop(unread);
}

#[tokio::test]
async fn input_that_ends_while_a_handler_is_stuck() {
    let (server, mut audience) = server(Limits::default());
    let (mut output, mut input) = pipes(&server);
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
    within(input.write_all(format!("{initialize}\n{}\n", call(1, "echo")).as_bytes()))
        .await
        .expect("it is read");
    // The session is there once it has answered.
    let mut byte = [0];
    within(output.read_exact(&mut byte)).await.expect("an answer");
    within(input.write_all(format!("{}\n", call(2, "stuck")).as_bytes())).await.expect("it is read");
    audience.hears_of("stuck").await;
    within(input.shutdown()).await.expect("it ends");
    drop(input);
    let mut rest = Vec::new();
    within(output.read_to_end(&mut rest)).await.expect("the server ends its output");
    audience.hears_of("stuck is dropped").await;
    assert_eq!(server.engine().session_count(), 0);
}

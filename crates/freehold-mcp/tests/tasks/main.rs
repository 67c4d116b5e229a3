//! Tasks: calls that outlive their request, in both eras, over HTTP and pipes.

mod client;
#[path = "../stage/mod.rs"]
#[expect(dead_code, reason = "the tests of tasks have a server of their own")]
mod stage;
#[path = "../wire/mod.rs"]
mod wire;
mod workshop;

use client::{Client, Era, LINES, Line, TASKS};
use serde_json::json;
use workshop::workshop;

const CANCELLED: i64 = -32800;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const MISSING_CAPABILITY: i64 = -32021;

fn related(task: &str) -> serde_json::Value {
    json!({ "io.modelcontextprotocol/related-task": { "taskId": task } })
}

/// The session's client asks for a task, polls it, and reads its result.
#[tokio::test]
async fn a_session_creates_polls_lists_and_reads() {
    for line in LINES {
        let (server, mut foreman) = workshop();
        let mut client = Client::of(&server, line, Era::Session).await;
        let task = client.create("wait", json!({})).await;
        assert_eq!(foreman.hears().await, "waiting");
        let got = client.get(&task).await;
        assert_eq!((&got["taskId"], &got["status"]), (&json!(task), &json!("working")));
        assert_eq!((&got["ttl"], &got["pollInterval"]), (&json!(60_000), &json!(1_000)));
        assert_eq!(got["statusMessage"], "waits to be released");
        assert!(got.get("ttlMs").is_none() && got.get("resultType").is_none(), "{got}");
        assert_eq!(client.result("tasks/list", json!({})).await, json!({ "tasks": [got] }));
        let mut waiting = client.start("tasks/result", json!({ "taskId": task })).await;
        foreman.release(1);
        let answer = client.answer_of(&mut waiting).await;
        let content = json!([{ "type": "text", "text": "released" }]);
        assert_eq!(answer["result"], json!({ "content": content, "_meta": related(&task) }));
        assert_eq!(client.get(&task).await["status"], "completed");
        let again = client.result("tasks/result", json!({ "taskId": task })).await;
        assert_eq!(again, answer["result"], "it can be read again");
    }
}

/// The server decides; everything is in what is polled.
#[tokio::test]
async fn a_stateless_client_polls_for_everything() {
    for line in LINES {
        let (server, mut foreman) = workshop();
        let mut client = Client::of(&server, line, Era::Stateless).await;
        let params = json!({ "name": "wait", "arguments": {}, "task": { "ttl": 5 } });
        let created = client.result("tools/call", params).await;
        assert_eq!((&created["resultType"], &created["status"]), (&json!("task"), &json!("working")));
        assert_eq!((&created["ttlMs"], &created["pollIntervalMs"]), (&json!(3_600_000), &json!(1_000)));
        let task = created["taskId"].as_str().expect("it has an id");
        assert_eq!(foreman.hears().await, "waiting");
        let got = client.get(task).await;
        assert_eq!((&got["resultType"], &got["status"]), (&json!("complete"), &json!("working")));
        assert!(got.get("result").is_none() && got.get("error").is_none(), "{got}");
        foreman.release(1);
        let got = client.until(task, "completed").await;
        assert_eq!(got["result"]["content"][0]["text"], "released");
        assert!(got["result"]["_meta"].get("io.modelcontextprotocol/related-task").is_none());
        assert_eq!(client.error("tasks/list", json!({})).await, METHOD_NOT_FOUND);
        assert_eq!(client.error("tasks/result", json!({ "taskId": task })).await, METHOD_NOT_FOUND);
    }
}

/// Who waits for the result is told of the cancel, and so is the tool.
#[tokio::test]
async fn a_result_that_is_waited_for_ends_with_a_cancel() {
    for line in LINES {
        let (server, mut foreman) = workshop();
        let mut client = Client::of(&server, line, Era::Session).await;
        let task = client.create("wait", json!({})).await;
        assert_eq!(foreman.hears().await, "waiting");
        let mut waiting = client.start("tasks/result", json!({ "taskId": task })).await;
        let cancelled = client.result("tasks/cancel", json!({ "taskId": task })).await;
        assert_eq!(cancelled["status"], "cancelled");
        assert_eq!(client.answer_of(&mut waiting).await["error"]["code"], CANCELLED);
        assert_eq!(foreman.hears().await, "cancelled: Client");
        assert_eq!(client.get(&task).await["status"], "cancelled");
        assert_eq!(client.error("tasks/cancel", json!({ "taskId": task })).await, INVALID_PARAMS);
    }
}

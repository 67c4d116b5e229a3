//! Revision 2025-11-25.

use crate::{
    scene::{Client, Era, request, scene},
    wire::{Connection, Event, Request, open_session, serve},
};
use freehold_mcp::HttpOptions;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const CANCELLED: &str = "notifications/cancelled";
const PROGRESS: &str = "notifications/progress";
const SAMPLE: &str = "sampling/createMessage";
const TOOLS_CHANGED: &str = "notifications/tools/list_changed";

#[tokio::test]
async fn questions_have_ids_that_are_new() {
    const ROUNDS: u32 = 3;
    let (server, _audience) = scene();
    let mut client = Client::new(server, Era::Session).await;
    let mut ids = BTreeSet::new();
    for round in 0..ROUNDS {
        for id in 1..=3 {
            let params = json!({ "name": "sample", "arguments": {} });
            client.send(10 * round + id, "tools/call", params).await;
        }
        let mut questions = Vec::new();
        while questions.len() < 3 {
            let question = client.next().await;
            assert_eq!(question["method"], SAMPLE, "{question}");
            questions.push(question["id"].clone());
        }
        for id in questions {
            assert!(id.is_string() || id.is_i64(), "{id}");
            assert!(ids.insert(id.to_string()), "{id} was used before");
            client.pipe.send_line(&json!({ "jsonrpc": "2.0", "id": id, "result": { "n": 1 } })).await;
        }
        for _ in 0..3 {
            let answer = client.next().await;
            assert_eq!(answer["result"]["content"][0]["text"], r#"sampled {"n":1}"#, "{answer}");
        }
    }
    client.pipe.finish().await;
}

#[tokio::test]
async fn notifications_have_no_id() {
    let (server, _audience) = scene();
    let mut client = Client::new(server.clone(), Era::Session).await;
    server.tools().changed();
    client.call(1, "counts", json!({})).await;
    client.call(2, "logs", json!({})).await;
    for method in [TOOLS_CHANGED, PROGRESS, "notifications/message"] {
        let told = client.seen_of(method);
        assert!(!told.is_empty(), "{method}");
        assert!(told.iter().all(|message| message.get("id").is_none()), "{told:?}");
    }
    client.pipe.finish().await;
}

#[tokio::test]
async fn initialize_says_what_the_server_is_and_can_do() {
    let (server, _audience) = scene();
    let address = serve(&server, HttpOptions::default()).await;
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    });
    let opened = Request::post(&request(1, "initialize", params)).exchange(address).await.json();
    let result = &opened["result"];
    assert_eq!(result["protocolVersion"], "2025-11-25");
    assert_eq!(result["serverInfo"], json!({ "name": "stage", "version": "1.0.0" }));
    assert!(result["capabilities"]["tools"].is_object());
    assert!(result["capabilities"]["logging"].is_object());
    assert!(result.get("resultType").is_none(), "that is of another revision");
}

#[tokio::test]
async fn only_what_was_agreed_upon_is_used() {
    let (server, _audience) = scene();
    let mut client = Client::new(server, Era::Stateless).await;
    client.era = Era::Session;
    client.pipe.initialize().await;
    // The client did not say that it can sample, so nobody asks it.
    let answer = client.call(1, "sample", json!({})).await;
    assert_eq!(answer["result"]["isError"], true);
    assert!(client.seen_of(SAMPLE).is_empty());
    // It asked for messages of one level and those above.
    client.ask(2, "logging/setLevel", json!({ "level": "error" })).await;
    client.call(3, "logs", json!({})).await;
    let levels: Vec<&Value> =
        client.seen_of("notifications/message").iter().map(|message| &message["params"]["level"]).collect();
    assert_eq!(levels, ["error"]);
    client.pipe.finish().await;
}

/// All that comes until the stream ends.
async fn rest(mut stream: Connection) -> Vec<Value> {
    stream.begins_events().await;
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await {
        messages.push(message);
    }
    messages
}

#[tokio::test]
async fn each_message_goes_on_one_stream() {
    let (server, mut audience) = scene();
    let address = serve(&server, HttpOptions::default()).await;
    let session = open_session(address).await;
    let mut listener = Request::new("GET", "").in_session(&session).send(address).await;
    listener.begins_events().await;
    assert_eq!(listener.event().await, Some(Event::Comment));
    let first = Request::call(&session, 1, "flood", json!({ "n": 20, "bytes": 10 })).send(address).await;
    let second = Request::call(&session, 2, "step_and_wait", json!({})).send(address).await;
    let mut said = BTreeSet::from([audience.hears().await, audience.hears().await]);
    server.tools().changed();
    audience.release();
    for (id, figures, stream) in [(1, 20, first), (2, 1, second)] {
        let messages = rest(stream).await;
        let (answer, progress) = messages.split_last().expect("there is an answer");
        assert_eq!(answer["id"], id);
        assert_eq!(progress.len(), figures, "each once: {progress:?}");
        for message in progress {
            assert_eq!(
                (&message["method"], &message["params"]["progressToken"]),
                (&json!(PROGRESS), &json!(id))
            );
        }
    }
    assert!(said.remove("flooded") && said.remove("waiting"));
    server.tools().remove("counts");
    for _ in 0..2 {
        let message = listener.message().await.expect("it is told");
        assert_eq!(
            message["method"], TOOLS_CHANGED,
            "nothing of a call is sent here, least of all an answer"
        );
    }
    let deleted = Request::new("DELETE", "").in_session(&session).exchange(address).await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert_eq!(listener.message().await, None, "and each change once");
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_cancels_nothing_else() {
    let (server, mut audience) = scene();
    let mut client = Client::new(server, Era::Session).await;
    client.send(1, "tools/call", json!({ "name": "wait", "arguments": {} })).await;
    assert_eq!(audience.hears().await, "waiting");
    client.send(2, "tools/call", json!({ "name": "sample", "arguments": {} })).await;
    let question = client.next().await;
    assert_eq!(question["method"], SAMPLE);
    client.notify(CANCELLED, json!({ "requestId": 2 })).await;
    client.fence().await;
    // Its answer, too late, is nobody's.
    client.pipe.send_line(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": {} })).await;
    client.fence().await;
    audience.release();
    client.answer(1).await;
    let cancels = client.seen_of(CANCELLED);
    assert!(cancels.len() <= 1, "{cancels:?}");
    assert!(cancels.iter().all(|cancel| cancel["params"]["requestId"] == question["id"]), "{cancels:?}");
    client.pipe.finish().await;
}

#[tokio::test]
async fn ping_is_answered_with_nothing() {
    let (server, _audience) = scene();
    let mut client = Client::new(server, Era::Session).await;
    let pong = client.ask(1, "ping", json!({})).await;
    assert_eq!(pong, json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
    client.pipe.finish().await;
}

#[tokio::test]
async fn a_question_is_answered_by_whom_it_was_put_to() {
    let (server, _audience) = scene();
    let address = serve(&server, HttpOptions::default()).await;
    let (asked, other) = (open_session(address).await, open_session(address).await);
    let mut call = Request::call(&asked, 1, "sample", json!({})).send(address).await;
    call.begins_events().await;
    let question = call.message().await.expect("the tool asks");
    for (session, said) in [(&other, "not mine"), (&asked, "mine")] {
        let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "text": said } });
        let accepted = Request::post(&answer).in_session(session).exchange(address).await;
        assert_eq!(accepted.status, 202, "an answer to no question is let be");
    }
    let result = call.message().await.expect("the call is answered");
    assert_eq!(result["result"]["content"][0]["text"], r#"sampled {"text":"mine"}"#);
}

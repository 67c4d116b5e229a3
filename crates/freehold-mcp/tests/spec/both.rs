//! What is demanded in both eras alike.

use crate::scene::{Client, ERAS, Era, GROWING, scene};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const PROGRESS: &str = "notifications/progress";

#[tokio::test]
async fn a_notification_is_never_answered() {
    for era in ERAS {
        let (server, _audience) = scene();
        let mut client = Client::new(server, era).await;
        for (method, params) in [
            ("notifications/nobody_knows", json!({})),
            ("notifications/cancelled", json!({ "requestId": 77 })),
            ("notifications/cancelled", json!({})),
            ("notifications/cancelled", json!({ "requestId": [] })),
            ("notifications/progress", json!({ "progressToken": 5, "progress": 1 })),
            // What is a request otherwise is none without an id.
            ("tools/list", json!({ "cursor": 5 })),
            ("tools/call", json!({ "name": "echo", "arguments": { "text": "hi" } })),
        ] {
            client.notify(method, params).await;
        }
        client.fence().await;
        assert_eq!(client.seen.len(), 1, "{era:?}: {:?}", client.seen);
        client.pipe.finish().await;
    }
}

#[tokio::test]
async fn unknown_meta_is_let_be() {
    for era in ERAS {
        let (server, _audience) = scene();
        let mut client = Client::new(server, era).await;
        let meta = json!({
            "io.modelcontextprotocol/nobody-knows-this-yet": [1, { "a": null }],
            "io.modelcontextprotocol/related-task": "not an object",
            "io.modelcontextprotocol/subscriptionId": { "not": "an id" },
            "traceparent": 5,
            "tracestate": [],
            "baggage": false,
            "example.com/own": "x".repeat(1_000),
            "": {},
        });
        let params = json!({ "name": "echo", "arguments": { "text": "hi" }, "_meta": meta });
        let answer = client.ask(1, "tools/call", params).await;
        assert_eq!(answer["result"]["content"][0]["text"], "hi", "{era:?}: {answer}");
        client.pipe.finish().await;
    }
}

#[tokio::test]
async fn a_cancel_of_nothing_disturbs_nothing() {
    for era in ERAS {
        let (server, mut audience) = scene();
        let mut client = Client::new(server, era).await;
        client.call(1, "echo", json!({ "text": "over" })).await;
        client.send(2, "tools/call", json!({ "name": "wait", "arguments": {} })).await;
        assert_eq!(audience.hears().await, "waiting");
        for id in [json!(1), json!(1), json!(77), json!("2"), json!(2.5), json!(null), json!({})] {
            client.notify("notifications/cancelled", json!({ "requestId": id, "reason": "mistaken" })).await;
        }
        client.notify("notifications/cancelled", json!({ "reason": "of what?" })).await;
        client.fence().await;
        audience.release();
        let answer = client.answer(2).await;
        assert_eq!(answer["result"]["content"][0]["text"], "released", "{era:?}");
        client.pipe.finish().await;
    }
}

#[tokio::test]
async fn progress_grows_and_is_told_to_those_who_asked() {
    for era in ERAS {
        let (server, _audience) = scene();
        let mut client = Client::new(server, era).await;
        client.call(1, "counts", json!({})).await;
        let told: Vec<f64> = client
            .seen_of(PROGRESS)
            .iter()
            .inspect(|progress| assert_eq!(progress["params"]["progressToken"], 1))
            .map(|progress| progress["params"]["progress"].as_f64().expect("it is a number"))
            .collect();
        assert_eq!(told, GROWING, "{era:?}");

        client.seen.clear();
        for (id, token) in [(2, Value::Null), (3, json!({})), (4, json!(true))] {
            let params = json!({ "name": "counts", "arguments": {}, "_meta": { "progressToken": token } });
            client.ask(id, "tools/call", params).await;
        }
        client.ask(5, "tools/call", json!({ "name": "counts", "arguments": {} })).await;
        assert_eq!(client.seen_of(PROGRESS).len(), 0, "{era:?}: none of them has a token");
        client.pipe.finish().await;
    }
}

#[tokio::test]
async fn each_tool_has_an_object_as_its_schema() {
    for era in ERAS {
        let (server, _audience) = scene();
        let mut client = Client::new(server, era).await;
        let answer = client.ask(1, "tools/list", json!({})).await;
        let tools = answer["result"]["tools"].as_array().expect("there is a list");
        assert!(tools.iter().any(|tool| tool["name"] == "counts"));
        for tool in tools {
            assert_eq!(tool["inputSchema"]["type"], "object", "{era:?}: {tool}");
        }
        client.pipe.finish().await;
    }
}

/// Everything a client can cause the server to say of itself in `_meta`.
async fn conversation(era: Era) -> Vec<Value> {
    let (server, _audience) = scene();
    let mut client = Client::new(server.clone(), era).await;
    let first = if era == Era::Session { "ping" } else { "server/discover" };
    client.ask(1, first, json!({})).await;
    client.ask(2, "tools/list", json!({})).await;
    client.call(3, "echo", json!({ "text": "hi" })).await;
    client.call(4, "breaks", json!({})).await;
    client.call(5, "breaks", json!({})).await;
    if era == Era::Stateless {
        let wanted = json!({ "notifications": { "toolsListChanged": true } });
        client.send(6, "subscriptions/listen", wanted).await;
        assert_eq!(client.next().await["method"], "notifications/subscriptions/acknowledged");
    }
    server.tools().changed();
    assert_eq!(client.next().await["method"], "notifications/tools/list_changed");
    client.seen
}

fn collect_meta_keys(value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(meta) = members.get("_meta").and_then(Value::as_object) {
                keys.extend(meta.keys().cloned());
            }
            members.values().for_each(|member| collect_meta_keys(member, keys));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_meta_keys(item, keys)),
        _ => {}
    }
}

/// The grammar of keys: a prefix of labels with dots between them and a slash, and a name.
fn has_the_form(key: &str) -> bool {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(u8::is_ascii_alphabetic)
            && alphanumeric(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    let name = |name: &str| {
        let bytes = name.as_bytes();
        let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        bytes.is_empty()
            || alphanumeric(bytes.first()) && alphanumeric(bytes.last()) && bytes.iter().all(inside)
    };
    match key.split_once('/') {
        Some((prefix, rest)) => prefix.split('.').all(label) && name(rest),
        None => name(key),
    }
}

#[tokio::test]
async fn meta_keys_have_the_form() {
    for (key, fits) in [
        ("a.b-c/d_e.f", true),
        ("progressToken", true),
        ("a./b", false),
        ("-a/b", false),
        ("a/b/c", false),
        ("a/_", false),
    ] {
        assert_eq!(has_the_form(key), fits, "{key}");
    }
    let mut keys = BTreeSet::new();
    for era in ERAS {
        conversation(era).await.iter().for_each(|message| collect_meta_keys(message, &mut keys));
    }
    for expected in [
        "io.modelcontextprotocol/serverInfo",
        "io.modelcontextprotocol/subscriptionId",
        "io.github.freehold-rs/degraded",
    ] {
        assert!(keys.contains(expected), "the conversation has no {expected}: {keys:?}");
    }
    for key in keys {
        assert!(has_the_form(&key), "{key}");
    }
}

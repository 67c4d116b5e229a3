//! Revision 2026-07-28.

use crate::{
    pipe::Pipe,
    scene::{Client, Era, initialize, request, scene, stateless},
    wire::{Connection, Request, serve},
};
use freehold_mcp::{CacheHint, Cacheable, HttpOptions, McpServer, Tool, ToolContext, ToolError};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, net::SocketAddr, path::Path, time::Duration};

const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
const CANCELLED: &str = "notifications/cancelled";
const LOGGED: &str = "notifications/message";
const PROGRESS: &str = "notifications/progress";
const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
const MISSING_CAPABILITY: i32 = -32021;
const MINUTE: Duration = Duration::from_secs(60);

fn subscription(message: &Value) -> &Value {
    &message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"]
}

fn listen_to_tools() -> Value {
    json!({ "notifications": { "toolsListChanged": true } })
}

async fn over_http() -> (McpServer, SocketAddr) {
    let (server, _audience) = scene();
    let address = serve(&server, HttpOptions::default()).await;
    (server, address)
}

#[tokio::test]
async fn every_result_says_its_type() {
    let requests = [
        ("server/discover", json!({})),
        ("tools/list", json!({})),
        ("tools/call", json!({ "name": "echo", "arguments": { "text": "hi" } })),
        ("tools/call", json!({ "name": "echo", "arguments": {} })),
        ("subscriptions/listen", json!({ "notifications": {} })),
    ];
    let (server, address) = over_http().await;
    let mut client = Client::new(server, Era::Stateless).await;
    for (id, (method, params)) in (1..).zip(requests) {
        let by_pipe = client.ask(id, method, params.clone()).await;
        assert_eq!(by_pipe["result"]["resultType"], "complete", "{method}: {by_pipe}");
        if method != "subscriptions/listen" {
            let by_http = Request::stateless(id, method, params).exchange(address).await.json();
            assert_eq!(by_http["result"]["resultType"], "complete", "{method}: {by_http}");
        }
    }
    client.pipe.finish().await;
}

/// The codes from -30000 to -39999 that stand in the sources of a folder, comments and tests left out.
fn codes_in(folder: &Path, found: &mut BTreeSet<i32>) {
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            codes_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("sources are text");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default().replace('_', "");
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            for part in lines.flat_map(|line| line.split('-').skip(1)) {
                let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
                if digits.len() == 5 && digits.starts_with('3') {
                    found.insert(-digits.parse::<i32>().expect("they are digits"));
                }
            }
        }
    }
}

#[test]
fn error_codes_are_those_of_the_specification() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut codes = BTreeSet::new();
    codes_in(&own.join("src"), &mut codes);
    codes_in(&own.join("../freehold/src"), &mut codes);
    let defined = [-32022, -32021, -32020];
    assert!(defined.iter().all(|code| codes.contains(code)), "the scan sees them: {codes:?}");
    assert!(codes.contains(&-32601), "and those of JSON-RPC");
    for code in codes {
        let reserved = (-32099..=-32020).contains(&code);
        assert!(
            !reserved || defined.contains(&code) || code == -32042,
            "{code} is the specification's to define"
        );
        let legacy = (-32019..=-32000).contains(&code);
        assert!(!legacy || code == -32002, "{code} is of the range that new codes keep out of");
    }
}

#[tokio::test]
async fn what_is_sent_unasked_is_a_notification() {
    let (server, mut audience) = scene();
    let mut client = Client::new(server.clone(), Era::Stateless).await;
    client.send(1, "subscriptions/listen", listen_to_tools()).await;
    assert_eq!(client.next().await["method"], ACKNOWLEDGED);
    server.tools().changed();
    assert_eq!(client.next().await["method"], TOOLS_CHANGED);
    let meta = json!({ "progressToken": "p", "io.modelcontextprotocol/logLevel": "debug" });
    for (id, tool) in [(2, "counts"), (3, "logs"), (4, "sample"), (5, "needs_sampling")] {
        client.ask(id, "tools/call", json!({ "name": tool, "arguments": {}, "_meta": meta })).await;
    }
    client.send(6, "tools/call", json!({ "name": "wait", "arguments": {} })).await;
    assert_eq!(audience.hears().await, "waiting");
    client.notify(CANCELLED, json!({ "requestId": 6 })).await;
    assert_eq!(audience.hears().await, "cancelled: Client");
    client.pipe.input = None;
    while let Some(message) = client.pipe.line().await {
        client.seen.push(message);
    }

    let told = [ACKNOWLEDGED, TOOLS_CHANGED, PROGRESS, LOGGED];
    assert!(told.iter().all(|method| !client.seen_of(method).is_empty()), "{:?}", client.seen);
    for message in &client.seen {
        match message["method"].as_str() {
            Some(CANCELLED) => assert_eq!(message["params"]["requestId"], 1, "of the subscription only"),
            Some(method) => assert!(told.contains(&method), "{message}"),
            None => assert!(message["id"].as_u64().is_some_and(|id| id < 6), "{message}"),
        }
        assert!(message.get("method").is_none() || message.get("id").is_none(), "a request: {message}");
    }
}

#[tokio::test]
async fn each_request_stands_alone() {
    let (server, _audience) = scene();
    let mut pipe = Pipe::new(server);
    let call = |id: u32, tool: &str, able: bool| {
        let message = request(id, "tools/call", json!({ "name": tool, "arguments": {} }));
        let mut message = stateless(message, if able { json!({ "sampling": {} }) } else { json!({}) });
        if able {
            message["params"]["_meta"]["io.modelcontextprotocol/logLevel"] = json!("debug");
        }
        message
    };
    for (id, able) in [(1, false), (2, true), (3, false)] {
        let answer = pipe.ask(&call(id, "needs_sampling", able)).await;
        let refused = answer["error"]["code"] == MISSING_CAPABILITY;
        assert_eq!(refused, !able, "{answer}");
    }
    assert_eq!(pipe.ask(&call(4, "logs", true)).await["method"], LOGGED);
    while pipe.line().await.expect("the answer comes").get("id").is_none() {}
    assert_eq!(pipe.ask(&call(5, "logs", false)).await["id"], 5, "nobody asked for messages");
    // What a session says of its client is of that session only.
    initialize(&mut pipe, json!({ "sampling": {} })).await;
    let answer = pipe.ask(&call(6, "needs_sampling", false)).await;
    assert_eq!(answer["error"]["code"], MISSING_CAPABILITY);
    pipe.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_acknowledged_before_it_is_told_anything() {
    let (server, _audience) = scene();
    let mut client = Client::new(server.clone(), Era::Stateless).await;
    for id in 1..=50 {
        server.tools().changed();
        let (_, ()) = tokio::join!(
            async {
                tokio::task::yield_now().await;
                server.tools().changed();
            },
            client.send(id, "subscriptions/listen", listen_to_tools()),
        );
        server.tools().changed();
        let first = loop {
            let message = client.next().await;
            if *subscription(&message) == id {
                break message;
            }
        };
        assert_eq!(first["method"], ACKNOWLEDGED, "{first}");
    }
}

#[tokio::test]
async fn subscriptions_on_one_pipe_are_told_apart() {
    let (server, _audience) = scene();
    let mut client = Client::new(server.clone(), Era::Stateless).await;
    for id in [1, 2] {
        client.send(id, "subscriptions/listen", listen_to_tools()).await;
        let acknowledged = client.next().await;
        assert_eq!(
            (&acknowledged["method"], subscription(&acknowledged)),
            (&json!(ACKNOWLEDGED), &json!(id))
        );
    }
    server.tools().changed();
    let told = [client.next().await, client.next().await];
    let ids: BTreeSet<u64> = told.iter().filter_map(|message| subscription(message).as_u64()).collect();
    assert_eq!(ids, BTreeSet::from([1, 2]), "each by its id: {told:?}");
    client.notify(CANCELLED, json!({ "requestId": 1 })).await;
    client.fence().await;
    client.seen.clear();
    server.tools().changed();
    assert_eq!(*subscription(&client.next().await), 2);
    client.fence().await;
    assert!(client.seen.iter().all(|message| *subscription(message) != 1), "{:?}", client.seen);
}

#[tokio::test]
async fn a_stream_has_only_what_belongs_to_its_request() {
    let (server, address) = over_http().await;
    let mut listener = Request::stateless(9, "subscriptions/listen", listen_to_tools()).send(address).await;
    listener.begins_events().await;
    assert_eq!(listener.message().await.expect("it is acknowledged")["method"], ACKNOWLEDGED);
    let flood = json!({ "n": 50, "bytes": 10 });
    let mut calls = Vec::new();
    for id in [1, 2] {
        calls.push((id, Request::stateless_call(id, "flood", flood.clone()).send(address).await));
    }
    server.tools().changed();
    for (id, mut call) in calls {
        call.begins_events().await;
        let answer = loop {
            let message = call.message().await.expect("the answer comes before the end");
            if message.get("id").is_some() {
                break message;
            }
            assert_eq!(
                (&message["method"], &message["params"]["progressToken"]),
                (&json!(PROGRESS), &json!(id))
            );
        };
        assert_eq!(answer["id"], id);
        assert_eq!(call.message().await, None);
    }
    assert_eq!(listener.message().await.expect("it is told")["method"], TOOLS_CHANGED);
}

#[tokio::test]
async fn tools_are_declared_and_listed_alike_to_all() {
    let (server, address) = over_http().await;
    let discovered = Request::stateless(1, "server/discover", json!({})).exchange(address).await.json();
    assert!(discovered["result"]["capabilities"]["tools"].is_object());
    let listed = async || {
        let listed = Request::stateless(2, "tools/list", json!({})).exchange(address).await.json();
        listed["result"].clone()
    };
    let before = listed().await;
    let names: Vec<&str> =
        before["tools"].as_array().into_iter().flatten().filter_map(|tool| tool["name"].as_str()).collect();
    assert!(names.contains(&"counts") && names.contains(&"echo"));
    // Whatever else a client did, on this connection or another.
    let mut client = Client::new(server, Era::Stateless).await;
    for tool in ["echo", "counts", "needs_sampling", "breaks"] {
        client.call(3, tool, json!({})).await;
    }
    assert_eq!(client.ask(4, "tools/list", json!({})).await["result"], before);
    assert_eq!(listed().await, before);
    client.pipe.finish().await;
}

#[tokio::test]
async fn all_pages_of_a_list_have_one_scope() {
    async fn nothing(_ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
        Ok("")
    }
    for (hint, scope) in [(CacheHint::private(MINUTE), "private"), (CacheHint::public(MINUTE), "public")] {
        let mut builder = McpServer::builder("pages", "1.0.0").page_size(2).cache(Cacheable::ToolsList, hint);
        for name in ["a", "b", "c", "d", "e"] {
            builder = builder.tool(Tool::new(name, "", nothing));
        }
        let mut client = Client::new(builder.build().expect("names are unique"), Era::Stateless).await;
        let (mut params, mut pages) = (json!({}), 0);
        loop {
            let page = client.ask(1, "tools/list", params).await["result"].clone();
            assert_eq!((&page["cacheScope"], &page["ttlMs"]), (&json!(scope), &json!(60_000)), "{page}");
            pages += 1;
            let Some(cursor) = page.get("nextCursor") else { break };
            params = json!({ "cursor": cursor });
        }
        assert_eq!(pages, 3);
        client.pipe.finish().await;
    }
}

/// The levels of the messages that come before the answer.
async fn levels(mut call: Connection) -> Vec<Value> {
    call.begins_events().await;
    let mut levels = Vec::new();
    loop {
        let message = call.message().await.expect("the answer comes before the end");
        if message.get("id").is_some() {
            return levels;
        }
        assert_eq!(message["method"], LOGGED);
        levels.push(message["params"]["level"].clone());
    }
}

#[tokio::test]
async fn messages_are_logged_to_those_who_asked_and_where_they_asked() {
    let (server, address) = over_http().await;
    let discovered = Request::stateless(1, "server/discover", json!({})).exchange(address).await.json();
    assert!(discovered["result"]["capabilities"]["logging"].is_object());
    let mut listener = Request::stateless(2, "subscriptions/listen", listen_to_tools()).send(address).await;
    listener.begins_events().await;
    assert_eq!(listener.message().await.expect("it is acknowledged")["method"], ACKNOWLEDGED);
    for (level, expected) in
        [("debug", vec!["debug", "info", "error"]), ("info", vec!["info", "error"]), ("error", vec!["error"])]
    {
        let meta = json!({ "io.modelcontextprotocol/logLevel": level });
        let params = json!({ "name": "logs", "arguments": {}, "_meta": meta });
        let call = Request::stateless(3, "tools/call", params).send(address).await;
        assert_eq!(levels(call).await, expected, "{level}");
    }
    let unasked = Request::stateless_call(4, "logs", json!({})).exchange(address).await;
    assert_eq!(unasked.json()["result"]["content"][0]["text"], "logged", "there was no stream to log on");
    server.tools().changed();
    assert_eq!(
        listener.message().await.expect("it is told")["method"],
        TOOLS_CHANGED,
        "and nothing was logged there"
    );
}

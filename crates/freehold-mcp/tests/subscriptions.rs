//! Who is told of a change: sessions that subscribed, streams that asked for it, and nobody else.

mod pipe;
#[expect(dead_code, reason = "the tools of the stage are not called")]
mod stage;
#[expect(dead_code, reason = "only the stateless envelope is needed")]
mod ways;
#[expect(dead_code, reason = "one kind of traffic needs a part of it")]
mod wire;

use freehold_mcp::{
    HttpOptions, McpServer, Prompt, RequestContext, RequestError, Resource, ResourceTemplate,
    freehold::Limits,
};
use pipe::Pipe;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use wire::{Connection, Event, Request, open_session, serve};

const UPDATED: &str = "notifications/resources/updated";
const RESOURCES_CHANGED: &str = "notifications/resources/list_changed";
const PROMPTS_CHANGED: &str = "notifications/prompts/list_changed";
const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
const INVALID_PARAMS: i32 = -32602;
const RESOURCE_NOT_FOUND: i32 = -32002;
const OVERLOADED: i32 = -31002;
/// Changes that a subscription may be behind.
const KEPT: usize = 1_024;

#[derive(Deserialize)]
struct Numbered {
    number: u32,
}

async fn numbered(_ctx: &RequestContext, of: Numbered) -> Result<String, RequestError> {
    Ok(of.number.to_string())
}

async fn nothing(_ctx: &RequestContext, (): ()) -> Result<&'static str, RequestError> {
    Ok("")
}

fn server() -> McpServer {
    McpServer::builder("subscriptions", "1.0.0")
        .limits(Limits { topics_per_session: 3, ..Limits::default() })
        .prompt(Prompt::new("p", "", nothing))
        .resource(Resource::text("x:a", "a", "", ""))
        .resource(Resource::text("x:b", "b", "", ""))
        .resource_template(ResourceTemplate::new("n:{number}", "n", "", numbered))
        .build()
        .unwrap()
}

fn message(id: u32, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// A session over HTTP with its stream open.
struct Client {
    address: SocketAddr,
    session: String,
    stream: Connection,
}

impl Client {
    async fn new(address: SocketAddr) -> Self {
        let session = open_session(address).await;
        let mut stream = Request::new("GET", "").in_session(&session).send(address).await;
        stream.begins_events().await;
        // Says that it is open.
        assert_eq!(stream.event().await, Some(Event::Comment));
        Self { address, session, stream }
    }

    async fn ask(&self, method: &str, uri: &str) -> Value {
        let message = message(1, method, json!({ "uri": uri }));
        Request::post(&message).in_session(&self.session).exchange(self.address).await.json()
    }

    async fn subscribe(&self, uri: &str) {
        assert_eq!(self.ask("resources/subscribe", uri).await["result"], json!({}));
    }

    async fn hears(&mut self) -> Value {
        self.stream.message().await.expect("the stream goes on")
    }
}

fn updated(uri: &str) -> Value {
    json!({ "jsonrpc": "2.0", "method": UPDATED, "params": { "uri": uri } })
}

#[tokio::test]
async fn a_session_is_told_of_what_it_subscribed_to_and_of_nothing_else() {
    let server = server();
    let address = serve(&server, HttpOptions::default()).await;
    let (mut first, mut second, mut third) =
        (Client::new(address).await, Client::new(address).await, Client::new(address).await);
    first.subscribe("x:a").await;
    second.subscribe("x:b").await;
    second.subscribe("n:7").await;
    server.resources().updated("x:a");
    server.resources().updated("n:8");
    // Everybody is told of this one, so whoever has it has had all that came before.
    server.prompts().changed();
    assert_eq!(first.hears().await, updated("x:a"));
    for client in [&mut first, &mut second, &mut third] {
        assert_eq!(client.hears().await["method"], PROMPTS_CHANGED);
    }
    server.resources().updated("n:7");
    assert_eq!(second.hears().await, updated("n:7"));

    // Twice is once, and over is over.
    first.subscribe("x:a").await;
    assert_eq!(first.ask("resources/unsubscribe", "x:a").await["result"], json!({}));
    assert_eq!(first.ask("resources/unsubscribe", "x:a").await["result"], json!({}));
    server.resources().updated("x:a");
    server.tools().changed();
    assert_eq!(first.hears().await["method"], TOOLS_CHANGED);
}

#[tokio::test]
async fn a_session_subscribes_to_what_there_is_and_to_no_more_than_it_may() {
    let server = server();
    let address = serve(&server, HttpOptions::default()).await;
    let client = Client::new(address).await;
    for uri in ["x:c", "n:x?", "", &format!("n:{}", "7".repeat(10_000))] {
        let error = client.ask("resources/subscribe", uri).await["error"].clone();
        assert_eq!((&error["code"], &error["data"]["uri"]), (&json!(RESOURCE_NOT_FOUND), &json!(uri)));
    }
    for number in 0..3 {
        client.subscribe(&format!("n:{number}")).await;
    }
    let error = client.ask("resources/subscribe", "n:3").await["error"].clone();
    assert_eq!(error["code"], OVERLOADED, "{error}");
    client.subscribe("n:2").await;
    assert_eq!(client.ask("resources/unsubscribe", "n:2").await["result"], json!({}));
    client.subscribe("n:3").await;
}

#[tokio::test]
async fn what_comes_and_goes_is_told_and_listed() {
    let server = server();
    let mut pipe = Pipe::new(server.clone());
    pipe.initialize().await;
    // Answered, so everything before it was read.
    assert_eq!(pipe.ask(&message(1, "ping", json!({}))).await["id"], 1);
    server.resources().add(Resource::text("x:c", "c", "", "")).unwrap();
    server.resources().remove("x:a");
    server.resources().remove("x:a");
    server.resources().remove_template("n:{number}");
    server.prompts().add(Prompt::new("q", "", nothing)).unwrap();
    server.prompts().remove("p");
    for method in [RESOURCES_CHANGED, RESOURCES_CHANGED, RESOURCES_CHANGED, PROMPTS_CHANGED, PROMPTS_CHANGED]
    {
        assert_eq!(pipe.line().await.unwrap()["method"], method);
    }
    for (method, member, key, listed) in [
        ("resources/list", "resources", "uri", json!(["x:b", "x:c"])),
        ("resources/templates/list", "resourceTemplates", "uriTemplate", json!([])),
        ("prompts/list", "prompts", "name", json!(["q"])),
    ] {
        let answer = pipe.ask(&message(2, method, json!({}))).await;
        let entries = answer["result"][member].as_array().unwrap().iter();
        assert_eq!(json!(entries.map(|entry| &entry[key]).collect::<Vec<_>>()), listed, "{method}");
    }
}

fn listen(id: u32, wanted: &Value) -> Value {
    ways::stateless(message(id, "subscriptions/listen", json!({ "notifications": wanted })), json!({}))
}

fn on_subscription(id: u32, method: &str, uri: Option<&str>) -> Value {
    let mut params = json!({ "_meta": { "io.modelcontextprotocol/subscriptionId": id } });
    if let Some(uri) = uri {
        params["uri"] = json!(uri);
    }
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

fn acknowledged(id: u32, honoured: Value) -> Value {
    let mut message = on_subscription(id, "notifications/subscriptions/acknowledged", None);
    message["params"]["notifications"] = honoured;
    message
}

#[tokio::test]
async fn a_stream_brings_what_was_asked_for_and_nothing_else() {
    let server = server();
    let address = serve(&server, HttpOptions::default()).await;
    let open = async |id, wanted| {
        let params = json!({ "notifications": wanted });
        let mut stream = Request::stateless(id, "subscriptions/listen", params).send(address).await;
        stream.begins_events().await;
        stream
    };
    let wanted = json!({ "promptsListChanged": true, "resourceSubscriptions": ["x:a", "n:7", "x:c"] });
    let mut first = open(1, wanted).await;
    let honoured = json!({ "promptsListChanged": true, "resourceSubscriptions": ["n:7", "x:a"] });
    assert_eq!(first.message().await, Some(acknowledged(1, honoured)));
    let wanted =
        json!({ "resourcesListChanged": true, "toolsListChanged": true, "resourceSubscriptions": ["x:b"] });
    let mut second = open(2, wanted.clone()).await;
    assert_eq!(second.message().await, Some(acknowledged(2, wanted)));

    let tell = |what: &str| match what {
        TOOLS_CHANGED => server.tools().changed(),
        PROMPTS_CHANGED => server.prompts().changed(),
        RESOURCES_CHANGED => server.resources().changed(),
        uri => server.resources().updated(uri),
    };
    let told = [
        ("x:b", 2),
        ("x:a", 1),
        (TOOLS_CHANGED, 2),
        ("n:8", 0),
        (PROMPTS_CHANGED, 1),
        (RESOURCES_CHANGED, 2),
        ("n:7", 1),
        ("x:b", 2),
    ];
    for (what, id) in told {
        tell(what);
        let stream = match id {
            1 => &mut first,
            2 => &mut second,
            _ => continue,
        };
        let expected = match what.strip_prefix("notifications/") {
            Some(_) => on_subscription(id, what, None),
            None => on_subscription(id, UPDATED, Some(what)),
        };
        assert_eq!(stream.message().await, Some(expected), "{what}");
    }
}

#[tokio::test]
async fn on_a_pipe_subscriptions_are_told_apart_and_end_by_a_cancel() {
    let server = server();
    let mut pipe = Pipe::new(server.clone());
    let one = json!({ "resourceSubscriptions": ["x:a"] });
    let two = json!({ "promptsListChanged": true, "resourceSubscriptions": ["x:a"] });
    for (id, wanted) in [(1, &one), (2, &two)] {
        assert_eq!(pipe.ask(&listen(id, wanted)).await, acknowledged(id, wanted.clone()));
    }
    server.resources().updated("x:a");
    let mut told = [pipe.line().await.unwrap(), pipe.line().await.unwrap()];
    told.sort_by_key(|line| line["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].as_u64());
    assert_eq!(told, [1, 2].map(|id| on_subscription(id, UPDATED, Some("x:a"))));

    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    pipe.send_line(&cancel).await;
    // Answered, so the cancel was read.
    assert_eq!(pipe.ask(&message(3, "ping", json!({}))).await["id"], 3);
    server.resources().updated("x:a");
    server.prompts().changed();
    assert_eq!(pipe.line().await, Some(on_subscription(2, UPDATED, Some("x:a"))));
    assert_eq!(pipe.line().await, Some(on_subscription(2, PROMPTS_CHANGED, None)));
    pipe.finish().await;
}

/// On one thread nobody runs between two changes that are not awaited.
#[tokio::test]
async fn however_much_changes_a_stream_brings_each_thing_once_and_misses_nothing() {
    let server = server();
    let mut pipe = Pipe::new(server.clone());
    let wanted = json!({ "toolsListChanged": true, "resourceSubscriptions": ["x:a", "x:b"] });
    assert_eq!(pipe.ask(&listen(1, &wanted)).await, acknowledged(1, wanted.clone()));
    for _ in 0..KEPT / 2 {
        server.resources().updated("x:a");
        server.resources().updated("n:1");
    }
    assert_eq!(pipe.line().await, Some(on_subscription(1, UPDATED, Some("x:a"))));
    // So far behind that nobody knows what changed: it may be all.
    for number in 0..=KEPT {
        server.resources().updated(&format!("n:{number}"));
    }
    let everything = [
        on_subscription(1, TOOLS_CHANGED, None),
        on_subscription(1, UPDATED, Some("x:a")),
        on_subscription(1, UPDATED, Some("x:b")),
    ];
    for expected in everything {
        assert_eq!(pipe.line().await, Some(expected));
    }
    server.resources().updated("x:b");
    assert_eq!(pipe.line().await, Some(on_subscription(1, UPDATED, Some("x:b"))));
}

#[tokio::test]
async fn a_stream_takes_so_many_uris() {
    let server = server();
    let mut pipe = Pipe::new(server);
    let few = json!({ "resourceSubscriptions": ["n:1", "n:2", "n:3"] });
    let long = format!("n:{}", "7".repeat(10_000));
    for wanted in [
        json!({ "resourceSubscriptions": ["n:1", "n:2", "n:3", "n:4"] }),
        json!({ "resourceSubscriptions": [long] }),
    ] {
        assert_eq!(pipe.ask(&listen(1, &wanted)).await["error"]["code"], INVALID_PARAMS);
    }
    assert_eq!(pipe.ask(&listen(1, &few)).await, acknowledged(1, few.clone()));
}

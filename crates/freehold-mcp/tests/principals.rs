//! Two principals on one server: nothing of what one subscribes to, sets, or completes reaches the other. Their sessions,
//! streams and event ids are in the test `authorization`, their tasks in `tasks`, their states of rounds in `rounds`.

#[expect(dead_code, reason = "the tools of the stage are not called")]
mod stage;
#[expect(dead_code, reason = "every request here has a token")]
mod wire;

use freehold_mcp::{
    Audience, Authorization, AuthorizeError, CompletionLimits, CompletionRequest, HttpOptions, LogLevel,
    McpServer, Principal, RequestContext, RequestError, Tool, ToolContext, ToolError, prompt, resource,
};
use serde_json::{Value, json};
use stage::within;
use std::{future::ready, net::SocketAddr};
use wire::{Connection, Event, Request, serve};

const UPDATED: &str = "notifications/resources/updated";
const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
const RATE_LIMITED: i32 = -31011;

/// Finds something of somebody.
#[prompt]
async fn find(_ctx: &RequestContext<String>, #[complete(things)] thing: String) -> String {
    thing
}

/// What the server knows of who asks: itself, and what its client and its session said.
async fn things(ctx: &RequestContext<String>, of: CompletionRequest) -> Result<Vec<String>, RequestError> {
    let who = ctx.principal().map_or("nobody", |principal| &principal.subject).to_owned();
    Ok(vec![who, ctx.state().to_string(), format!("{:?}", of.resolved)])
}

/// A note.
#[resource("notes://{number}")]
async fn note(number: u32) -> String {
    number.to_string()
}

/// Keeps something for its session.
async fn keep(ctx: &ToolContext<String>, (): ()) -> Result<&'static str, ToolError> {
    let who = ctx.principal().map_or("nobody", |principal| &principal.subject).to_owned();
    ctx.update(|kept| *kept = format!("kept by {who}")).await?;
    Ok("kept")
}

/// Logs on two levels.
async fn logs(ctx: &ToolContext<String>, (): ()) -> Result<&'static str, ToolError> {
    ctx.log(LogLevel::Info, &"usual");
    ctx.log(LogLevel::Error, &"bad");
    Ok("logged")
}

/// A server that knows its clients by their tokens, which are their names.
async fn start(limits: CompletionLimits) -> (McpServer<String>, SocketAddr) {
    let authorize = |token: String| ready(Ok::<_, AuthorizeError>(Principal::new(token, Audience::Verified)));
    let authorization =
        Authorization::new("https://mcp.example.com/mcp", ["https://as.example.com"], authorize);
    let server = McpServer::builder_with_state("principals", "1.0.0", "nothing".to_owned())
        .prompt(find::prompt())
        .resource_template(note::resource_template())
        .tool(Tool::new("keep", "Keeps something.", keep))
        .tool(Tool::new("logs", "Logs.", logs))
        .completions(limits)
        .build()
        .expect("it can be built");
    let authorization = Some(authorization.expect("the resource is one"));
    let options = HttpOptions { authorization, ..HttpOptions::default() };
    let address = serve(&server, options).await;
    (server, address)
}

struct Client {
    who: &'static str,
    address: SocketAddr,
    session: String,
}

impl Client {
    async fn of(who: &'static str, address: SocketAddr) -> Self {
        let mut client = Self { who, address, session: String::new() };
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {} });
        let opened = client.by(Request::post(&message("initialize", params))).exchange(address).await;
        client.session = opened.headers["mcp-session-id"].to_str().expect("it is text").to_owned();
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let request = Request::post(&initialized).in_session(&client.session);
        assert_eq!(client.by(request).exchange(address).await.status, 202);
        client
    }

    fn by(&self, request: Request) -> Request {
        request.with("Authorization", format!("Bearer {}", self.who))
    }

    /// In its session.
    async fn ask(&self, method: &str, params: Value) -> Value {
        let request = Request::post(&message(method, params)).in_session(&self.session);
        self.by(request).exchange(self.address).await.json()
    }

    /// Without one.
    async fn ask_stateless(&self, method: &str, params: Value) -> Value {
        self.by(Request::stateless(1, method, params)).exchange(self.address).await.json()
    }

    async fn completes(&self, resolved: Value) -> [Value; 2] {
        let params = completion(resolved);
        let of = |answer: Value| answer["result"]["completion"]["values"].clone();
        [
            of(self.ask("completion/complete", params.clone()).await),
            of(self.ask_stateless("completion/complete", params).await),
        ]
    }

    async fn stream(&self) -> Connection {
        let get = Request::new("GET", "").in_session(&self.session);
        let mut stream = self.by(get).send(self.address).await;
        stream.begins_events().await;
        assert_eq!(stream.event().await, Some(Event::Comment), "it says that it is open");
        stream
    }

    async fn listen(&self, uri: &str) -> Connection {
        let wanted = json!({ "resourceSubscriptions": [uri], "toolsListChanged": true });
        let params = json!({ "notifications": wanted });
        let listen = Request::stateless(1, "subscriptions/listen", params);
        let mut stream = self.by(listen).send(self.address).await;
        stream.begins_events().await;
        let acknowledged = stream.message().await.expect("it begins");
        assert_eq!(acknowledged["params"]["notifications"], wanted);
        stream
    }
}

fn message(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

fn completion(resolved: Value) -> Value {
    let (of, argument) =
        (json!({ "type": "ref/prompt", "name": "find" }), json!({ "name": "thing", "value": "" }));
    json!({ "ref": of, "argument": argument, "context": { "arguments": resolved } })
}

/// Method and URI of what comes next.
async fn hears(stream: &mut Connection) -> (Value, Value) {
    let message = stream.message().await.expect("the stream goes on");
    (message["method"].clone(), message["params"]["uri"].clone())
}

#[tokio::test]
async fn what_one_subscribes_to_the_other_neither_hears_nor_ends() {
    let (server, address) = start(CompletionLimits::default()).await;
    let (alice, bob) = (Client::of("alice", address).await, Client::of("bob", address).await);
    let (mut hers, mut his) = (alice.stream().await, bob.stream().await);
    let (mut hers_stateless, mut his_stateless) =
        (alice.listen("notes://1").await, bob.listen("notes://2").await);
    for (client, uri) in [(&alice, "notes://1"), (&bob, "notes://2")] {
        let subscribed = client.ask("resources/subscribe", json!({ "uri": uri })).await;
        assert_eq!(subscribed["result"], json!({}));
    }
    // Hers is none of his subscriptions, so it is none that he could end.
    bob.ask("resources/unsubscribe", json!({ "uri": "notes://1" })).await;
    for (uri, streams) in
        [("notes://1", [&mut hers, &mut hers_stateless]), ("notes://2", [&mut his, &mut his_stateless])]
    {
        server.resources().updated(uri);
        for stream in streams {
            assert_eq!(hears(stream).await, (json!(UPDATED), json!(uri)));
        }
    }
    // Everybody is told of this one, so whoever has it has had all that came before.
    server.tools().changed();
    for stream in [&mut hers, &mut his, &mut hers_stateless, &mut his_stateless] {
        assert_eq!(hears(stream).await, (json!(TOOLS_CHANGED), Value::Null));
    }
}

#[tokio::test]
async fn what_one_completes_has_nothing_of_the_other() {
    let (_server, address) = start(CompletionLimits::default()).await;
    let (alice, bob) = (Client::of("alice", address).await, Client::of("bob", address).await);
    let kept = alice.ask("tools/call", json!({ "name": "keep", "arguments": {} })).await;
    assert_eq!(kept["result"]["content"][0]["text"], "kept");
    assert_eq!(
        alice.completes(json!({ "secret": "hers" })).await,
        [
            json!(["alice", "kept by alice", "{\"secret\": \"hers\"}"]),
            json!(["alice", "nothing", "{\"secret\": \"hers\"}"]),
        ]
    );
    assert_eq!(
        bob.completes(json!({})).await,
        [json!(["bob", "nothing", "{}"]), json!(["bob", "nothing", "{}"])]
    );
}

#[tokio::test]
async fn the_haste_of_one_is_not_the_others_wait() {
    // One in her session and one that is stateless count together.
    let limits = CompletionLimits {
        burst: 2,
        per_second: 1,
        unknown_burst: 1,
        unknown_per_second: 1,
        ..CompletionLimits::default()
    };
    let (_server, address) = start(limits).await;
    let (alice, bob) = (Client::of("alice", address).await, Client::of("bob", address).await);
    let params = || completion(json!({}));
    let refused = async {
        while bob.ask("completion/complete", params()).await["error"]["code"] != RATE_LIMITED {}
        while bob.ask_stateless("completion/complete", params()).await["error"]["code"] != RATE_LIMITED {}
    };
    within(refused).await;
    assert_eq!(alice.completes(json!({})).await.map(|values| values[0].clone()), ["alice", "alice"]);
}

#[tokio::test]
async fn what_one_wants_logged_is_none_of_the_others_matter() {
    let (_server, address) = start(CompletionLimits::default()).await;
    let (alice, bob) = (Client::of("alice", address).await, Client::of("bob", address).await);
    assert_eq!(bob.ask("logging/setLevel", json!({ "level": "error" })).await["result"], json!({}));
    for (client, expected) in [(&alice, &["usual", "bad"][..]), (&bob, &["bad"][..])] {
        let call = message("tools/call", json!({ "name": "logs", "arguments": {} }));
        let mut stream = client.by(Request::post(&call).in_session(&client.session)).send(address).await;
        stream.begins_events().await;
        let mut logged = Vec::new();
        let answer = loop {
            let message = stream.message().await.expect("the answer comes");
            match message.get("method") {
                Some(_) => logged.push(message["params"]["data"].clone()),
                None => break message,
            }
        };
        assert_eq!(
            (answer["result"]["content"][0]["text"].as_str(), json!(logged)),
            (Some("logged"), json!(expected)),
            "{}",
            client.who
        );
    }
}

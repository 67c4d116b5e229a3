//! S-03: a tool asks its own client, which asks the server back on the same session before it answers.

#![expect(deprecated, reason = "sampling goes in a later revision; the revisions with sessions have it")]

mod sdk;

use freehold_mcp::{
    RawQuestion, Tool, ToolError,
    freehold::{Limits, OutcomeKind},
};
use freehold_scenarios::{
    Builder, Client, Ctx, TestServer, Transport, checks, limits::patient, limits::prompt,
    over_both_transports,
};
use rmcp::{
    ClientHandler, ErrorData, Peer, RoleClient, ServiceExt,
    model::{
        CallToolRequestParams, ClientCapabilities, ClientConfig, CreateMessageRequestParams,
        CreateMessageResult, Implementation,
    },
    service::{RequestContext, RunningService},
    transport::StreamableHttpClientTransport,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Barrier;

over_both_transports!(depths => s03_depths_http, s03_depths_stdio);
over_both_transports!(one_slot => s03_one_slot_http, s03_one_slot_stdio);
over_both_transports!(side_by_side => s03_side_by_side_http, s03_side_by_side_stdio);
over_both_transports!(sdk_client => s03_sdk_client_http, s03_sdk_client_stdio);

#[derive(Deserialize, JsonSchema)]
struct Depth {
    n: u64,
}

fn question(n: u64) -> Value {
    json!({ "messages": [{ "role": "user", "content": { "type": "text", "text": n.to_string() } }], "maxTokens": 1 })
}

fn sampled(text: &str) -> Value {
    json!({ "role": "assistant", "model": "raw", "content": { "type": "text", "text": text } })
}

/// Asks the client's model, and says what it said.
async fn asks(ctx: &Ctx, depth: Depth) -> Result<String, ToolError> {
    ctx.app::<freehold_scenarios::Probe>().enter();
    let answer: Value = ctx.ask(RawQuestion::sampling(question(depth.n))).await?;
    Ok(format!("{} < {}", depth.n, answer["content"]["text"].as_str().unwrap_or_default()))
}

/// Asks five times at once.
async fn asks_five(ctx: &Ctx, (): ()) -> Result<String, ToolError> {
    let ask = |n| ctx.ask(RawQuestion::<Value>::sampling(question(n)));
    let (a, b, c, d, e) = tokio::join!(ask(1), ask(2), ask(3), ask(4), ask(5));
    let texts: Vec<_> = [a?, b?, c?, d?, e?].iter().map(|answer| answer["content"]["text"].clone()).collect();
    Ok(json!(texts).to_string())
}

fn tools(builder: Builder) -> Builder {
    builder.tool(Tool::new("asks", "Asks the client's model.", asks)).tool(Tool::new(
        "asks_five",
        "Asks the client's model five times.",
        asks_five,
    ))
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_default()
}

/// A raw client that answers each question only after it had an answer to a call of its own, `depth` deep.
async fn descend(client: &Client, depth: u64) -> String {
    let mut calls = vec![client.call("asks", json!({ "n": depth }))];
    let mut questions = Vec::new();
    for n in (0..depth).rev() {
        questions.push(prompt("a question", client.question()).await);
        calls.push(client.call("asks", json!({ "n": n })));
    }
    questions.push(prompt("a question", client.question()).await);
    // From the innermost outwards.
    let mut said = "bottom".to_owned();
    while let (Some(question), Some(call)) = (questions.pop(), calls.pop()) {
        client.reply(&question, sampled(&said)).await;
        said = text(&prompt("an answer", client.answer(&call)).await).to_owned();
    }
    said
}

async fn depths(transport: Transport) {
    let server = TestServer::with(patient(), tools).await;
    let client = Client::connect(&server, transport).await;
    if transport == Transport::Http {
        client.listen("listen").await;
    }
    assert_eq!(descend(&client, 1).await, "1 < 0 < bottom");
    let deep = descend(&client, 8).await;
    assert!(deep.starts_with("8 < 7 < 6") && deep.ends_with("0 < bottom"), "{deep}");
    assert_eq!(server.record.outcomes("tools/call", OutcomeKind::Answered), 2 + 9);
    checks::everything(&server, vec![client]).await;
}

/// As many as there are slots wait for the client, and one more is told at once what the limit is: the session goes on.
async fn one_slot(transport: Transport) {
    let limits = Limits { running_per_session: 2, queued_per_session: 0, ..patient() };
    let server = TestServer::with(limits, tools).await;
    let client = Client::connect(&server, transport).await;
    let outer = client.call("asks", json!({ "n": 2 }));
    let first = prompt("a question", client.question()).await;
    let inner = client.call("asks", json!({ "n": 1 }));
    let second = prompt("a question", client.question()).await;
    let refused = prompt("an answer at once", client.tool("asks", json!({ "n": 0 }))).await;
    assert!(refused["error"]["message"].as_str().unwrap_or_default().contains("too many calls"), "{refused}");
    client.reply(&second, sampled("in time")).await;
    assert_eq!(text(&prompt("an answer", client.answer(&inner)).await), "1 < in time");
    client.reply(&first, sampled("too")).await;
    assert_eq!(text(&prompt("an answer", client.answer(&outer)).await), "2 < too");
    checks::everything(&server, vec![client]).await;
}

/// All five questions are there before the first is answered.
async fn side_by_side(transport: Transport) {
    let server = TestServer::with(patient(), tools).await;
    let client = Client::connect(&server, transport).await;
    let call = client.call("asks_five", json!({}));
    let mut questions = Vec::new();
    for _ in 0..5 {
        questions.push(prompt("a question", client.question()).await);
    }
    let session = server.server.engine().session(client.session).expect("it is open");
    assert_eq!(session.gauges().questions, 5);
    for question in &questions {
        let said = question["params"]["messages"][0]["content"]["text"].as_str().expect("a number");
        client.reply(question, sampled(said)).await;
    }
    assert_eq!(text(&prompt("an answer", client.answer(&call)).await), r#"["1","2","3","4","5"]"#);
    checks::everything(&server, vec![client]).await;
}

/// The official SDK's client, whose model calls the server's tool before it answers, and from a depth of 100 on waits until it
/// is asked three times at once.
#[derive(Clone, Debug)]
struct Model {
    side_by_side: Arc<Barrier>,
}

impl Model {
    fn new() -> Self {
        Self { side_by_side: Arc::new(Barrier::new(3)) }
    }
}

impl ClientHandler for Model {
    fn get_info(&self) -> ClientConfig {
        let capabilities: ClientCapabilities =
            serde_json::from_value(json!({ "sampling": {} })).expect("the SDK knows it");
        ClientConfig::new(capabilities, Implementation::new("model", "1"))
    }

    async fn create_message(
        &self,
        params: CreateMessageRequestParams,
        context: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let asked = serde_json::to_value(&params).expect("it is JSON");
        let content = &asked["messages"][0]["content"];
        let text = content["text"].as_str().or_else(|| content[0]["text"].as_str()).unwrap_or_default();
        let depth: u64 = text.parse().expect("a number");
        let said = match depth {
            0 => "bottom".to_owned(),
            100.. => {
                // One after the other they would never meet.
                self.side_by_side.wait().await;
                "met".to_owned()
            }
            _ => call_asks(&context.peer, depth - 1).await,
        };
        Ok(serde_json::from_value(sampled(&said)).expect("a message"))
    }
}

async fn call_asks(server: &Peer<RoleClient>, depth: u64) -> String {
    let arguments = json!({ "n": depth }).as_object().cloned().unwrap_or_default();
    let called = server.call_tool(CallToolRequestParams::new("asks").with_arguments(arguments)).await;
    sdk::text_of(&called.expect("a result"))
}

async fn connect(server: &TestServer, transport: Transport) -> RunningService<RoleClient, Model> {
    let connected = async {
        match transport {
            Transport::Http => {
                Model::new().serve(StreamableHttpClientTransport::from_uri(server.url())).await
            }
            Transport::Stdio => Model::new().serve(server.pipes()).await,
        }
    };
    prompt("the SDK's client connects", Box::pin(connected)).await.expect("a session")
}

async fn sdk_client(transport: Transport) {
    let server = TestServer::with(patient(), tools).await;
    let mut client = connect(&server, transport).await;
    let peer = client.peer().clone();
    assert_eq!(prompt("an answer", call_asks(&peer, 1)).await, "1 < 0 < bottom");
    assert!(prompt("an answer", call_asks(&peer, 8)).await.starts_with("8 < 7 < 6 < 5"));
    let (a, b, c) = (call_asks(&peer, 100), call_asks(&peer, 101), call_asks(&peer, 102));
    let (a, b, c) = tokio::join!(a, b, c);
    assert_eq!([a, b, c], ["100 < met", "101 < met", "102 < met"]);
    prompt("the SDK's client leaves", client.close()).await.expect("it does not panic");
    checks::everything(&server, vec![]).await;
}

//! Questions in sessions: requests of the server's to its client, over HTTP and on a pipe, as each revision wants them.

#[expect(dead_code, reason = "its tools ask otherwise")]
mod stage;
#[expect(dead_code, reason = "no stateless requests here")]
mod wire;

#[expect(dead_code, reason = "a pipe need not end in order here")]
mod pipe;

use freehold_mcp::{
    Choice, CreateMessage, Field, Form, HttpOptions, McpServer, SamplingTool, Tool, ToolContext, ToolError,
    UrlElicitation,
};
use pipe::Pipe;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use stage::within;
use std::net::SocketAddr;
use tokio::sync::mpsc;
use wire::{Connection, Request, serve};

/// A client of a session.
struct Client {
    way: Way,
    calls: u32,
}

enum Way {
    Http { address: SocketAddr, session: String, call: Option<Call> },
    Pipe(Box<Pipe>),
}

struct Call {
    connection: Connection,
    /// Whether the head of its answer was read, which said that events follow.
    begun: bool,
}

fn message(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

/// A client by each way.
async fn clients(server: &McpServer, version: &str, capabilities: Value) -> [Client; 2] {
    let address = serve(server, HttpOptions::default()).await;
    let mut initialize = message(
        "initialize",
        json!({
            "protocolVersion": version,
            "capabilities": capabilities,
            "clientInfo": { "name": "test", "version": "1" },
        }),
    );
    initialize["id"] = json!(0);
    let response = Request::post(&initialize).exchange(address).await;
    assert_eq!(response.json()["result"]["protocolVersion"], version);
    let session = response.headers["mcp-session-id"].to_str().expect("it is visible ASCII").to_owned();
    let mut pipe = Pipe::new(server.clone());
    pipe.send_line(&initialize).await;
    assert_eq!(pipe.line().await.expect("there is a line")["result"]["protocolVersion"], version);
    let ways = [Way::Http { address, session, call: None }, Way::Pipe(Box::new(pipe))];
    let mut clients = ways.map(|way| Client { way, calls: 0 });
    for client in &mut clients {
        client.send(&message("notifications/initialized", json!({}))).await;
    }
    clients
}

impl Client {
    /// Sends what gets no answer.
    async fn send(&mut self, message: &Value) {
        match &mut self.way {
            Way::Http { address, session, .. } => {
                let accepted = Request::post(message).in_session(session).exchange(*address).await;
                assert_eq!(accepted.status, 202);
            }
            Way::Pipe(pipe) => pipe.send_line(message).await,
        }
    }

    async fn call(&mut self, tool: &str) {
        self.calls += 1;
        let id = self.calls;
        match &mut self.way {
            Way::Http { address, session, call } => {
                let connection = Request::call(session, id, tool, json!({})).send(*address).await;
                *call = Some(Call { connection, begun: false });
            }
            Way::Pipe(pipe) => {
                let mut request = message("tools/call", json!({ "name": tool, "arguments": {} }));
                request["id"] = json!(id);
                pipe.send_line(&request).await;
            }
        }
    }

    /// What the server says next, in the call.
    async fn hears(&mut self) -> Value {
        match &mut self.way {
            Way::Pipe(pipe) => pipe.line().await.expect("there is a line"),
            Way::Http { call, .. } => {
                let Call { connection, begun } = call.as_mut().expect("there is a call");
                if !std::mem::replace(begun, true) {
                    let (_, headers) = connection.head().await;
                    if headers["content-type"] == "application/json" {
                        let body = connection.body(&headers).await;
                        return serde_json::from_slice(&body).expect("the body is JSON");
                    }
                }
                connection.message().await.expect("the call has something to say")
            }
        }
    }

    /// What the server asks next.
    async fn is_asked(&mut self, method: &str) -> Value {
        let question = self.hears().await;
        assert_eq!(question["method"], method, "{question}");
        question
    }

    async fn answers(&mut self, question: &Value, result: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": result })).await;
    }
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {answer}"))
}

fn accept(content: Value) -> Value {
    json!({ "action": "accept", "content": content })
}

fn sampled(text: &str) -> Value {
    json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": text } })
}

#[derive(Deserialize, JsonSchema)]
struct Person {
    name: String,
    age: Option<u8>,
}

async fn typed(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let person = ctx.elicit::<Person>("Who?").await?.into_accepted()?;
    Ok(format!("{} {:?}", person.name, person.age))
}

async fn both(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let form = Form::new("Who?").field("name", Field::text());
    let (form, written) = ctx.ask_all((form, CreateMessage::new(1).user("Write."))).await?;
    Ok(format!("{} {}", form.into_accepted()?["name"], written.text()))
}

async fn choice(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let size = Field::one_of([Choice::titled("s", "Small"), Choice::titled("l", "Large")]).default("s");
    let answer = ctx.ask(Form::new("Which?").field("size", size)).await?.into_accepted()?;
    Ok(answer["size"].to_string())
}

async fn choices(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let answer = ctx.ask(Form::new("Which?").field("all", Field::any_of(["a", "b"]))).await?;
    Ok(answer.into_accepted()?["all"].to_string())
}

fn elsewhere() -> UrlElicitation {
    UrlElicitation::new("https://a.example/connect", "Connect.", "c1")
}

async fn url(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    Ok(ctx.ask(elsewhere()).await?.action())
}

async fn needs_url(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    Err(ctx.require_url(elsewhere()).await.into())
}

async fn no_url(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    Ok(ctx.ask(UrlElicitation::new("a.example/connect", "Connect.", "c2")).await?.action())
}

async fn with_tools(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let tool = SamplingTool::new("look", json!({ "type": "object" }));
    let mut question = CreateMessage::new(9).user("Look!").tool(tool);
    loop {
        let answer = ctx.sample(question.clone()).await?;
        let results: Vec<_> = answer
            .tool_uses()
            .map(|(id, name, _)| freehold_mcp::SamplingContent::tool_result(id, format!("{name} done")))
            .collect();
        if results.is_empty() {
            return Ok(answer.text());
        }
        question = question.and_then(answer, results);
    }
}

async fn roots(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    ctx.ping().await?;
    Ok(ctx.list_roots().await?.into_iter().map(|root| root.uri).collect())
}

/// In a session a handler runs once, so there is nothing to keep.
async fn keeps(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    ctx.keep(&1)?;
    Ok(format!("{:?}", ctx.kept::<u32>()?))
}

fn server() -> (McpServer, mpsc::UnboundedReceiver<()>) {
    let (tell, told) = mpsc::unbounded_channel();
    let server = McpServer::builder("asking", "1.0.0")
        .tool(Tool::new("typed", "Asks by a type.", typed))
        .tool(Tool::new("both", "Asks twice at once.", both))
        .tool(Tool::new("choice", "Asks for one of some.", choice))
        .tool(Tool::new("choices", "Asks for some of some.", choices))
        .tool(Tool::new("url", "Sends to a URL.", url))
        .tool(Tool::new("needs_url", "Needs something done at a URL.", needs_url))
        .tool(Tool::new("no_url", "Sends to what is none.", no_url))
        .tool(Tool::new("with_tools", "Asks a model with tools.", with_tools))
        .tool(Tool::new("roots", "Asks for roots.", roots))
        .tool(Tool::new("keeps", "Keeps something.", keeps))
        .on_roots_changed(move |_session| {
            // A test that is over no longer listens.
            let _ = tell.send(());
        })
        .build()
        .expect("names are unique");
    (server, told)
}

fn all() -> Value {
    json!({ "sampling": { "tools": {} }, "elicitation": { "form": {}, "url": {} }, "roots": {} })
}

const ELICIT: &str = "elicitation/create";
const SAMPLE: &str = "sampling/createMessage";

#[tokio::test]
async fn a_form_of_a_type() {
    for version in ["2025-11-25", "2025-06-18"] {
        for mut client in clients(&server().0, version, all()).await {
            client.call("typed").await;
            let question = client.is_asked(ELICIT).await;
            assert_eq!(
                question["params"],
                json!({
                    "message": "Who?",
                    "requestedSchema": {
                        "type": "object",
                        "properties": {
                            "name": { "type": "string" },
                            "age": { "type": "integer", "minimum": 0, "maximum": 255 },
                        },
                        "required": ["name"],
                    },
                })
            );
            client.answers(&question, accept(json!({ "name": "Ann", "age": 7 }))).await;
            assert_eq!(text(&client.hears().await), "Ann Some(7)");
            client.call("typed").await;
            let question = client.is_asked(ELICIT).await;
            client.answers(&question, json!({ "action": "decline" })).await;
            let answer = client.hears().await;
            assert_eq!(answer["result"]["isError"], true, "{answer}");
            client.call("typed").await;
            let question = client.is_asked(ELICIT).await;
            client.answers(&question, accept(json!({ "name": "Ann", "age": 256 }))).await;
            let answer = client.hears().await;
            assert_eq!(answer["error"]["code"], -32602, "{answer}");
        }
    }
}

#[tokio::test]
async fn several_are_asked_before_one_is_answered() {
    for mut client in clients(&server().0, "2025-11-25", all()).await {
        client.call("both").await;
        let form = client.is_asked(ELICIT).await;
        let write = client.is_asked(SAMPLE).await;
        client.answers(&write, sampled("wrote")).await;
        client.answers(&form, accept(json!({ "name": "Ann" }))).await;
        assert_eq!(text(&client.hears().await), r#""Ann" wrote"#);
    }
}

#[tokio::test]
async fn choices_in_the_form_of_the_revision() {
    for (version, field) in [
        (
            "2025-11-25",
            json!({
                "type": "string",
                "oneOf": [{ "const": "s", "title": "Small" }, { "const": "l", "title": "Large" }],
                "default": "s",
            }),
        ),
        ("2025-06-18", json!({ "type": "string", "enum": ["s", "l"], "enumNames": ["Small", "Large"] })),
    ] {
        for mut client in clients(&server().0, version, all()).await {
            client.call("choice").await;
            let question = client.is_asked(ELICIT).await;
            assert_eq!(question["params"]["requestedSchema"]["properties"]["size"], field);
            client.answers(&question, accept(json!({ "size": "l" }))).await;
            assert_eq!(text(&client.hears().await), r#""l""#);
        }
    }
    for mut client in clients(&server().0, "2025-06-18", all()).await {
        client.call("choices").await;
        let answer = client.hears().await;
        assert_eq!(answer["result"]["isError"], true, "a form could not ask that: {answer}");
    }
}

#[tokio::test]
async fn urls() {
    let (server, _told) = server();
    let asked = json!({
        "mode": "url",
        "message": "Connect.",
        "url": "https://a.example/connect",
        "elicitationId": "c1",
    });
    for mut client in clients(&server, "2025-11-25", all()).await {
        client.call("url").await;
        let question = client.is_asked(ELICIT).await;
        assert_eq!(question["params"], asked);
        client.answers(&question, json!({ "action": "accept" })).await;
        assert_eq!(text(&client.hears().await), "accept");
        client.call("needs_url").await;
        let answer = client.hears().await;
        assert_eq!(answer["error"]["code"], -32042, "{answer}");
        assert_eq!(answer["error"]["data"]["elicitations"], json!([asked]));
        client.call("no_url").await;
        assert_eq!(client.hears().await["result"]["isError"], true);
    }
    // Who did not declare it, or speaks a revision that has it not, is not sent there.
    let forms_only = json!({ "elicitation": {} });
    for (version, capabilities) in [("2025-11-25", forms_only), ("2025-06-18", all())] {
        for mut client in clients(&server, version, capabilities.clone()).await {
            for tool in ["url", "needs_url"] {
                client.call(tool).await;
                assert_eq!(client.hears().await["result"]["isError"], true, "{tool}");
            }
        }
    }
}

#[tokio::test]
async fn that_something_is_done_at_a_url_is_told_to_clients_who_know_of_it() {
    for (version, knows) in [("2025-11-25", true), ("2025-06-18", false)] {
        let (server, _told) = server();
        let [http, mut pipe] = clients(&server, version, all()).await;
        for session in server.engine().sessions() {
            assert_eq!(server.elicitation_complete(&session, "c1"), knows);
        }
        if !knows {
            continue;
        }
        let complete = message("notifications/elicitation/complete", json!({ "elicitationId": "c1" }));
        assert_eq!(pipe.hears().await, complete);
        let Way::Http { address, session, .. } = http.way else { panic!("the first one is by HTTP") };
        let mut stream = Request::new("GET", "").in_session(&session).send(address).await;
        stream.begins_events().await;
        assert_eq!(stream.message().await, Some(complete));
    }
}

#[tokio::test]
async fn a_model_with_tools() {
    let (server, _told) = server();
    for mut client in clients(&server, "2025-11-25", all()).await {
        client.call("with_tools").await;
        let question = client.is_asked(SAMPLE).await;
        assert_eq!(question["params"]["tools"][0]["name"], "look");
        let uses = json!([{ "type": "tool_use", "id": "u1", "name": "look", "input": {} }]);
        let answer = json!({ "role": "assistant", "model": "m", "stopReason": "toolUse", "content": uses });
        client.answers(&question, answer).await;
        let question = client.is_asked(SAMPLE).await;
        let messages = question["params"]["messages"].as_array().expect("a list");
        assert_eq!(messages.len(), 3);
        assert_eq!(messages[1]["content"]["type"], "tool_use");
        assert_eq!(messages[2]["content"]["toolUseId"], "u1");
        client.answers(&question, sampled("seen")).await;
        assert_eq!(text(&client.hears().await), "seen");
    }
    for (version, capabilities) in [("2025-11-25", json!({ "sampling": {} })), ("2025-06-18", all())] {
        for mut client in clients(&server, version, capabilities.clone()).await {
            client.call("with_tools").await;
            assert_eq!(client.hears().await["result"]["isError"], true);
        }
    }
}

#[tokio::test]
async fn roots_and_a_ping() {
    let (server, mut changed) = server();
    for mut client in clients(&server, "2025-11-25", all()).await {
        client.call("roots").await;
        let ping = client.is_asked("ping").await;
        client.answers(&ping, json!({})).await;
        let question = client.is_asked("roots/list").await;
        client.answers(&question, json!({ "roots": [{ "uri": "file:///a", "name": "A" }] })).await;
        assert_eq!(text(&client.hears().await), "file:///a");
        client.send(&message("notifications/roots/list_changed", json!({}))).await;
        within(changed.recv()).await.expect("the hook was called");
        client.call("keeps").await;
        assert_eq!(text(&client.hears().await), "None");
    }
}

//! Requests that ask their client in rounds: the stateless revision, over HTTP and on a pipe.

#[expect(dead_code, reason = "its tools do not ask")]
mod stage;
#[expect(dead_code, reason = "no sessions here")]
mod wire;

#[expect(dead_code, reason = "a pipe need not end in order here")]
mod pipe;

use freehold_mcp::{
    Audience, Authorization, Capability, CreateMessage, Elicited, Field, Form, HttpOptions, ListRoots,
    McpServer, McpServerBuilder, Principal, Prompt, Question, RequestContext, RequestError, RequestStateKey,
    Resource, Tool, ToolContext, ToolError, UrlElicitation,
    freehold::{
        ErrorObject,
        runtime::{BoxFuture, Look, Rouse, Runtime, Timer, TokioRuntime},
    },
};
use freehold_sync::Mutex;
use pipe::Pipe;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stage::within;
use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use wire::{Request, serve};

const INVALID_PARAMS: i32 = -32602;
const MISSING_CAPABILITY: i32 = -32021;
const QUESTION_FAILED: i32 = -31007;
const ODD: &str = "something odd";

/// How a client reaches the server.
enum Client {
    Http(SocketAddr),
    Pipe(Box<Pipe>),
}

/// A client by each way.
async fn clients(server: &McpServer) -> [Client; 2] {
    let address = serve(server, HttpOptions::default()).await;
    [Client::Http(address), Client::Pipe(Box::new(Pipe::new(server.clone())))]
}

impl Client {
    /// Sends a call as it is, and reads its answer.
    async fn send(&mut self, params: Value) -> Value {
        self.request("tools/call", params).await
    }

    async fn request(&mut self, method: &str, params: Value) -> Value {
        self.request_with(method, params, "0").await
    }

    /// Writes `odd`, which need not be a value, in place of the string [`ODD`].
    async fn request_with(&mut self, method: &str, params: Value, odd: &str) -> Value {
        let written = |message: &str| message.replace(&format!("\"{ODD}\""), odd);
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        match self {
            Self::Http(address) => {
                let capabilities = params["_meta"]["io.modelcontextprotocol/clientCapabilities"].clone();
                let mut request = Request::stateless_with(id, method, params, capabilities);
                request.body = written(str::from_utf8(&request.body).expect("it is JSON")).into_bytes();
                request.exchange(*address).await.json()
            }
            Self::Pipe(pipe) => {
                let mut params = params;
                params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(wire::STATELESS);
                let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
                pipe.send(written(&format!("{message}\n")).as_bytes()).await;
                let answer = pipe.line().await.expect("there is a line");
                assert_eq!(answer["id"], id, "{answer}");
                answer
            }
        }
    }

    /// The answer of a call, with what belongs to a round.
    async fn round(&mut self, tool: &str, arguments: Value, state: &Value, responses: Value) -> Value {
        let mut params = json!({ "name": tool, "arguments": arguments, "_meta": meta(all()) });
        if !state.is_null() {
            params["requestState"] = state.clone();
        }
        if !responses.is_null() {
            params["inputResponses"] = responses;
        }
        self.send(params).await
    }

    /// The first round of a call without arguments, which must ask.
    async fn asks(&mut self, tool: &str) -> Asked {
        Asked::of(self.round(tool, json!({}), &Value::Null, Value::Null).await)
    }

    /// A later one.
    async fn again(&mut self, tool: &str, asked: &Asked, responses: Value) -> Value {
        self.round(tool, json!({}), &asked.state, responses).await
    }
}

fn all() -> Value {
    json!({ "sampling": {}, "elicitation": { "form": {}, "url": {} }, "roots": {} })
}

fn meta(capabilities: Value) -> Value {
    json!({ "io.modelcontextprotocol/clientCapabilities": capabilities })
}

/// A result that asks.
#[derive(Debug)]
struct Asked {
    requests: Map<String, Value>,
    state: Value,
}

impl Asked {
    fn of(answer: Value) -> Self {
        let result = &answer["result"];
        assert_eq!(result["resultType"], "input_required", "{answer}");
        assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "rounds");
        let requests = result["inputRequests"].as_object().expect("it asks something").clone();
        assert!(!requests.is_empty());
        assert!(result["requestState"].is_string());
        Self { requests, state: result["requestState"].clone() }
    }

    fn keys(&self) -> Vec<&str> {
        self.requests.keys().map(String::as_str).collect()
    }
}

fn text(answer: &Value) -> &str {
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    assert!(answer["result"].get("requestState").is_none());
    answer["result"]["content"][0]["text"].as_str().expect("a text")
}

fn code(answer: &Value) -> i64 {
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {answer}"))
}

fn accept(content: Value) -> Value {
    json!({ "action": "accept", "content": content })
}

fn sampled(text: &str) -> Value {
    json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": text } })
}

fn named() -> Form {
    Form::new("Who?").field("name", Field::text())
}

async fn name(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    Ok(match ctx.ask(named()).await? {
        Elicited::Accept(content) => format!("hello {}", content["name"].as_str().unwrap_or_default()),
        other => other.action().to_owned(),
    })
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Person {
    name: String,
    age: Option<u8>,
}

/// All kinds at once.
async fn at_once(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let form = Form::of::<Person>("Who?")?.keyed("who");
    let (person, written, roots) =
        ctx.ask_all((form, CreateMessage::new(9).user("Write."), ListRoots)).await?;
    Ok(format!("{} {} {}", person.into_accepted()?.name, written.text(), roots[0].uri))
}

/// By a plain `join!`, and by one of freehold-sync.
async fn joined(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let plain = async { tokio::join!(ctx.ask(named().keyed("a")), ctx.ask(named().keyed("b"))) };
    let children = ctx
        .locks()
        .join(async |_| ctx.ask(named().keyed("c")).await, async |_| ctx.ask(named().keyed("d")).await);
    let ((a, b), (c, d)) = tokio::join!(plain, children);
    let of = |answer: Elicited<Map<String, Value>>| answer.accepted().map(|all| all["name"].clone());
    Ok(json!([of(a?), of(b?), of(c??), of(d??)]).to_string())
}

/// One after the other, twice of one kind, and keeps what it did before.
async fn in_turn(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let runs: u32 = ctx.kept::<u32>()?.unwrap_or(0) + 1;
    ctx.keep(&runs)?;
    let first = ctx.ask(named()).await?.into_accepted()?;
    let second = ctx.ask(named()).await?.into_accepted()?;
    let third = ctx.sample(CreateMessage::new(1).user("?")).await?;
    Ok(format!("{} {} {} in {runs} runs", first["name"], second["name"], third.text()))
}

/// Asks until it likes the answer.
async fn choosy(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let mut tried = 0;
    loop {
        tried += 1;
        let answer = ctx.ask(named().keyed("name")).await?.into_accepted()?;
        if answer["name"] == "right" {
            return Ok(format!("at the {tried}. time"));
        }
    }
}

#[derive(Deserialize, JsonSchema)]
struct About {
    what: String,
}

async fn about(ctx: &ToolContext<()>, args: About) -> Result<String, ToolError> {
    ctx.ask(Form::new("Sure?").field("sure", Field::boolean())).await?.into_accepted()?;
    Ok(args.what)
}

/// Has another tool ask, by way of a third.
async fn calls_who_asks(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    Ok(ctx.call_tool(ctx.session(), "calls_name", &json!({})).await?.to_string())
}

async fn calls_name(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    Ok(ctx.call_tool(ctx.session(), "name", &json!({})).await?.to_string())
}

/// Asks first, and passes the answer on.
async fn asks_and_calls(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let name = ctx.ask(named()).await?.into_accepted()?["name"].clone();
    Ok(ctx.call_tool(ctx.session(), "says", &json!({ "what": name })).await?.to_string())
}

async fn says(_ctx: &ToolContext<()>, args: About) -> Result<String, ToolError> {
    Ok(args.what)
}

/// What it asks about changes from run to run.
async fn fickle(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let stage = ctx.app::<Stage>();
    let about = stage.about.load(Ordering::Relaxed);
    let question = Form::new(format!("Delete file {about}?")).field("sure", Field::boolean());
    ctx.ask(question.keyed("sure")).await?.into_accepted()?;
    Ok(format!("deleted {about}"))
}

/// A question that loses a race is not asked.
async fn impatient(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    tokio::select! {
        biased;
        _ = ctx.ask(named()) => {}
        () = std::future::ready(()) => {}
    }
    // Pending once, so that it would end here if the question still stood.
    tokio::task::yield_now().await;
    Ok("did without")
}

struct Stage {
    tell: mpsc::UnboundedSender<&'static str>,
    about: AtomicU32,
    held: Mutex<u32>,
}

struct TellsDrop<'a>(&'a Stage);

impl Drop for TellsDrop<'_> {
    fn drop(&mut self) {
        let _ = self.0.tell.send("dropped");
    }
}

/// Asks while it holds a lock and something of its own.
async fn holding(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let stage = ctx.app::<Stage>();
    let _value = TellsDrop(stage);
    let mut held = ctx.lock(&stage.held).await?;
    *held += 1;
    let answer = ctx.ask(named()).await?.into_accepted()?;
    Ok(format!("{} at {}", answer["name"], *held))
}

async fn to_url(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    let stage = ctx.app::<Stage>();
    if stage.about.load(Ordering::Relaxed) > 0 {
        return Ok("connected");
    }
    // Another URL and id each time, as pages that open once have.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let url = UrlElicitation::new(format!("https://a.example/{next}"), "Connect.", format!("c{next}"));
    Err(ctx.require_url(url).await.into())
}

async fn with_tools(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    ctx.require(Capability::SamplingTools)?;
    Ok("can")
}

async fn name_in_prompt(ctx: &RequestContext<()>, (): ()) -> Result<String, RequestError> {
    let content = ctx.ask(named()).await?.into_accepted()?;
    Ok(format!("prompt for {}", content["name"]))
}

async fn name_in_resource(ctx: &RequestContext<()>, (): ()) -> Result<String, RequestError> {
    let content = ctx.ask(named()).await?.into_accepted()?;
    Ok(format!("resource of {}", content["name"]))
}

fn builder() -> (McpServerBuilder<()>, mpsc::UnboundedReceiver<&'static str>, Arc<Stage>) {
    let (tell, told) = mpsc::unbounded_channel();
    let stage = Arc::new(Stage { tell, about: AtomicU32::new(0), held: Mutex::new(0) });
    let builder = McpServer::builder("rounds", "1.0.0")
        .app(stage.clone())
        .prompt(Prompt::new("name", "Asks for a name.", name_in_prompt))
        .resource(Resource::new("ask://name", "name", "Asks for a name.", name_in_resource))
        .tool(Tool::new("name", "Asks for a name.", name))
        .tool(Tool::new("at_once", "Asks all kinds at once.", at_once))
        .tool(Tool::new("joined", "Asks in branches.", joined))
        .tool(Tool::new("in_turn", "Asks one after the other.", in_turn))
        .tool(Tool::new("choosy", "Asks until it likes the answer.", choosy))
        .tool(Tool::new("about", "Asks about its argument.", about))
        .tool(Tool::new("fickle", "Asks about something that changes.", fickle))
        .tool(Tool::new("impatient", "Does without the answer.", impatient))
        .tool(Tool::new("holding", "Holds a lock while it asks.", holding))
        .tool(Tool::new("to_url", "Needs something done at a URL.", to_url))
        .tool(Tool::new("with_tools", "Needs a model with tools.", with_tools))
        .tool(Tool::new("calls_who_asks", "Calls what calls who asks.", calls_who_asks))
        .tool(Tool::new("calls_name", "Calls who asks.", calls_name))
        .tool(Tool::new("asks_and_calls", "Asks, then calls with the answer.", asks_and_calls))
        .tool(Tool::new("says", "Says its argument.", says));
    (builder, told, stage)
}

fn server() -> McpServer {
    builder().0.build().expect("names are unique")
}

#[tokio::test]
async fn a_question_ends_the_request_and_its_answer_comes_with_the_next() {
    for mut client in clients(&server()).await {
        let asked = client.asks("name").await;
        assert_eq!(
            Value::Object(asked.requests.clone()),
            json!({
                "form-1": {
                    "method": "elicitation/create",
                    "params": {
                        "message": "Who?",
                        "requestedSchema": {
                            "type": "object",
                            "properties": { "name": { "type": "string" } },
                            "required": ["name"],
                        },
                    },
                },
            })
        );
        for (response, result) in [
            (accept(json!({ "name": "Ann" })), "hello Ann"),
            (json!({ "action": "decline" }), "decline"),
            (json!({ "action": "cancel" }), "cancel"),
        ] {
            // The same state works again: nothing is kept here.
            let answer = client.again("name", &asked, json!({ "form-1": response })).await;
            assert_eq!(text(&answer), result);
        }
    }
}

/// In a stateless request only its own handler can ask; who is called is told so, however deep, and what to do instead works.
#[tokio::test]
async fn a_tool_that_is_called_by_another_is_told_to_leave_the_question_to_it() {
    const TOLD: &str = "a tool that a stateless request's handler calls cannot ask the client: \
        ask in that handler, and pass the answer on as an argument";
    for mut client in clients(&server()).await {
        for tool in ["calls_name", "calls_who_asks"] {
            let answer = client.round(tool, json!({}), &Value::Null, Value::Null).await;
            assert_eq!(answer["result"]["isError"], true, "{answer}");
            assert_eq!(text(&answer), TOLD, "{tool}");
        }
        let asked = client.asks("asks_and_calls").await;
        let answers = json!({ "form-1": accept(json!({ "name": "Ann" })) });
        assert_eq!(text(&client.again("asks_and_calls", &asked, answers).await), "\"Ann\"");
    }
}

#[tokio::test]
async fn prompts_and_resources_ask_as_tools_do() {
    for mut client in clients(&server()).await {
        let prompt = json!({ "name": "name", "_meta": meta(all()) });
        let resource = json!({ "uri": "ask://name", "_meta": meta(all()) });
        let mut states = Vec::new();
        for (method, params, part, told) in [
            ("prompts/get", &prompt, "/result/messages/0/content/text", r#"prompt for "Ann""#),
            ("resources/read", &resource, "/result/contents/0/text", r#"resource of "Ann""#),
        ] {
            let asked = Asked::of(client.request(method, params.clone()).await);
            assert_eq!(asked.keys(), ["form-1"]);
            states.push(asked.state.clone());
            let mut again = params.clone();
            again["requestState"] = asked.state;
            again["inputResponses"] = json!({ "form-1": accept(json!({ "name": "Ann" })) });
            let answer = client.request(method, again.clone()).await;
            assert_eq!(answer.pointer(part), Some(&json!(told)), "{answer}");
            // Of a client that cannot be asked, nothing is asked.
            let mut mute = params.clone();
            mute["_meta"] = meta(json!({}));
            assert_eq!(code(&client.request(method, mute).await), i64::from(MISSING_CAPABILITY));
        }
        // The prompt and the tool of one name have states of their own.
        let responses = json!({ "form-1": accept(json!({ "name": "Ann" })) });
        let answer = client.round("name", json!({}), &states[0], responses).await;
        assert_eq!(code(&answer), i64::from(INVALID_PARAMS), "{answer}");
        // Nothing else ever asks.
        let listed = client.request("tools/list", json!({ "_meta": meta(all()) })).await;
        assert_eq!(listed["result"]["resultType"], "complete");
    }
}

#[tokio::test]
async fn all_that_is_asked_at_once_is_one_round() {
    for mut client in clients(&server()).await {
        let asked = client.asks("at_once").await;
        assert_eq!(asked.keys(), ["roots-1", "sampling-1", "who"]);
        assert_eq!(asked.requests["roots-1"], json!({ "method": "roots/list", "params": {} }));
        let responses = json!({
            "who": accept(json!({ "name": "Ann" })),
            "sampling-1": sampled("wrote"),
            "roots-1": { "roots": [{ "uri": "file:///a" }] },
        });
        assert_eq!(text(&client.again("at_once", &asked, responses).await), "Ann wrote file:///a");

        let asked = client.asks("joined").await;
        assert_eq!(asked.keys(), ["a", "b", "c", "d"]);
        let responses: Map<String, Value> =
            asked.requests.keys().map(|key| (key.clone(), accept(json!({ "name": key })))).collect();
        let answer = client.again("joined", &asked, Value::Object(responses)).await;
        assert_eq!(text(&answer), r#"["a","b","c","d"]"#);
    }
}

#[tokio::test]
async fn what_was_answered_and_kept_is_there_in_later_rounds() {
    for mut client in clients(&server()).await {
        let first = client.asks("in_turn").await;
        assert_eq!(first.keys(), ["form-1"]);
        let responses = json!({ "form-1": accept(json!({ "name": "A" })) });
        let second = Asked::of(client.again("in_turn", &first, responses).await);
        assert_eq!(second.keys(), ["form-2"]);
        assert_ne!(first.state, second.state);
        let responses = json!({ "form-2": accept(json!({ "name": "B" })) });
        let third = Asked::of(client.again("in_turn", &second, responses).await);
        assert_eq!(third.keys(), ["sampling-1"]);
        // What was asked in earlier rounds cannot be answered otherwise now.
        let responses = json!({ "sampling-1": sampled("C"), "form-1": accept(json!({ "name": "X" })) });
        let answer = client.again("in_turn", &third, responses).await;
        assert_eq!(text(&answer), r#""A" "B" C in 4 runs"#);
    }
}

#[tokio::test]
async fn what_is_missing_is_asked_again_and_what_is_too_much_ignored() {
    for mut client in clients(&server()).await {
        let asked = client.asks("at_once").await;
        let part = json!({ "who": accept(json!({ "name": "Ann" })), "other": 5 });
        let rest = Asked::of(client.again("at_once", &asked, part).await);
        assert_eq!(rest.keys(), ["roots-1", "sampling-1"]);
        let responses = json!({ "sampling-1": sampled("wrote"), "roots-1": { "roots": [{ "uri": "b" }] } });
        assert_eq!(text(&client.again("at_once", &rest, responses).await), "Ann wrote b");
        // Nothing at all.
        let same = Asked::of(client.again("at_once", &asked, Value::Null).await);
        assert_eq!(same.keys(), asked.keys());
        // Answers to what was not asked in so many words count by their key.
        let early = json!({ "form-1": accept(json!({ "name": "Ann" })), "more": {} });
        let answer = client.round("name", json!({}), &Value::Null, early).await;
        assert_eq!(text(&answer), "hello Ann");
    }
}

#[tokio::test]
async fn answers_that_do_not_fit_are_errors_of_the_protocol() {
    for mut client in clients(&server()).await {
        let asked = client.asks("name").await;
        for response in [
            json!(12345),
            json!(null),
            json!({}),
            json!({ "action": "perhaps" }),
            accept(json!({})),
            accept(json!({ "name": 5 })),
            json!({ "action": "accept", "content": [] }),
        ] {
            let answer = client.again("name", &asked, json!({ "form-1": response })).await;
            assert_eq!(code(&answer), i64::from(INVALID_PARAMS), "{response}: {answer}");
        }
        for responses in [json!([]), json!("x"), json!(5)] {
            let answer = client.again("name", &asked, responses.clone()).await;
            assert_eq!(code(&answer), i64::from(INVALID_PARAMS), "{responses}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_state_that_is_not_this_requests_own_is_refused() {
    let other_server = server();
    let [mut other, _] = clients(&other_server).await;
    let foreign = other.asks("name").await;
    for mut client in clients(&server()).await {
        let asked = client.asks("name").await;
        let answers = || json!({ "form-1": accept(json!({ "name": "Ann" })) });
        let state = asked.state.as_str().expect("it is a string");
        let tampered = |state: String| Asked { requests: Map::new(), state: json!(state) };
        for (what, tool, asked) in [
            ("more", "name", tampered(format!("{state}-TAMPERED"))),
            ("less", "name", tampered(state[..state.len() - 4].to_owned())),
            ("nothing", "name", tampered(String::new())),
            ("another server's", "name", tampered(foreign.state.as_str().unwrap_or_default().to_owned())),
            ("another tool's", "choosy", tampered(state.to_owned())),
            ("of a tool that never asks", "impatient", tampered("x".to_owned())),
            ("too long", "name", tampered("A".repeat(300 << 10))),
        ] {
            let answer = client.again(tool, &asked, answers()).await;
            assert_eq!(code(&answer), i64::from(INVALID_PARAMS), "{what}: {answer}");
        }
        // Other arguments, the same in another order, and others that say the same.
        let about = |what: &str| json!({ "what": what });
        let asked = Asked::of(client.round("about", about("a"), &Value::Null, Value::Null).await);
        let yes = || json!({ "form-1": accept(json!({ "sure": true })) });
        let answer = client.round("about", about("b"), &asked.state, yes()).await;
        assert_eq!(code(&answer), i64::from(INVALID_PARAMS), "{answer}");
        assert_eq!(text(&client.round("about", about("a"), &asked.state, yes()).await), "a");
        let answer = client.round("about", about("a"), &json!(5), yes()).await;
        assert_eq!(code(&answer), i64::from(INVALID_PARAMS), "{answer}");
    }
}

/// What cannot be told from other params must not share their state: an answer would count for what nobody was asked.
#[tokio::test]
async fn params_that_cannot_be_told_apart_begin_no_round() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for odd in ["1e999", r#""\ud800""#, &deep] {
        for mut client in clients(&server()).await {
            let params = |tool: &str| json!({ "name": tool, "arguments": { "what": "a", "odd": ODD }, "_meta": meta(all()) });
            let asks = client.request_with("tools/call", params("about"), odd).await;
            assert_eq!(code(&asks), i64::from(INVALID_PARAMS), "{odd}: {asks}");
            let mut again = params("about");
            let asked = client.round("about", json!({ "what": "a" }), &Value::Null, Value::Null).await;
            again["requestState"] = Asked::of(asked).state;
            let answer = client.request_with("tools/call", again, odd).await;
            assert_eq!(code(&answer), i64::from(INVALID_PARAMS), "{odd}: {answer}");
            // Who does not ask needs none.
            assert_eq!(text(&client.request_with("tools/call", params("says"), odd).await), "a");
        }
    }
}

#[tokio::test]
async fn nobody_carries_on_what_somebody_else_began() {
    let who = |token: String| async move {
        let (name, client) = token.split_once('.').unwrap_or((&token, ""));
        Ok(Principal::new(name, Audience::Verified).of_client(client))
    };
    let authorization = Authorization::new("https://a.example/mcp", ["https://as.example"], who);
    let authorization = Some(authorization.expect("the resource is one"));
    let address = serve(&server(), HttpOptions { authorization, ..HttpOptions::default() }).await;
    let call = async |token: &str, state: Value| {
        let mut params = json!({ "name": "name", "arguments": {} });
        if !state.is_null() {
            params["requestState"] = state;
            params["inputResponses"] = json!({ "form-1": accept(json!({ "name": "Ann" })) });
        }
        let request = Request::stateless_with(1, "tools/call", params, all());
        request.with("Authorization", format!("Bearer {token}")).exchange(address).await.json()
    };
    let asked = Asked::of(call("ann.editor", Value::Null).await);
    assert_eq!(text(&call("ann.editor", asked.state.clone()).await), "hello Ann");
    for other in ["bob.editor", "ann.other", "ann"] {
        assert_eq!(code(&call(other, asked.state.clone()).await), i64::from(INVALID_PARAMS), "{other}");
    }
}

#[tokio::test]
async fn servers_with_one_key_carry_on_for_each_other() {
    let key = |byte: u8| RequestStateKey::new([byte; 32]).expect("it is long enough");
    let with = |keys: &[u8]| {
        let begun = builder().0;
        let keyed = keys.iter().fold(begun, |builder, byte| builder.request_state_key(key(*byte)));
        keyed.build().expect("names are unique")
    };
    let [mut one, _] = clients(&with(&[1])).await;
    let asked = one.asks("name").await;
    let answers = || json!({ "form-1": accept(json!({ "name": "Ann" })) });
    for (keys, knows) in [(&[1][..], true), (&[2, 1], true), (&[2], false)] {
        for mut client in clients(&with(keys)).await {
            let answer = client.again("name", &asked, answers()).await;
            if knows {
                assert_eq!(text(&answer), "hello Ann");
            } else {
                assert_eq!(code(&answer), i64::from(INVALID_PARAMS));
            }
        }
    }
    assert!(RequestStateKey::new([0; 31]).is_err());
}

/// A runtime whose time of day the test sets.
struct Calendar(Arc<AtomicU64>);

impl Runtime for Calendar {
    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
    fn unix_time(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        TokioRuntime.timer(at)
    }
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        TokioRuntime.spawn(name, future);
    }
    fn watch(&self, name: &'static str, look: Look) -> Option<Rouse> {
        TokioRuntime.watch(name, look)
    }
    fn fill_random(&self, bytes: &mut [u8]) {
        TokioRuntime.fill_random(bytes);
    }
}

#[tokio::test]
async fn a_state_expires() {
    let time = Arc::new(AtomicU64::new(1_000));
    let runtime = Arc::new(Calendar(time.clone()));
    let server =
        builder().0.request_state_ttl(Duration::from_secs(60)).engine(|engine| engine.runtime(runtime));
    for mut client in clients(&server.build().expect("names are unique")).await {
        time.store(1_000, Ordering::Relaxed);
        let asked = client.asks("name").await;
        let answers = || json!({ "form-1": accept(json!({ "name": "Ann" })) });
        time.store(1_060, Ordering::Relaxed);
        assert_eq!(text(&client.again("name", &asked, answers()).await), "hello Ann");
        time.store(1_061, Ordering::Relaxed);
        let answer = client.again("name", &asked, answers()).await;
        assert_eq!(code(&answer), i64::from(INVALID_PARAMS));
        assert!(answer["error"]["message"].as_str().is_some_and(|text| text.contains("time")), "{answer}");
    }
}

#[tokio::test]
async fn a_capability_that_was_not_declared_is_named() {
    let server = server();
    for mut client in clients(&server).await {
        for (tool, declared, required) in [
            ("name", json!({}), json!({ "elicitation": {} })),
            ("name", json!({ "sampling": {} }), json!({ "elicitation": {} })),
            ("name", json!({ "elicitation": { "url": {} } }), json!({ "elicitation": {} })),
            ("at_once", json!({ "elicitation": {}, "roots": {} }), json!({ "sampling": {} })),
            ("at_once", json!({ "elicitation": {}, "sampling": {} }), json!({ "roots": {} })),
            ("to_url", json!({ "elicitation": {} }), json!({ "elicitation": { "url": {} } })),
            ("with_tools", json!({ "sampling": {} }), json!({ "sampling": { "tools": {} } })),
        ] {
            let params = json!({ "name": tool, "arguments": {}, "_meta": meta(declared) });
            let answer = client.send(params).await;
            assert_eq!(code(&answer), i64::from(MISSING_CAPABILITY), "{tool}: {answer}");
            assert_eq!(answer["error"]["data"]["requiredCapabilities"], required, "{tool}");
        }
    }
}

#[tokio::test]
async fn a_handler_that_asks_again_gets_the_next_answer() {
    for mut client in clients(&server()).await {
        let first = client.asks("choosy").await;
        let wrong = |key: &str| json!({ key: accept(json!({ "name": "wrong" })) });
        let second = Asked::of(client.again("choosy", &first, wrong("name")).await);
        assert_eq!(second.keys(), ["name-2"]);
        let third = Asked::of(client.again("choosy", &second, wrong("name-2")).await);
        let right = json!({ "name-3": accept(json!({ "name": "right" })) });
        assert_eq!(text(&client.again("choosy", &third, right).await), "at the 3. time");
    }
}

#[tokio::test]
async fn a_handler_that_is_never_content_is_ended() {
    for mut client in clients(&server()).await {
        let mut asked = client.asks("choosy").await;
        for round in 2..=64 {
            let [key] = asked.keys()[..] else { panic!("it asks one thing") };
            let wrong = json!({ key: accept(json!({ "name": "wrong" })) });
            asked = Asked::of(client.again("choosy", &asked, wrong).await);
            assert_eq!(asked.keys(), [format!("name-{round}")]);
        }
        let wrong = json!({ "name-64": accept(json!({ "name": "wrong" })) });
        let answer = client.again("choosy", &asked, wrong).await;
        assert_eq!(answer["result"]["isError"], true, "{answer}");
    }
}

#[tokio::test]
async fn a_question_that_is_another_one_now_is_asked_again() {
    let (builder, _told, stage) = builder();
    for mut client in clients(&builder.build().expect("names are unique")).await {
        stage.about.store(1, Ordering::Relaxed);
        let asked = client.asks("fickle").await;
        stage.about.store(2, Ordering::Relaxed);
        let sure = || json!({ "sure": accept(json!({ "sure": true })) });
        let other = Asked::of(client.again("fickle", &asked, sure()).await);
        assert_eq!(other.requests["sure"]["params"]["message"], "Delete file 2?");
        assert_eq!(text(&client.again("fickle", &other, sure()).await), "deleted 2");
    }
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_is_not_asked() {
    for mut client in clients(&server()).await {
        let answer = client.round("impatient", json!({}), &Value::Null, Value::Null).await;
        assert_eq!(text(&answer), "did without");
    }
}

#[tokio::test]
async fn what_a_handler_holds_is_free_when_its_question_is_told() {
    let (builder, mut told, _stage) = builder();
    let server = builder.build().expect("names are unique");
    for (mut client, before) in clients(&server).await.into_iter().zip([0, 2]) {
        let asked = client.asks("holding").await;
        assert_eq!(told.try_recv(), Ok("dropped"), "before the answer was told");
        assert!(server.engine().calls().is_empty(), "the call is over");
        let responses = json!({ "form-1": accept(json!({ "name": "Ann" })) });
        let answer = within(client.again("holding", &asked, responses)).await;
        assert_eq!(text(&answer), format!(r#""Ann" at {}"#, before + 2));
        assert_eq!(told.try_recv(), Ok("dropped"));
    }
}

#[tokio::test]
async fn a_url_is_asked_until_what_belongs_there_is_done() {
    let (builder, _told, stage) = builder();
    for mut client in clients(&builder.build().expect("names are unique")).await {
        stage.about.store(0, Ordering::Relaxed);
        let asked = client.asks("to_url").await;
        let params = &asked.requests["url-1"]["params"];
        assert_eq!((&params["mode"], &params["message"]), (&json!("url"), &json!("Connect.")));
        assert!(params.get("elicitationId").is_none(), "this revision has none");
        let agreed = json!({ "action": "accept" });
        let again = Asked::of(client.again("to_url", &asked, json!({ "url-1": agreed })).await);
        assert_eq!(again.keys(), ["url-2"]);
        let refused = client.again("to_url", &again, json!({ "url-2": { "action": "decline" } })).await;
        assert_eq!(refused["result"]["isError"], true);
        stage.about.store(1, Ordering::Relaxed);
        assert_eq!(text(&client.again("to_url", &again, json!({ "url-2": agreed })).await), "connected");
    }
}

#[tokio::test]
async fn answers_that_are_too_large_to_be_carried_are_told() {
    let server = builder().0.request_state_bytes(1 << 10).build().expect("names are unique");
    for mut client in clients(&server).await {
        let asked = client.asks("in_turn").await;
        let long = json!({ "form-1": accept(json!({ "name": "x".repeat(2 << 10) })) });
        let answer = client.again("in_turn", &asked, long).await;
        assert_eq!(code(&answer), i64::from(QUESTION_FAILED), "{answer}");
    }
}

#[test]
fn errors_convert() {
    let error = freehold_mcp::AskError::NotHere;
    assert_eq!(ErrorObject::from(error).code.0, QUESTION_FAILED);
}

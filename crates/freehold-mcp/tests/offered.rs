//! What `#[prompt]` and `#[resource]` make of functions.

#[expect(dead_code, reason = "nothing here is written but whole messages")]
mod pipe;
#[expect(dead_code, reason = "the tools of the stage are not called")]
mod stage;

use freehold_mcp::{
    Annotations, CacheHint, Completion, CompletionRequest, Content, Icon, McpServer, Prompt, PromptMessage,
    RequestContext, RequestError, ResourceTemplate, freehold::MethodOptions, prompt, resource,
};
use pipe::Pipe;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

const INVALID_PARAMS: i32 = -32602;
const INTERNAL_ERROR: i32 = -32603;
const RESOURCE_NOT_FOUND: i32 = -32002;

/// Greets somebody.
///
/// In a loud voice, if so wanted.
#[prompt]
async fn greet(
    /// Who is greeted.
    name: String,
    /// How often.
    #[default(2)]
    times: u32,
    /// How.
    #[serde(rename = "how")]
    #[schemars(title = "Voice")]
    voice: Option<Voice>,
) -> String {
    let voice = voice.unwrap_or(Voice::Low);
    format!("{name} {times} {voice:?}")
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Voice {
    Low,
    Loud,
}

/// Replaced below.
#[prompt(
    name = "trip.plan",
    title = "Plan a trip",
    description = "Plans a trip.",
    icon = Icon::new("https://example.com/trip.png"),
    options = MethodOptions::new().timeout(Duration::from_secs(5))
)]
async fn plan(
    #[complete(cities)] city: String,
    ctx: &RequestContext,
    #[serde(rename = "type")]
    #[complete(kinds)]
    kind: String,
) -> Result<Vec<PromptMessage>, std::num::ParseIntError> {
    let days: u8 = kind.parse()?;
    Ok(vec![
        PromptMessage::user(format!("{} {city} {days}", ctx.subject())),
        PromptMessage::assistant("Yes."),
    ])
}

async fn cities(_ctx: &RequestContext, of: CompletionRequest) -> Result<Completion, RequestError> {
    Ok(Completion::of_prefix(["Paris", "Rome"], &of.value))
}

async fn kinds(_ctx: &RequestContext, of: CompletionRequest) -> Result<Vec<String>, RequestError> {
    Ok(vec![of.resolved["city"].clone()])
}

#[derive(Deserialize, JsonSchema)]
struct Whole {
    /// What.
    what: String,
}

/// Has one type for all arguments, and is quick.
#[prompt]
fn r#match(#[arguments] whole: Whole) -> Content {
    Content::text(whole.what)
}

/// What this is.
#[resource("notes://readme", mime_type = "text/markdown", size = 6, title = "Read me")]
async fn readme() -> std::io::Result<&'static str> {
    Ok("# Read")
}

/// Of these there are no words.
#[resource("notes://picture")]
fn picture() -> Vec<u8> {
    vec![0, 255]
}

/// Nobody gets it.
#[resource("notes://secret")]
async fn secret() -> Result<String, RequestError> {
    Err(RequestError::new("it is secret"))
}

/// A row of a table.
#[resource(
    "db://{table}/{row}{?as,deep}",
    name = "row",
    annotations = Annotations::new().priority(0.5),
    cache = CacheHint::public(Duration::from_secs(7)),
    icon = Icon::new("https://example.com/row.png"),
    options = MethodOptions::new()
)]
async fn row(
    row: u8,
    #[complete(tables)] table: String,
    r#as: Option<String>,
    #[default(false)] deep: bool,
    ctx: &RequestContext,
) -> Option<String> {
    (row < 9).then(|| format!("{} {table} {row} {as:?} {deep}", ctx.subject()))
}

async fn tables(_ctx: &RequestContext, of: CompletionRequest) -> Result<Completion, RequestError> {
    Ok(Completion::of_prefix(["people", "pets"], &of.value))
}

struct Client(Pipe, u32);

impl Client {
    async fn new() -> Self {
        let server = McpServer::builder("offered", "1.0.0")
            .prompt(greet::prompt())
            .prompt(plan::prompt())
            .prompt(r#match::prompt())
            .resource(readme::resource())
            .resource(picture::resource())
            .resource(secret::resource())
            .resource_template(row::resource_template());
        let mut pipe = Pipe::new(server.build().expect("it can be built"));
        pipe.initialize().await;
        Self(pipe, 0)
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.1 += 1;
        let message = json!({ "jsonrpc": "2.0", "id": self.1, "method": method, "params": params });
        self.0.ask(&message).await
    }

    async fn result(&mut self, method: &str, params: Value) -> Value {
        let answer = self.ask(method, params).await;
        assert!(answer["result"].is_object(), "{answer}");
        answer["result"].clone()
    }

    async fn get(&mut self, name: &str, arguments: Value) -> Value {
        let answer = self.ask("prompts/get", json!({ "name": name, "arguments": arguments })).await;
        match &answer["result"] {
            Value::Null => answer["error"]["code"].clone(),
            result => result["messages"].clone(),
        }
    }

    async fn read(&mut self, uri: &str) -> Value {
        let answer = self.ask("resources/read", json!({ "uri": uri })).await;
        match &answer["result"] {
            Value::Null => answer["error"]["code"].clone(),
            result => result["contents"][0].clone(),
        }
    }

    async fn complete(&mut self, reference: Value, argument: &str, resolved: Value) -> Value {
        let params = json!({
            "ref": reference,
            "argument": { "name": argument, "value": "p" },
            "context": { "arguments": resolved },
        });
        self.result("completion/complete", params).await["completion"]["values"].clone()
    }
}

fn user(text: &str) -> Value {
    json!({ "role": "user", "content": { "type": "text", "text": text } })
}

#[tokio::test]
async fn what_is_listed_comes_from_the_function() {
    let mut client = Client::new().await;
    assert_eq!(
        client.result("prompts/list", json!({})).await["prompts"],
        json!([
            {
                "name": "greet",
                "description": "Greets somebody.\n\nIn a loud voice, if so wanted.",
                "arguments": [
                    { "name": "how", "title": "Voice", "description": "How.", "required": false },
                    { "name": "name", "description": "Who is greeted.", "required": true },
                    { "name": "times", "description": "How often.", "required": false },
                ],
            },
            {
                "name": "match",
                "description": "Has one type for all arguments, and is quick.",
                "arguments": [{ "name": "what", "description": "What.", "required": true }],
            },
            {
                "name": "trip.plan",
                "title": "Plan a trip",
                "description": "Plans a trip.",
                "arguments": [{ "name": "city", "required": true }, { "name": "type", "required": true }],
                "icons": [{ "src": "https://example.com/trip.png" }],
            },
        ])
    );
    assert_eq!(
        client.result("resources/list", json!({})).await["resources"],
        json!([
            { "uri": "notes://picture", "name": "picture", "description": "Of these there are no words." },
            {
                "uri": "notes://readme",
                "name": "readme",
                "title": "Read me",
                "description": "What this is.",
                "mimeType": "text/markdown",
                "size": 6,
            },
            { "uri": "notes://secret", "name": "secret", "description": "Nobody gets it." },
        ])
    );
    assert_eq!(
        client.result("resources/templates/list", json!({})).await["resourceTemplates"],
        json!([{
            "uriTemplate": "db://{table}/{row}{?as,deep}",
            "name": "row",
            "description": "A row of a table.",
            "annotations": { "priority": 0.5 },
            "icons": [{ "src": "https://example.com/row.png" }],
        }])
    );
}

#[tokio::test]
async fn arguments_are_read_and_what_is_returned_is_told() {
    let mut client = Client::new().await;
    for (name, arguments, messages) in [
        ("greet", json!({ "name": "Ann" }), json!([user("Ann 2 Low")])),
        ("greet", json!({ "name": "Ann", "times": "3", "how": "loud" }), json!([user("Ann 3 Loud")])),
        ("greet", json!({ "name": "Ann", "times": "often" }), json!(INVALID_PARAMS)),
        ("greet", json!({}), json!(INVALID_PARAMS)),
        ("greet", json!({ "name": "Ann", "voice": "loud" }), json!(INVALID_PARAMS)),
        ("match", json!({ "what": "it" }), json!([user("it")])),
        ("trip.plan", json!({ "city": "Rome", "type": "x" }), json!(INTERNAL_ERROR)),
    ] {
        assert_eq!(client.get(name, arguments.clone()).await, messages, "{name} {arguments}");
    }
    let planned = client.get("trip.plan", json!({ "city": "Rome", "type": "4" })).await;
    assert_eq!(planned[0], user("trip.plan Rome 4"));
    assert_eq!(planned[1]["role"], "assistant");
}

#[tokio::test]
async fn variables_are_arguments() {
    let mut client = Client::new().await;
    let row = |uri: &str, text: &str| json!({ "uri": uri, "text": format!("{uri} {text}") });
    for (uri, contents) in [
        ("notes://readme", json!({ "uri": "notes://readme", "mimeType": "text/markdown", "text": "# Read" })),
        ("notes://picture", json!({ "uri": "notes://picture", "blob": "AP8=" })),
        ("notes://secret", json!(INTERNAL_ERROR)),
        ("db://people/3", row("db://people/3", "people 3 None false")),
        ("db://a%20b/8?deep=true&as=x", row("db://a%20b/8?deep=true&as=x", "a b 8 Some(\"x\") true")),
        ("db://people/9", json!(RESOURCE_NOT_FOUND)),
        ("db://people/256", json!(RESOURCE_NOT_FOUND)),
        ("db://people/x", json!(RESOURCE_NOT_FOUND)),
    ] {
        assert_eq!(client.read(uri).await, contents, "{uri}");
    }
}

#[tokio::test]
async fn completions_stand_at_their_arguments() {
    let mut client = Client::new().await;
    let prompt = json!({ "type": "ref/prompt", "name": "trip.plan" });
    let template = json!({ "type": "ref/resource", "uri": "db://{table}/{row}{?as,deep}" });
    assert_eq!(client.complete(prompt.clone(), "city", json!({})).await, json!(["Paris"]));
    assert_eq!(client.complete(prompt, "type", json!({ "city": "Rome" })).await, json!(["Rome"]));
    assert_eq!(client.complete(template.clone(), "table", json!({})).await, json!(["people", "pets"]));
    assert_eq!(client.complete(template, "row", json!({})).await, json!([]));
}

/// The function is what it was, and what is made fits any server, as long as nothing asks for a state.
#[tokio::test]
async fn functions_can_be_called_and_are_of_any_server() {
    assert_eq!(greet("Ann".to_owned(), 1, None).await, "Ann 1 Low");
    assert_eq!(readme().await.unwrap(), "# Read");
    let _: Prompt<String> = greet::prompt();
    let _: ResourceTemplate<()> = row::resource_template();

    /// Counts.
    #[resource("state://count")]
    async fn count(ctx: &RequestContext<u32>) -> String {
        ctx.state().to_string()
    }
    let server = McpServer::builder_with_state("counts", "1.0.0", 7_u32).resource(count::resource()).build();
    assert!(server.is_ok());
}

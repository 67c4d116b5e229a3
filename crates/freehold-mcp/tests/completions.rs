//! How often a client may ask for completions, by every way, and that one client's haste is no other's wait.

#[expect(dead_code, reason = "nothing here is written but whole messages")]
mod pipe;
#[expect(dead_code, reason = "the tools of the stage are not called")]
mod stage;
#[expect(dead_code, reason = "clients here come one by one")]
mod ways;
#[expect(dead_code, reason = "answers here come as a whole")]
mod wire;

use freehold_mcp::{
    Audience, Authorization, AuthorizeError, Completion, CompletionLimits, CompletionRequest, Delegate,
    HttpOptions, McpServer, Principal, Prompt, RequestContext, RequestError, accept_client,
    freehold::{BreakerOptions, Context, HandlerResult, MethodOptions, runtime::BoxFuture, write_result},
};
use pipe::Pipe;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use stage::within;
use std::{borrow::Cow, future::ready, time::Duration};
use ways::stateless;
use wire::{Request, Response, open_session, serve};

const RATE_LIMITED: i32 = -31011;

#[derive(Deserialize, JsonSchema)]
struct Visit {
    city: String,
}

async fn visit(_ctx: &RequestContext, visit: Visit) -> Result<String, RequestError> {
    Ok(visit.city)
}

async fn city(_ctx: &RequestContext, of: CompletionRequest) -> Result<Completion, RequestError> {
    Ok(Completion::of_prefix(["paris", "rome"], &of.value))
}

/// Two at once for each client, and one a second.
fn limits() -> CompletionLimits {
    CompletionLimits {
        burst: 2,
        per_second: 1,
        unknown_burst: 2,
        unknown_per_second: 1,
        ..CompletionLimits::default()
    }
}

fn server() -> McpServer {
    let prompt = Prompt::new("visit", "Plans a visit.", visit).complete("city", city);
    // A breaker that one failure opens: a client in haste must not close the method to others.
    let breaker = BreakerOptions::new().minimum_calls(1);
    let server = McpServer::builder("cities", "1.0.0").prompt(prompt).completions(limits());
    server.engine(|engine| engine.breaker(breaker)).build().expect("it can be built")
}

fn params(argument: &str) -> Value {
    let argument = json!({ "name": argument, "value": "p" });
    json!({ "ref": { "type": "ref/prompt", "name": "visit" }, "argument": argument })
}

fn message(id: u32, argument: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "completion/complete", "params": params(argument) })
}

/// When to come back, if that is what the answer says.
fn retry_after(answer: &Value) -> Option<u64> {
    if answer.get("result").is_some() {
        return None;
    }
    let error = &answer["error"];
    assert_eq!(error["code"], RATE_LIMITED, "{answer}");
    let millis = error["data"]["retryAfterMs"].as_u64().expect("it says when");
    let text = format!("completions are asked for too often; try again in {millis} ms");
    assert_eq!(error["message"], text);
    Some(millis)
}

/// On a connection both forms of requests count together, and what is refused does not count.
#[tokio::test(start_paused = true)]
async fn a_connection_gets_a_burst_and_then_its_rate() {
    let server = server();
    let (mut hasty, mut other) = (Pipe::new(server.clone()), Pipe::new(server));
    hasty.initialize().await;
    other.initialize().await;
    assert_eq!(retry_after(&hasty.ask(&message(1, "city")).await), None);
    assert_eq!(retry_after(&hasty.ask(&stateless(message(2, "city"), json!({}))).await), None);
    for id in 3..20 {
        assert_eq!(retry_after(&hasty.ask(&message(id, "city")).await), Some(1_000));
        assert_eq!(retry_after(&hasty.ask(&stateless(message(id, "city"), json!({}))).await), Some(1_000));
    }
    // To guess is limited as well.
    assert_eq!(retry_after(&hasty.ask(&message(20, "secret")).await), Some(1_000));
    // Nobody else waits for it, and nothing else of its own does.
    assert_eq!(retry_after(&other.ask(&message(1, "city")).await), None);
    let get = json!({ "name": "visit", "arguments": { "city": "rome" } });
    let got = hasty.ask(&json!({ "jsonrpc": "2.0", "id": 21, "method": "prompts/get", "params": get })).await;
    assert_eq!(got["result"]["messages"][0]["content"]["text"], "rome");
    tokio::time::advance(Duration::from_millis(600)).await;
    assert_eq!(retry_after(&hasty.ask(&message(22, "city")).await), Some(400));
    tokio::time::advance(Duration::from_millis(400)).await;
    assert_eq!(retry_after(&hasty.ask(&message(23, "city")).await), None);
    assert_eq!(retry_after(&hasty.ask(&message(24, "city")).await), Some(1_000));
    tokio::time::advance(Duration::from_secs(2)).await;
    for (id, expected) in [(25, None), (26, None), (27, Some(1_000))] {
        assert_eq!(retry_after(&hasty.ask(&message(id, "city")).await), expected, "{id}");
    }
}

/// Asks until it is refused: that is at the third time, unless seconds pass meanwhile.
async fn until_refused(ask: impl AsyncFn() -> Response) -> Response {
    let asking = async {
        loop {
            let answer = ask().await;
            if let Some(millis) = retry_after(&answer.json()) {
                assert!((1..=1_000).contains(&millis), "{millis}");
                return answer;
            }
        }
    };
    within(asking).await
}

#[tokio::test]
async fn over_http_a_session_has_its_own_rate_and_stateless_strangers_share_one() {
    let address = serve(&server(), HttpOptions::default()).await;
    let (hasty, other) = (open_session(address).await, open_session(address).await);
    let in_session =
        async |session: &str| Request::post(&message(1, "city")).in_session(session).exchange(address).await;
    let refused = until_refused(async || in_session(&hasty).await).await;
    assert_eq!(refused.status, 200, "in a session the error is the answer");
    assert_eq!(retry_after(&in_session(&other).await.json()), None);
    let strange =
        async || Request::stateless(1, "completion/complete", params("city")).exchange(address).await;
    assert_eq!(retry_after(&strange().await.json()), None);
    assert_eq!(until_refused(strange).await.status, 429);
}

#[tokio::test]
async fn a_principal_has_one_rate_however_many_its_sessions() {
    let who = |token: String| ready(Ok::<_, AuthorizeError>(Principal::new(token, Audience::Verified)));
    let authorization = Authorization::new("https://a.example/mcp", ["https://as.example"], who);
    let authorization = Some(authorization.expect("the resource is one"));
    let address = serve(&server(), HttpOptions { authorization, ..HttpOptions::default() }).await;
    let of = |token: &str, request: Request| request.with("Authorization", format!("Bearer {token}"));
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
    let refused = async |token: &str| {
        let opened = of(token, Request::post(&initialize)).exchange(address).await;
        let session = opened.headers["mcp-session-id"].to_str().expect("it is text").to_owned();
        let asked =
            of(token, Request::post(&message(1, "city")).in_session(&session)).exchange(address).await;
        retry_after(&asked.json()).is_some()
    };
    let asking = async { while !refused("ann").await {} };
    within(asking).await;
    assert!(!refused("bob").await);
}

/// Answers completions in place of the server.
struct Completes;

impl Delegate<()> for Completes {
    fn methods(&self) -> Vec<(Cow<'static, str>, MethodOptions)> {
        ["initialize", "completion/complete"].map(|name| (name.into(), MethodOptions::new())).into()
    }

    fn start(
        &self,
        context: Context<()>,
        params: Option<Box<RawValue>>,
    ) -> BoxFuture<'static, HandlerResult> {
        Box::pin(async move {
            if context.method() == "initialize" {
                accept_client(&context, params.as_deref(), "2025-11-25")?;
                return write_result(&json!({ "protocolVersion": "2025-11-25" }));
            }
            write_result(&json!({ "completion": { "values": [] } }))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_delegate_completes_is_limited_too() {
    let server = McpServer::builder("delegate", "1.0.0").delegate(Completes).completions(limits()).build();
    let mut client = Pipe::new(server.expect("it can be built"));
    client.initialize().await;
    for (id, expected) in [(1, None), (2, None), (3, Some(1_000))] {
        assert_eq!(retry_after(&client.ask(&message(id, "city")).await), expected, "{id}");
    }
}

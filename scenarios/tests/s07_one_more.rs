//! S-07: every holder wants one more. Four calls share a pool of four permits, hold one each and ask for another; and
//! two tools take two locks in opposite order. And the session's slots as permits: with one of them, a tool calls a tool.

mod sdk;

use freehold_mcp::{
    Tool, ToolError,
    freehold::{
        Limits, OutcomeKind,
        sync::{Mutex, PermitPool, observe},
    },
};
use freehold_scenarios::{
    Builder, Client, Ctx, Rings, TestServer, Transport, checks, limits::patient, limits::prompt,
    over_both_transports,
};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Barrier;

over_both_transports!(permits => s07_permits_http, s07_permits_stdio);
over_both_transports!(opposite_order => s07_opposite_order_http, s07_opposite_order_stdio);
over_both_transports!(one_slot => s07_one_slot_http, s07_one_slot_stdio);
over_both_transports!(parked => s07_parked_http, s07_parked_stdio);
over_both_transports!(sdk_client => s07_sdk_client_http, s07_sdk_client_stdio);

const HOLDERS: usize = 4;

/// What the application shares.
struct Shared {
    pool: PermitPool,
    all_hold: Barrier,
    a: Mutex<()>,
    b: Mutex<()>,
    both_hold: Barrier,
}

async fn one_more(ctx: &Ctx, (): ()) -> Result<&'static str, ToolError> {
    let shared = ctx.app::<Shared>();
    let _one = ctx.permit(&shared.pool).await?;
    shared.all_hold.wait().await;
    let _one_more = ctx.permit(&shared.pool).await?;
    Ok("two")
}

async fn a_then_b(ctx: &Ctx, (): ()) -> Result<&'static str, ToolError> {
    let shared = ctx.app::<Shared>();
    let _a = ctx.lock(&shared.a).await?;
    shared.both_hold.wait().await;
    let _b = ctx.lock(&shared.b).await?;
    Ok("two")
}

async fn b_then_a(ctx: &Ctx, (): ()) -> Result<&'static str, ToolError> {
    let shared = ctx.app::<Shared>();
    let _b = ctx.lock(&shared.b).await?;
    shared.both_hold.wait().await;
    let _a = ctx.lock(&shared.a).await?;
    Ok("two")
}

/// Calls a tool of its own session.
async fn calls_echo(ctx: &Ctx, (): ()) -> Result<String, ToolError> {
    let answer = ctx.call_tool(ctx.session(), "echo", &json!({ "text": "inner" })).await?;
    Ok(answer.as_str().unwrap_or_default().to_owned())
}

fn shared() -> Shared {
    Shared {
        pool: PermitPool::new(HOLDERS as u32),
        all_hold: Barrier::new(HOLDERS),
        a: Mutex::new(()),
        b: Mutex::new(()),
        both_hold: Barrier::new(2),
    }
}

fn tools(builder: Builder) -> Builder {
    builder
        .app(Arc::new(shared()))
        .tool(Tool::new("one_more", "Takes two permits.", one_more))
        .tool(Tool::new("a_then_b", "Takes two locks.", a_then_b))
        .tool(Tool::new("b_then_a", "Takes two locks.", b_then_a))
        .tool(Tool::new("calls_echo", "Calls a tool.", calls_echo))
}

/// Waits for a lock or its cancel.
async fn waits_for_a(ctx: &Ctx, (): ()) -> Result<&'static str, ToolError> {
    tokio::select! {
        a = ctx.lock(&ctx.app::<Shared>().a) => a.map(|_| "got it").map_err(ToolError::from),
        _ = ctx.cancelled() => Err(ToolError::new("cancelled")),
    }
}

/// Of the answers one is an error that names `tool`, and the others are results.
fn assert_one_refused(answers: &[Value], tool: &str) {
    let text =
        |answer: &Value| answer["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    let refused: Vec<_> = answers.iter().filter(|answer| answer["result"]["isError"] == true).collect();
    let done = answers.iter().filter(|answer| text(answer) == "two").count();
    assert_eq!((refused.len(), done), (1, answers.len() - 1), "{answers:?}");
    let told = text(refused[0]);
    assert!(told.contains("deadlock") && told.contains(tool), "{told}");
    assert!(!told.contains(".rs:") && !told.contains("0x"), "nothing of the server's insides: {told}");
}

async fn permits(transport: Transport) {
    let rings = Rings::about("one_more");
    let server = TestServer::with(patient(), tools).await;
    let client = Client::connect(&server, transport).await;
    let ids: Vec<_> = (0..HOLDERS).map(|_| client.call("one_more", json!({}))).collect();
    let mut answers = Vec::new();
    for id in &ids {
        answers.push(prompt("an answer", client.answer(id)).await);
    }
    assert_one_refused(&answers, "one_more");
    // Both transports' tests run in one process, so some reports may be the other's.
    checks::eventually("a report", || !rings.all().is_empty()).await;
    assert_eq!(server.record.outcomes("tools/call", OutcomeKind::Answered), HOLDERS);
    checks::everything(&server, vec![client]).await;
}

async fn opposite_order(transport: Transport) {
    let rings = Rings::about("a_then_b");
    let server = TestServer::with(patient(), tools).await;
    let one = Client::connect(&server, transport).await;
    let two = Client::connect(&server, transport).await;
    let (first, second) = (one.call("a_then_b", json!({})), two.call("b_then_a", json!({})));
    let answers =
        [prompt("an answer", one.answer(&first)).await, prompt("an answer", two.answer(&second)).await];
    assert_one_refused(&answers, "a_then_b");
    checks::eventually("a report", || !rings.all().is_empty()).await;
    assert!(rings.all().iter().all(|report| report.edges.len() == 2));
    checks::everything(&server, vec![one, two]).await;
}

/// The one slot of the session is that of the outer tool: the inner one runs on it, and others come after both.
async fn one_slot(transport: Transport) {
    let limits = Limits { running_per_session: 1, ..patient() };
    let server = TestServer::with(limits, tools).await;
    let client = Client::connect(&server, transport).await;
    let ids: Vec<_> = (0..20).map(|_| client.call("calls_echo", json!({}))).collect();
    for id in &ids {
        let answer = prompt("an answer", client.answer(id)).await;
        assert_eq!(answer["result"]["content"][0]["text"], "inner", "{answer}");
    }
    assert_eq!(server.record.outcomes("tools/call", OutcomeKind::Answered), 40);
    checks::everything(&server, vec![client]).await;
}

/// Nothing between the socket and the tool keeps the waker of a tool that is parked in a lock: a waker in other hands
/// would be a sign of life, and hide the rings above until it is probed.
async fn parked(transport: Transport) {
    let name = if transport == Transport::Http { "parked_http" } else { "parked_stdio" };
    let shared = Arc::new(shared());
    let server = TestServer::with(patient(), |builder| {
        builder.app(shared.clone()).tool(Tool::new(name, "Waits for a lock.", waits_for_a))
    })
    .await;
    let held = shared.a.lock().await.expect("it is free");
    let client = Client::connect(&server, transport).await;
    let id = client.call(name, json!({}));
    let wakers = || {
        let members = observe().members.into_iter();
        members.filter(|m| m.actor.name == name && !m.waits.is_empty()).map(|m| m.actor.foreign_wakers).next()
    };
    checks::eventually("it waits", || wakers().is_some()).await;
    assert_eq!(wakers(), Some(0));
    drop(held);
    let answer = prompt("an answer", client.answer(&id)).await;
    assert_eq!(answer["result"]["content"][0]["text"], "got it");
    checks::everything(&server, vec![client]).await;
}

/// The official SDK's client is told as well.
async fn sdk_client(transport: Transport) {
    let server = TestServer::with(patient(), tools).await;
    let client = sdk::connect(&server, transport).await;
    let call = |tool| prompt(tool, sdk::call(&client, tool, json!({})));
    let (one, two) = tokio::join!(call("a_then_b"), call("b_then_a"));
    let results = [one.expect("a result"), two.expect("a result")];
    let refused = results.iter().filter(|result| result.is_error == Some(true)).count();
    assert_eq!(refused, 1, "{results:?}");
    sdk::leave(client).await;
    checks::everything(&server, vec![]).await;
}

//! S-05: two sessions that call each other. Each does one call at a time; their tools call each other's through the
//! engine.

mod sdk;

use freehold_mcp::{
    Tool, ToolError,
    freehold::{Gate, Limits, OutcomeKind, SessionId},
};
use freehold_scenarios::{
    Builder, Client, Ctx, Rings, TestServer, Transport, checks, limits::patient, limits::prompt,
    over_both_transports,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};
use tokio::sync::Barrier;

over_both_transports!(one_call => s05_one_call_http, s05_one_call_stdio);
over_both_transports!(two_at_once => s05_two_at_once_http, s05_two_at_once_stdio);
over_both_transports!(three_in_a_ring => s05_three_in_a_ring_http, s05_three_in_a_ring_stdio);
over_both_transports!(chains => s05_chains_http, s05_chains_stdio);
over_both_transports!(sdk_clients => s05_sdk_clients_http, s05_sdk_clients_stdio);

/// The sessions of the ring in order, and where their tools meet before they call on.
struct Ring {
    sessions: OnceLock<Vec<SessionId>>,
    all_run: Barrier,
}

impl Ring {
    fn of(members: usize) -> Arc<Self> {
        Arc::new(Self { sessions: OnceLock::new(), all_run: Barrier::new(members) })
    }

    fn after(&self, session: SessionId) -> SessionId {
        let sessions = self.sessions.get().expect("set before the first call");
        let place = sessions.iter().position(|other| *other == session).expect("it is in the ring");
        sessions[(place + 1) % sessions.len()]
    }
}

/// Calls the same tool in the next session, for ever.
async fn round(ctx: &Ctx, (): ()) -> Result<String, ToolError> {
    let next = ctx.app::<Ring>().after(ctx.session().id());
    let answer = ctx.call_tool(next, ctx.tool(), &json!({})).await?;
    Ok(format!("{} > {answer}", ctx.tool()))
}

/// Waits until every session of the ring runs one, and calls `echo` in the next.
async fn meet(ctx: &Ctx, (): ()) -> Result<String, ToolError> {
    let ring = ctx.app::<Ring>();
    ring.all_run.wait().await;
    let echo = json!({ "text": "through" });
    Ok(ctx.call_tool(ring.after(ctx.session().id()), "echo", &echo).await?.to_string())
}

#[derive(Deserialize, JsonSchema)]
struct Hop {
    left: usize,
    text: String,
}

/// Calls on until nobody is left.
async fn chain(ctx: &Ctx, hop: Hop) -> Result<String, ToolError> {
    if hop.left == 0 {
        return Ok(hop.text);
    }
    let next = ctx.app::<Ring>().after(ctx.session().id());
    let on = json!({ "left": hop.left - 1, "text": hop.text });
    let answer = ctx.call_tool(next, ctx.tool(), &on).await?;
    Ok(answer.as_str().unwrap_or_default().to_owned())
}

fn tools(builder: Builder, ring: &Arc<Ring>) -> Builder {
    builder
        .engine(|engine| engine.gate(Gate::Serial))
        .app(ring.clone())
        .tool(Tool::new("round", "Calls the next session.", round))
        .tool(Tool::new("meet", "Calls the next session once all run.", meet))
        .tool(Tool::new("chain", "Calls on for so many hops.", chain))
}

async fn clients(server: &TestServer, transport: Transport, ring: &Ring, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(Client::connect(server, transport).await);
    }
    let sessions = clients.iter().map(|client| client.session).collect();
    ring.sessions.set(sessions).expect("set once");
    clients
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_default()
}

/// A chain that enters its own sessions again and again: it has their turns, so it waits for nobody, and ends at the limit
/// of depth with an error that names the way.
async fn one_call(transport: Transport) {
    let ring = Ring::of(2);
    let limits = Limits { nesting: 8, ..patient() };
    let server = TestServer::with(limits, |builder| tools(builder, &ring)).await;
    let clients = clients(&server, transport, &ring, 2).await;
    let answer = prompt("an answer", clients[0].tool("round", json!({}))).await;
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(text(&answer).contains("round > round > round"), "{answer}");
    clients[1].echo("as good as new").await;
    checks::everything(&server, clients).await;
}

/// Every member of the ring has its session's turn and wants the next one's. One is told, with everybody's tool; the
/// others finish.
async fn ring_of(transport: Transport, members: usize) {
    let rings = Rings::about("meet");
    let before = rings.of_length(2 * members);
    let ring = Ring::of(members);
    let server = TestServer::with(patient(), |builder| tools(builder, &ring)).await;
    let clients = clients(&server, transport, &ring, members).await;
    let ids: Vec<_> = clients.iter().map(|client| client.call("meet", json!({}))).collect();
    let mut answers = Vec::new();
    for (client, id) in clients.iter().zip(&ids) {
        answers.push(prompt("an answer", client.answer(id)).await);
    }
    let told: Vec<_> = answers.iter().filter(|answer| answer["result"]["isError"] == true).collect();
    assert_eq!(told.len(), 1, "{answers:?}");
    assert!(text(told[0]).contains("deadlock") && text(told[0]).contains("\"meet\""), "{}", told[0]);
    assert_eq!(answers.iter().filter(|answer| text(answer).contains("through")).count(), members - 1);
    // Waiter and holder in turn: a call waits for its answer, and its callee for the turn of the next.
    checks::eventually("a report", || rings.of_length(2 * members) > before).await;
    assert_eq!(server.record.outcomes("tools/call", OutcomeKind::DeadlineExceeded), 0);
    checks::everything(&server, clients).await;
}

async fn two_at_once(transport: Transport) {
    ring_of(transport, 2).await;
}

async fn three_in_a_ring(transport: Transport) {
    ring_of(transport, 3).await;
}

/// The control: chains over the same sessions without a ring, a thousand times.
async fn chains(transport: Transport) {
    let rings = Rings::about("chain");
    let ring = Ring::of(3);
    let server = TestServer::with(patient(), |builder| tools(builder, &ring)).await;
    let clients = clients(&server, transport, &ring, 3).await;
    let call = |number: usize| clients[0].call("chain", json!({ "left": 2, "text": number.to_string() }));
    let ids: Vec<_> = (0..1_000).map(call).collect();
    for (number, id) in ids.iter().enumerate() {
        let answer = prompt("an answer", clients[0].answer(id)).await;
        assert_eq!(text(&answer), number.to_string(), "{answer}");
    }
    assert_eq!(rings.all().len(), 0, "there is no ring");
    checks::everything(&server, clients).await;
}

/// The official SDK's clients are told as well.
async fn sdk_clients(transport: Transport) {
    let ring = Ring::of(2);
    let server = TestServer::with(patient(), |builder| tools(builder, &ring)).await;
    let one = sdk::connect(&server, transport).await;
    let two = sdk::connect(&server, transport).await;
    let sessions = server.server.engine().sessions().iter().map(|session| session.id()).collect();
    ring.sessions.set(sessions).expect("set once");
    let (first, second) = tokio::join!(
        prompt("an answer", sdk::call(&one, "meet", json!({}))),
        prompt("an answer", sdk::call(&two, "meet", json!({})))
    );
    let results = [first.expect("a result"), second.expect("a result")];
    let told = results.iter().filter(|result| result.is_error == Some(true)).count();
    assert_eq!(told, 1, "{results:?}");
    sdk::leave(one).await;
    sdk::leave(two).await;
    checks::everything(&server, vec![]).await;
}

//! Several messages in one array: revision 2025-03-26 has them, and 2024-11-05; later ones refuse them.

#[expect(dead_code, reason = "nothing here writes a line that is no JSON")]
mod pipe;
mod stage;
#[expect(dead_code, reason = "sessions here are of one revision, and speak one era")]
mod wire;

use freehold_mcp::{HttpOptions, MemoryEventStore, Resumption, freehold::Limits};
use pipe::Pipe;
use serde_json::{Value, json};
use stage::{Audience, server};
use std::{net::SocketAddr, sync::Arc};
use wire::{Request, Response, open_session_as, serve};

const WITH_BATCHES: &str = "2025-03-26";
const OTHERS: [&str; 2] = ["2025-11-25", "2025-06-18"];
const INVALID_REQUEST: i32 = -32600;

fn request(id: u32, method: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method })
}

fn call(id: u32, tool: &str, arguments: Value) -> Value {
    let params = json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": id } });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
}

fn echo(id: u32) -> Value {
    call(id, "echo", json!({ "text": id.to_string() }))
}

fn notification() -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })
}

fn answer() -> Value {
    json!({ "jsonrpc": "2.0", "id": 99, "result": {} })
}

struct Scene {
    audience: Audience,
    address: SocketAddr,
    session: String,
}

impl Scene {
    async fn new() -> Self {
        Self::with(HttpOptions::default(), WITH_BATCHES).await
    }

    async fn with(options: HttpOptions, version: &str) -> Self {
        let (server, audience) = server(Limits { batch_messages: 5, ..Limits::default() });
        let address = serve(&server, options).await;
        let session = open_session_as(address, version).await;
        Self { audience, address, session }
    }

    fn post(&self, messages: &Value) -> Request {
        Request::post(messages).in_session(&self.session)
    }

    async fn exchange(&self, messages: &Value) -> Response {
        self.post(messages).exchange(self.address).await
    }
}

/// The answers by their ids, which may come in any order.
fn by_id(answers: &Value) -> Vec<(u64, &Value)> {
    let answers = answers.as_array().expect("an array");
    let mut answers: Vec<_> =
        answers.iter().map(|answer| (answer["id"].as_u64().expect("an id"), answer)).collect();
    answers.sort_by_key(|(id, _)| *id);
    answers
}

fn text(answer: &Value) -> &Value {
    &answer["result"]["content"][0]["text"]
}

#[tokio::test]
async fn requests_are_answered_together() {
    let scene = Scene::new().await;
    let messages =
        json!([echo(1), notification(), request(2, "ping"), answer(), request(3, "no/such/method")]);
    let response = scene.exchange(&messages).await;
    assert_eq!(response.status, 200);
    let answers = response.json();
    let answers = by_id(&answers);
    assert_eq!(answers.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((text(answers[0].1), &answers[1].1["result"]), (&json!("1"), &json!({})));
    assert_eq!(answers[2].1["error"]["code"], -32601);
}

/// What its clients get: their revision, over both transports, and what JSON-RPC has.
#[tokio::test]
async fn a_client_of_the_oldest_revision_is_answered_in_it() {
    const OLDEST: &str = "2024-11-05";
    let scene = Scene::with(HttpOptions::default(), OLDEST).await;
    let answers = scene.exchange(&json!([echo(1), notification(), request(2, "ping")])).await.json();
    let answers = by_id(&answers);
    assert_eq!((text(answers[0].1), &answers[1].1["result"]), (&json!("1"), &json!({})));
    // Its clients know of no header that names it.
    let one = scene.exchange(&echo(3)).await;
    assert_eq!((one.status, text(&one.json())), (200, &json!("3")));

    let (server, _audience) = server(Limits::default());
    let mut pipe = Pipe::new(server);
    pipe.initialize_as(OLDEST).await;
    assert_eq!(text(&pipe.ask(&echo(1)).await), "1");
    let answers = pipe.ask(&json!([echo(2), request(3, "ping")])).await;
    assert_eq!(by_id(&answers).len(), 2);
    // What came later nobody takes from it: it has no tasks to create.
    let mut wants_task = echo(4);
    wants_task["params"]["task"] = json!({});
    assert_eq!(text(&pipe.ask(&wants_task).await), "4");
}

#[tokio::test]
async fn one_request_alone_in_an_array_is_answered_by_an_array() {
    let scene = Scene::new().await;
    let answers = scene.exchange(&json!([echo(1)])).await.json();
    assert_eq!(by_id(&answers).len(), 1);
}

#[tokio::test]
async fn what_needs_no_answer_gets_202() {
    let scene = Scene::new().await;
    for messages in [json!([notification()]), json!([answer(), notification()]), json!([answer()])] {
        let accepted = scene.exchange(&messages).await;
        assert_eq!((accepted.status, accepted.body.len()), (202, 0), "{messages}");
    }
}

#[tokio::test]
async fn what_is_no_message_does_not_spoil_the_others() {
    let scene = Scene::new().await;
    let response =
        scene.exchange(&json!([1, echo(1), { "jsonrpc": "1.0", "id": 2, "method": "ping" }])).await;
    assert_eq!(response.status, 200);
    let answers = response.json();
    let answers = answers.as_array().unwrap();
    let codes: Vec<_> = answers.iter().filter_map(|answer| answer["error"]["code"].as_i64()).collect();
    assert_eq!((answers.len(), codes), (3, vec![INVALID_REQUEST.into(), INVALID_REQUEST.into()]));
    assert!(answers.iter().any(|answer| text(answer) == "1"));
    // Where nothing is one, nothing was accepted.
    assert_eq!(scene.exchange(&json!([1, 2])).await.status, 400);
}

#[tokio::test]
async fn a_batch_that_may_not_be_is_refused_before_any_of_it_runs() {
    let mut scene = Scene::new().await;
    let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": WITH_BATCHES, "capabilities": {}, "clientInfo": { "name": "test", "version": "1" },
    } });
    let step = |id| call(id, "step_and_wait", json!({}));
    for (name, messages) in [
        ("nothing", json!([])),
        ("too many", json!([step(1), step(2), step(3), step(4), step(5), step(6)])),
        ("initialize", json!([step(2), initialize])),
        ("an id twice", json!([step(1), request(1, "ping")])),
    ] {
        let refused = scene.exchange(&messages).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]["code"]),
            (400, &json!(INVALID_REQUEST)),
            "{name}"
        );
    }
    let alone = Request::post(&json!([initialize])).exchange(scene.address).await;
    assert_eq!((alone.status, alone.headers.get("mcp-session-id")), (400, None));
    let mut stateless = request(1, "tools/list");
    stateless["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(wire::STATELESS);
    let answers = scene.exchange(&json!([stateless, echo(2)])).await.json();
    assert_eq!(by_id(&answers)[0].1["error"]["code"], INVALID_REQUEST, "that one alone");
    // Nothing of the refused ones has run: what is heard first is this.
    let mut one = scene.post(&json!([step(7)])).send(scene.address).await;
    assert_eq!(scene.audience.hears().await, "waiting");
    scene.audience.release();
    one.begins_events().await;
    assert_eq!(one.message().await.unwrap()["params"]["progressToken"], 7);
}

#[tokio::test]
async fn other_revisions_have_none() {
    for version in OTHERS {
        let scene = Scene::with(HttpOptions::default(), version).await;
        let refused = scene.exchange(&json!([request(1, "ping")])).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]["code"]),
            (400, &json!(INVALID_REQUEST)),
            "{version}"
        );
        let stateless =
            Request::post(&json!([request(1, "ping")])).with("MCP-Protocol-Version", wire::STATELESS);
        assert_eq!(stateless.exchange(scene.address).await.status, 400);
    }
}

#[tokio::test]
async fn what_is_said_meanwhile_makes_a_stream_with_every_answer() {
    let mut scene = Scene::new().await;
    let messages = json!([
        echo(1),
        call(2, "step_and_wait", json!({})),
        call(3, "flood", json!({ "n": 3, "bytes": 1 }))
    ]);
    let mut stream = scene.post(&messages).send(scene.address).await;
    stream.begins_events().await;
    let mut heard = [scene.audience.hears().await, scene.audience.hears().await];
    heard.sort();
    assert_eq!(heard, ["flooded", "waiting"]);
    scene.audience.release();
    let (mut progress, mut answered) = (Vec::new(), Vec::new());
    while let Some(message) = stream.message().await {
        match message["id"].as_u64() {
            Some(id) => answered.push(id),
            None => progress.push(message["params"]["progressToken"].as_u64().unwrap()),
        }
    }
    progress.sort_unstable();
    answered.sort_unstable();
    assert_eq!((progress, answered), (vec![2, 3, 3, 3], vec![1, 2, 3]));
}

#[tokio::test]
async fn its_client_going_cancels_every_call_of_it_unless_it_can_come_back() {
    for resumption in [None, Some(Resumption::new(Arc::new(MemoryEventStore::default())))] {
        let comes_back = resumption.is_some();
        let mut scene = Scene::with(HttpOptions { resumption, ..HttpOptions::default() }, WITH_BATCHES).await;
        let messages =
            json!([echo(1), call(2, "step_and_wait", json!({})), call(3, "step_and_wait", json!({}))]);
        let mut stream = scene.post(&messages).send(scene.address).await;
        stream.begins_events().await;
        if !comes_back {
            for _ in 0..2 {
                assert_eq!(scene.audience.hears().await, "waiting");
            }
            drop(stream);
            for _ in 0..2 {
                assert_eq!(scene.audience.hears().await, "cancelled: Disconnected");
            }
            continue;
        }
        let first = stream.fields().await.unwrap();
        for _ in 0..2 {
            assert_eq!(scene.audience.hears().await, "waiting");
        }
        drop(stream);
        (0..2).for_each(|_| scene.audience.release());
        let get = Request::new("GET", "").in_session(&scene.session);
        let mut back = get.with("Last-Event-ID", first.id.unwrap()).send(scene.address).await;
        back.begins_events().await;
        let mut answered = Vec::new();
        while let Some(event) = back.fields().await {
            answered.extend(event.message()["id"].as_u64());
        }
        answered.sort_unstable();
        assert!(answered.ends_with(&[2, 3]), "{answered:?}");
    }
}

#[tokio::test]
async fn on_a_pipe_the_answers_are_one_line() {
    let (server, audience) = server(Limits::default());
    let mut pipe = Pipe::new(server);
    pipe.initialize_as(WITH_BATCHES).await;
    let answers = pipe.ask(&json!([echo(1), notification(), request(2, "ping"), 5])).await;
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert!(answers.iter().any(|answer| text(answer) == "1"));
    // What is said meanwhile does not wait for the answers, and others are not held up.
    pipe.send_line(&json!([call(3, "step_and_wait", json!({})), echo(4)])).await;
    assert_eq!(pipe.line().await.unwrap()["method"], "notifications/progress");
    assert_eq!(text(&pipe.ask(&echo(5)).await), "5");
    audience.release();
    let answers = pipe.line().await.unwrap();
    assert_eq!(by_id(&answers).iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 4]);
    // A batch that is not one gets its errors one by one.
    pipe.send_line(&json!([request(6, "ping"), request(6, "ping")])).await;
    for _ in 0..2 {
        assert_eq!(pipe.line().await.unwrap()["error"]["code"], INVALID_REQUEST);
    }
    pipe.send_line(&json!([notification()])).await;
    pipe.finish().await;
}

#[tokio::test]
async fn a_batch_is_answered_though_the_input_has_ended() {
    let (server, mut audience) = server(Limits::default());
    let mut pipe = Pipe::new(server);
    pipe.initialize_as(WITH_BATCHES).await;
    pipe.send_line(&json!([call(1, "wait", json!({})), echo(2)])).await;
    assert_eq!(audience.hears().await, "waiting");
    pipe.input = None;
    audience.release();
    let answers = pipe.line().await.expect("the answers come before the end");
    assert_eq!(by_id(&answers).len(), 2);
    pipe.finish().await;
}

//! Streams of events: what begins one, what is on it, and what its end means.

mod stage;
#[expect(dead_code, reason = "no stream here can be taken up")]
mod wire;

use freehold_mcp::{HttpOptions, McpServer, freehold::Limits};
use serde_json::{Value, json};
use stage::{Audience, server, within};
use std::{net::SocketAddr, time::Duration};
use wire::{Connection, Event, Request, open_session, serve};

const CANCELLED: &str = "notifications/cancelled";
const TOOLS_CHANGED: &str = "notifications/tools/list_changed";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Era {
    Session,
    Stateless,
}

const ERAS: [Era; 2] = [Era::Session, Era::Stateless];

/// A server, and a client's session on it.
struct Scene {
    server: McpServer,
    audience: Audience,
    address: SocketAddr,
    session: String,
}

impl Scene {
    async fn new() -> Self {
        Self::with(HttpOptions::default()).await
    }

    async fn with(options: HttpOptions) -> Self {
        let (server, audience) = server(Limits::default());
        let address = serve(&server, options).await;
        let session = open_session(address).await;
        Self { server, audience, address, session }
    }

    /// Calls a tool on a connection of its own.
    async fn call(&self, era: Era, id: u32, tool: &str, arguments: Value) -> Connection {
        let request = match era {
            Era::Session => Request::call(&self.session, id, tool, arguments),
            Era::Stateless => Request::stateless_call(id, tool, arguments),
        };
        request.send(self.address).await
    }

    async fn notify(&self, method: &str, params: Value) {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        let accepted = Request::post(&message).in_session(&self.session).exchange(self.address).await;
        assert_eq!((accepted.status, accepted.body.len()), (202, 0));
    }

    /// Opens the session's own stream. The first event, a comment, says that it is open.
    async fn listen(&self) -> Connection {
        let mut stream = Request::new("GET", "").in_session(&self.session).send(self.address).await;
        stream.begins_events().await;
        assert_eq!(stream.event().await, Some(Event::Comment));
        stream
    }

    fn dropped(&self) -> u64 {
        self.server.engine().counters().notifications_dropped
    }
}

#[tokio::test]
async fn progress_makes_a_stream_with_everything_in_order() {
    let scene = Scene::new().await;
    for era in ERAS {
        let mut call = scene.call(era, 3, "flood", json!({ "n": 20, "bytes": 5 })).await;
        call.begins_events().await;
        for step in 1..=20 {
            let Some(Event::Message(message)) = call.event().await else { panic!("there is step {step}") };
            assert_eq!(message["method"], "notifications/progress");
            assert_eq!(message["params"]["progressToken"], 3);
            assert_eq!(message["params"]["progress"], f64::from(step));
        }
        let answer = call.message().await.expect("there is an answer");
        assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&json!(3), &json!("done")));
        assert_eq!(call.message().await, None, "the answer is the last event, {era:?}");
    }
}

#[tokio::test]
async fn a_call_that_says_nothing_is_answered_by_json() {
    let scene = Scene::new().await;
    let request = Request::call(&scene.session, 1, "echo", json!({ "text": "a\nb" }));
    assert_eq!(request.exchange(scene.address).await.json()["result"]["content"][0]["text"], "a\nb");
}

#[tokio::test]
async fn a_quiet_call_becomes_a_stream_with_comments() {
    let options = HttpOptions { keep_alive: Duration::from_millis(20), ..HttpOptions::default() };
    let mut scene = Scene::with(options).await;
    for era in ERAS {
        let mut call = scene.call(era, 1, "wait", json!({})).await;
        assert_eq!(scene.audience.hears().await, "waiting");
        call.begins_events().await;
        for _ in 0..3 {
            assert_eq!(call.event().await, Some(Event::Comment), "{era:?}");
        }
        scene.audience.release();
        assert_eq!(call.message().await.unwrap()["id"], 1);
        assert_eq!(call.message().await, None);
    }
}

#[tokio::test]
async fn a_client_that_goes_cancels_its_call() {
    let mut scene = Scene::new().await;
    for era in ERAS {
        for tool in ["wait", "step_and_wait"] {
            let mut call = scene.call(era, 1, tool, json!({})).await;
            assert_eq!(scene.audience.hears().await, "waiting");
            if tool == "step_and_wait" {
                call.begins_events().await;
                assert!(call.message().await.is_some());
            }
            drop(call);
            assert_eq!(scene.audience.hears().await, "cancelled: Disconnected", "{era:?}, {tool}");
        }
    }
}

#[tokio::test]
async fn a_cancelled_call_ends_its_stream_without_an_answer() {
    let mut scene = Scene::new().await;
    for tool in ["wait", "step_and_wait"] {
        let mut call = scene.call(Era::Session, 1, tool, json!({})).await;
        assert_eq!(scene.audience.hears().await, "waiting");
        scene.notify(CANCELLED, json!({ "requestId": 1, "reason": "enough" })).await;
        assert_eq!(scene.audience.hears().await, "cancelled: Client");
        call.begins_events().await;
        if tool == "step_and_wait" {
            assert_eq!(call.message().await.unwrap()["method"], "notifications/progress");
        }
        assert_eq!(call.message().await, None, "{tool}");
    }
}

#[tokio::test]
async fn nobody_cancels_a_stateless_call_by_its_id() {
    let mut scene = Scene::new().await;
    let mut call = scene.call(Era::Stateless, 1, "step_and_wait", json!({})).await;
    assert_eq!(scene.audience.hears().await, "waiting");
    scene.notify(CANCELLED, json!({ "requestId": 1 })).await;
    let params =
        json!({ "requestId": 1, "_meta": { "io.modelcontextprotocol/protocolVersion": wire::STATELESS } });
    let message = json!({ "jsonrpc": "2.0", "method": CANCELLED, "params": params });
    let accepted =
        Request::post(&message).with("MCP-Protocol-Version", wire::STATELESS).exchange(scene.address).await;
    assert_eq!(accepted.status, 202);
    scene.audience.release();
    call.begins_events().await;
    assert_eq!(call.message().await.unwrap()["method"], "notifications/progress");
    assert_eq!(call.message().await.unwrap()["result"]["content"][0]["text"], "released");
}

#[tokio::test]
async fn a_question_and_its_answer_go_by_the_call_that_asked() {
    let scene = Scene::new().await;
    let mut call = scene.call(Era::Session, 1, "sample", json!({})).await;
    call.begins_events().await;
    let question = call.message().await.unwrap();
    assert_eq!(question["method"], "sampling/createMessage");
    let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "text": "hi" } });
    let accepted = Request::post(&answer).in_session(&scene.session).exchange(scene.address).await;
    assert_eq!((accepted.status, accepted.body.len()), (202, 0));
    let result = call.message().await.unwrap();
    assert_eq!(result["result"]["content"][0]["text"], r#"sampled {"text":"hi"}"#);
    // In the other era a client says with each request what it can be asked; this one says that it cannot be.
    let request = Request::stateless_call(1, "sample", json!({}));
    assert_eq!(request.exchange(scene.address).await.json()["error"]["code"], -32021);
}

#[tokio::test]
async fn a_second_listener_takes_over() {
    let scene = Scene::new().await;
    let mut first = scene.listen().await;
    scene.server.tools().changed();
    assert_eq!(first.message().await.unwrap()["method"], TOOLS_CHANGED);
    let mut second = scene.listen().await;
    assert_eq!(first.message().await, None, "the first one ends");
    scene.server.tools().changed();
    assert_eq!(second.message().await.unwrap()["method"], TOOLS_CHANGED);
}

#[tokio::test]
async fn a_listener_gets_what_came_before_it() {
    let scene = Scene::new().await;
    scene.server.tools().changed();
    assert_eq!(scene.listen().await.message().await.unwrap()["method"], TOOLS_CHANGED);
}

#[tokio::test]
async fn delete_ends_the_session_its_stream_and_its_calls() {
    let mut scene = Scene::new().await;
    let mut stream = scene.listen().await;
    let mut call = scene.call(Era::Session, 1, "step_and_wait", json!({})).await;
    assert_eq!(scene.audience.hears().await, "waiting");
    let deleted = Request::new("DELETE", "").in_session(&scene.session).exchange(scene.address).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(stream.message().await, None);
    assert_eq!(scene.audience.hears().await, "cancelled: SessionClosed");
    call.begins_events().await;
    assert_eq!(call.message().await.unwrap()["method"], "notifications/progress");
    let answer = call.message().await.unwrap();
    assert!(answer["error"].is_object(), "the client did not cancel it, so it is told: {answer}");
    assert_eq!(call.message().await, None);
}

#[tokio::test]
async fn a_client_that_does_not_read_delays_nobody_and_costs_no_memory() {
    const SENT: u32 = 4_000;
    const BYTES: usize = 8 << 10;
    let mut scene = Scene::new().await;
    for era in ERAS {
        let before = scene.dropped();
        let mut flooded = scene.call(era, 1, "flood", json!({ "n": SENT, "bytes": BYTES })).await;
        // 32 MB are more than all buffers on the way hold; the tool ends nevertheless, and others are served.
        assert_eq!(scene.audience.hears().await, "flooded");
        let echo = Request::call(&scene.session, 2, "echo", json!({ "text": "hi" }));
        assert_eq!(echo.exchange(scene.address).await.status, 200);
        let dropped = scene.dropped() - before;
        assert!(dropped > 0, "{era:?}");
        // What was not dropped comes in order, and then the answer.
        flooded.begins_events().await;
        let (mut received, mut last) = (0, 0.0);
        let answer = loop {
            let message = flooded.message().await.expect("the answer comes before the end");
            let Some(progress) = message["params"]["progress"].as_f64() else { break message };
            assert!(progress > last);
            (received, last) = (received + 1, progress);
        };
        assert_eq!(answer["result"]["content"][0]["text"], "done");
        assert_eq!(received + dropped, u64::from(SENT), "each is read or counted as dropped");
        assert_eq!(last, f64::from(SENT), "the oldest are dropped, not the newest");
    }
}

#[tokio::test]
async fn a_subscription_has_what_it_asked_for_and_ends_with_the_server() {
    let scene = Scene::new().await;
    let listen = async |id, wanted| {
        let params = json!({ "notifications": wanted });
        Request::stateless(id, "subscriptions/listen", params).send(scene.address).await
    };
    let subscription =
        |message: &Value| message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].clone();
    let mut tools = listen(7, json!({ "toolsListChanged": true, "promptsListChanged": true })).await;
    tools.begins_events().await;
    let acknowledged = tools.message().await.unwrap();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["notifications"], json!({ "toolsListChanged": true }));
    assert_eq!(subscription(&acknowledged), 7);
    scene.server.tools().changed();
    let changed = tools.message().await.unwrap();
    assert_eq!((&changed["method"], subscription(&changed)), (&json!(TOOLS_CHANGED), json!(7)));

    let mut nothing = listen(8, json!({ "promptsListChanged": true })).await;
    nothing.begins_events().await;
    assert_eq!(nothing.message().await.unwrap()["params"]["notifications"], json!({}));
    assert_eq!(nothing.message().await.unwrap()["result"]["resultType"], "complete");
    assert_eq!(nothing.message().await, None);

    let drained = scene.server.engine().drain(Duration::from_secs(10));
    let (report, end) = tokio::join!(within(drained), tools.message());
    assert_eq!(end.unwrap()["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
    assert_eq!(tools.message().await, None);
    assert_eq!(report.cancelled, 0);
}

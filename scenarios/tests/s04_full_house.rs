//! S-04: ping and cancel overtake a full house.

mod sdk;

use freehold_mcp::freehold::{ErrorCode, Limits, OutcomeKind, Stage};
use freehold_scenarios::{
    Client, Outcome, Seen, TestServer, Transport, checks, limits::patient, limits::prompt,
    over_both_transports,
};
use rmcp::service::PeerRequestOptions;
use serde_json::{Value, json};

over_both_transports!(full_house => s04_full_house_http, s04_full_house_stdio);
over_both_transports!(answers_behind_requests => s04_answers_behind_requests_http, s04_answers_behind_requests_stdio);
over_both_transports!(sdk_client => s04_sdk_client_http, s04_sdk_client_stdio);

const SLOTS: usize = 4;
const QUEUE: usize = 50;
const MORE: usize = 200;

async fn small_house() -> TestServer {
    let limits = Limits { running_per_session: SLOTS, queued_per_session: QUEUE, ..patient() };
    TestServer::with(limits, |builder| builder).await
}

fn is_overloaded(answer: &Value) -> bool {
    let error = &answer["error"];
    error["code"] == ErrorCode::OVERLOADED.0 && error["data"]["retryAfterMs"].is_u64()
}

async fn full_house(transport: Transport) {
    let server = small_house().await;
    let client = Client::connect(&server, transport).await;
    let held = client.calls(SLOTS, "never");
    server.probe.entered(SLOTS as u32).await;
    let more = client.calls(MORE, "wait");

    // The reader took all of them although there is no slot: as many as may wait do, the others know at once.
    let refused = |event: &Seen| {
        matches!(event, Seen::Ended { outcome: OutcomeKind::Overloaded, stage: Stage::Arrival, .. })
    };
    server.record.until("the calls that find no room are refused", MORE - QUEUE, refused).await;
    checks::gauges(&server, client.session, SLOTS, SLOTS + QUEUE).await;
    let calls = server.engine().calls();
    let at = |stage| calls.iter().filter(|call| call.stage == stage && !call.settled).count();
    assert_eq!((at(Stage::Handler), at(Stage::Queue)), (SLOTS, QUEUE));
    assert!(calls.iter().all(|call| !call.age.is_zero() && !call.remaining.is_zero()));

    client.ping().await;
    assert_eq!(server.record.outcomes("tools/call", OutcomeKind::Cancelled), 0);
    client.cancel(&held[0], "enough").await;
    server.probe.saw(1, "never cancelled: Client enough").await;
    // Its slot goes to the first that waits.
    server.probe.entered(1).await;
    checks::gauges(&server, client.session, SLOTS, SLOTS + QUEUE - 1).await;
    for id in &held[1..] {
        client.cancel(id, "enough").await;
    }
    server.probe.release(QUEUE);
    let mut overloaded = 0;
    for id in &more {
        let answer = client.answer(id).await;
        let released = answer["result"]["content"][0]["text"] == "released";
        assert!(released || is_overloaded(&answer), "{answer}");
        overloaded += usize::from(!released);
    }
    assert_eq!(overloaded, MORE - QUEUE);
    for id in &held {
        // Cancelled: no answer, though over HTTP its stream ends.
        assert!(!client.inbox.outcomes(id).iter().any(|outcome| matches!(outcome, Outcome::Answer(_))));
    }
    checks::everything(&server, vec![client]).await;
}

/// Handlers wait for their client's answers, and these come behind many new requests.
async fn answers_behind_requests(transport: Transport) {
    let server = small_house().await;
    let client = Client::connect(&server, transport).await;
    let asking = client.calls(SLOTS, "ask");
    let mut questions = Vec::new();
    for _ in 0..SLOTS {
        questions.push(client.question().await);
    }
    let stages: Vec<_> = server.engine().calls().iter().map(|call| call.stage).collect();
    assert_eq!(stages, [Stage::Question; SLOTS]);
    let flood = client.calls(MORE, "echo");
    let refused = |event: &Seen| matches!(event, Seen::Ended { outcome: OutcomeKind::Overloaded, .. });
    server.record.until("the calls that find no room are refused", MORE - QUEUE, refused).await;
    for question in &questions {
        client.reply(question, json!({ "action": "accept", "content": {} })).await;
    }
    for id in &asking {
        let answer = client.answer(id).await;
        assert_eq!(answer["result"]["isError"], json!(null), "{answer}");
    }
    let mut echoed = 0;
    for id in &flood {
        let answer = client.answer(id).await;
        let good = answer["result"]["content"][0]["text"].is_string();
        assert!(good || is_overloaded(&answer), "{answer}");
        echoed += usize::from(good);
    }
    assert_eq!(echoed, QUEUE, "those that waited got a slot");
    checks::everything(&server, vec![client]).await;
}

async fn sdk_client(transport: Transport) {
    let server = small_house().await;
    let client = sdk::connect(&server, transport).await;
    let mut held = Vec::new();
    for _ in 0..SLOTS {
        held.push(sdk::start(&client, "never", json!({}), PeerRequestOptions::no_options()).await);
    }
    server.probe.entered(SLOTS as u32).await;
    let mut more = Vec::new();
    for _ in 0..2 * SLOTS {
        more.push(sdk::start(&client, "wait", json!({}), PeerRequestOptions::no_options()).await);
    }
    checks::eventually("all calls arrived", || server.engine().call_count() == 3 * SLOTS).await;
    sdk::ping(&client).await;
    for (cancelled, call) in held.into_iter().enumerate() {
        call.cancel(Some("enough".to_owned())).await.expect("it is sent");
        // By its message, or because the SDK gives up the request's connection, whichever comes first.
        server.probe.saw(cancelled + 1, "never cancelled").await;
    }
    server.probe.release(2 * SLOTS);
    for call in more {
        prompt("a call that waited is answered", call.await_response()).await.expect("an answer");
    }
    sdk::leave(client).await;
    checks::everything(&server, vec![]).await;
}

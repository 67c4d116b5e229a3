//! S-11: torn frames and early answers under load.

mod sdk;

use freehold_mcp::{
    Tool, ToolError,
    freehold::{Limits, OutcomeKind},
};
use freehold_scenarios::{
    ALL_CAPABILITIES, Builder, Client, Ctx, Pace, Probe, Random, Seen, TestServer, Transport, checks, echo,
    limits::limited, limits::patient, limits::prompt, over_both_transports,
};
use rmcp::service::PeerRequestOptions;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

over_both_transports!(torn_requests => s11_torn_requests_http, s11_torn_requests_stdio);
over_both_transports!(instant_answers => s11_instant_answers_http, s11_instant_answers_stdio);
over_both_transports!(two_senders => s11_two_senders_http, s11_two_senders_stdio);
over_both_transports!(sdk_answers => s11_sdk_answers_http, s11_sdk_answers_stdio);

const IN_FLIGHT: usize = 200;
const ANSWER_BYTES: usize = 64 << 10;

#[derive(Deserialize, JsonSchema)]
struct Big {
    n: u64,
}

/// Waits to be released, then answers a lot.
async fn big(ctx: &Ctx, args: Big) -> Result<String, ToolError> {
    let probe = ctx.app::<Probe>();
    probe.enter();
    probe.released().await;
    let number = args.n.to_string();
    Ok("0".repeat(ANSWER_BYTES - number.len()) + &number)
}

fn with_big(builder: Builder) -> Builder {
    builder.tool(Tool::new("big", "Answers a lot.", big))
}

fn assert_big(answer: &Value, n: usize) {
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
    assert_eq!((text.len(), text.trim_start_matches('0').parse()), (ANSWER_BYTES, Ok(n)));
}

fn big_calls(client: &Client, numbers: std::ops::Range<usize>) -> Vec<(usize, Value)> {
    // None is 0, which would be zeros only.
    numbers.map(|n| (n + 1, client.call("big", json!({ "n": n + 1 })))).collect()
}

async fn torn_requests(transport: Transport) {
    let server = TestServer::with(patient(), with_big).await;
    let pace = Pace::Torn(Random::new(0x5eed));
    let client = Client::connect_as(&server, transport, ALL_CAPABILITIES, pace).await;
    // Over HTTP each has a connection of its own.
    let in_flight = if transport == Transport::Http { IN_FLIGHT / 4 } else { IN_FLIGHT };
    let mut sent = big_calls(&client, 0..in_flight);
    server.probe.entered(in_flight as u32).await;
    // Their answers stream out while these come in.
    server.probe.release(2 * in_flight);
    sent.extend(big_calls(&client, in_flight..in_flight + in_flight / 2));
    for (n, id) in &sent {
        assert_big(&client.answer(id).await, *n);
    }
    // What came in, what was started and what went out add up.
    assert_eq!(server.record.outcomes("tools/call", OutcomeKind::Answered), sent.len());
    assert_eq!(server.record.count(|event| matches!(event, Seen::Malformed(_))), 0);
    checks::everything(&server, vec![client]).await;
}

/// The peer's answer to a question comes as soon as it can.
async fn instant_answers(transport: Transport) {
    let limits = Limits { questions_per_session: IN_FLIGHT, ..patient() };
    let server = TestServer::with(limits, |builder| builder).await;
    let client = Client::connect(&server, transport).await;
    for _ in 0..2 {
        let asking = client.calls(IN_FLIGHT, "ask");
        for _ in &asking {
            let question = client.question().await;
            let said = question["params"]["message"].clone();
            client.reply(&question, json!({ "action": "accept", "content": { "said": said } })).await;
        }
        for (n, id) in asking.iter().enumerate() {
            let answer = client.answer(id).await;
            let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned();
            assert!(text.contains(&format!("\"question {n}\"")), "{answer}");
        }
    }
    assert_eq!(server.engine().counters().unknown_answers, 0);
    checks::everything(&server, vec![client]).await;
}

async fn two_senders(transport: Transport) {
    let server = TestServer::start().await;
    let client = Arc::new(Client::connect(&server, transport).await);
    let senders = ["a", "b"].map(|name| {
        let client = client.clone();
        tokio::spawn(async move {
            for n in 0..IN_FLIGHT / 2 {
                let text = format!("{name}{n}").repeat(500);
                client.echo(&text).await;
            }
        })
    });
    for sender in senders {
        sender.await.expect("it does not panic");
    }
    let client = Arc::into_inner(client).expect("the senders are gone");
    checks::everything(&server, vec![client]).await;
}

async fn sdk_answers(transport: Transport) {
    let server = TestServer::start().await;
    let client = sdk::connect(&server, transport).await;
    let mut asking = Vec::new();
    for n in 0..30 {
        asking.push(sdk::start(&client, "ask", json!({ "n": n }), PeerRequestOptions::no_options()).await);
    }
    for call in asking {
        prompt("the asking tool answers", call.await_response()).await.expect("an answer");
    }
    assert_eq!(server.record.outcomes("tools/call", OutcomeKind::Answered), 30);
    sdk::leave(client).await;
    checks::everything(&server, vec![]).await;
}

/// What the server says while no stream is open waits for it, as far as there is room; what finds none is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s11_message_before_its_stream_http() {
    limited(async {
        let limits = Limits { stream_messages: 4, ..patient() };
        let server = TestServer::with(limits, |builder| builder).await;
        let client = Client::connect(&server, Transport::Http).await;
        for n in 0..10 {
            server
                .server
                .tools()
                .add(Tool::new(&format!("late{n}"), "Came late.", echo))
                .expect("a new name");
        }
        assert_eq!(server.session(client.session).gauges().outgoing, 4);
        let dropped = |event: &Seen| matches!(event, Seen::Dropped(1));
        assert_eq!((server.record.count(dropped), server.engine().counters().notifications_dropped), (6, 6));
        client.listen("the stream").await;
        prompt("what waited comes", client.inbox.notification("notifications/tools/list_changed", 4)).await;
        assert_eq!(server.session(client.session).gauges().outgoing, 0);
        server.server.tools().remove("late0");
        prompt("what is new comes", client.inbox.notification("notifications/tools/list_changed", 5)).await;
        checks::everything(&server, vec![client]).await;
    })
    .await;
}

/// The input ends right after the last byte of the last request, with its line end and without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s11_input_ends_after_the_last_request_stdio() {
    limited(async {
        let server = TestServer::with(patient(), with_big).await;
        for end in ["\n", ""] {
            server.probe.release(21);
            let mut client = Client::connect(&server, Transport::Stdio).await;
            let mut sent = big_calls(&client, 0..20);
            let (last, text) =
                client.prepare("tools/call", json!({ "name": "big", "arguments": { "n": 21 } }));
            sent.push((21, last));
            client.write(&(text + end));
            client.end_input();
            for (n, id) in &sent {
                assert_big(&client.answer(id).await, *n);
            }
            prompt("the server ends", client.inbox.until_closed()).await;
            client.inbox.assert_one_outcome_each();
        }
        checks::everything(&server, vec![]).await;
    })
    .await;
}

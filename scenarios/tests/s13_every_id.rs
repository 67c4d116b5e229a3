//! S-13: every id is answered, whatever was sent.

mod sdk;

use freehold_mcp::freehold::{ErrorCode, Limits, OutcomeKind};
use freehold_scenarios::{
    Client, Outcome, Pace, Seen, TestServer, Transport, checks, limits::patient, limits::prompt,
    over_both_transports,
};
use serde_json::{Value, json};

over_both_transports!(malformed => s13_malformed_http, s13_malformed_stdio);
over_both_transports!(well_formed_but_wrong => s13_well_formed_but_wrong_http, s13_well_formed_but_wrong_stdio);
over_both_transports!(answers_of_the_client => s13_answers_of_the_client_http, s13_answers_of_the_client_stdio);
over_both_transports!(sdk_client => s13_sdk_client_http, s13_sdk_client_stdio);

/// What a message gets.
enum Gets {
    /// An error under its id.
    Error(ErrorCode),
    /// An error without an id, since none could be read.
    Unaddressed(ErrorCode),
}
use Gets::{Error, Unaddressed};

const INVALID: ErrorCode = ErrorCode::INVALID_REQUEST;
const PARAMS: ErrorCode = ErrorCode::INVALID_PARAMS;
const PARSE: ErrorCode = ErrorCode::PARSE_ERROR;
const METHOD: ErrorCode = ErrorCode::METHOD_NOT_FOUND;

/// Sends a text with the id `"ID"` in it, or without one, and checks what it gets, and that the session lives on.
async fn check(client: &Client, number: usize, text: &str, gets: Gets) {
    let id = json!(format!("row {number}"));
    let text = text.replace("\"ID\"", &id.to_string());
    let answer = match gets {
        Error(_) => {
            client.inbox.sends(&id);
            client.raw(&text).await;
            client.answer(&id).await
        }
        Unaddressed(_) => {
            let before = client.inbox.unaddressed_count();
            client.raw(&text).await;
            prompt(&text, client.inbox.unaddressed(before + 1)).await
        }
    };
    let (Error(code) | Unaddressed(code)) = gets;
    assert_eq!(answer["error"]["code"], code.0, "{text} got {answer}");
    client.ping().await;
}

async fn malformed(transport: Transport) {
    let limits = Limits { message_bytes: 64 << 10, ..patient() };
    let server = TestServer::with(limits, |builder| builder).await;
    let client = Client::connect(&server, transport).await;
    let long_id = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"ping"}}"#, "x".repeat(1_000));
    let long_method = format!(r#"{{"jsonrpc":"2.0","id":"ID","method":"{}"}}"#, "x".repeat(1_000));
    let rows = [
        (r#"{"id":"ID","method":"ping"}"#, Error(INVALID)),
        (r#"{"jsonrpc":"1.0","id":"ID","method":"ping"}"#, Error(INVALID)),
        (r#"{"jsonrpc":2.0,"id":"ID","method":"ping"}"#, Error(INVALID)),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call","params":"text"}"#, Error(PARAMS)),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call","params":7}"#, Error(PARAMS)),
        (r#"{"jsonrpc":"2.0","id":"ID","method":7}"#, Error(INVALID)),
        (r#"{"jsonrpc":"2.0","method":7,"id":"ID"}"#, Error(INVALID)),
        (r#"{"jsonrpc":"2.0","id":"ID"}"#, Error(INVALID)),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"ping","result":{}}"#, Error(INVALID)),
        (long_method.as_str(), Error(INVALID)),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, Unaddressed(INVALID)),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, Unaddressed(INVALID)),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, Unaddressed(INVALID)),
        (long_id.as_str(), Unaddressed(INVALID)),
        (r#"{"jsonrpc":"2.0","#, Unaddressed(PARSE)),
        ("no JSON at all", Unaddressed(PARSE)),
        ("7", Unaddressed(INVALID)),
        ("{}", Unaddressed(INVALID)),
        ("[]", Unaddressed(INVALID)),
    ];
    let count = rows.len();
    for (number, (text, gets)) in rows.into_iter().enumerate() {
        check(&client, number, text, gets).await;
    }
    // Counted, one for each, and told to the observer: nothing is only logged.
    assert_eq!(server.record.count(|event| matches!(event, Seen::Malformed(_))), count);
    let too_large = format!(r#"{{"jsonrpc":"2.0","id":"ID","method":"ping","x":"{}"}}"#, "x".repeat(70_000));
    check(&client, count, &too_large, Unaddressed(INVALID)).await;
    batch(&client, transport).await;
    checks::everything(&server, vec![client]).await;
}

/// Batches are not part of the revisions spoken here: on a pipe each of its requests gets its error; an HTTP body gets
/// one for all.
async fn batch(client: &Client, transport: Transport) {
    let ids = [json!("first"), json!("second")];
    let part = |id: &Value| json!({ "jsonrpc": "2.0", "id": id, "method": "ping" });
    let text = Value::from_iter(ids.iter().map(part)).to_string();
    let before = client.inbox.unaddressed_count();
    match transport {
        Transport::Http => {
            let head = client.raw(&text).await.expect("a response");
            assert_eq!((head.status, client.inbox.unaddressed_count()), (400, before + 1));
        }
        Transport::Stdio => {
            ids.iter().for_each(|id| client.inbox.sends(id));
            client.raw(&text).await;
            checks::all_failed(client, &ids, INVALID.0.into()).await;
        }
    }
    client.ping().await;
}

async fn well_formed_but_wrong(transport: Transport) {
    let server = TestServer::start().await;
    let client = Client::connect(&server, transport).await;
    let rows = [
        (r#"{"jsonrpc":"2.0","id":"ID","method":"no/such/method"}"#, METHOD),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"resources/list"}"#, METHOD),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"server/discover","params":{}}"#, PARAMS),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"notifications/initialized"}"#, METHOD),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call","params":["echo"]}"#, PARAMS),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call"}"#, PARAMS),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call","params":{}}"#, PARAMS),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call","params":{"name":"no such tool"}}"#, PARAMS),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call","params":{"name":7}}"#, PARAMS),
        (
            r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call","params":{"name":"echo","arguments":7}}"#,
            PARAMS,
        ),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/list","params":{"cursor":"not ours"}}"#, PARAMS),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"logging/setLevel","params":{"level":"loud"}}"#, PARAMS),
    ];
    for (number, (text, code)) in rows.into_iter().enumerate() {
        check(&client, number, text, Error(code)).await;
    }
    // Arguments that do not fit are for the model to read.
    let unfit = client.tool("echo", json!({ "text": 7 })).await;
    assert_eq!(unfit["result"]["isError"], true, "{unfit}");

    // A duplicate of an id in flight is refused; the first one goes on.
    let id = json!("twice");
    let params = json!({ "name": "wait", "arguments": {} });
    client.send_as(id.clone(), "tools/call", params.clone());
    server.probe.entered(1).await;
    client.send_as(id.clone(), "tools/call", params);
    let refused = client.answer(&id).await;
    assert_eq!(refused["error"]["code"], INVALID.0, "{refused}");
    client.ping().await;
    server.probe.release(1);
    checks::eventually("the first one is answered", || client.inbox.outcomes(&id).len() == 2).await;
    let Outcome::Answer(first) = &client.inbox.outcomes(&id)[1] else { panic!("no answer") };
    assert_eq!(first["result"]["content"][0]["text"], "released", "{first}");
    assert_eq!(server.record.outcomes("tools/call", OutcomeKind::DuplicateId), 1);

    // Notifications that nobody handles get nothing, but are counted.
    client.notify("notifications/nobody", json!({})).await;
    client.notify("notifications/cancelled", json!({ "requestId": "never sent" })).await;
    client.ping().await;
    let unknown =
        |event: &Seen| matches!(event, Seen::UnknownNotification(method) if method == "notifications/nobody");
    server.record.until("the unknown notification is counted", 1, unknown).await;
    checks::everything(&server, vec![client]).await;
}

async fn answers_of_the_client(transport: Transport) {
    let server = TestServer::start().await;
    let client = Client::connect(&server, transport).await;
    let unknown = |event: &Seen| matches!(event, Seen::UnknownAnswer(_));
    let strays = [
        json!({ "jsonrpc": "2.0", "id": 4711, "result": {} }),
        json!({ "jsonrpc": "2.0", "id": "text", "result": {} }),
        json!({ "jsonrpc": "2.0", "id": 4711, "error": { "code": 1, "message": "no" } }),
        json!({ "jsonrpc": "2.0", "id": null, "error": { "code": 1, "message": "no" } }),
    ];
    for (sent, stray) in strays.iter().enumerate() {
        client.raw(&stray.to_string()).await;
        server.record.until("the stray answer is counted", sent + 1, unknown).await;
        client.ping().await;
    }
    // Two answers to one question: the first counts.
    let asking = client.call("ask", json!({ "n": 1 }));
    let question = client.question().await;
    client.reply(&question, json!({ "action": "accept", "content": { "which": "first" } })).await;
    let answer = client.answer(&asking).await;
    assert!(answer.to_string().contains("first"), "{answer}");
    client.reply(&question, json!({ "action": "accept", "content": { "which": "second" } })).await;
    server.record.until("the second answer is counted", strays.len() + 1, unknown).await;
    client.ping().await;
    // An error, and a result that does not fit, are answers, too.
    let asking = client.call("ask", json!({ "n": 2 }));
    let question = client.question().await;
    client
        .raw(
            &json!({ "jsonrpc": "2.0", "id": question["id"], "error": { "code": -1, "message": "no" } })
                .to_string(),
        )
        .await;
    assert_eq!(client.answer(&asking).await["result"]["isError"], true);

    // A client that cannot be asked is not asked.
    let mute = Client::connect_as(&server, transport, "{}", Pace::Whole).await;
    let answer = mute.tool("ask", json!({ "n": 3 })).await;
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(answer.to_string().contains("elicitation"), "{answer}");
    mute.ping().await;
    let questions = mute.inbox.messages().iter().filter(|message| message.get("method").is_some()).count();
    assert_eq!(questions, 0);
    checks::everything(&server, vec![client, mute]).await;
}

async fn sdk_client(transport: Transport) {
    let server = TestServer::start().await;
    let client = sdk::connect(&server, transport).await;
    assert!(sdk::call(&client, "no such tool", json!({})).await.is_err());
    assert_eq!(
        sdk::call(&client, "echo", json!({ "text": 7 })).await.expect("a result").is_error,
        Some(true)
    );
    assert!(prompt("resources/list", client.list_all_resources()).await.is_err());
    sdk::ping(&client).await;
    sdk::leave(client).await;
    checks::everything(&server, vec![]).await;
}

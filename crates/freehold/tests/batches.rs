//! Bytes in, bytes out: every readable id is answered, whatever was sent.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{Engine, Limits, Session};
use serde_json::{Value, json};
use support::{all_gone, builder, within};

async fn answers(engine: &Engine<u64>, session: &Session<u64>, text: &str) -> Value {
    match within(engine.process_bytes(session, text.as_bytes())).await {
        Some(answer) => serde_json::from_slice(&answer).expect("answers are JSON"),
        None => Value::Null,
    }
}

/// Id and code of each answer, in order; code 0 is a result.
fn outcomes(answers: &Value) -> Vec<(Value, i64)> {
    let outcome = |answer: &Value| (answer["id"].clone(), answer["error"]["code"].as_i64().unwrap_or(0));
    answers.as_array().expect("a batch").iter().map(outcome).collect()
}

#[tokio::test]
async fn a_batch_of_everything_gives_an_answer_for_each_id() {
    let (builder, _) = builder();
    let engine = builder.limits(Limits { batch_messages: 12, ..Limits::default() }).build().unwrap();
    let session = engine.open().unwrap();
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "echo", "params": ["x"] },
        { "jsonrpc": "2.0", "method": "echo", "params": ["nobody is told"] },
        { "jsonrpc": "2.0", "id": "two", "method": "panics_later" },
        { "jsonrpc": "2.0", "id": 3, "method": "no such method" },
        { "jsonrpc": "2.0", "id": 4, "method": "ping" },
        { "id": 5, "method": "echo" },
        5,
        { "jsonrpc": "2.0", "id": 99, "result": "an answer to no question" },
        { "jsonrpc": "2.0", "id": 7, "method": "echo", "params": "text" },
    ]);
    let expected = [
        (json!(1), 0),
        (json!("two"), -32603),
        (json!(3), -32601),
        (json!(4), 0),
        (json!(5), -32600),
        (Value::Null, -32600),
        (json!(7), -32602),
    ];
    assert_eq!(outcomes(&answers(&engine, &session, &batch.to_string()).await), expected);
    let counters = engine.counters();
    assert_eq!((counters.malformed, counters.unknown_answers), (3, 1));
    all_gone(&engine).await;

    let silent = json!([{ "jsonrpc": "2.0", "method": "echo" }]).to_string();
    assert_eq!(answers(&engine, &session, &silent).await, Value::Null, "an empty batch must not be sent");
    let many = json!([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]).to_string();
    for refused in ["[]", many.as_str(), "{", ""] {
        assert_eq!(answers(&engine, &session, refused).await["id"], Value::Null, "{refused}");
    }
    assert_eq!(answers(&engine, &session, r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#).await["id"], 9);
}

#[tokio::test]
async fn one_id_twice_in_a_batch_is_answered_twice_and_run_once() {
    let (builder, probe) = builder();
    let engine = builder.build().unwrap();
    let session = engine.open().unwrap();
    let one = json!({ "jsonrpc": "2.0", "id": 1, "method": "wait", "params": ["x"] });
    let batch = json!([one, one]).to_string();
    let process = answers(&engine, &session, &batch);
    let (answered, ()) = tokio::join!(process, async {
        probe.entered(1).await;
        probe.release(1);
    });
    assert_eq!(outcomes(&answered), [(json!(1), 0), (json!(1), -32600)]);
    all_gone(&engine).await;
}

use super::{
    super::{
        Drive, Fact,
        client::{End, Manner, Session},
        facts::{answered, succeeded},
    },
    Facts,
};
use serde_json::{Value, json};
use std::time::Duration;

const ECHO: &str = r#""method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}"#;

/// What is sent under the id 1,000 and following, without the id.
fn frames() -> [(&'static str, String); 7] {
    [
        ("no `jsonrpc`", ECHO.to_owned()),
        ("`jsonrpc` is 1.0", format!(r#""jsonrpc":"1.0",{ECHO}"#)),
        ("params are a string", r#""jsonrpc":"2.0","method":"tools/call","params":"echo""#.to_owned()),
        ("method is a number", r#""jsonrpc":"2.0","method":7,"params":{}"#.to_owned()),
        ("unknown method", r#""jsonrpc":"2.0","method":"no/such","params":{}"#.to_owned()),
        ("unknown tool", r#""jsonrpc":"2.0","method":"tools/call","params":{"name":"no_such"}"#.to_owned()),
        (
            "arguments of the wrong type",
            r#""jsonrpc":"2.0","method":"tools/call","params":{"name":"echo","arguments":{"text":7}}"#
                .to_owned(),
        ),
    ]
}

pub(super) async fn run(drive: &Drive) -> Facts {
    let session = drive.open().await?;
    let mut facts = Vec::new();
    for (n, (label, frame)) in frames().into_iter().enumerate() {
        let id = 1_000 + n;
        let call = session.post(json!(id), &format!(r#"{{"id":{id},{frame}}}"#));
        let end = drive.end(&call).await;
        let stray = call.look(|seen| seen.strays.first().cloned());
        facts.push(Fact::new(label, without_id(drive, end.as_ref(), stray.as_ref()), told(end.as_ref())));
    }
    let unknown = r#"{"jsonrpc":"2.0","id":"nobody asked","result":{}}"#;
    let end = drive.end(&session.post(Value::Null, unknown)).await;
    facts.push(Fact::new("an answer that nobody waits for", drive.ending(end.as_ref()), end.is_some()));
    facts.extend(one_id_twice(drive, &session).await?);
    let ping = drive.end(&session.request("ping", &json!({}))).await;
    facts.push(Fact::new("ping afterwards", drive.ending(ping.as_ref()), succeeded(ping.as_ref())));
    Ok(facts)
}

/// Something told the client that its request is over.
fn told(end: Option<&(Duration, End)>) -> bool {
    answered(end) || matches!(end, Some((_, End::Status(status))) if *status >= 400)
}

/// Over HTTP, an error may come without an id.
fn without_id(drive: &Drive, end: Option<&(Duration, End)>, stray: Option<&Value>) -> String {
    match (end, stray) {
        (Some((_, End::Status(status))), Some(stray)) if !stray["error"].is_null() => {
            format!("HTTP {status} with error {} without the id", stray["error"]["code"])
        }
        (Some((_, End::Error(error))), _) => format!("error {} with the id", error["code"]),
        (Some((_, End::Result(result))), _) if result["isError"] == true => {
            "tool error with the id".to_owned()
        }
        (Some((_, End::Result(_))), _) => "served".to_owned(),
        (end, _) => drive.ending(end),
    }
}

async fn one_id_twice(drive: &Drive, session: &Session) -> Facts {
    let other = drive.open().await?;
    let params = json!({ "name": "sleep", "arguments": { "ms": 2_000 } });
    let call = || session.request_as(json!("twice"), "tools/call", &params, Manner::Plain);
    let first = call();
    drive.handlers_begin(&other, 1).await?;
    let second = call();
    let (first, second) = tokio::join!(drive.end(&first), drive.end(&second));
    Ok(vec![
        Fact::new(
            "two calls under one id: the first",
            drive.ending(first.as_ref()),
            succeeded(first.as_ref()),
        ),
        Fact::new("two calls under one id: the second", drive.ending(second.as_ref()), told(second.as_ref())),
    ])
}

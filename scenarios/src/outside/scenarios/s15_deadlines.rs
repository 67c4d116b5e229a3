use super::{
    super::{
        Drive, Fact,
        client::{End, Manner, send},
        facts::{answered, ending, span},
    },
    Facts,
};
use serde_json::{Value, json};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::watch;

pub(super) async fn run(drive: &Drive) -> Facts {
    let session = drive.open_listening().await?;
    let limit = drive.times.unanswered;
    let (stubborn, ask) = (session.call("stubborn", json!({})), session.call("ask", json!({ "n": 1 })));
    drive.within(session.question("question 1")).await.ok_or("no question came")?;
    let (stubborn, ask, half) = tokio::join!(
        until(limit, stubborn.end()),
        until(limit, ask.end()),
        until(limit, half_a_request(drive, &session))
    );
    let closed = half.map_or_else(
        || format!("still open after {}", span(limit)),
        |(after, status)| {
            format!(
                "{}closed after {}",
                status.map_or(String::new(), |status| format!("HTTP {status}, ")),
                span(after)
            )
        },
    );
    let held = |end: &Option<(Duration, End)>| answered(end.as_ref());
    Ok(vec![
        Fact::new("a handler that never ends", ending(stubborn.as_ref(), limit), held(&stubborn)),
        Fact::new("a question that is never answered", ending(ask.as_ref(), limit), held(&ask)),
        Fact::new("a request whose end never comes", closed, half.is_some()),
    ])
}

async fn until<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(limit, future).await.ok()
}

/// When the server has closed the connection, and with which status.
async fn half_a_request(drive: &Drive, session: &super::super::client::Session) -> (Duration, Option<u16>) {
    let body = r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#;
    let mut bytes = drive.target.request("POST", session.id(), body);
    bytes.pop();
    let call = send(&drive.target, bytes, Value::Null, Manner::Plain, Arc::new(watch::channel(Vec::new()).0));
    let after = call.over().await;
    (after, call.look(|seen| seen.head.map(|(_, status)| status)))
}

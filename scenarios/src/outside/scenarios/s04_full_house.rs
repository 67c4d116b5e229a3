use super::{
    super::{Drive, Fact, facts::succeeded},
    Facts,
};
use serde_json::json;
use std::time::Instant;

const CALLS: usize = 500;
/// Begun at the same time: it is about handlers, not about how many connections a system takes at once.
const AT_ONCE: usize = 50;

pub(super) async fn run(drive: &Drive) -> Facts {
    let (session, other) = (drive.open_listening().await?, drive.open().await?);
    let ask = session.call("ask", json!({ "n": 1 }));
    let question = drive.within(session.question("question 1")).await.ok_or("no question came")?;
    let mut calls = Vec::with_capacity(CALLS);
    while calls.len() < CALLS {
        calls.extend((0..AT_ONCE).map(|_| session.call("never", json!({}))));
        drive.handlers_begin(&other, calls.len() + 1).await?;
    }
    let mut facts = Vec::new();
    let mut tell = |label, end: Option<_>| {
        facts.push(Fact::new(label, drive.ending(end.as_ref()), succeeded(end.as_ref())));
    };
    tell("ping in that session", drive.end(&session.request("ping", &json!({}))).await);
    session.cancel(&calls[0].id);
    let cancelled = drive.handlers_end("the handler of the cancelled call", &other, CALLS).await;
    let accepted = Instant::now();
    session.accept(&question);
    let asked = drive.end(&ask).await.map(|(_, end)| (accepted.elapsed(), end));
    tell("the call that asked, once its question is answered", asked);
    let echo = session.call("echo", json!({ "text": "one more" }));
    tell("echo in that session", drive.end(&echo).await);
    facts.insert(1, cancelled);
    Ok(facts)
}

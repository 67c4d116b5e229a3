use super::{
    super::{
        Drive, Fact,
        client::{Call, Session},
        facts::{several, span, succeeded},
    },
    Facts,
};
use serde_json::json;
use std::sync::Arc;

pub(super) async fn run(drive: &Drive) -> Facts {
    let slow = drive.open().await?;
    let call = slow.call("never", json!({}));
    let (b, greeted_b) = drive.greet().await?;
    let (c, greeted_c) = drive.greet().await?;
    drive.end(&b.initialized()).await;
    drive.end(&c.initialized()).await;
    drive.handlers_begin(&b, 1).await?;
    let calls: Vec<_> = [&b, &c].into_iter().flat_map(everyday).collect();
    let greeted = format!("answered, slowest {}", span(greeted_b.max(greeted_c)));
    let mut facts = vec![
        Fact::plain("initialize of two other sessions", greeted),
        several("tools/list, ping and echo of both", &drive.ends(&calls).await, drive.times.hang, succeeded),
    ];
    let deleted = drive.end(&slow.delete()).await;
    facts.push(Fact::new(
        "DELETE of the slow call's session",
        drive.ending(deleted.as_ref()),
        deleted.is_some(),
    ));
    let over = drive.within(call.over()).await;
    let what = over.map_or("still open", |_| "ended");
    facts.push(Fact::new("the slow call's stream then", what, over.is_some()));
    facts.push(drive.handlers_end("its handler", &b, 0).await);
    Ok(facts)
}

fn everyday(session: &Session) -> [Arc<Call>; 3] {
    [
        session.request("tools/list", &json!({})),
        session.request("ping", &json!({})),
        session.call("echo", json!({ "text": "everyday" })),
    ]
}

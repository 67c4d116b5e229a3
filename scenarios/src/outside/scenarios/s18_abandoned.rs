use super::{
    super::{
        Drive, Fact, Observed,
        client::{Call, End, Session},
        facts::{memory, span},
    },
    Facts,
};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc, time::Instant};

const CLIENTS: usize = 2_000;
/// Under way at the same time: about what comes to a server at once.
const AT_ONCE: usize = 20;

pub(super) async fn run(drive: &Drive) -> Facts {
    // What a first session brings with it is not counted.
    let first = drive.open().await?;
    let mut facts = vec![refused(drive).await];
    let before = drive.process.and_then(Observed::memory);
    let begun = Instant::now();
    let sessions = open(drive).await?;
    let took = span(begun.elapsed());
    facts.push(Fact::new(
        "sessions opened",
        format!("{} within {took}", sessions.len()),
        sessions.len() == CLIENTS,
    ));
    let opened = drive.process.and_then(Observed::memory);
    facts.push(deleted(drive, &sessions).await);
    let ended = drive.process.and_then(Observed::memory);
    if let (Some(before), Some(opened), Some(ended)) = (before, opened, ended) {
        let grown = |now: u64| memory(i128::from(now) - i128::from(before));
        facts.push(Fact::plain("its memory with these sessions", grown(opened)));
        facts.push(Fact::plain("its memory once they are deleted", grown(ended)));
    }
    let echo = drive.end(&first.call("echo", json!({ "text": "still there" }))).await;
    facts.push(Fact::new(
        "echo of the session before them",
        drive.ending(echo.as_ref()),
        matches!(echo, Some((_, End::Result(_)))),
    ));
    Ok(facts)
}

/// A request without a session, which is not `initialize`.
async fn refused(drive: &Drive) -> Fact {
    let stranger = Session::stranger(&drive.target);
    let mut ends = BTreeMap::<String, usize>::new();
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;
    for _ in 0..CLIENTS / AT_ONCE {
        let calls: Vec<_> = (0..AT_ONCE).map(|_| stranger.post(json!(1), text)).collect();
        for end in drive.ends(&calls).await {
            let what = match end {
                Some((_, End::Status(status))) => format!("HTTP {status}"),
                Some((_, End::Error(error))) => format!("error {}", error["code"]),
                Some((_, End::Result(_))) => "served".to_owned(),
                other => drive.ending(other.as_ref()),
            };
            *ends.entry(what).or_default() += 1;
        }
    }
    let held = ends.keys().all(|what| what.starts_with("HTTP") || what.starts_with("error"));
    let what: Vec<_> = ends.iter().map(|(what, count)| format!("{count} x {what}")).collect();
    Fact::new("requests without a session", what.join(", "), held)
}

async fn open(drive: &Drive) -> Result<Vec<Session>, String> {
    let mut sessions = Vec::with_capacity(CLIENTS);
    while sessions.len() < CLIENTS {
        let mut batch = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let target = drive.target.clone();
            batch.spawn(async move { Session::greet(&target).await });
        }
        let opened = drive.within(batch.join_all()).await.ok_or("no answer to initialize")?;
        for session in opened {
            sessions.push(session.map_err(|end| format!("initialize ended by {end:?}"))?.0);
        }
    }
    Ok(sessions)
}

async fn deleted(drive: &Drive, sessions: &[Session]) -> Fact {
    let mut count = 0;
    for batch in sessions.chunks(AT_ONCE) {
        let calls: Vec<Arc<Call>> = batch.iter().map(Session::delete).collect();
        for call in &calls {
            let status = drive.within(call.until(|seen| seen.head.map(|(_, status)| status))).await;
            count += usize::from(status.is_some_and(|status| (200..300).contains(&status)));
        }
    }
    Fact::new(
        "DELETE of all these",
        format!("{count} of {} accepted", sessions.len()),
        count == sessions.len(),
    )
}

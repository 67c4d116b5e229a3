use super::{
    super::{
        Drive, Fact,
        client::{Call, Manner, Seen, Session},
        facts::{ending, several, span, succeeded},
    },
    Facts,
};
use serde_json::json;
use std::{sync::Arc, time::Instant};
use tokio::sync::oneshot;

const SUBSCRIBERS: usize = 5;
/// Together more than what lies between a server and a client that does not read.
const MESSAGES: usize = 400;
const BYTES: usize = 16 << 10;

pub(super) async fn run(drive: &Drive) -> Facts {
    let sessions = drive.open_several(SUBSCRIBERS + 1).await?;
    let (publisher, rest) = (&sessions[0], &sessions[1..]);
    // It is never told to read.
    let (_never, unread) = oneshot::channel();
    let mut streams = vec![rest[0].listen(Manner::Unread(unread))];
    streams.extend(rest[1..].iter().map(|session| session.listen(Manner::Plain)));
    for stream in &streams {
        drive.within(stream.until(|seen| seen.head)).await.ok_or("a stream does not open")?;
    }
    join(drive, rest).await?;
    let begun = Instant::now();
    let publish = publisher.call("publish", json!({ "count": MESSAGES, "bytes": BYTES }));
    let mut facts = vec![readers(drive, &streams[1..], begun).await];
    let end = drive.end(&publish).await;
    facts.push(Fact::new("publish", ending(end.as_ref(), drive.times.hang), succeeded(end.as_ref())));
    let echo = |session: &Session| session.call("echo", json!({ "text": "beside it" }));
    let others: Vec<_> = rest[1..].iter().map(echo).collect();
    facts.push(several("echoes of those who read", &drive.ends(&others).await, drive.times.hang, succeeded));
    let own = drive.end(&echo(&rest[0])).await;
    facts.push(Fact::new(
        "echo of the one that does not",
        drive.ending(own.as_ref()),
        succeeded(own.as_ref()),
    ));
    Ok(facts)
}

async fn join(drive: &Drive, sessions: &[Session]) -> Result<(), String> {
    let calls: Vec<_> = sessions.iter().map(|session| session.call("join", json!({}))).collect();
    let ends = drive.ends(&calls).await;
    let joined = ends.iter().all(|end| succeeded(end.as_ref()));
    joined.then_some(()).ok_or_else(|| "a session could not join".to_owned())
}

/// Whether those who read got the last message.
async fn readers(drive: &Drive, streams: &[Arc<Call>], begun: Instant) -> Fact {
    let last = format!("{MESSAGES} ");
    let is_last = |seen: &Seen| {
        seen.notification["params"]["data"].as_str().is_some_and(|text| text.starts_with(&last))
    };
    let all = async {
        for stream in streams {
            stream.until(|seen| is_last(seen).then_some(())).await;
        }
    };
    let over = drive.within(all).await;
    let got = streams.iter().filter(|stream| stream.look(is_last)).count();
    let fewest =
        streams.iter().map(|stream| stream.look(|seen| seen.notifications)).min().unwrap_or_default();
    let when = over.map_or_else(|| span(drive.times.hang), |()| span(begun.elapsed()));
    let what = format!(
        "{got} of {} got the last message within {when}, and at least {fewest} of {MESSAGES}",
        streams.len()
    );
    Fact::new("those who read", what, over.is_some())
}

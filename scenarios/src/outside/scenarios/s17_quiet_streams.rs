use super::{
    super::{
        Drive, Fact, Observed,
        client::{Call, Manner, Session},
        facts::{several, span, succeeded},
    },
    Facts,
};
use crate::Cut;
use serde_json::json;
use std::{sync::Arc, time::Duration};

const SESSIONS: usize = 50;
const ECHOES: usize = 10;
const DROPPED: usize = 300;

pub(super) async fn run(drive: &Drive) -> Facts {
    let sessions = drive.open_several(SESSIONS).await?;
    let streams: Vec<_> = sessions.iter().map(|session| session.listen(Manner::Plain)).collect();
    let mut facts = vec![opened(drive, &streams).await];
    let echo = |session: &Session| session.call("echo", json!({ "text": "beside it" }));
    let mut ends = Vec::new();
    for _ in 0..ECHOES {
        let calls: Vec<_> = sessions.iter().map(echo).collect();
        ends.extend(drive.ends(&calls).await);
    }
    facts.push(several("their calls", &ends, drive.times.hang, succeeded));
    facts.push(first_byte(drive, &streams).await);
    facts.push(second(drive, &sessions[0]).await);
    facts.extend(dropped(drive, &sessions[1..]).await);
    Ok(facts)
}

async fn opened(drive: &Drive, streams: &[Arc<Call>]) -> Fact {
    let (mut open, mut slowest) = (0, Duration::ZERO);
    let all = async {
        for stream in streams {
            let (after, status) = stream.until(|seen| seen.head).await;
            open += usize::from(status == 200);
            slowest = slowest.max(after);
        }
    };
    drive.within(all).await;
    let what = format!("{open} of {SESSIONS}, slowest {}", span(slowest));
    Fact::new("streams that open at once", what, open == SESSIONS)
}

/// Whether a quiet stream shows that it lives.
async fn first_byte(drive: &Drive, streams: &[Arc<Call>]) -> Fact {
    let byte = tokio::time::timeout(drive.times.silence, streams[0].until(|seen| seen.first_byte)).await.ok();
    let what = byte.map_or_else(
        || format!("none within {}", span(drive.times.silence)),
        |after| format!("after {}", span(after)),
    );
    Fact::new("first byte on a quiet stream", what, byte.is_some())
}

/// A client whose connection broke, which the server does not know yet, comes back.
async fn second(drive: &Drive, session: &Session) -> Fact {
    let again = session.listen(Manner::Plain);
    let head = drive.within(again.until(|seen| seen.head.map(|(_, status)| status))).await;
    let what = head.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
    Fact::new("a second stream of one session", what, head.is_some())
}

/// Streams that are opened and dropped, and what is left of them.
async fn dropped(drive: &Drive, sessions: &[Session]) -> Option<Fact> {
    let process = drive.process?;
    sessions.iter().for_each(|session| session.cut(Cut::Close));
    let before = settled(drive, process, |_| true).await?;
    for n in 0..DROPPED {
        let stream = sessions[n % sessions.len()].listen(Manner::Plain);
        drive
            .within(stream.until(|seen| seen.head.or(seen.over.as_ref().map(|(after, _)| (*after, 0)))))
            .await;
        stream.cut(if n % 2 == 0 { Cut::Reset } else { Cut::Close });
    }
    let after = settled(drive, process, |files| files <= before).await?;
    let what = format!("{} more than before", after.saturating_sub(before));
    Some(Fact::new("its open files, once the streams were dropped", what, after <= before))
}

/// The number of open files once it is as wanted and the same for a while, or at the time limit.
async fn settled(drive: &Drive, process: Observed, wanted: impl Fn(usize) -> bool) -> Option<usize> {
    const QUIET: Duration = Duration::from_millis(300);
    let mut last = process.files()?;
    drive
        .within(async {
            loop {
                tokio::time::sleep(QUIET).await;
                let now = process.files().unwrap_or(last);
                if std::mem::replace(&mut last, now) == now && wanted(now) {
                    return;
                }
            }
        })
        .await;
    Some(last)
}

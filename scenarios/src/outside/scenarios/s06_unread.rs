use super::{
    super::{
        Drive, Fact,
        client::{Call, End, Manner, Session},
        facts::{answered, memory, span, succeeded},
    },
    Facts,
};
use serde_json::json;
use std::time::Duration;
use tokio::sync::oneshot;

const NOTIFICATIONS: usize = 20_000;
const BYTES: usize = 1 << 10;
const ECHOES: usize = 30;
/// Between two echoes: so that the unread stream has time to fill, whatever lies between.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn run(drive: &Drive) -> Facts {
    let (session, other) = (drive.open().await?, drive.open().await?);
    let before = drive.process.and_then(super::super::Observed::memory);
    let (read, unread) = oneshot::channel();
    let arguments = json!({ "count": NOTIFICATIONS, "bytes": BYTES });
    let call = session.call_in(Manner::Unread(unread), "progress", arguments);
    let (own, others) = tokio::join!(echoes(drive, &session), echoes(drive, &other));
    let mut facts = vec![
        told(drive, "echoes in the same session", own),
        told(drive, "echoes in another session", others),
    ];
    let after = drive.process.and_then(super::super::Observed::memory);
    if let (Some(before), Some(after)) = (before, after) {
        facts.push(Fact::plain("its memory meanwhile", memory(i128::from(after) - i128::from(before))));
    }
    // Whoever takes it goes on, or is not there any more.
    let _ = read.send(());
    let end = drive.end(&call).await;
    facts.push(Fact::new(
        "the call, once its stream is read",
        read_on(drive, &call, end.as_ref()),
        answered(end.as_ref()),
    ));
    Ok(facts)
}

/// One after the other, until one is not answered.
async fn echoes(drive: &Drive, session: &Session) -> Vec<Option<(Duration, End)>> {
    let mut ends = Vec::new();
    for _ in 0..ECHOES {
        let end = drive.end(&session.call("echo", json!({ "text": "beside it" }))).await;
        let good = succeeded(end.as_ref());
        ends.push(end);
        if !good {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    ends
}

fn told(drive: &Drive, label: &str, ends: Vec<Option<(Duration, End)>>) -> Fact {
    let good = ends.iter().filter(|end| succeeded(end.as_ref())).count();
    let slowest = ends.iter().flatten().map(|(after, _)| *after).max().unwrap_or_default();
    match ends.last() {
        Some(last) if !succeeded(last.as_ref()) => {
            let what = format!("{good} answered, then {}", drive.ending(last.as_ref()));
            Fact::new(label, what, false)
        }
        _ => Fact::new(label, format!("{good} of {ECHOES} answered, slowest {}", span(slowest)), true),
    }
}

fn read_on(drive: &Drive, call: &Call, end: Option<&(Duration, End)>) -> String {
    let notifications = call.look(|seen| seen.notifications);
    let what = match end {
        Some((_, End::Result(_))) => "the result".to_owned(),
        Some((_, End::Error(error))) => format!("error {}", error["code"]),
        other => drive.ending(other),
    };
    format!("{notifications} notifications, then {what}")
}

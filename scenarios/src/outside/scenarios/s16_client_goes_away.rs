use super::{
    super::{Drive, Fact, client::Call},
    Facts,
};
use crate::Cut;
use serde_json::json;

const CALLS: usize = 10;

pub(super) async fn run(drive: &Drive) -> Facts {
    let (session, other) = (drive.open().await?, drive.open().await?);
    let calls: Vec<_> = (0..CALLS).map(|_| session.call("never", json!({}))).collect();
    drive.handlers_begin(&other, CALLS).await?;
    session.cancel(&calls[0].id);
    let mut facts = vec![
        drive.handlers_end("cancelled by a message: its handler", &other, CALLS - 1).await,
        stream(drive, "cancelled by a message: its stream", &calls[0]).await,
    ];
    calls[1].cut(Cut::Reset);
    facts.push(drive.handlers_end("connection reset: its handler", &other, CALLS - 2).await);
    let untouched = calls[2..].iter().filter(|call| call.look(|seen| seen.over.is_none())).count();
    let what = format!("{untouched} under way");
    facts.push(Fact::new("the other eight", what, untouched == CALLS - 2));
    let deleted = drive.end(&session.delete()).await;
    facts.push(Fact::new("DELETE of the session", drive.ending(deleted.as_ref()), deleted.is_some()));
    facts.push(drive.handlers_end("deleted: the handlers", &other, 0).await);
    facts.push(stream(drive, "deleted: the last call's stream", &calls[CALLS - 1]).await);
    Ok(facts)
}

async fn stream(drive: &Drive, label: &str, call: &Call) -> Fact {
    let over = drive.within(call.over()).await;
    let how = if call.look(|seen| seen.answers.is_empty()) { "without an answer" } else { "with an answer" };
    let what = over.map_or_else(|| "still open".to_owned(), |_| format!("ended {how}"));
    Fact::new(label, what, over.is_some())
}

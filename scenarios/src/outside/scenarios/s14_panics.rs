use super::{
    super::{
        Drive,
        facts::{answered, several, succeeded},
    },
    Facts,
};
use serde_json::json;

const CALLS: usize = 20;

pub(super) async fn run(drive: &Drive) -> Facts {
    let (session, other) = (drive.open().await?, drive.open().await?);
    let mut calls = (Vec::new(), Vec::new());
    for _ in 0..CALLS {
        calls.0.push(session.call("panic", json!({})));
        calls.1.push(other.call("echo", json!({ "text": "beside them" })));
    }
    let (panics, echoes) = tokio::join!(drive.ends(&calls.0), drive.ends(&calls.1));
    let again = drive.end(&session.call("echo", json!({ "text": "after them" }))).await;
    Ok(vec![
        several("the calls that panic", &panics, drive.times.hang, answered),
        several("echoes of another session", &echoes, drive.times.hang, succeeded),
        several("echo in their session", &[again], drive.times.hang, succeeded),
    ])
}

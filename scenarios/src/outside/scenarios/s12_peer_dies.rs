use super::{
    super::{Drive, Fact, facts::succeeded},
    Facts,
};
use crate::Cut;
use serde_json::json;

const CALLS: usize = 20;

pub(super) async fn run(drive: &Drive) -> Facts {
    let (session, other) = (drive.open().await?, drive.open().await?);
    let calls: Vec<_> = (0..CALLS).map(|_| session.call("never", json!({}))).collect();
    drive.handlers_begin(&other, CALLS).await?;
    session.cut(Cut::Reset);
    for call in &calls {
        drive.within(call.over()).await.ok_or("a connection was not cut")?;
    }
    let mut facts = vec![drive.handlers_end("handlers of the calls", &other, 0).await];
    for (label, session) in [("echo of another session", &other), ("echo of that session", &session)] {
        let echo = drive.end(&session.call("echo", json!({ "text": "again" }))).await;
        facts.push(Fact::new(label, drive.ending(echo.as_ref()), succeeded(echo.as_ref())));
    }
    Ok(facts)
}

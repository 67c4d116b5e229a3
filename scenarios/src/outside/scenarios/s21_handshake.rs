use super::{
    super::{
        Drive, Fact,
        client::{End, Session},
        facts::{several, span, succeeded},
    },
    Facts,
};
use serde_json::{Value, json};

const CLIENTS: usize = 64;

pub(super) async fn run(drive: &Drive) -> Facts {
    let mut facts = vec![early(drive).await?];
    facts.extend(again(drive).await?);
    facts.push(many(drive).await);
    Ok(facts)
}

async fn early(drive: &Drive) -> Result<Fact, String> {
    let (session, _) = drive.greet().await?;
    let calls = [session.request("ping", &json!({})), session.request("tools/list", &json!({}))];
    drive.end(&session.initialized()).await;
    let ends = drive.ends(&calls).await;
    Ok(several("ping and tools/list before initialized", &ends, drive.times.hang, succeeded))
}

async fn again(drive: &Drive) -> Facts {
    let (session, other) = (drive.open().await?, drive.open().await?);
    let call = session.call("sleep", json!({ "ms": 1_000 }));
    drive.handlers_begin(&other, 1).await?;
    let params: Value = json!({
        "protocolVersion": super::super::client::REVISION,
        "capabilities": {},
        "clientInfo": { "name": "again", "version": "1" },
    });
    let second = drive.end(&session.request("initialize", &params)).await;
    let ends = [drive.end(&call).await];
    let refused = matches!(second, Some((_, End::Error(_) | End::Status(_))));
    Ok(vec![
        Fact::new("initialize again in a session", drive.ending(second.as_ref()), refused),
        several("its call under way", &ends, drive.times.hang, succeeded),
    ])
}

async fn many(drive: &Drive) -> Fact {
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let target = drive.target.clone();
        clients.spawn(async move { Session::greet(&target).await });
    }
    let label = "64 clients at once";
    let Some(opened) = drive.within(clients.join_all()).await else {
        return Fact::new(label, format!("not all answered within {}", span(drive.times.hang)), false);
    };
    let times: Vec<_> =
        opened.into_iter().flatten().map(|(session, after)| (session.delete(), after)).collect();
    let slowest = times.iter().map(|(_, after)| *after).max().unwrap_or_default();
    Fact::new(label, format!("{} answered, slowest {}", times.len(), span(slowest)), times.len() == CLIENTS)
}

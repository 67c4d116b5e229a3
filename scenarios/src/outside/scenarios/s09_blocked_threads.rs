use super::{
    super::{
        Drive, Fact,
        client::{End, Session},
        facts::{several, span, succeeded},
    },
    Facts,
};
use serde_json::json;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

const CALLS: usize = 4;
const PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn run(drive: &Drive) -> Facts {
    let (session, other) = (drive.open().await?, drive.open().await?);
    let ms = u64::try_from(drive.times.block.as_millis()).unwrap_or(u64::MAX);
    let calls: Vec<_> = (0..CALLS).map(|_| session.call("block", json!({ "ms": ms }))).collect();
    // Whether the calls run at the same time or in turns is the server's affair.
    let blocked = drive.times.block * u32::try_from(CALLS).unwrap_or(u32::MAX);
    let all = async {
        for call in &calls {
            call.end().await;
        }
    };
    let limit = drive.times.hang + blocked;
    let over = AtomicBool::new(false);
    let all = async {
        let _ = tokio::time::timeout(limit, all).await;
        over.store(true, Ordering::Relaxed);
    };
    let ((), slowest) = tokio::join!(all, pings(&other, limit, &over));
    let held = slowest.is_some_and(|slowest| slowest < drive.times.block);
    let what = slowest.map_or_else(
        || "one not answered".to_owned(),
        |slowest| format!("slowest answered after {}", span(slowest)),
    );
    let label = format!("pings, while four handlers block for {} each", span(drive.times.block));
    Ok(vec![
        Fact::new(label, what, held),
        several("the four calls", &drive.ends(&calls).await, limit, succeeded),
    ])
}

/// Pings one after the other until all is over, the last one included; gives how long the slowest took, if all were
/// answered.
async fn pings(session: &Session, limit: Duration, over: &AtomicBool) -> Option<Duration> {
    let mut slowest = Duration::ZERO;
    loop {
        let ping = session.request("ping", &json!({}));
        let (after, end) = tokio::time::timeout(limit, ping.end()).await.ok()?;
        if !matches!(end, End::Result(_)) {
            return None;
        }
        slowest = slowest.max(after);
        if over.load(Ordering::Relaxed) {
            return Some(slowest);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

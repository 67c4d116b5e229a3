use super::{
    super::{
        Drive,
        client::Manner,
        facts::{several, succeeded},
    },
    Facts,
};
use serde_json::json;

const CALLS: u64 = 100;
const BYTES: usize = 64 << 10;

pub(super) async fn run(drive: &Drive) -> Facts {
    let session = drive.open().await?;
    let one = |seed| session.call_in(Manner::Torn(0x5eed + seed), "burst", json!({ "bytes": BYTES }));
    let calls: Vec<_> = (0..CALLS).map(one).collect();
    let ends = drive.ends(&calls).await;
    Ok(vec![several("the calls", &ends, drive.times.hang, |end| {
        let text = |result: &serde_json::Value| result["content"][0]["text"].as_str().map(str::len);
        succeeded(end)
            && matches!(end, Some((_, super::super::client::End::Result(result))) if text(result) == Some(BYTES))
    })])
}

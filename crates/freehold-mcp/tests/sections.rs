//! The sections of one call over HTTP, counted by name, under the check that none is entered inside of another.
//!
//! `cargo test -p freehold-mcp --test sections -- --nocapture` prints them.

#![cfg(debug_assertions)]

#[expect(dead_code, reason = "nobody has to be waited for")]
mod stage;
#[expect(dead_code, reason = "one kind of traffic needs a part of it")]
mod wire;

use freehold_mcp::{HttpOptions, freehold::Limits};
use freehold_sync::held;
use serde_json::json;
use stage::server;
use wire::{Request, open_session, serve};

type Entries = Vec<(&'static str, u64)>;

fn told(what: &str) -> Entries {
    let entries = held::take_entries();
    let total: u64 = entries.iter().map(|(_, count)| count).sum();
    println!("{what}: {total} sections: {entries:?}");
    entries
}

fn assert_all_listed(entries: &Entries) {
    assert!(!entries.is_empty());
    let unlisted = entries.iter().find(|(name, _)| *name == "unlisted");
    assert_eq!(unlisted, None, "a lock without a section");
}

// On one thread, so that what the server enters is counted where the test runs.
#[tokio::test]
async fn an_echo_enters_listed_sections_only() {
    let (server, _audience) = server(Limits::default());
    let address = serve(&server, HttpOptions::default()).await;
    let session = open_session(address).await;
    let echo = |id| Request::call(&session, id, "echo", json!({ "text": "hello" }));
    echo(1).exchange(address).await;
    let _ = held::take_entries();
    assert_eq!(echo(2).exchange(address).await.status, 200);
    assert_all_listed(&told("an echo in a session"));
    assert_eq!(
        Request::stateless_call(3, "echo", json!({ "text": "hello" })).exchange(address).await.status,
        200
    );
    assert_all_listed(&told("a stateless echo"));
    let flood = Request::call(&session, 4, "flood", json!({ "n": 3, "bytes": 1 }));
    assert_eq!(flood.exchange(address).await.status, 200);
    let flooded = told("three steps of progress");
    assert_all_listed(&flooded);
    assert!(flooded.contains(&("context progress", 3)));
}

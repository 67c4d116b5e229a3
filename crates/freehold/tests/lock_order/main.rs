//! Nobody adds a lock to the engine that is not in `src/lock_order.rs` and in `ARCHITECTURE.md`.

mod scan;

use scan::{Source, complaints, complaints_about_document, complaints_of_crate};

const NOTHING: [&str; 0] = [];

#[test]
fn every_lock_is_listed_and_documented() {
    assert_eq!(complaints_of_crate(env!("CARGO_MANIFEST_DIR")), NOTHING);
}

const ORDER: &str = "
//! | `here::Table.changed` | `Notify` | why |
sections! {
    at LockLevel::INNERMOST;
    /// A table.
    pub(crate) Entries = \"here entries\";
}";

const HERE: &str = "
use freehold_sync::ScopedMutex;
use tokio::sync::Notify;
struct Table {
    entries: ScopedMutex<Vec<u8>, lock_order::Entries>,
    changed: Notify,
}
fn make() -> Table { Table { entries: ScopedMutex::of(Vec::new()), changed: Notify::new() } }
";

fn complaints_with(more: &str) -> Vec<String> {
    let source = |module: &str, text: String| Source { module: module.to_owned(), text };
    complaints(&[source("lock_order", ORDER.to_owned()), source("here", format!("{HERE}{more}"))])
}

#[test]
fn the_scan_finds_whatever_locks() {
    assert_eq!(complaints_with(""), NOTHING);
    let rows = [
        "struct S { a: ScopedMutex<u8> }",
        "struct S { a: Arc<ScopedMutex<u8, lock_order::Other>> }",
        "struct S { a: ScopedMutex<u8, lock_order::Entries> }",
        "struct S { a: std::sync::Mutex<u8> }",
        "struct S { a: Arc<OnceLock<Box<parking_lot::RwLock<u8>>>> }",
        "struct S(Option<tokio::sync::Semaphore>);",
        "enum E { A { a: Notify } }",
        "use std::sync::Mutex as Innocent; struct S { a: Innocent<u8> }",
        "use papaya::HashMap; struct S { a: HashMap<u8, u8> }",
        "use tokio::sync::mpsc::Sender; struct S { a: Sender<u8> }",
        "use tokio::sync::watch; struct S { a: watch::Receiver<u8> }",
        "static A: std::sync::Mutex<u8> = std::sync::Mutex::new(0);",
        "fn f() { static A: ScopedMutex<u8> = todo(); }",
        "type A = std::sync::RwLock<u8>;",
        "thread_local!(static A: RwLock<u8> = RwLock::new(0));",
        "fn f() { let a = Arc::new(tokio::sync::Mutex::new(0)); }",
        "fn f() { let a = Arc::new(ScopedMutex::new(0)); }",
        "fn f() { let a = ScopedMutex::<u8>::default(); }",
        "fn f() { let a = Notify::new(); }",
        "fn f() { let (a, b) = tokio::sync::oneshot::channel(); }",
        "mod inner { struct S { a: super::Notify } }",
    ];
    for row in rows {
        assert_ne!(complaints_with(row), NOTHING, "nobody complained about {row}");
    }
    let harmless = [
        "#[cfg(test)] mod tests { struct S { a: std::sync::Mutex<u8> } }",
        "fn lock(mutex: &freehold_sync::Mutex<u8>) {}",
        "use std::collections::HashMap; struct S { a: HashMap<u8, OnceLock<u8>> }",
        "use crate::runtime::watch; fn f() { watch::on_a_thread() }",
        "/// Not a `Mutex`.\nstruct S { a: MutexGuard<u8> }",
    ];
    for row in harmless {
        assert_eq!(complaints_with(row), NOTHING, "{row}");
    }
}

#[test]
fn what_is_listed_must_be_there() {
    let source = |module: &str, text: &str| Source { module: module.to_owned(), text: text.to_owned() };
    let found = complaints(&[source("lock_order", ORDER), source("here", "")]);
    assert_eq!(
        found,
        [
            "lock_order.rs lists `here::Table.changed`, a Notify, which is not there",
            "section Entries is that of 0 locks",
        ]
    );
}

#[test]
fn the_document_names_the_same_sections() {
    let document = |rows: &str| {
        format!(
            "## Every critical section\n\n| Where | What |\n|---|---|\n{rows}\nThose of `freehold-sync`:\n"
        )
    };
    let listed = ["here entries".to_owned()];
    let row = "| `here` entries (one a table) | put |\n";
    assert_eq!(complaints_about_document(&listed, &document(row)), NOTHING);
    assert_eq!(
        complaints_about_document(&listed, &document("")),
        ["section `here entries` is not in ARCHITECTURE.md"]
    );
    let more = format!("{row}| `gone` (one an engine) | put |\n");
    let gone = ["ARCHITECTURE.md names `gone`, which is no section"];
    assert_eq!(complaints_about_document(&listed, &document(&more)), gone);
}

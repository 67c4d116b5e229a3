//! Nobody adds a lock to the adapter that is not in `src/lock_order.rs` and in `ARCHITECTURE.md`.

#[path = "../../freehold/tests/lock_order/scan.rs"]
mod scan;

#[test]
fn every_lock_is_listed_and_documented() {
    let complaints = scan::complaints_of_crate(env!("CARGO_MANIFEST_DIR"));
    assert!(complaints.is_empty(), "{complaints:#?}");
}

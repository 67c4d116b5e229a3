//! What the specification demands of a server and no other test is about. `docs/spec-coverage` says which test shows what.

mod both;
#[path = "../pipe/mod.rs"]
mod pipe;
mod scene;
mod sessions;
#[path = "../stage/mod.rs"]
mod stage;
mod stateless;
#[expect(dead_code, reason = "no stream is resumed here")]
#[path = "../wire/mod.rs"]
mod wire;

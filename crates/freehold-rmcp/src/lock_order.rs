//! The locks of the adapter: innermost sections like those of the engine and the protocol.
//!
//! The test `lock_order` holds this file against the sources and against *Every critical section* in `ARCHITECTURE.md`.
//!
//! Locks of others, all of them:
//!
//! | Where | What | Why it cannot be in anybody's way |
//! |---|---|---|
//! | `peer::seat::Seat.serving` | `ArcSwapOption` | lock-free to read; a writer waits for readers that are between two loads |
//! | `guard::Bounds.running` | `Semaphore` | the places of requests that run; who waits has a deadline |
//! | `adapter::Parts.sessions` | `papaya::HashMap` | lock-free to read; a write retries or helps; no guard of it lives across an await (clippy) |

use freehold_sync::{LockLevel, sections};

sections! {
    at LockLevel::INNERMOST;

    /// The peers of a session that serve no request. One a session.
    pub(crate) FreePeers = "rmcp free peers";
    /// How the loops of a session's peers are reached. One a session.
    pub(crate) Inboxes = "rmcp inboxes";
    /// The questions of a peer that wait for an answer. One a peer.
    pub(crate) OpenQuestions = "rmcp open questions";
}

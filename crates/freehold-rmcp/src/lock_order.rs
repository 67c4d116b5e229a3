//! The locks of the adapter: innermost sections like those of the engine and the protocol.
//!
//! The test `lock_order` holds this file against the sources and against *Every critical section* in `ARCHITECTURE.md`.
//!
//! Locks of others, all of them:
//!
//! | Where | What | Why it cannot be in anybody's way |
//! |---|---|---|
//! | `adapter::Sessions` | `papaya::HashMap` | lock-free to read; a write retries or helps; no guard of it lives across an await (clippy) |
//! | `guard::Bounds.running` | `Semaphore` | the places of requests that run; who waits has a deadline |
//! | `peer::Inbox` | `mpsc` | tokio's own; a full one is waited for by the task of one question, or in a call |
//! | `peer::line::Line.messages` | `mpsc` | its other end |
//! | `peer::line::Return.0` | `mpsc` | tokio's own; one message, never waited for by who sends |
//! | `peer::seat::Seat.serving` | `ArcSwapOption` | lock-free to read; a writer waits for readers that are between two loads |

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

//! The locks of the protocol and its transports: two sections, innermost like those of the engine, so that none of either
//! crate is entered inside of another.
//!
//! The test `lock_order` holds this file against the sources and against *Every critical section* in `ARCHITECTURE.md`.
//!
//! Locks of others, all of them:
//!
//! | Where | What | Why it cannot be in anybody's way |
//! |---|---|---|
//! | `listen::ListenToChanges.changes` | `watch` | tokio's own section: one number and its waiters |
//! | `server::ServerState.changes` | `watch` | the same |
//! | `tools::table::ToolTable.current` | `ArcSwap` | lock-free to read; a writer waits for readers that are between two loads |

use freehold_sync::{LockLevel, sections};

sections! {
    at LockLevel::INNERMOST;

    /// Whom to tell of changed tools. One a server.
    pub(crate) WhoIsTold = "tools::table changes";
    /// The last figure of progress that was sent. One a call.
    pub(crate) LastProgress = "context progress";
}

//! The locks of the protocol and its transports: sections, innermost like those of the engine, so that none of either
//! crate is entered inside of another.
//!
//! The test `lock_order` holds this file against the sources and against *Every critical section* in `ARCHITECTURE.md`.
//!
//! Locks of others, all of them:
//!
//! | Where | What | Why it cannot be in anybody's way |
//! |---|---|---|
//! | `stdio::OpenBatches` | `mpsc` | nothing is ever sent; tokio's own count of its senders |
//! | `changes::ChangeFeed.sender` | `broadcast` | tokio's own sections: one change is put in, or read; its waiters |
//! | `catalog::table::Catalog.current` | `ArcSwap` | lock-free to read; a writer waits for readers that are between two loads |
//! | `tasks::feed::Changed` | `watch` | tokio's own section: one number and its waiters |
//! | `tasks::task::Task.changes` | `watch` | the same |

use freehold_sync::{LockLevel, sections};

sections! {
    at LockLevel::INNERMOST;

    /// The streams of a session that its client can come back to. One a session.
    pub(crate) ResumableStreams = "http::resumption streams";
    /// Where such a stream stands, and who reads it. One a stream.
    pub(crate) ResumableStream = "http::resumption stream";
    /// The events of all sessions. One a store.
    pub(crate) KeptEvents = "http::resumption events";
    /// The last figure of progress that was sent. One a call.
    pub(crate) LastProgress = "context progress";
    /// The tasks of a server. One a server.
    pub(crate) Tasks = "tasks::table tasks";
    /// What a task is at. One a task.
    pub(crate) TaskState = "tasks::task state";
    /// How many completions each client may still ask for. One a server.
    pub(crate) CompletionRates = "completion rates";
    /// What a stateless request asks. One a request whose client can be asked.
    pub(crate) Round = "mrtr round";
}

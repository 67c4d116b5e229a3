//! The locks of this crate: a few sections, innermost like those of the engine, so that none is entered inside of another.
//!
//! The test `lock_order` holds this file against the sources and against *Every critical section* in `ARCHITECTURE.md`.
//!
//! Locks of others, all of them:
//!
//! | Where | What | Why it cannot be in anybody's way |
//! |---|---|---|
//! | `alert::Outlet.queue` | `mpsc` | the queue of a receiver of alerts: whoever has one never waits, and a full one loses it |
//! | `http::body::AdminBody::Events.0` | `mpsc` | the same as that of the viewer, which is its other end |
//! | `http::events::Viewer.sender` | `mpsc` | the frames of one page, between its task and its connection, both on the admin thread |
//! | `otlp::RunningOtlp.stop` | `mpsc` | one message at the end, for which there is room |
//! | `otlp::Stop.done` | `mpsc` | nothing is sent: whoever drops the exporter waits with a limit for the end of its thread |
//! | `server::RunningAdmin.stop` | `watch` | that of the site |
//! | `server::Site.stop` | `watch` | tokio's own section: one flag and its waiters |
//! | `telemetry::journal::WatchedPool.pool` | `PermitPool` | the application's own: only the number of its permits is read, none is taken |
//! | `telemetry::Gathered.news` | `watch` | the same, one instant |

use freehold_sync::{LockLevel, sections};

sections! {
    at LockLevel::INNERMOST;

    /// Reports, violations, and what is counted of them; the pools that are watched. One a telemetry.
    pub(crate) Journal = "admin journal";
    /// The last look at the engine. One an admin server.
    pub(crate) LastLook = "admin look";
    /// Rates and latencies of the last minutes. One an admin server.
    pub(crate) History = "admin history";
}

//! Four designs of a session server, with the same handlers behind each, in this process.
//!
//! * [`TableLock`]: the session table's mutex is taken, the handler looked up and run, and only then is it let go.
//! * [`SessionLocks`]: the table's mutex is let go at once, that of the session is held while its handler runs.
//! * [`Actors`]: each session is a task that takes its requests from a queue, one after the other.
//! * [`Freehold`]: [`freehold::Engine::process`].
//!
//! The first three answer in the words of [`freehold::message`], too, so that all of them read and write the same.

mod actors;
mod engine;
pub mod handlers;
pub mod hang;
pub mod ledger;
pub mod load;
pub mod sections;
mod session_locks;
mod table_lock;
pub mod times;

pub use actors::Actors;
pub use engine::Freehold;
pub use session_locks::SessionLocks;
pub use table_lock::TableLock;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use anyhow::Result;
use freehold::{Request, Response};
use serde::Serialize;

use handlers::App;

/// One of the designs, with so many sessions that are open from the start.
pub trait Server: Send + Sync + Sized + 'static {
    /// Which one it is.
    const DESIGN: Design;

    /// A server with so many sessions, numbered from zero; inside of a tokio runtime.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    fn new(sessions: usize, app: Arc<App>) -> Result<Self>;

    /// What its handlers share.
    fn app(&self) -> &Arc<App>;

    /// Answers one request of a session.
    fn process(
        &self,
        session: usize,
        request: Request<'static>,
    ) -> impl Future<Output = Result<Response<'static>>> + Send;

    /// How many calls all sessions together say they had.
    fn tally(&self) -> impl Future<Output = u64> + Send;

    /// Ends the tasks it has of its own.
    fn stop(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// Which design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Design {
    /// One lock around everything.
    TableLock,
    /// One lock per session.
    SessionLocks,
    /// One task per session.
    Actors,
    /// The engine.
    Freehold,
}

impl fmt::Display for Design {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TableLock => "naive: table lock",
            Self::SessionLocks => "lock per session",
            Self::Actors => "actor per session",
            Self::Freehold => "freehold",
        })
    }
}

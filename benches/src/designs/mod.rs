//! Four designs of a session server, with the same handlers behind each, in this process.
//!
//! * [`TableLock`][]: the session table's mutex is taken, the handler looked up and run, and only then is it let go.
//! * [`SessionLocks`][]: the table's mutex is let go at once, that of the session is held while its handler runs.
//! * [`Actors`][]: each session is a task that takes its requests from a queue, one after the other.
//! * [`Freehold`][]: [`freehold::Engine::process`].
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
use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::ledger::{self, LedgerPlan};
    use super::load::{self, Plan};
    use super::{Actors, Freehold, Server, SessionLocks, TableLock};

    /// Wrong answers and wrong counts are errors of the load itself.
    async fn answers_and_counts<S: Server>() {
        let server = Arc::new(S::new(3, Arc::default()).unwrap());
        let (warm_up, measure) = (Duration::ZERO, Duration::from_millis(50));
        let plan = Plan { callers: 8, sessions: 3, slow_percent: 10, slow_ms: 1, warm_up, measure };
        server.app().times.start();
        load::run(&server, plan).await.unwrap();
        let times = server.app().times.take();
        assert!(times.wait.max_us > 0.0 && server.tally().await > 0, "{times:?}");
        assert_eq!(times.hold.is_some(), S::DESIGN != super::Design::Freehold);
        server.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_design_answers_and_counts() {
        answers_and_counts::<TableLock>().await;
        answers_and_counts::<SessionLocks>().await;
        answers_and_counts::<Actors>().await;
        answers_and_counts::<Freehold>().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn freehold_finishes_its_ledger_with_each_victim_run_again() {
        let plan = LedgerPlan {
            callers: 16,
            sessions: 4,
            standing_orders: 4,
            transfers: 50,
            hangs_after: Duration::from_secs(30),
        };
        let figures = ledger::run::<Freehold>(plan).await.unwrap();
        assert!(!figures.hung && figures.done == figures.asked, "{figures:?}");
        let recovery = figures.recovery.unwrap();
        assert!(recovery.victims > 0, "no two were in each other's way: {figures:?}");
        assert_eq!(recovery.victims, recovery.retried);
    }
}

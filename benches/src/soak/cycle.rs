//! One cycle: load and churn side by side, then rest.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::churn::{self, Churned};
use super::client::Clients;
use super::limits;
use super::mixture::Mixture;
use super::open_loop::{self, Offered};
use super::server::{Handles, Served};
use super::tally::{SharedTally, Tally};
use super::watch::{self, Rest, Samples};

/// What all cycles share.
#[derive(Debug)]
pub struct Bench {
    /// The server under test.
    pub server: Served,
    /// Its clients.
    pub clients: Clients,
    /// The ledger's accounts.
    pub accounts: Arc<[Arc<str>]>,
    /// Where all draws begin.
    pub seed: u64,
    /// What the idle server had of the system's at first.
    pub first: Handles,
}

/// How much, for how long.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Calls a second.
    pub rate: f64,
    /// For so long.
    pub span: Duration,
    /// Sessions that come and go meanwhile.
    pub sessions: u32,
}

/// What happened.
#[derive(Debug)]
pub struct Cycle {
    /// To requests.
    pub tally: Tally,
    /// What was sent in the open loop.
    pub offered: Offered,
    /// To sessions.
    pub sessions: Churned,
    /// Looks under load.
    pub samples: Samples,
    /// From the begin until every request had its outcome.
    pub lasted: Duration,
    /// What there was afterwards.
    pub rest: Rest,
}

impl Bench {
    /// Clients that write to this tally, and what they call, with busy sessions that were opened for it.
    ///
    /// # Errors
    ///
    /// When the server does not open one.
    pub async fn begin(&self, tally: &SharedTally) -> Result<(Clients, Mixture)> {
        let clients = self.clients.counted_by(tally.clone());
        let mut busy = Vec::new();
        for _ in 0..limits::BUSY_SESSIONS {
            let mut connection = clients.connections.take(tally).await?;
            let session = clients.open_session(&mut connection, true).await;
            busy.push(session.context("the server opens no session")?);
            clients.connections.put(connection);
        }
        let accounts = Arc::clone(&self.accounts);
        Ok((clients, Mixture { seed: self.seed, busy: busy.into(), accounts }))
    }

    /// Ends the busy sessions, and closes all connections. How many were ended: one that is not is told to the tally.
    pub async fn end(&self, clients: &Clients, mixture: &Mixture) -> u64 {
        let mut ended = 0;
        for session in &*mixture.busy {
            let Some(mut connection) = clients.connection(false).await else { continue };
            if clients.end_session(&mut connection, session).await {
                ended += 1;
                clients.connections.put(connection);
            }
        }
        clients.connections.close_idle(&clients.tally);
        ended
    }

    /// All connections are open together, and each has been used.
    ///
    /// # Errors
    ///
    /// When not all of them are accepted and answered.
    pub async fn rush(&self, clients: &Clients, mixture: &Mixture) -> Result<()> {
        let session = mixture.busy.first().context("no session is open")?;
        let mut open = Vec::new();
        while open.len() < limits::CONNECTIONS as usize {
            let mut connection = clients.connection(true).await.context("a rush is not accepted")?;
            ensure!(clients.ping(&mut connection, session).await, "a rush is not answered");
            open.push(connection);
        }
        Ok(())
    }

    /// Goes through a cycle.
    ///
    /// # Errors
    ///
    /// When the server does not answer at all.
    pub async fn cycle(&self, load: Load) -> Result<Cycle> {
        let (tally, began) = (SharedTally::new(load.span), Instant::now());
        let (clients, mixture) = self.begin(&tally).await?;
        let mut samples = Samples::default();
        let under_load = async {
            let calls = open_loop::offer(&clients, &mixture, load.rate, load.span);
            let sessions = churn::churn(&clients, self.seed, load.sessions, load.span);
            tokio::try_join!(calls, sessions)
        };
        let ended: Result<(Offered, Churned), Infallible> = tokio::select! {
            ended = under_load => Ok(ended?),
            never = watch::watch(&self.server, &mut samples) => Err(never),
        };
        let Ok((offered, mut sessions)) = ended;
        let lasted = began.elapsed();
        sessions.opened += mixture.busy.len() as u64;
        sessions.ended += self.end(&clients, &mixture).await;
        let rest = watch::rest(&self.server, self.first).await?;
        Ok(Cycle { tally: tally.take(), offered, sessions, samples, lasted, rest })
    }
}

//! Sessions that come and go: opened, used, and then ended, or left for the server to find out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::client::{Clients, Manner, Speaker};
use super::connections::Connection;
use super::limits;
use super::mixture::Draws;
use super::open_loop::count;
use super::tally::Outcome;
use crate::mcp_requests::ToolCall;

const TICK: Duration = Duration::from_millis(1);
/// One session in so many has a connection of its own, which ends with it.
const OWN_CONNECTION: u64 = 4;

/// What becomes of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Its client ends it.
    Ended,
    /// Its client ends it while it has a call running.
    EndedInACall,
    /// Its client comes no more.
    Left,
    /// Its client comes no more after `initialize`.
    NeverInitialized,
    /// Its client listens, then its connection is gone.
    Vanished,
}

/// Tenths of all sessions.
const FATES: [(Fate, u64); 5] = [
    (Fate::Ended, 5),
    (Fate::EndedInACall, 1),
    (Fate::Left, 2),
    (Fate::NeverInitialized, 1),
    (Fate::Vanished, 1),
];

/// What became of all of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Churned {
    /// Opened.
    pub opened: u64,
    /// Of those, ended by their clients. The others expire.
    pub ended: u64,
}

/// Begins `sessions` in the course of `span`, and waits until their clients are done with them.
///
/// # Errors
///
/// When nothing is answered any more, or a client panics.
pub async fn churn(clients: &Clients, seed: u64, sessions: u32, span: Duration) -> Result<Churned> {
    let (began, rate) = (Instant::now(), f64::from(sessions) / span.as_secs_f64());
    let mut all = Churned::default();
    let mut running = JoinSet::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut begun = 0;
    while begun < u64::from(sessions) {
        ticks.tick().await;
        let due = count(rate, began.elapsed()).min(u64::from(sessions));
        for number in begun..due {
            running.spawn(live(clients.clone(), Draws::of(!seed, number)));
        }
        begun = due;
        while let Some(lived) = running.try_join_next() {
            all.add(lived?);
        }
        ensure!(running.len() <= limits::UNDER_WAY, "{} sessions wait for an answer", running.len());
    }
    while let Some(lived) = running.join_next().await {
        all.add(lived?);
    }
    Ok(all)
}

impl Churned {
    fn add(&mut self, lived: Self) {
        self.opened += lived.opened;
        self.ended += lived.ended;
    }
}

fn fate(draws: &mut Draws) -> Fate {
    let mut left = draws.below(FATES.iter().map(|(_, share)| share).sum());
    for (fate, share) in FATES {
        if left < share {
            return fate;
        }
        left -= share;
    }
    Fate::Left
}

/// One session.
async fn live(clients: Clients, mut draws: Draws) -> Churned {
    let fate = fate(&mut draws);
    let own = draws.below(OWN_CONNECTION) == 0;
    let mut lived = Churned::default();
    let Some(mut connection) = clients.connection(own).await else { return lived };
    let Some(session) = clients.open_session(&mut connection, fate != Fate::NeverInitialized).await else {
        return lived;
    };
    lived.opened = 1;
    let sound = match fate {
        Fate::NeverInitialized => true,
        _ => use_and_leave(&clients, &mut connection, &session, fate, &mut draws, &mut lived).await,
    };
    // On one that is not sound an answer may still be due.
    if sound && !own {
        clients.connections.put(connection);
    }
    lived
}

/// Whether every request over the connection was answered as it should be.
async fn use_and_leave(
    clients: &Clients,
    connection: &mut Connection,
    session: &Arc<str>,
    fate: Fate,
    draws: &mut Draws,
    lived: &mut Churned,
) -> bool {
    let speaker = Speaker::Session(Arc::clone(session));
    let mut sound = clients.ping(connection, session).await;
    clients.call(&speaker, ToolCall::Echo(session), Manner::Patient).await;
    match fate {
        Fate::Ended => lived.ended = u64::from(clients.end_session(connection, session).await),
        Fate::EndedInACall => {
            let (call, after) = slow_call(draws);
            let end = async {
                sleep(after).await;
                clients.end_session(connection, session).await
            };
            let (_, ended): (Outcome, bool) = tokio::join!(clients.call(&speaker, call, Manner::MayEnd), end);
            lived.ended = u64::from(ended);
        }
        Fate::Vanished => clients.listen_and_leave(session).await,
        Fate::Left | Fate::NeverInitialized => {}
    }
    if lived.ended == 1 {
        sound &= clients.find_it_gone(connection, session).await;
    }
    sound && (lived.ended == 1 || !matches!(fate, Fate::Ended | Fate::EndedInACall))
}

fn slow_call(draws: &mut Draws) -> (ToolCall<'static>, Duration) {
    let ms = u64::try_from(limits::SERVICE.as_millis()).unwrap_or(u64::MAX);
    (ToolCall::Slow(ms), Duration::from_millis(draws.below(ms)))
}

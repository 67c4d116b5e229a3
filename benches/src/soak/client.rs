//! A client of the server: each request that it sends gets one outcome, and the tally is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::time::{sleep, timeout};

use super::answers;
use super::connections::{Connection, Connections};
use super::limits;
use super::tally::{Outcome, SharedTally};
use crate::mcp_answers::{check_call, check_result};
use crate::mcp_requests::{Era, RequestWriter, ToolCall};

/// How a client waits for the answer of its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Until it comes.
    Patient,
    /// It cancels the call after so long, then waits for its end.
    Cancels(Duration),
    /// It closes its connection after so long.
    Leaves(Duration),
    /// Until it comes; the session may be ended meanwhile.
    MayEnd,
}

impl Manner {
    fn allows(self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Result | Outcome::Overloaded | Outcome::DeadlineExceeded => true,
            Outcome::Ended => matches!(self, Self::Cancels(_)),
            Outcome::GivenUp => matches!(self, Self::Leaves(_)),
            Outcome::Cancelled | Outcome::SessionGone => self == Self::MayEnd,
            Outcome::Wrong | Outcome::Lost => false,
        }
    }
}

/// On whose behalf a request is sent.
#[derive(Debug, Clone)]
pub enum Speaker {
    /// A session's client.
    Session(Arc<str>),
    /// Nobody in particular.
    Stateless,
}

impl Speaker {
    fn era(&self) -> Era {
        match self {
            Self::Session(_) => Era::Session,
            Self::Stateless => Era::Stateless,
        }
    }
}

/// All clients of a cycle: their connections, the ids of their requests, and what became of those. A cheap handle.
#[derive(Debug, Clone)]
pub struct Clients {
    /// The connections.
    pub connections: Arc<Connections>,
    /// What became of requests.
    pub tally: SharedTally,
    ids: Arc<AtomicU64>,
}

impl Clients {
    /// Clients over these connections.
    #[must_use]
    pub fn new(connections: Arc<Connections>, tally: SharedTally) -> Self {
        Self { connections, tally, ids: Arc::new(AtomicU64::new(1)) }
    }

    /// The same clients with another tally.
    #[must_use]
    pub fn counted_by(&self, tally: SharedTally) -> Self {
        Self { tally, ..self.clone() }
    }

    fn take_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Calls a tool; its outcome, which is told.
    pub async fn call(&self, speaker: &Speaker, call: ToolCall<'_>, manner: Manner) -> Outcome {
        self.tally.begun();
        let (began, id) = (Instant::now(), self.take_id());
        let ended = timeout(limits::LOST_AFTER, self.exchange_call(speaker, call, manner, id)).await;
        let outcome = self.judge(ended, |outcome| manner.allows(outcome), || format!("{call:?} {id}"));
        self.tally.call_ended(outcome, began.elapsed());
        outcome
    }

    async fn exchange_call(
        &self,
        speaker: &Speaker,
        call: ToolCall<'_>,
        manner: Manner,
        id: u64,
    ) -> Result<Outcome> {
        let mut connection = self.connections.take(&self.tally).await?;
        send_call(&mut connection, speaker, call, id).await?;
        let era = speaker.era();
        let outcome = match manner {
            Manner::Patient | Manner::MayEnd => receive_call(&mut connection, era, call, id).await?,
            Manner::Cancels(after) => {
                let cancel = self.cancel(speaker, id, after);
                let (outcome, ()) = tokio::try_join!(receive_call(&mut connection, era, call, id), cancel)?;
                outcome
            }
            Manner::Leaves(after) => {
                match timeout(after, receive_call(&mut connection, era, call, id)).await {
                    Ok(outcome) => outcome?,
                    // The connection goes with it.
                    Err(_) => return Ok(Outcome::GivenUp),
                }
            }
        };
        self.connections.put(connection);
        Ok(outcome)
    }

    /// Cancels the request, after a while and over another connection: its own waits for the answer.
    async fn cancel(&self, speaker: &Speaker, id: u64, after: Duration) -> Result<()> {
        let Speaker::Session(session) = speaker else { bail!("a stateless client cancels by leaving") };
        sleep(after).await;
        let mut connection = self.connections.take(&self.tally).await?;
        notify(&mut connection, session, |writer| writer.cancelled(id)).await.context("cancel")?;
        self.connections.put(connection);
        Ok(())
    }

    /// A connection, a new one if it is to be one's `own`; nothing if the server accepts none, which is told.
    pub async fn connection(&self, own: bool) -> Option<Connection> {
        let connections = &self.connections;
        let taken = if own { connections.open().await } else { connections.take(&self.tally).await };
        taken
            .inspect_err(|failure| {
                self.tally.begun();
                self.tally.other_ended(Outcome::Lost);
                self.tally.complain(|| format!("a connection: {failure:#}"));
            })
            .ok()
    }

    /// Opens a session and tells the server so unless it is not to be `initialized`; nothing if that failed, which is told.
    pub async fn open_session(&self, connection: &mut Connection, initialized: bool) -> Option<Arc<str>> {
        let mut session = None;
        self.other("initialize", open(connection, self.take_id(), initialized, &mut session)).await;
        session
    }

    /// Sends a ping, which must be answered however full the house is; whether it was.
    pub async fn ping(&self, connection: &mut Connection, session: &Arc<str>) -> bool {
        let id = self.take_id();
        let ping = async {
            let (http, writer) = connection.parts(Era::Session);
            writer.set_session(session.to_string());
            http.send(writer.ping(id)).await?;
            let response = http.receive().await?;
            check_result(&response, id)
        };
        self.other("ping", ping).await
    }

    /// Ends the session; whether that was answered.
    pub async fn end_session(&self, connection: &mut Connection, session: &Arc<str>) -> bool {
        let end = async {
            let (http, writer) = connection.parts(Era::Session);
            writer.set_session(session.to_string());
            http.send(writer.end_session()).await?;
            let status = http.receive().await?.status;
            ensure!(status == 204, "status {status}");
            Ok(())
        };
        self.other("DELETE", end).await
    }

    /// Whether a session that was ended is gone.
    pub async fn find_it_gone(&self, connection: &mut Connection, session: &Arc<str>) -> bool {
        let id = self.take_id();
        let look = async {
            let (http, writer) = connection.parts(Era::Session);
            writer.set_session(session.to_string());
            http.send(writer.ping(id)).await?;
            let response = http.receive().await?;
            let outcome = answers::outcome(&response, id, |_| Ok(()))?;
            ensure!(
                outcome == Outcome::SessionGone,
                "its session was ended, and it was answered: {outcome:?}"
            );
            Ok(())
        };
        self.other("ping afterwards", look).await
    }

    /// Listens to the session's own stream until something comes, then leaves without a word.
    pub async fn listen_and_leave(&self, session: &Arc<str>) {
        let listen = async {
            let mut connection = self.connections.open().await?;
            let (http, writer) = connection.parts(Era::Session);
            writer.set_session(session.to_string());
            http.send(writer.listen()).await?;
            let mut head = [0; 12];
            ensure!(http.receive_raw(&mut head).await? == head.len(), "the stream did not begin");
            ensure!(head == *b"HTTP/1.1 200", "{}", String::from_utf8_lossy(&head));
            Ok(())
        };
        self.other("GET", listen).await;
    }

    /// A request that is no call: whether it was answered as it should be; if not, that is told.
    async fn other(&self, what: &str, exchange: impl Future<Output = Result<()>>) -> bool {
        self.tally.begun();
        let ended = timeout(limits::LOST_AFTER, async { exchange.await.map(|()| Outcome::Result) }).await;
        let outcome = self.judge(ended, |_| true, || what.to_owned());
        self.tally.other_ended(outcome);
        outcome == Outcome::Result
    }

    /// The one outcome of an exchange that may have failed or not ended at all.
    fn judge(
        &self,
        ended: Result<Result<Outcome>, tokio::time::error::Elapsed>,
        allowed: impl FnOnce(Outcome) -> bool,
        what: impl FnOnce() -> String,
    ) -> Outcome {
        match ended {
            Ok(Ok(outcome)) if allowed(outcome) => outcome,
            Ok(Ok(outcome)) => {
                self.tally.complain(|| format!("{}: ended as {outcome:?}", what()));
                Outcome::Wrong
            }
            Ok(Err(failure)) => {
                self.tally.complain(|| format!("{}: {failure:#}", what()));
                Outcome::Wrong
            }
            Err(_) => {
                self.tally.complain(|| format!("{}: not answered within {:?}", what(), limits::LOST_AFTER));
                Outcome::Lost
            }
        }
    }
}

async fn send_call(
    connection: &mut Connection,
    speaker: &Speaker,
    call: ToolCall<'_>,
    id: u64,
) -> Result<()> {
    let (http, writer) = connection.parts(speaker.era());
    if let Speaker::Session(session) = speaker {
        writer.set_session(session.to_string());
    }
    http.send(writer.tool_call(id, call)).await
}

async fn receive_call(connection: &mut Connection, era: Era, call: ToolCall<'_>, id: u64) -> Result<Outcome> {
    let response = connection.http.receive().await?;
    let text = match call {
        ToolCall::Echo(text) => Some(text),
        _ => None,
    };
    answers::outcome(&response, id, |response| check_call(response, era, id, text))
}

/// Sends a notification and waits until it was accepted.
async fn notify(
    connection: &mut Connection,
    session: &Arc<str>,
    write: impl FnOnce(&mut RequestWriter) -> &[u8],
) -> Result<()> {
    let (http, writer) = connection.parts(Era::Session);
    writer.set_session(session.to_string());
    http.send(write(writer)).await?;
    let status = http.receive().await?.status;
    ensure!(status == 202, "status {status}");
    Ok(())
}

async fn open(
    connection: &mut Connection,
    id: u64,
    initialized: bool,
    session: &mut Option<Arc<str>>,
) -> Result<()> {
    let (http, writer) = connection.parts(Era::Session);
    http.send(writer.initialize(id)).await?;
    let response = http.receive().await?;
    check_result(&response, id)?;
    let opened: Arc<str> = response.session.context("answered without a session id")?.into();
    *session = Some(Arc::clone(&opened));
    if initialized {
        notify(connection, &opened, |writer| writer.initialized()).await?;
    }
    Ok(())
}

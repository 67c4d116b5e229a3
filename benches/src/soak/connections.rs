//! The generator's connections: kept alive, used in turn, bounded in number.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Result;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits;
use super::tally::SharedTally;
use crate::http_client::{HttpConnection, Idle};
use crate::mcp_requests::{Era, RequestWriter};

/// A connection to the server, with what writes its requests.
#[derive(Debug)]
pub struct Connection {
    /// The bytes.
    pub http: HttpConnection,
    session: RequestWriter,
    stateless: RequestWriter,
    last_used: Instant,
    /// While it is used.
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// What writes requests of this era.
    pub fn parts(&mut self, era: Era) -> (&mut HttpConnection, &mut RequestWriter) {
        match era {
            Era::Session | Era::NoSessionId => (&mut self.http, &mut self.session),
            Era::Stateless => (&mut self.http, &mut self.stateless),
        }
    }
}

/// All connections of a run.
#[derive(Debug)]
pub struct Connections {
    port: u16,
    places: Arc<Semaphore>,
    /// Those that nobody uses, the longest unused first.
    idle: Mutex<VecDeque<Connection>>,
}

impl Connections {
    /// Connections to this port, none of them open yet.
    #[must_use]
    pub fn new(port: u16) -> Self {
        let places = Arc::new(Semaphore::new(limits::CONNECTIONS as usize));
        Self { port, places, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was unused for longest, so that none is for long; a new one if there is none. Waits for its turn
    /// if as many are used as may be.
    ///
    /// # Errors
    ///
    /// When the server accepts no more.
    pub async fn take(&self, tally: &SharedTally) -> Result<Connection> {
        let place = Arc::clone(&self.places).acquire_owned().await?;
        loop {
            let Some(connection) = self.idle().pop_front() else { return self.connect(place).await };
            if let Some(connection) = usable(connection, tally) {
                return Ok(Connection { _place: Some(place), ..connection });
            }
        }
    }

    /// A new connection; waits as [`take`](Self::take) does.
    ///
    /// # Errors
    ///
    /// When the server accepts no more.
    pub async fn open(&self) -> Result<Connection> {
        let place = Arc::clone(&self.places).acquire_owned().await?;
        self.connect(place).await
    }

    async fn connect(&self, place: OwnedSemaphorePermit) -> Result<Connection> {
        Ok(Connection {
            http: HttpConnection::connect(self.port).await?,
            session: RequestWriter::new(Era::Session, self.port),
            stateless: RequestWriter::new(Era::Stateless, self.port),
            last_used: Instant::now(),
            _place: Some(place),
        })
    }

    /// Gives a connection back on which no answer is due.
    pub fn put(&self, connection: Connection) {
        let unused = Connection { last_used: Instant::now(), _place: None, ..connection };
        self.idle().push_back(unused);
    }

    /// Closes those that nobody uses.
    pub fn close_idle(&self, tally: &SharedTally) {
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            usable(connection, tally);
        }
    }
}

/// Nothing if it is old, or the server has closed it. What has come unasked is a second answer, or one to nobody.
fn usable(mut connection: Connection, tally: &SharedTally) -> Option<Connection> {
    match connection.http.idle() {
        Idle::Quiet => (connection.last_used.elapsed() < limits::UNUSED_MOST).then_some(connection),
        Idle::Closed => None,
        Idle::Unasked => {
            tally.unasked();
            None
        }
    }
}

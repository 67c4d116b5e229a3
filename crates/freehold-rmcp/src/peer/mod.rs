//! rmcp's `Peer`, over the streams of the engine.
//!
//! A peer is a handle to a loop that rmcp spawns, and that loop to a transport. A handler gets the peer of its request: what
//! it sends through it goes where that request's messages go, also from tasks that it spawned. rmcp's own association
//! ([`OriginatingRequestId`](rmcp::service::OriginatingRequestId)) lives in a task-local of rmcp that nobody else can set.
//!
//! # Invariants
//!
//! 1. A peer serves at most one request at a time, and only requests of one session; one of a stateless request serves
//!    nothing else. So nothing goes from one client to another.
//! 2. A peer of a session that serves no request speaks on the session's own stream.
//! 3. A peer whose request is over goes back to its session, up to [`KEPT_PEERS`](crate::limits::KEPT_PEERS); it ends with
//!    the session. A handler that kept it can go on using it until then.
//!
//! *Deadlock safety*: the sections move entries; peers are made, ended and dropped outside of them.

mod line;
mod seat;
mod session;

pub(crate) use line::{Handover, Line, Return};
pub use seat::AskFailed;
pub(crate) use seat::{Era, Seat, Serving, giver_of};
pub(crate) use session::SessionPeers;

use crate::limits::PEER_INBOX;
use freehold_mcp::freehold::Session;
use rmcp::{
    Peer, RoleServer,
    model::{ClientJsonRpcMessage, InitializeRequestParams},
    service::{RunningService, serve_directly},
};
use std::sync::Arc;
use tokio::sync::mpsc;

/// The way to the loop of a peer.
pub(crate) type Inbox = mpsc::Sender<ClientJsonRpcMessage>;

/// A peer with its loop, which ends when this is dropped.
pub(crate) struct Connected {
    pub(crate) peer: Peer<RoleServer>,
    pub(crate) inbox: Inbox,
    seat: Arc<Seat>,
    _loop: RunningService<RoleServer, Handover>,
}

impl Connected {
    /// Connects a peer whose number in its session is `number`; none for a request that stands alone.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, where rmcp cannot spawn its loop.
    pub(crate) fn new(session: Option<(Session<()>, u64)>, client: InitializeRequestParams) -> Self {
        let (inbox, messages) = mpsc::channel(PEER_INBOX);
        let seat = Arc::new(Seat::new(session, client.capabilities.clone(), inbox.clone()));
        let running = serve_directly(Handover, Line::new(seat.clone(), messages), Some(client));
        Self { peer: running.peer().clone(), inbox, seat, _loop: running }
    }
}

/// A peer that serves a request, or a notification. Dropping it ends that.
pub(crate) struct Loan {
    connected: Option<Connected>,
    /// Where it goes back to.
    home: Option<Arc<SessionPeers>>,
}

impl Loan {
    pub(crate) fn new(connected: Connected, home: Option<Arc<SessionPeers>>) -> Self {
        Self { connected: Some(connected), home }
    }

    /// What it lends.
    pub(crate) fn peer(&self) -> &Peer<RoleServer> {
        &self.connected().peer
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        &self.connected().inbox
    }

    /// From now on messages of the peer are those of this request.
    pub(crate) fn serve(&self, serving: Arc<Serving>) {
        self.connected().seat.serve(Some(serving));
    }

    fn connected(&self) -> &Connected {
        self.connected.as_ref().expect("it is taken out by the drop only")
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Some(connected) = self.connected.take() else { return };
        connected.seat.serve(None);
        if let Some(home) = &self.home {
            home.take_back(connected);
        }
    }
}

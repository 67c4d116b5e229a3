use super::{Connected, Inbox, Loan};
use crate::{limits::KEPT_PEERS, lock_order};
use freehold_mcp::freehold::Session;
use freehold_sync::ScopedMutex;
use rmcp::model::InitializeRequestParams;
use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// The peers of one session.
pub(crate) struct SessionPeers {
    session: Session<()>,
    /// The client, with the revision that was agreed on.
    client: OnceLock<InitializeRequestParams>,
    free: ScopedMutex<Vec<Connected>, lock_order::FreePeers>,
    /// By the numbers of all peers, for the client's progress on what it was asked.
    inboxes: ScopedMutex<HashMap<u64, Inbox>, lock_order::Inboxes>,
    next: AtomicU64,
    ended: AtomicBool,
}

impl SessionPeers {
    pub(crate) fn new(session: Session<()>) -> Self {
        Self {
            session,
            client: OnceLock::new(),
            free: ScopedMutex::default(),
            inboxes: ScopedMutex::default(),
            next: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        }
    }

    /// Notes who the client is.
    pub(crate) fn set_client(&self, client: InitializeRequestParams) {
        let _ = self.client.set(client);
    }

    /// A peer for one request; none before there is a client.
    pub(crate) fn lend(self: &Arc<Self>) -> Option<Loan> {
        let client = self.client.get()?;
        let free = self.free.with(Vec::pop);
        Some(Loan::new(free.unwrap_or_else(|| self.connect(client)), Some(self.clone())))
    }

    /// A peer for the handshake with `client`.
    pub(crate) fn lend_to_begin(self: &Arc<Self>, client: &InitializeRequestParams) -> Loan {
        Loan::new(self.connect(client), Some(self.clone()))
    }

    fn connect(&self, client: &InitializeRequestParams) -> Connected {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let place = Some((self.session.clone(), number));
        let connected = Connected::new(place, client.clone());
        let inbox = connected.inbox.clone();
        self.inboxes.with(|inboxes| {
            inboxes.insert(number, inbox);
        });
        connected
    }

    /// The way to the peer with this number.
    pub(crate) fn inbox(&self, number: u64) -> Option<Inbox> {
        self.inboxes.with(|inboxes| inboxes.get(&number).cloned())
    }

    pub(crate) fn take_back(&self, connected: Connected) {
        let mut connected = Some(connected);
        self.free.with(|free| {
            if free.len() < KEPT_PEERS
                && let Some(connected) = connected.take()
            {
                free.push(connected);
            }
        });
        if let Some(connected) = connected {
            let number = connected.seat.number();
            let inbox = self.inboxes.with(|inboxes| number.and_then(|number| inboxes.remove(&number)));
            drop((inbox, connected));
        }
        // The session may have ended before this peer was in the list.
        if self.ended.load(Ordering::SeqCst) {
            self.end();
        }
    }

    /// The session has ended: so do its peers, those that still serve a request when they come back.
    pub(crate) fn end(&self) {
        // Before the list is taken; `take_back` reads it after it put a peer there. SeqCst: one of both sees the other.
        self.ended.store(true, Ordering::SeqCst);
        let free = self.free.with(std::mem::take);
        let inboxes = self.inboxes.with(std::mem::take);
        drop((free, inboxes));
    }
}

//! The client of a session, as its `initialize` described it.

use crate::{
    http::{Principal, Streams},
    model::{Capabilities, LogLevel},
};
use freehold::{Session, State};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU8, Ordering},
};

/// What the protocol keeps for a session.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) version: &'static str,
    pub(crate) capabilities: Capabilities,
    log_level: AtomicU8,
    /// Whose session it is, if that is known.
    pub(crate) principal: Option<Arc<Principal>>,
    /// Those that its client can come back to, once there is one.
    pub(crate) streams: OnceLock<Arc<Streams>>,
}

impl Peer {
    pub(crate) fn new(version: &'static str, capabilities: Capabilities) -> Self {
        // Until the client chooses, it gets what an operator would want to see.
        let log_level = AtomicU8::new(LogLevel::Info as u8);
        Self { version, capabilities, log_level, principal: None, streams: OnceLock::new() }
    }

    pub(crate) fn opened_by(self, principal: Option<Arc<Principal>>) -> Self {
        Self { principal, ..self }
    }

    pub(crate) fn of<S: State>(session: &Session<S>) -> Option<&Self> {
        session.attachment()
    }

    pub(crate) fn log_level(&self) -> LogLevel {
        LogLevel::from_code(self.log_level.load(Ordering::Relaxed)).unwrap_or(LogLevel::Info)
    }

    pub(crate) fn set_log_level(&self, level: LogLevel) {
        self.log_level.store(level as u8, Ordering::Relaxed);
    }
}

use super::limits;
use crate::server::McpServerBuilder;
use freehold::State;
use std::{fmt, time::Duration};

/// A secret that protects `requestState`. All servers of a fleet that may get each other's clients need the same.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestStateKey(Box<[u8]>);

/// The key has fewer than 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key for requestState needs {needed} bytes or more, from a source of random ones; this has {0}", needed = limits::STATE_KEY_BYTES)]
pub struct ShortKey(usize);

impl RequestStateKey {
    /// A key of at least 32 random bytes.
    ///
    /// # Errors
    ///
    /// If there are fewer.
    pub fn new(secret: impl Into<Vec<u8>>) -> Result<Self, ShortKey> {
        let secret = secret.into();
        if secret.len() < limits::STATE_KEY_BYTES {
            return Err(ShortKey(secret.len()));
        }
        Ok(Self(secret.into()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RequestStateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestStateKey(..)")
    }
}

/// How a server writes `requestState`.
#[derive(Clone, Debug)]
pub(crate) struct RequestStateOptions {
    /// The first one writes, all of them read. If there is none, the server draws one of its own.
    pub(super) keys: Vec<RequestStateKey>,
    pub(super) ttl: Duration,
    pub(super) most_bytes: usize,
}

impl Default for RequestStateOptions {
    fn default() -> Self {
        Self { keys: Vec::new(), ttl: limits::TTL, most_bytes: limits::STATE_BYTES }
    }
}

/// How requests of the stateless revisions that ask their client are carried on.
impl<S: State> McpServerBuilder<S> {
    /// Protects `requestState` with this key, so that any server with the same key can carry on where this one asked. Without
    /// it, a server draws a key of its own, and what it asked can be answered by it alone, until it restarts.
    ///
    /// Called again, the first key writes and the later ones are read as well (up to 8): to replace a key, give all servers
    /// the new one in second place, then in first place, and leave the old one out when the last state written with it
    /// has expired.
    ///
    /// # Panics
    ///
    /// At the ninth key.
    pub fn request_state_key(mut self, key: RequestStateKey) -> Self {
        assert!(self.request_state.keys.len() < limits::KEYS, "at most {} keys", limits::KEYS);
        self.request_state.keys.push(key);
        self
    }

    /// Sets how long a client may take to answer a question of a stateless request; one hour at first.
    pub fn request_state_ttl(mut self, ttl: Duration) -> Self {
        self.request_state.ttl = ttl;
        self
    }

    /// Sets how large a `requestState` may become, in bytes: it carries the answers of earlier rounds; 256 KiB at first.
    pub fn request_state_bytes(mut self, most: usize) -> Self {
        self.request_state.most_bytes = most;
        self
    }
}

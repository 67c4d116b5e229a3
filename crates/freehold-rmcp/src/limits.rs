//! The bounds of what is kept and queued here; those of calls, questions and streams are the engine's
//! [`Limits`](freehold_mcp::freehold::Limits).

/// Peers that a session keeps for its next requests. A handler that kept a peer of one beyond these is told that its
/// transport is closed.
pub(crate) const KEPT_PEERS: usize = 32;
/// Messages of the client that wait for the loop of one peer: answers to questions and notifications, each of them
/// already counted by the engine.
pub(crate) const PEER_INBOX: usize = 64;

//! What is bounded of requests that ask.

use std::time::Duration;

/// How long a client may take to answer, at first. A person may have to go and look something up.
pub(super) const TTL: Duration = Duration::from_secs(3_600);
/// Bytes of a `requestState`: it is sent twice for each question, and read before anything else is known of a request.
pub(super) const STATE_BYTES: usize = 256 << 10;
/// Bytes that a handler may keep from one round to the next.
pub(super) const KEPT_BYTES: usize = 64 << 10;
/// Questions of one round: a handler that asks more at once does so in a loop that has no end.
pub(super) const OPEN_QUESTIONS: usize = 64;
/// Times that one request may ask: a handler that is never content must not keep its client busy for ever.
pub(super) const ROUNDS: u32 = 64;
/// Bytes of a key that a handler gives.
pub(super) const KEY_BYTES: usize = 128;
/// Keys of a fleet that are accepted beside the one that is written with, while it is replaced.
pub(super) const KEYS: usize = 8;
/// Bytes that a key must have at least, to be as strong as what it is used for.
pub(super) const STATE_KEY_BYTES: usize = 32;

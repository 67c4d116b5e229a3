//! The bounds of the HTTP face that are the same for all servers, each with its unit and its reason; those that an
//! application chooses are in [`HttpOptions`](super::HttpOptions), [`Resumption`](super::Resumption) and
//! [`EventLimits`](super::EventLimits).

use std::time::Duration;

/// Streams of one session that can be taken up again, at most; a call beyond it is answered by a stream that cannot. Each
/// is looked for among the others.
pub(super) const STREAMS_PER_SESSION: usize = 256;
/// How long an event store may take for one event, or to give back those of a stream: a client waits for it.
pub(super) const EVENT_STORE_WAIT: Duration = Duration::from_secs(5);

/// How long a client may be away before its stream, and its call with it, is given up: as long as a call may take by
/// default, so that its own deadline comes first.
pub(super) const KEEP: Duration = Duration::from_secs(600);
/// The bounds of it: shorter ones would keep a core busy, longer ones are none.
pub(super) const KEEP_LEAST: Duration = Duration::from_millis(10);
pub(super) const KEEP_MOST: Duration = Duration::from_secs(24 * 3_600);
/// What clients are told to wait before they come back.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// A call that says nothing for so long gets a stream that its client can come back to; one that is answered sooner needs
/// none.
pub(super) const STREAM_AFTER: Duration = Duration::from_secs(1);

/// Events of one stream that are kept in memory.
pub(super) const EVENTS_PER_STREAM: usize = 256;
/// Events of one session.
pub(super) const EVENTS_PER_SESSION: usize = 1_024;
/// Bytes of those.
pub(super) const EVENT_BYTES_PER_SESSION: usize = 4 << 20;
/// Bytes of the events of all sessions together.
pub(super) const EVENT_BYTES_TOTAL: usize = 256 << 20;

/// How long an authorizer may take for one token: a client waits for it.
pub(super) const AUTHORIZER_WAIT: Duration = Duration::from_secs(10);
/// Bytes of an access token.
pub(super) const TOKEN_BYTES: usize = 8 << 10;

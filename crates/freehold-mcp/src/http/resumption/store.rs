use super::StreamKey;
use bytes::Bytes;
use freehold::runtime::BoxFuture;
use std::fmt;

/// An event that a stream has carried.
///
/// A store makes it anew of what it kept, so it has no more than this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in its stream, from 1 on.
    pub sequence: u64,
    /// The message, encoded, on one line.
    pub message: Bytes,
}

/// An event store failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventStoreError {
    /// There is no room for this event, however much is thrown away.
    #[error("the event is larger than what the store may keep")]
    TooLarge,
    /// The store cannot be reached, did not answer in time, or panicked.
    #[error("the event store cannot be reached; try again")]
    Unavailable,
}

/// Where the events of streams are kept, so that a client that lost its connection can be sent again what it may not have got.
/// One process keeps them in memory ([`MemoryEventStore`](super::MemoryEventStore)).
///
/// Each event is stored before it is sent. A store may throw old events away whenever it wants: who asks for them is told that
/// its stream can no longer be taken up, or goes without the older ones as long as the newest is still there.
///
/// No lock is held while a method runs, and a panic counts as [`EventStoreError::Unavailable`]. The futures get five seconds;
/// they are dropped when their stream's client is gone and nobody has come back.
pub trait EventStore: Send + Sync + fmt::Debug + 'static {
    /// Keeps an event. If this fails the event is sent without an id: the client gets it, but cannot come back to it, and until
    /// a later one is kept not to its stream.
    ///
    /// # Errors
    ///
    /// [`EventStoreError`]; the event may be kept all the same.
    fn append(
        &self,
        stream: StreamKey,
        event: StoredEvent,
    ) -> BoxFuture<'static, Result<(), EventStoreError>>;

    /// The kept events of `stream` that came after the one at `after`, in order, those that are gone left out.
    ///
    /// # Errors
    ///
    /// [`EventStoreError`].
    fn replay(
        &self,
        stream: StreamKey,
        after: u64,
    ) -> BoxFuture<'static, Result<Vec<StoredEvent>, EventStoreError>>;

    /// The stream can no longer be taken up: its events may go.
    fn forget(&self, stream: StreamKey) -> BoxFuture<'static, ()>;
}

//! [`EventStore`] in this process's memory.
//!
//! The events of a session are one queue in order of arrival, so that what is thrown away is always the oldest.
//!
//! # Invariants
//!
//! 1. `bytes` of a session, and of the whole, count exactly what is in the queues.
//! 2. `of_stream` has the number of each stream's events in the queue, and no stream without any; a session without events
//!    is not in the map.
//!
//! *Deadlock safety*: the section moves events only; what is thrown away is dropped after it.

use super::{EventStore, EventStoreError, StoredEvent, StreamId, StreamKey};
use crate::{http::limits, lock_order};
use foldhash::fast::RandomState;
use freehold::{SessionId, runtime::BoxFuture};
use freehold_sync::ScopedMutex;
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::ready,
};

/// How much a [`MemoryEventStore`] keeps. Of what is too much, the oldest of the same stream or session goes first.
///
/// # Examples
///
/// ```
/// let limits = freehold_mcp::EventLimits { events_per_stream: 16, ..Default::default() };
/// assert!(limits.events_per_stream < limits.events_per_session);
/// ```
#[derive(Clone, Debug)]
pub struct EventLimits {
    /// Events of one stream, so that one that says much does not take all room of its session.
    pub events_per_stream: usize,
    /// Events of all streams of one session.
    pub events_per_session: usize,
    /// Bytes of those.
    pub bytes_per_session: usize,
    /// Bytes of the events of all sessions. A session that finds no room here throws its own oldest events away.
    pub bytes_total: usize,
}

impl Default for EventLimits {
    fn default() -> Self {
        Self {
            events_per_stream: limits::EVENTS_PER_STREAM,
            events_per_session: limits::EVENTS_PER_SESSION,
            bytes_per_session: limits::EVENT_BYTES_PER_SESSION,
            bytes_total: limits::EVENT_BYTES_TOTAL,
        }
    }
}

/// [`EventStore`] in this process's memory, bounded by its [`EventLimits`]; the age of what it keeps is bounded by
/// [`Resumption::keep`](super::Resumption::keep).
#[derive(Default)]
pub struct MemoryEventStore {
    limits: EventLimits,
    kept: ScopedMutex<Kept, lock_order::KeptEvents>,
}

#[derive(Default)]
struct Kept {
    sessions: HashMap<SessionId, OfSession, RandomState>,
    bytes: usize,
}

#[derive(Default)]
struct OfSession {
    events: VecDeque<(StreamId, StoredEvent)>,
    of_stream: HashMap<StreamId, usize, RandomState>,
    bytes: usize,
}

impl MemoryEventStore {
    /// One that keeps so much.
    #[must_use]
    pub fn new(limits: EventLimits) -> Self {
        Self { limits, kept: ScopedMutex::default() }
    }

    /// Bytes that it keeps now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.kept.with(|kept| kept.bytes)
    }

    fn append_now(&self, key: StreamKey, event: StoredEvent) -> Result<(), EventStoreError> {
        let size = event.message.len();
        if size > self.limits.bytes_per_session.min(self.limits.bytes_total) {
            return Err(EventStoreError::TooLarge);
        }
        let mut gone = Vec::new();
        let appended = self.kept.with(|kept| {
            let Kept { sessions, bytes } = kept;
            let session = sessions.entry(key.session).or_default();
            session.make_room(key.stream, size, *bytes, &self.limits, &mut gone);
            *bytes -= gone.iter().map(|event: &StoredEvent| event.message.len()).sum::<usize>();
            let fits = *bytes + size <= self.limits.bytes_total && self.limits.events_per_stream > 0;
            if fits && session.events.len() < self.limits.events_per_session {
                *bytes += size;
                session.push(key.stream, event);
                return Ok(());
            }
            if session.events.is_empty() {
                sessions.remove(&key.session);
            }
            Err(EventStoreError::TooLarge)
        });
        drop(gone);
        appended
    }

    fn replay_now(&self, key: StreamKey, after: u64) -> Vec<StoredEvent> {
        let wanted = |of: &&(StreamId, StoredEvent)| of.0 == key.stream && of.1.sequence > after;
        self.kept.with(|kept| {
            let session = kept.sessions.get(&key.session);
            session.map_or_else(Vec::new, |session| {
                session.events.iter().filter(wanted).map(|(_, event)| event.clone()).collect()
            })
        })
    }

    fn forget_now(&self, key: StreamKey) {
        let mut gone = VecDeque::new();
        let emptied = self.kept.with(|kept| {
            let session = kept.sessions.get_mut(&key.session)?;
            session.of_stream.remove(&key.stream)?;
            let (forgotten, left) =
                std::mem::take(&mut session.events).into_iter().partition(|(of, _)| *of == key.stream);
            (gone, session.events) = (forgotten, left);
            let bytes: usize = gone.iter().map(|(_, event)| event.message.len()).sum();
            session.bytes -= bytes;
            kept.bytes -= bytes;
            if session.events.is_empty() { kept.sessions.remove(&key.session) } else { None }
        });
        drop((gone, emptied));
    }
}

impl OfSession {
    /// Throws away what must go before an event of `size` bytes can come, of its own stream first.
    fn make_room(
        &mut self,
        stream: StreamId,
        size: usize,
        total: usize,
        limits: &EventLimits,
        gone: &mut Vec<StoredEvent>,
    ) {
        if self.of_stream.get(&stream).is_some_and(|count| *count >= limits.events_per_stream) {
            let oldest = self.events.iter().position(|(of, _)| *of == stream);
            gone.extend(oldest.and_then(|index| self.remove(index)));
        }
        let mut total = total - gone.iter().map(|event| event.message.len()).sum::<usize>();
        while self.events.len() >= limits.events_per_session
            || self.bytes + size > limits.bytes_per_session
            || total + size > limits.bytes_total
        {
            let Some(event) = self.remove(0) else { return };
            total -= event.message.len();
            gone.push(event);
        }
    }

    fn push(&mut self, stream: StreamId, event: StoredEvent) {
        self.bytes += event.message.len();
        *self.of_stream.entry(stream).or_default() += 1;
        self.events.push_back((stream, event));
    }

    fn remove(&mut self, index: usize) -> Option<StoredEvent> {
        let (stream, event) = self.events.remove(index)?;
        self.bytes -= event.message.len();
        if let Some(count) = self.of_stream.get_mut(&stream) {
            *count -= 1;
            if *count == 0 {
                self.of_stream.remove(&stream);
            }
        }
        Some(event)
    }
}

impl EventStore for MemoryEventStore {
    fn append(
        &self,
        stream: StreamKey,
        event: StoredEvent,
    ) -> BoxFuture<'static, Result<(), EventStoreError>> {
        Box::pin(ready(self.append_now(stream, event)))
    }

    fn replay(
        &self,
        stream: StreamKey,
        after: u64,
    ) -> BoxFuture<'static, Result<Vec<StoredEvent>, EventStoreError>> {
        Box::pin(ready(Ok(self.replay_now(stream, after))))
    }

    fn forget(&self, stream: StreamKey) -> BoxFuture<'static, ()> {
        self.forget_now(stream);
        Box::pin(ready(()))
    }
}

impl fmt::Debug for MemoryEventStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEventStore").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{EventLimits, EventStoreError, MemoryEventStore, StoredEvent, StreamId, StreamKey};
    use bytes::Bytes;
    use freehold::SessionId;

    fn session(number: u128) -> SessionId {
        format!("{number:032x}").parse().expect("it is one")
    }

    fn key(of_session: u128, stream: u64) -> StreamKey {
        StreamKey { session: session(of_session), stream: StreamId::of(stream) }
    }

    fn append(
        store: &MemoryEventStore,
        key: StreamKey,
        sequence: u64,
        text: &'static str,
    ) -> Result<(), EventStoreError> {
        store.append_now(key, StoredEvent { sequence, message: Bytes::from_static(text.as_bytes()) })
    }

    fn replayed(store: &MemoryEventStore, key: StreamKey, after: u64) -> Vec<u64> {
        store.replay_now(key, after).iter().map(|event| event.sequence).collect()
    }

    fn limits() -> EventLimits {
        EventLimits { events_per_stream: 3, events_per_session: 5, bytes_per_session: 40, bytes_total: 60 }
    }

    #[test]
    fn a_stream_gets_its_own_events_and_no_others() {
        let store = MemoryEventStore::default();
        let (one, two, foreign) = (key(1, 1), key(1, 2), key(2, 1));
        for sequence in 1..=3 {
            append(&store, one, sequence, "one").unwrap();
            append(&store, two, sequence, "two").unwrap();
        }
        assert_eq!(replayed(&store, one, 1), [2, 3]);
        assert!(store.replay_now(two, 0).iter().all(|event| event.message == "two"));
        assert!(replayed(&store, foreign, 0).is_empty(), "its number alone does not make it the same stream");
        store.forget_now(one);
        assert!(replayed(&store, one, 0).is_empty());
        assert_eq!(replayed(&store, two, 0), [1, 2, 3]);
        store.forget_now(two);
        store.forget_now(two);
        assert_eq!(store.bytes(), 0);
        assert!(store.kept.with(|kept| kept.sessions.is_empty()));
    }

    #[test]
    fn the_oldest_of_the_same_stream_goes_first_then_the_oldest_of_the_session() {
        let store = MemoryEventStore::new(limits());
        let (one, two) = (key(1, 1), key(1, 2));
        append(&store, two, 1, "b").unwrap();
        for sequence in 1..=4 {
            append(&store, one, sequence, "a").unwrap();
        }
        assert_eq!((replayed(&store, one, 0), replayed(&store, two, 0)), (vec![2, 3, 4], vec![1]));
        append(&store, two, 2, "b").unwrap();
        append(&store, two, 3, "b").unwrap();
        assert_eq!((replayed(&store, one, 0), replayed(&store, two, 0)), (vec![2, 3, 4], vec![2, 3]));
        assert_eq!(store.bytes(), 5);
    }

    #[test]
    fn bytes_of_a_session_and_of_all_are_bounded() {
        let store = MemoryEventStore::new(limits());
        const TEN: &str = "0123456789";
        const FORTY: &str = "0123456789012345678901234567890123456789";
        append(&store, key(1, 1), 1, TEN).unwrap();
        append(&store, key(1, 1), 2, FORTY).unwrap();
        assert_eq!(replayed(&store, key(1, 1), 0), [2], "its own older ones made room");
        append(&store, key(2, 1), 1, TEN).unwrap();
        append(&store, key(2, 1), 2, TEN).unwrap();
        append(&store, key(2, 1), 3, TEN).unwrap();
        assert_eq!(replayed(&store, key(2, 1), 0), [2, 3], "at the total, too");
        assert_eq!(append(&store, key(3, 1), 1, TEN), Err(EventStoreError::TooLarge), "it has none to give");
        assert_eq!(append(&store, key(1, 1), 3, "x").map(|()| store.bytes()), Ok(21));
        let too_large = "01234567890123456789012345678901234567890";
        assert_eq!(append(&store, key(1, 1), 4, too_large), Err(EventStoreError::TooLarge));
        assert_eq!(replayed(&store, key(1, 1), 0), [3], "what does not fit takes nothing with it");
        assert_eq!(store.kept.with(|kept| kept.sessions.len()), 2);
    }
}

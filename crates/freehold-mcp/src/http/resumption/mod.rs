//! Streams that a client can come back to after it lost its connection, in the revisions with sessions.
//!
//! Off unless [`HttpOptions::resumption`](super::HttpOptions::resumption) is set. An answer that comes at once is JSON as
//! ever; only what becomes a stream costs anything.
//!
//! A [`stream`] has a number of its own, and each of its events an id that names it. While its client is away the call goes
//! on, bounded by its deadline; what it says waits in the call's own bounded queue. What was sent is in the [`store`], to be
//! sent again to a client that names the last id it got. The session's [`table`] says which streams there are.

mod id;
mod memory;
mod store;
mod stream;
mod table;

pub use id::{StreamId, StreamKey};
pub use memory::{EventLimits, MemoryEventStore};
pub use store::{EventStore, EventStoreError, StoredEvent};
pub(crate) use table::Streams;

use super::{
    HttpService,
    answer::{self, First, HttpBody, Source, of_first, poll_first},
    headers::{LAST_EVENT_ID, Unclear, single},
    limits::{EVENT_STORE_WAIT, KEEP, RETRY, STREAM_AFTER},
};
use crate::peer::Peer;
use bytes::Bytes;
use freehold::{
    Session, State,
    runtime::{Runtime, until},
};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::RETRY_AFTER};
use id::EventId;
use std::{
    collections::VecDeque,
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use stream::{Next, Reader, Stream};

/// The first revision whose clients come back when the server lets the connection go (SEP-1699); older ones may take an event
/// without data for a broken message.
const POLLS_SINCE: &str = "2025-11-25";

/// How clients can take streams up again.
///
/// # Examples
///
/// ```
/// use freehold_mcp::{HttpOptions, MemoryEventStore, Resumption};
/// use std::sync::Arc;
///
/// let resumption = Resumption::new(Arc::new(MemoryEventStore::default()));
/// let options = HttpOptions { resumption: Some(resumption), ..HttpOptions::default() };
/// ```
#[derive(Clone, Debug)]
pub struct Resumption {
    /// Where events are kept.
    pub store: Arc<dyn EventStore>,
    /// How long a client may be away. Then its stream is given up, and a call that still runs is cancelled as disconnected.
    pub keep: Duration,
    /// How long a client is asked to wait before it comes back.
    pub retry: Duration,
    /// A call that says nothing for so long is answered by a stream.
    pub stream_after: Duration,
}

impl Resumption {
    /// With the defaults: ten minutes away, a second before coming back, a stream after a second.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        Self { store, keep: KEEP, retry: RETRY, stream_after: STREAM_AFTER }
    }
}

/// Runs code of the application's, whose panic is its own.
fn contained<T>(run: impl FnOnce() -> T) -> Result<T, EventStoreError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| EventStoreError::Unavailable)
}

/// The events of one connection.
pub(super) struct ResumableEvents {
    reader: Reader,
    /// What the client missed.
    again: VecDeque<StoredEvent>,
    /// How long the client is asked to wait; nothing if it would not come back.
    retry: Option<Duration>,
    closing: bool,
}

impl ResumableEvents {
    /// The next event as it is written; nothing at the end of the connection.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.closing {
            return Poll::Ready(None);
        }
        if let Some(event) = self.again.pop_front() {
            let id = self.reader.stream().id_of(event.sequence);
            return Poll::Ready(Some(event_with(Some(id), &event.message)));
        }
        loop {
            return Poll::Ready(match ready!(self.reader.poll_next(cx)) {
                Next::Event(id, message) => Some(event_with(id, &message)),
                Next::CloseStream => match self.retry {
                    None => continue,
                    Some(retry) => {
                        self.closing = true;
                        Some(Bytes::from(format!("retry: {}\n\n", retry.as_millis())))
                    }
                },
                Next::End => None,
            });
        }
    }

    /// What begins the connection, so that the client can come back though nothing was said yet.
    fn priming(&self, sequence: u64) -> Option<Bytes> {
        let retry = self.retry?;
        let id = self.reader.stream().id_of(sequence);
        Some(Bytes::from(format!("id: {id}\nretry: {}\ndata: \n\n", retry.as_millis())))
    }
}

/// One event, in one piece, so that it leaves in one write.
fn event_with(id: Option<EventId>, message: &Bytes) -> Bytes {
    const AROUND: usize = 64;
    let mut head = String::with_capacity(AROUND + message.len());
    if let Some(id) = id {
        // Writing to a string cannot fail.
        let _ = writeln!(head, "id: {id}");
    }
    head.push_str("event: message\ndata: ");
    let mut out = head.into_bytes();
    out.extend_from_slice(message);
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

impl<S: State> HttpService<S> {
    fn streams<'a>(&self, session: &'a Session<S>) -> Option<(&'a Peer, &'a Arc<Streams>)> {
        let peer = Peer::of(session)?;
        Some((peer, peer.streams.get_or_init(Arc::default)))
    }

    /// The answer of a session's call, or of its calls: JSON if it comes soon, else a stream that the client can come back to.
    pub(super) async fn answer_resumably(
        &self,
        resumption: &Resumption,
        session: &Session<S>,
        mut source: Box<dyn Source>,
    ) -> Response<HttpBody> {
        let polls = Peer::of(session).is_some_and(|peer| peer.version >= POLLS_SINCE);
        let runtime = self.server.engine().runtime();
        let patience = resumption.stream_after.min(self.options.keep_alive);
        let pending = match poll_first(&mut *source, patience, polls, runtime).await {
            First::Whole(answer) => return answer,
            First::Said(said) => Some(said),
            First::Quiet => None,
        };
        let Some((peer, streams)) = self.streams(session) else {
            return of_first(source, pending, &self.options, runtime);
        };
        let key = StreamKey { session: session.id(), stream: StreamId::random(&**runtime) };
        let stream =
            Arc::new(Stream::new(key, Some(source), pending, resumption.store.clone(), runtime.clone()));
        let reader = stream.attach(None);
        if streams.enter(&stream, session, resumption).is_err() {
            // Nobody can come back to it: it ends with its connection, and no event of it is stored.
            stream.release();
            let events = ResumableEvents { reader, again: VecDeque::new(), retry: None, closing: false };
            return answer::resumable(events, None, &self.options, runtime);
        }
        self.resumable_events(resumption, peer, reader, 0, VecDeque::new())
    }

    fn resumable_events(
        &self,
        resumption: &Resumption,
        peer: &Peer,
        reader: Reader,
        sequence: u64,
        again: VecDeque<StoredEvent>,
    ) -> Response<HttpBody> {
        let retry = (peer.version >= POLLS_SINCE).then_some(resumption.retry);
        let events = ResumableEvents { reader, again, retry, closing: false };
        let priming = events.priming(sequence);
        answer::resumable(events, priming, &self.options, self.server.engine().runtime())
    }

    /// GET: the session's own stream, or one that the client takes up again.
    pub(super) async fn get_resumably(
        &self,
        resumption: &Resumption,
        headers: &HeaderMap,
        session: &Session<S>,
    ) -> Response<HttpBody> {
        match single(headers, LAST_EVENT_ID) {
            Ok(None) => self.listen_resumably(resumption, session).await,
            Ok(Some(text)) => match text.parse() {
                Ok(last) => self.resume(resumption, session, last).await,
                Err(id::NoEventId) => refuse("the header Last-Event-ID has no event id of this server"),
            },
            Err(Unclear) => refuse("the header Last-Event-ID stands twice or is not text"),
        }
    }

    async fn listen_resumably(&self, resumption: &Resumption, session: &Session<S>) -> Response<HttpBody> {
        let runtime = self.server.engine().runtime();
        let Some((peer, streams)) = self.streams(session) else { return gone() };
        let stream = match streams.own() {
            Some(stream) => stream,
            None => {
                let key = StreamKey { session: session.id(), stream: StreamId::random(&**runtime) };
                let stream =
                    Arc::new(Stream::new(key, None, None, resumption.store.clone(), runtime.clone()));
                if streams.enter(&stream, session, resumption).is_err() {
                    return answer::of_session(session.listen(), &self.options, runtime);
                }
                stream
            }
        };
        let mut reader = stream.attach(Some(answer::listen(session)));
        let Some(position) = reader.position().await else { return gone() };
        self.resumable_events(resumption, peer, reader, position, VecDeque::new())
    }

    /// Takes up the stream that the event `last` is of, from there on.
    async fn resume(
        &self,
        resumption: &Resumption,
        session: &Session<S>,
        last: EventId,
    ) -> Response<HttpBody> {
        let Some((peer, streams)) = self.streams(session) else { return gone() };
        let Some(stream) = streams.find(last.stream) else { return gone() };
        // Before its reader loses it.
        if !stream.has_sent(last.sequence) {
            return gone();
        }
        let listens = stream.own.then(|| answer::listen(session));
        let mut reader = stream.attach(listens);
        let Some(stored) = reader.position().await else { return gone() };
        let again = match self.replay(resumption, &stream, last.sequence, stored).await {
            Ok(again) => again,
            Err(error) => return unavailable(error, self.server.engine().limits().retry_after),
        };
        // Without the newest event the client would miss a question or the answer, and wait for ever.
        let newest = again.back().map_or(last.sequence, |event| event.sequence);
        if newest != stored {
            return gone();
        }
        self.resumable_events(resumption, peer, reader, last.sequence, again)
    }

    async fn replay(
        &self,
        resumption: &Resumption,
        stream: &Stream,
        after: u64,
        upto: u64,
    ) -> Result<VecDeque<StoredEvent>, EventStoreError> {
        if after == upto {
            return Ok(VecDeque::new());
        }
        let runtime: &dyn Runtime = &**self.server.engine().runtime();
        let mut replayed = contained(|| resumption.store.replay(stream.key, after))?;
        let replayed = std::future::poll_fn(|cx| match contained(|| replayed.as_mut().poll(cx)) {
            Ok(polled) => polled,
            Err(panicked) => Poll::Ready(Err(panicked)),
        });
        let replayed = until(runtime, runtime.now() + EVENT_STORE_WAIT, replayed).await;
        let events = replayed.unwrap_or(Err(EventStoreError::Unavailable))?;
        let missed = |event: &StoredEvent| event.sequence > after && event.sequence <= upto;
        Ok(events.into_iter().filter(missed).collect())
    }
}

fn refuse(reason: &'static str) -> Response<HttpBody> {
    answer::refuse(StatusCode::BAD_REQUEST, None, reason)
}

/// The same whether the stream was another session's, never was, or is no longer kept.
fn gone() -> Response<HttpBody> {
    refuse("this session has no such stream, or no longer what came after that event; send the request again")
}

fn unavailable(error: EventStoreError, retry_after: Duration) -> Response<HttpBody> {
    let mut response = answer::refuse(StatusCode::SERVICE_UNAVAILABLE, None, error.to_string());
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
    response
}

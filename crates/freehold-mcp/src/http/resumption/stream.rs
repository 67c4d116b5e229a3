//! A stream whose client may lose its connection and come back: what it carries outlives the connection.
//!
//! # Invariants
//!
//! 1. The feed (the source, and what was taken from it but not yet sent) is in the cell, or with the one reader that polls it
//!    at this moment. A connection that is stuck holds nothing: its reader has put the feed back.
//! 2. Only the reader with the current number takes the feed out. A new one takes over from the one before at once; if
//!    that one is polling, the new one is woken when the feed is back.
//! 3. An event is stored before a reader gets it, and gets the next number of its stream; events below `feed.last`, and
//!    the one there unless it is just being appended, have been stored or never will be.
//! 4. The reader's waker is stored in the section that found the feed away or superseded it, and taken when the feed is back or
//!    another one takes over.
//! 5. Once the stream is released no event is stored, and what was stored is forgotten after the last append.
//! 6. A released stream that nobody reads is gone: whoever attaches to it then is told so, and does not wait for the feed,
//!    which nobody will put back.
//!
//! *Deadlock safety*: the section moves the feed in and out; nothing is polled, woken or dropped in it.

use super::{EventId, EventStore, EventStoreError, StoredEvent, StreamKey, contained};
use crate::{
    framing::one_line,
    http::{
        answer::{Said, Source},
        limits::EVENT_STORE_WAIT,
    },
    lock_order,
};
use bytes::Bytes;
use freehold::runtime::{BoxFuture, Runtime, Timer};
use freehold_sync::ScopedMutex;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

pub(super) struct Stream {
    pub(super) key: StreamKey,
    /// Whether it is the session's own one, whose messages come from whoever listens to the session.
    pub(super) own: bool,
    store: Arc<dyn EventStore>,
    runtime: Arc<dyn Runtime>,
    cell: ScopedMutex<Cell, lock_order::ResumableStream>,
}

struct Cell {
    feed: Option<Box<Feed>>,
    reader: u64,
    attached: bool,
    /// When its last reader left.
    left: Instant,
    waker: Option<Waker>,
    released: bool,
    /// Released, and left by its last reader.
    gone: bool,
    ended: bool,
    /// The number of the newest event that a reader can have got.
    sent: u64,
}

/// Where a stream stands.
struct Feed {
    /// Nothing once it has ended, and in a session's own stream.
    source: Option<Box<dyn Source>>,
    /// What its source said before it became a stream.
    pending: Option<Said>,
    appending: Option<Appending>,
    /// The number of the newest event.
    last: u64,
    /// Whether it was told that nothing is stored any more, and that what is may go.
    forgotten: bool,
}

struct Appending {
    stored: BoxFuture<'static, Result<(), EventStoreError>>,
    patience: Option<Pin<Box<dyn Timer>>>,
    message: Bytes,
}

/// What a reader gets.
pub(super) enum Next {
    /// A message; with an id unless it could not be stored.
    Event(Option<EventId>, Bytes),
    /// Let the connection go.
    CloseStream,
    /// The stream has ended, or another reader took over.
    End,
}

enum Taken {
    Feed(Box<Feed>, bool),
    Busy,
    /// By a newer reader, or the stream is gone.
    Over,
}

impl Stream {
    pub(super) fn new(
        key: StreamKey,
        source: Option<Box<dyn Source>>,
        pending: Option<Said>,
        store: Arc<dyn EventStore>,
        runtime: Arc<dyn Runtime>,
    ) -> Self {
        let own = source.is_none();
        let feed = Feed { source, pending, appending: None, last: 0, forgotten: false };
        let cell = Cell {
            feed: Some(Box::new(feed)),
            reader: 0,
            attached: false,
            left: runtime.now(),
            waker: None,
            released: false,
            gone: false,
            ended: false,
            sent: 0,
        };
        Self { key, own, store, runtime, cell: ScopedMutex::of(cell) }
    }

    pub(super) fn id_of(&self, sequence: u64) -> EventId {
        EventId { stream: self.key.stream, sequence }
    }

    /// Takes over from the reader before. A session's own stream needs `listens`, where its messages come from.
    pub(super) fn attach(self: &Arc<Self>, listens: Option<Box<dyn Source>>) -> Reader {
        let (number, superseded) = self.cell.with(|cell| {
            cell.reader += 1;
            cell.attached = true;
            (cell.reader, cell.waker.take())
        });
        wake(superseded);
        Reader { stream: self.clone(), number, listens }
    }

    /// Since when nobody reads it.
    pub(super) fn unread_since(&self) -> Option<Instant> {
        self.cell.with(|cell| (!cell.attached).then_some(cell.left))
    }

    /// Whether there is nothing to come any more, and nobody reads what there was.
    pub(super) fn is_over(&self) -> bool {
        self.cell.with(|cell| cell.ended && !cell.attached)
    }

    /// Whether its reader can have got this event.
    pub(super) fn has_sent(&self, sequence: u64) -> bool {
        self.cell.with(|cell| sequence <= cell.sent)
    }

    /// It can no longer be taken up. A reader that has it goes on; without one, what the stream carries is given up.
    pub(super) fn release(&self) {
        let (feed, busy) = self.cell.with(|cell| {
            cell.released = true;
            (cell.give_up_unread(), cell.attached)
        });
        drop(feed);
        // Nothing is being stored if nobody reads; else the reader forgets when its poll is over.
        if !busy {
            self.forget();
        }
    }

    fn forget(&self) {
        if let Ok(forgotten) = contained(|| self.store.forget(self.key)) {
            self.runtime.spawn("forget events", forgotten);
        }
    }

    fn take(&self, reader: u64, cx: &Context<'_>) -> Taken {
        let mut displaced = None;
        let taken = self.cell.with(|cell| {
            if cell.gone || cell.reader != reader {
                return Taken::Over;
            }
            if !cell.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                displaced = cell.waker.replace(cx.waker().clone());
            }
            match cell.feed.take() {
                Some(feed) => Taken::Feed(feed, cell.released),
                None => Taken::Busy,
            }
        });
        drop(displaced);
        taken
    }

    /// Puts the feed back; whoever took over meanwhile is woken.
    fn put_back(&self, reader: u64, mut feed: Box<Feed>, released: bool) {
        let (ended, sent) = (!self.own && feed.has_ended(), feed.stored());
        let forgets = released && feed.appending.is_none() && !feed.forgotten;
        feed.forgotten |= forgets;
        let waker = self.cell.with(|cell| {
            cell.feed = Some(feed);
            (cell.ended, cell.sent) = (ended, sent);
            if cell.reader == reader { None } else { cell.waker.take() }
        });
        wake(waker);
        if forgets {
            self.forget();
        }
    }

    fn leave(&self, reader: u64) {
        let now = self.runtime.now();
        let (waker, feed) = self.cell.with(|cell| {
            if cell.reader != reader {
                return (None, None);
            }
            cell.attached = false;
            cell.left = now;
            (cell.waker.take(), cell.give_up_unread())
        });
        let released = feed.is_some();
        drop((waker, feed));
        if released {
            self.forget();
        }
    }
}

impl Cell {
    /// Takes the feed out for good if the stream is released and nobody reads it.
    fn give_up_unread(&mut self) -> Option<Box<Feed>> {
        if !self.released || self.attached {
            return None;
        }
        self.gone = true;
        self.feed.take()
    }
}

impl Feed {
    /// The next thing for the reader; what is under way stays for whoever polls next.
    fn poll_next(
        &mut self,
        stream: &Stream,
        listens: Option<&mut Box<dyn Source>>,
        released: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Next> {
        if self.appending.is_none() {
            let said = match self.pending.take() {
                Some(said) => said,
                None => match listens.or(self.source.as_mut()) {
                    Some(source) => ready!(source.poll_message(cx)),
                    None => Said::End,
                },
            };
            match said {
                Said::Message(message) if released => return Poll::Ready(Next::Event(None, message)),
                Said::Message(message) => self.append(stream, message),
                Said::Answer(answer) => {
                    self.source = None;
                    if released {
                        return Poll::Ready(Next::Event(None, answer));
                    }
                    self.append(stream, answer);
                }
                Said::CloseStream => return Poll::Ready(Next::CloseStream),
                Said::End => {
                    self.source = None;
                    return Poll::Ready(Next::End);
                }
            }
        }
        self.poll_appended(stream, cx)
    }

    fn append(&mut self, stream: &Stream, message: Bytes) {
        self.last += 1;
        let message = one_line(message);
        let event = StoredEvent { sequence: self.last, message: message.clone() };
        let stored = contained(|| stream.store.append(stream.key, event));
        let stored = stored.unwrap_or_else(|error| Box::pin(std::future::ready(Err(error))));
        self.appending = Some(Appending { stored, patience: None, message });
    }

    fn poll_appended(&mut self, stream: &Stream, cx: &mut Context<'_>) -> Poll<Next> {
        let Some(appending) = &mut self.appending else { return Poll::Pending };
        let stored = ready!(appending.poll(&*stream.runtime, cx));
        let Some(Appending { message, .. }) = self.appending.take() else { return Poll::Pending };
        if let Err(error) = stored {
            tracing::warn!(stream = %stream.key.stream, %error, "an event is sent that cannot be sent again");
            return Poll::Ready(Next::Event(None, message));
        }
        Poll::Ready(Next::Event(Some(stream.id_of(self.last)), message))
    }

    /// Whether there is nothing more to come.
    fn has_ended(&self) -> bool {
        self.source.is_none() && self.pending.is_none() && self.appending.is_none()
    }

    /// The number of the newest event that is surely stored, if it could be.
    fn stored(&self) -> u64 {
        self.last - u64::from(self.appending.is_some())
    }
}

impl Appending {
    fn poll(&mut self, runtime: &dyn Runtime, cx: &mut Context<'_>) -> Poll<Result<(), EventStoreError>> {
        match contained(|| self.stored.as_mut().poll(cx)) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(stored)) => return Poll::Ready(stored),
            Err(panicked) => return Poll::Ready(Err(panicked)),
        }
        let patience = self.patience.get_or_insert_with(|| runtime.timer(runtime.now() + EVENT_STORE_WAIT));
        patience.as_mut().poll(cx).map(|()| Err(EventStoreError::Unavailable))
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// One connection of a stream's client.
pub(super) struct Reader {
    stream: Arc<Stream>,
    number: u64,
    listens: Option<Box<dyn Source>>,
}

impl Reader {
    pub(super) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let (mut feed, released) = match self.stream.take(self.number, cx) {
            Taken::Feed(feed, released) => (feed, released),
            Taken::Busy => return Poll::Pending,
            Taken::Over => return Poll::Ready(Next::End),
        };
        let next = feed.poll_next(&self.stream, self.listens.as_mut(), released, cx);
        self.stream.put_back(self.number, feed, released);
        next
    }

    /// Waits until the reader before is not in the middle of an event; up to where the stream is stored. `None` if a newer
    /// reader took over, or the stream was given up before this one came.
    pub(super) async fn position(&mut self) -> Option<u64> {
        std::future::poll_fn(|cx| match self.stream.take(self.number, cx) {
            Taken::Feed(feed, released) => {
                let stored = feed.stored();
                self.stream.put_back(self.number, feed, released);
                Poll::Ready(Some(stored))
            }
            Taken::Busy => Poll::Pending,
            Taken::Over => Poll::Ready(None),
        })
        .await
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stream.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::Stream;
    use crate::http::resumption::{MemoryEventStore, StreamId, StreamKey};
    use freehold::runtime::TokioRuntime;
    use futures_util::FutureExt as _;
    use std::sync::Arc;

    fn stream() -> Arc<Stream> {
        let session = format!("{:032x}", 1).parse().unwrap();
        let key = StreamKey { session, stream: StreamId::of(1) };
        let store = Arc::new(MemoryEventStore::default());
        Arc::new(Stream::new(key, None, None, store, Arc::new(TokioRuntime)))
    }

    /// Who found it in the table may be slower than who gives it up: nobody puts a feed back that is gone.
    #[tokio::test]
    async fn who_takes_up_what_has_been_given_up_is_told_so() {
        let given_up = stream();
        given_up.release();
        assert_eq!(given_up.attach(None).position().now_or_never(), Some(None), "before anybody came");

        let left = stream();
        let reader = left.attach(None);
        left.release();
        drop(reader);
        assert_eq!(left.attach(None).position().now_or_never(), Some(None), "after its reader left");

        let read = stream();
        let mut reader = read.attach(None);
        read.release();
        assert_eq!(reader.position().now_or_never(), Some(Some(0)), "who reads it goes on");
    }
}

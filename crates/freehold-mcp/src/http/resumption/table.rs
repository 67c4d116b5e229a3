//! The streams of a session that its client can come back to, and who gives them up.

use super::{Resumption, StreamId, stream::Stream};
use crate::{
    http::limits::{KEEP_LEAST, KEEP_MOST, STREAMS_PER_SESSION},
    lock_order,
};
use freehold::{
    Session, State,
    runtime::{Runtime, until},
};
use freehold_sync::ScopedMutex;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// The streams of one session.
#[derive(Default)]
pub(crate) struct Streams {
    table: ScopedMutex<Table, lock_order::ResumableStreams>,
}

#[derive(Default)]
struct Table {
    /// In the order in which they began.
    streams: Vec<Arc<Stream>>,
    /// Somebody gives up what nobody comes back for.
    kept: bool,
    closed: bool,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}

/// The stream cannot be entered: the session has too many, or is over.
pub(super) struct NoRoom;

impl Streams {
    pub(super) fn find(&self, id: StreamId) -> Option<Arc<Stream>> {
        self.all().into_iter().find(|stream| stream.key.stream == id)
    }

    pub(super) fn own(&self) -> Option<Arc<Stream>> {
        self.all().into_iter().find(|stream| stream.own)
    }

    fn all(&self) -> Vec<Arc<Stream>> {
        self.table.with(|table| table.streams.clone())
    }

    /// Enters a stream. The oldest one that is over gives way if there are too many.
    pub(super) fn enter<S: State>(
        self: &Arc<Self>,
        stream: &Arc<Stream>,
        session: &Session<S>,
        resumption: &Resumption,
    ) -> Result<(), NoRoom> {
        // Looked for outside of the section, since each stream has one of its own.
        let all = self.all();
        let over = if all.len() < STREAMS_PER_SESSION { None } else { all.iter().find(|old| old.is_over()) };
        let (entered, removed, starts) = self.table.with(|table| {
            let removed = over.and_then(|over| table.remove(over));
            if table.closed || table.streams.len() >= STREAMS_PER_SESSION {
                return (Err(NoRoom), removed, false);
            }
            table.streams.push(stream.clone());
            (Ok(()), removed, !std::mem::replace(&mut table.kept, true))
        });
        if let Some(removed) = removed {
            removed.release();
        }
        if starts {
            let keep = keep(self.clone(), session.clone(), resumption.keep.clamp(KEEP_LEAST, KEEP_MOST));
            session.engine().runtime().spawn("keep streams", Box::pin(keep));
        }
        entered
    }

    /// Takes out what nobody has come back for since `before`; until when there is nothing more to do, if anything is left.
    fn expire(&self, now: Instant, keep: Duration) -> Option<Instant> {
        let mut next = now + keep;
        for stream in self.all() {
            let Some(left) = stream.unread_since() else { continue };
            if left + keep > now {
                next = next.min(left + keep);
                continue;
            }
            if self.table.with(|table| table.remove(&stream)).is_some() {
                stream.release();
            }
        }
        let idle = self.table.with(|table| {
            table.kept = !table.streams.is_empty();
            !table.kept
        });
        (!idle).then_some(next)
    }

    fn close(&self) {
        let streams = self.table.with(|table| {
            table.closed = true;
            std::mem::take(&mut table.streams)
        });
        streams.iter().for_each(|stream| stream.release());
    }
}

impl Table {
    fn remove(&mut self, stream: &Arc<Stream>) -> Option<Arc<Stream>> {
        let index = self.streams.iter().position(|other| Arc::ptr_eq(other, stream))?;
        Some(self.streams.remove(index))
    }
}

/// Gives up what nobody comes back for, as long as there is something, and everything when the session ends.
async fn keep<S: State>(streams: Arc<Streams>, session: Session<S>, keep: Duration) {
    let engine = session.engine();
    let runtime: &dyn Runtime = &**engine.runtime();
    while let Some(next) = streams.expire(runtime.now(), keep) {
        if until(runtime, next, session.ended()).await.is_some() {
            return streams.close();
        }
    }
}

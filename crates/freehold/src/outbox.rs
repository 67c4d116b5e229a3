//! One outgoing stream: a bounded queue into which nobody waits to push.
//!
//! Answers, questions and notifications share the order but not the room: notifications are dropped oldest first when
//! their room is full, a question that finds no room fails at once, and answers are never dropped; when unread answers
//! alone exceed their bound the stream is closed, and its peer sees the end instead of a gap.
//!
//! # Invariants
//!
//! 1. `droppable_bytes`, `answer_bytes` and `droppable` count exactly what is in `frames`.
//! 2. After `closed` is set nothing is pushed; what is queued can still be read, then the reader sees the end.
//! 3. The waker belongs to the reader with the current number, and is stored in the section that found nothing to read;
//!    a push and a change of reader take it in their own section. So no reader sleeps while there is a frame for it,
//!    and one that was replaced is told.
//! 4. `last` is set in the section that closes, and goes to the reader that sees the end; once.
//!
//! *Deadlock safety*: the section moves frames only; wakers are woken after it.

use crate::{
    fault::{self, Fault},
    limits::Limits,
    lock_order,
};
use bytes::Bytes;
use freehold_sync::ScopedMutex;
use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

/// One message on its way out, encoded, without framing.
///
/// Closed, as [`Message`](crate::Message) is: a transport decides for each kind what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The answer to a request of the peer's. On a call's own stream it is the last frame.
    Answer(Bytes),
    /// A request of ours.
    Question(Bytes),
    /// A notification.
    Notification(Bytes),
}

impl Frame {
    /// The encoded message.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Answer(bytes) | Self::Question(bytes) | Self::Notification(bytes) => bytes,
        }
    }

    /// The encoded message.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Answer(bytes) | Self::Question(bytes) | Self::Notification(bytes) => bytes,
        }
    }
}

/// What became of a pushed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It is one of `waiting` now; `dropped` older notifications made room for it.
    Queued { dropped: u64, waiting: usize },
    /// There was no room for it. `dropped` counts the notifications that went all the same, itself included.
    NoRoom { dropped: u64 },
    /// Answers exceeded their bound: this push closed the stream.
    Overflowed,
    /// The stream was closed before.
    Closed,
}

struct Queue<L> {
    frames: VecDeque<Frame>,
    droppable: usize,
    droppable_bytes: usize,
    answer_bytes: usize,
    closed: bool,
    reader: u64,
    waker: Option<Waker>,
    last: Option<L>,
}

/// With its end the reader may get a last thing, of type `L`: a call's stream has its answer there.
pub(crate) struct Outbox<L = ()> {
    queue: ScopedMutex<Queue<L>, lock_order::Outbox>,
}

impl<L> Default for Outbox<L> {
    fn default() -> Self {
        let queue = Queue {
            frames: VecDeque::new(),
            droppable: 0,
            droppable_bytes: 0,
            answer_bytes: 0,
            closed: false,
            reader: FIRST_READER,
            waker: None,
            last: None,
        };
        Self { queue: ScopedMutex::of(queue) }
    }
}

/// The number of the reader that a stream has before anybody took it over.
pub(crate) const FIRST_READER: u64 = 0;

impl<L> Outbox<L> {
    pub(crate) fn push(&self, frame: Frame, limits: &Limits) -> Pushed {
        let frame = match frame {
            Frame::Answer(answer) if fault::active(Fault::DropAnswers) => Frame::Notification(answer),
            frame => frame,
        };
        let mut evicted = Vec::new();
        let (pushed, waker) = self.queue.with(|queue| {
            let pushed = queue.push(frame, limits, &mut evicted);
            let news = matches!(pushed, Pushed::Queued { .. } | Pushed::Overflowed);
            (pushed, if news { queue.waker.take() } else { None })
        });
        drop(evicted);
        wake(waker);
        pushed
    }

    /// No more pushes; the reader gets what is queued, then the end.
    pub(crate) fn close(&self) {
        self.close_with(None);
    }

    /// As [`close`](Self::close); with the end, the reader gets `last`.
    pub(crate) fn close_with(&self, last: Option<L>) {
        let (waker, displaced) = self.queue.with(|queue| {
            queue.closed = true;
            (queue.waker.take(), std::mem::replace(&mut queue.last, last))
        });
        drop(displaced);
        wake(waker);
    }

    /// Makes the caller the reader and returns its number; the reader before it sees the end.
    pub(crate) fn take_over(&self) -> u64 {
        let (number, waker) = self.queue.with(|queue| {
            queue.reader += 1;
            (queue.reader, queue.waker.take())
        });
        wake(waker);
        number
    }

    /// Lets the reader look again, though there is nothing new in the queue.
    pub(crate) fn wake_reader(&self) {
        wake(self.queue.with(|queue| queue.waker.take()));
    }

    /// The reader with this number is gone: its waker would only keep its task's memory alive.
    pub(crate) fn leave(&self, reader: u64) {
        let waker = self.queue.with(|queue| if queue.reader == reader { queue.waker.take() } else { None });
        drop(waker);
    }

    /// The next frame for the reader with this number; the end once the stream is closed or another one took over.
    pub(crate) fn poll_pop(&self, reader: u64, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        self.poll_step(reader, cx).map(Result::ok)
    }

    /// As [`poll_pop`](Self::poll_pop); the end comes with the last thing, if there is one.
    pub(crate) fn poll_step(&self, reader: u64, cx: &mut Context<'_>) -> Poll<Result<Frame, Option<L>>> {
        if fault::active(Fault::WaiterAfterCheck) {
            return self.poll_step_late(reader, cx);
        }
        let mut displaced = None;
        let next = self.queue.with(|queue| {
            if queue.reader != reader {
                return Poll::Ready(Err(None));
            }
            match queue.pop() {
                Some(frame) => Poll::Ready(Ok(frame)),
                None if queue.closed => Poll::Ready(Err(queue.last.take())),
                None => {
                    if !queue.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                        displaced = queue.waker.replace(cx.waker().clone());
                    }
                    Poll::Pending
                }
            }
        });
        drop(displaced);
        next
    }

    /// The seeded fault: the waker is stored in another section than the one that found nothing.
    fn poll_step_late(&self, reader: u64, cx: &mut Context<'_>) -> Poll<Result<Frame, Option<L>>> {
        let found = self.queue.with(|queue| {
            if queue.reader != reader {
                return Some(Err(None));
            }
            let frame = queue.pop().map(Ok);
            frame.or_else(|| queue.closed.then(|| Err(queue.last.take())))
        });
        if let Some(found) = found {
            return Poll::Ready(found);
        }
        fault::hesitate();
        let displaced = self.queue.with(|queue| queue.waker.replace(cx.waker().clone()));
        drop(displaced);
        Poll::Pending
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.with(|queue| queue.frames.len())
    }

    /// Gives back the queue's memory while nothing is queued.
    pub(crate) fn shrink(&self) {
        self.queue.with(|queue| {
            if queue.frames.is_empty() {
                queue.frames = VecDeque::new();
            }
        });
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<L> Queue<L> {
    fn push(&mut self, frame: Frame, limits: &Limits, evicted: &mut Vec<Frame>) -> Pushed {
        if self.closed {
            return Pushed::Closed;
        }
        let size = frame.bytes().len();
        match frame {
            Frame::Answer(_) => {
                // One answer always fits: its own size is bounded elsewhere.
                if self.answer_bytes > 0 && self.answer_bytes + size > limits.stream_answer_bytes {
                    self.closed = true;
                    evicted.extend(self.frames.drain(..));
                    (self.droppable, self.droppable_bytes, self.answer_bytes) = (0, 0, 0);
                    return Pushed::Overflowed;
                }
                self.answer_bytes += size;
            }
            Frame::Question(_) | Frame::Notification(_) => {
                return self.push_droppable(frame, size, limits, evicted);
            }
        }
        self.frames.push_back(frame);
        Pushed::Queued { dropped: 0, waiting: self.frames.len() }
    }

    /// Queues a notification or a question; the oldest notifications make room.
    fn push_droppable(
        &mut self,
        frame: Frame,
        size: usize,
        limits: &Limits,
        evicted: &mut Vec<Frame>,
    ) -> Pushed {
        let full = |queue: &Self| {
            queue.droppable >= limits.stream_messages || queue.droppable_bytes + size > limits.stream_bytes
        };
        while size <= limits.stream_bytes && full(self) {
            // A question is never evicted: somebody waits for its answer.
            let oldest = self.frames.iter().position(|frame| matches!(frame, Frame::Notification(_)));
            let Some(old) = oldest.and_then(|index| self.frames.remove(index)) else { break };
            self.uncount(&old);
            evicted.push(old);
        }
        let dropped = evicted.len() as u64;
        if full(self) {
            let itself = u64::from(matches!(frame, Frame::Notification(_)));
            return Pushed::NoRoom { dropped: dropped + itself };
        }
        self.droppable += 1;
        self.droppable_bytes += size;
        self.frames.push_back(frame);
        Pushed::Queued { dropped, waiting: self.frames.len() }
    }

    fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.uncount(&frame);
        Some(frame)
    }

    fn uncount(&mut self, frame: &Frame) {
        let size = frame.bytes().len();
        match frame {
            Frame::Answer(_) => self.answer_bytes -= size,
            Frame::Question(_) | Frame::Notification(_) => {
                self.droppable -= 1;
                self.droppable_bytes -= size;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FIRST_READER, Frame, Outbox, Pushed};
    use crate::limits::Limits;
    use bytes::Bytes;
    use std::task::{Context, Poll, Waker};

    fn note(text: &'static str) -> Frame {
        Frame::Notification(Bytes::from_static(text.as_bytes()))
    }

    fn answer(text: &'static str) -> Frame {
        Frame::Answer(Bytes::from_static(text.as_bytes()))
    }

    fn pop<L>(outbox: &Outbox<L>) -> Poll<Option<Frame>> {
        outbox.poll_pop(FIRST_READER, &mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn the_oldest_notification_makes_room_and_answers_and_questions_stay() {
        let limits = Limits { stream_messages: 2, ..Limits::default() };
        let outbox = Outbox::<()>::default();
        let question = Frame::Question(Bytes::from_static(b"q"));
        assert_eq!(outbox.push(question.clone(), &limits), Pushed::Queued { dropped: 0, waiting: 1 });
        assert_eq!(outbox.push(answer("a"), &limits), Pushed::Queued { dropped: 0, waiting: 2 });
        assert_eq!(outbox.push(note("1"), &limits), Pushed::Queued { dropped: 0, waiting: 3 });
        assert_eq!(outbox.push(note("2"), &limits), Pushed::Queued { dropped: 1, waiting: 3 });
        assert_eq!(pop(&outbox), Poll::Ready(Some(question)));
        assert_eq!(pop(&outbox), Poll::Ready(Some(answer("a"))));
        assert_eq!(pop(&outbox), Poll::Ready(Some(note("2"))));
        assert_eq!(pop(&outbox), Poll::Pending);
    }

    #[test]
    fn a_question_without_room_fails_at_once() {
        let limits = Limits { stream_messages: 1, ..Limits::default() };
        let outbox = Outbox::<()>::default();
        let question = || Frame::Question(Bytes::from_static(b"q"));
        assert_eq!(outbox.push(question(), &limits), Pushed::Queued { dropped: 0, waiting: 1 });
        assert_eq!(outbox.push(question(), &limits), Pushed::NoRoom { dropped: 0 });
        assert_eq!(outbox.push(note("n"), &limits), Pushed::NoRoom { dropped: 1 });
    }

    #[test]
    fn too_many_unread_answers_close_the_stream() {
        let limits = Limits { stream_answer_bytes: 3, ..Limits::default() };
        let outbox = Outbox::<()>::default();
        assert_eq!(outbox.push(answer("1234"), &limits), Pushed::Queued { dropped: 0, waiting: 1 });
        assert_eq!(outbox.push(answer("5"), &limits), Pushed::Overflowed);
        assert_eq!(outbox.push(answer("6"), &limits), Pushed::Closed);
        assert_eq!(pop(&outbox), Poll::Ready(None));
    }

    #[test]
    fn a_new_reader_replaces_the_old_one() {
        let outbox = Outbox::<()>::default();
        assert_eq!(pop(&outbox), Poll::Pending);
        let second = outbox.take_over();
        assert_eq!(pop(&outbox), Poll::Ready(None), "the first reader sees the end");
        outbox.push(note("1"), &Limits::default());
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(outbox.poll_pop(second, &mut cx), Poll::Ready(Some(note("1"))));
    }

    #[test]
    fn a_closed_stream_gives_what_it_has_then_ends() {
        let outbox = Outbox::<()>::default();
        outbox.push(note("1"), &Limits::default());
        outbox.close();
        assert_eq!(pop(&outbox), Poll::Ready(Some(note("1"))));
        assert_eq!(pop(&outbox), Poll::Ready(None));
    }

    #[test]
    fn the_last_thing_comes_with_the_end_once() {
        let outbox = Outbox::default();
        outbox.push(note("1"), &Limits::default());
        outbox.close_with(Some("answer"));
        let mut cx = Context::from_waker(Waker::noop());
        let mut step = |reader| outbox.poll_step(reader, &mut cx);
        assert_eq!(step(FIRST_READER + 1), Poll::Ready(Err(None)), "it is not the reader");
        assert_eq!(step(FIRST_READER), Poll::Ready(Ok(note("1"))));
        assert_eq!(step(FIRST_READER), Poll::Ready(Err(Some("answer"))));
        assert_eq!(step(FIRST_READER), Poll::Ready(Err(None)));
    }
}

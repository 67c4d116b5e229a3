//! Questions: requests from the server to its client (sampling, elicitation, roots), and the waits for their answers.
//!
//! # Invariants
//!
//! 1. A question is registered before its message is queued, so an answer that comes within microseconds finds it.
//! 2. A question leaves the table exactly once: by its answer, its expiry, its session's end, or its asker's drop. Who
//!    takes it out of the table is who resolves it.
//!
//! *Deadlock safety*: the section moves entries; replies are stored and wakers woken after it.

use crate::{
    lock_order,
    message::{ErrorCode, ErrorObject, RequestId},
    shim::OnceLock,
};
use freehold_sync::{HasSignal, ScopedMutex, Signal, SignalWait};
use serde_json::value::RawValue;
use std::{
    collections::HashMap,
    num::NonZeroU8,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// Why a question has no usable answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// The client answered with an error.
    #[error("the client refused: {0}")]
    Refused(ErrorObject),
    /// The client did not answer in time.
    #[error("the client did not answer {method:?} within {waited:?}")]
    TimedOut {
        /// What was asked.
        method: String,
        /// How long it had.
        waited: Duration,
    },
    /// The session or its stream ended before the answer.
    #[error("the client went away before it answered")]
    PeerGone,
    /// The call was cancelled or is over: nobody needs the answer.
    #[error("the call that asked is over")]
    CallEnded,
    /// Too many open questions, or no room in the outgoing stream.
    #[error("too many questions wait for this client")]
    NoRoom,
    /// The question or the answer does not fit its type.
    #[error("the question or its answer does not fit: {0}")]
    Invalid(String),
}

impl From<QuestionError> for ErrorObject {
    fn from(error: QuestionError) -> Self {
        Self::new(ErrorCode::QUESTION_FAILED, error.to_string())
    }
}

/// How a question ended.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Answer(Box<RawValue>),
    Refused(ErrorObject),
    TimedOut,
    PeerGone,
    CallEnded,
}

/// One open question.
#[derive(Default)]
pub(crate) struct Question {
    reply: OnceLock<Reply>,
    done: Signal,
}

impl HasSignal for Question {
    fn signal(&self) -> &Signal {
        &self.done
    }
}

impl Question {
    fn resolve(&self, reply: Reply) {
        // Stored before the signal is set; the waiter reads it after it saw the signal.
        let _ = self.reply.set(reply);
        self.done.set(NonZeroU8::MIN);
    }

    pub(crate) async fn reply(&self) -> Reply {
        SignalWait::new(self).await;
        self.reply.get().cloned().unwrap_or(Reply::PeerGone)
    }
}

/// The open questions of one session.
#[derive(Default)]
pub(crate) struct Questions {
    next: AtomicI64,
    table: ScopedMutex<Table, lock_order::Questions>,
}

#[derive(Default)]
struct Table {
    open: HashMap<i64, Arc<Question>, crate::hash::Hashing>,
    closed: bool,
}

impl Questions {
    /// Registers a question; its id is unique in the session.
    pub(crate) fn open(&self, most: usize) -> Result<(i64, Arc<Question>), QuestionError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let question = Arc::new(Question::default());
        self.table.with(|table| {
            if table.closed {
                return Err(QuestionError::PeerGone);
            }
            if table.open.len() >= most {
                return Err(QuestionError::NoRoom);
            }
            table.open.insert(id, question.clone());
            Ok((id, question.clone()))
        })
    }

    /// Resolves an open question; whether there was one.
    pub(crate) fn resolve(&self, id: i64, reply: Reply) -> bool {
        let question = self.table.with(|table| table.open.remove(&id));
        question.map(|question| question.resolve(reply)).is_some()
    }

    /// Resolves the question that a response names; whether there was one.
    pub(crate) fn answer(&self, id: &RequestId, result: Result<Box<RawValue>, ErrorObject>) -> bool {
        let RequestId::Number(id) = id else { return false };
        let reply = match result {
            Ok(answer) => Reply::Answer(answer),
            Err(error) => Reply::Refused(error),
        };
        self.resolve(*id, reply)
    }

    pub(crate) fn is_open(&self, id: &RequestId) -> bool {
        let RequestId::Number(id) = id else { return false };
        self.table.with(|table| table.open.contains_key(id))
    }

    /// The asker no longer waits.
    pub(crate) fn forget(&self, id: i64) {
        let question = self.table.with(|table| table.open.remove(&id));
        drop(question);
    }

    /// The peer is gone: resolves all and refuses new ones.
    pub(crate) fn close(&self) {
        let open = self.table.with(|table| {
            table.closed = true;
            std::mem::take(&mut table.open)
        });
        for question in open.into_values() {
            question.resolve(Reply::PeerGone);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.with(|table| table.open.len())
    }

    pub(crate) fn shrink(&self) {
        self.table.with(|table| {
            if table.open.is_empty() {
                table.open = HashMap::default();
            }
        });
    }
}

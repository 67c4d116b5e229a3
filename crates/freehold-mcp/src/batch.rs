//! JSON-RPC's batches, which revision 2025-03-26 has, and 2024-11-05 as far as it is JSON-RPC; no later one: several messages in one array, whose requests are answered
//! together.

use crate::{
    framing::encode,
    model::Meta,
    peer::Peer,
    protocol::{check_params, method},
};
use freehold::{
    CallHandle, Dispatched, Engine, ErrorCode, ErrorObject, Extension, Frame, Limits, Message, Request,
    RequestId, Response, Route, Session, State, Step, message::Malformed,
};
use std::{
    collections::{HashSet, VecDeque},
    task::{Context, Poll},
};

/// The revisions that have batches.
const VERSIONS: [&str; 2] = ["2025-03-26", "2024-11-05"];

/// The messages of a batch, each with its own verdict.
pub(crate) type Parts<'a> = Vec<Result<Message<'a>, Malformed>>;

/// Whether the session speaks a revision with batches.
pub(crate) fn is_spoken_by<S: State>(session: &Session<S>) -> bool {
    Peer::of(session).is_some_and(|peer| VERSIONS.contains(&peer.version))
}

/// Why a batch is refused as a whole, before any of it runs.
pub(crate) fn check(parts: &Parts<'_>) -> Result<(), &'static str> {
    let mut ids: HashSet<&RequestId> = HashSet::new();
    for part in parts {
        let Ok(Message::Request(request)) = part else { continue };
        if request.method == method::INITIALIZE {
            return Err("initialize must not be part of a batch: send it alone, and wait for its answer");
        }
        if !ids.insert(&request.id) {
            return Err("two requests of the batch have the same id");
        }
    }
    Ok(())
}

fn check_part(request: &Request<'_>) -> Result<(), ErrorObject> {
    check_params(request)?;
    if Meta::of(request.params.as_deref()).claims_stateless() {
        let reason = "a request of a stateless revision stands alone: send it outside of the batch";
        return Err(ErrorObject::new(ErrorCode::INVALID_REQUEST, reason));
    }
    if method::is_for_sessions(&request.method) {
        Ok(())
    } else {
        Err(ErrorObject::method_not_found(&request.method))
    }
}

/// A batch under way. Dropping it cancels its calls as disconnected.
pub(crate) struct Batch<S: State> {
    /// Answers that have not been taken.
    ready: VecDeque<Response<'static>>,
    running: Vec<CallHandle<S>>,
    /// Who is asked first, so that one that says much does not drown the others.
    turn: usize,
    /// Whether anything of it was a message.
    pub(crate) accepted: bool,
}

/// What a batch says next.
pub(crate) enum BatchStep {
    Frame(Frame),
    Answer(Response<'static>),
    CloseStream,
    /// All its requests have their outcomes.
    End,
}

impl<S: State> Batch<S> {
    /// Dispatches the messages in their order.
    pub(crate) fn begin(
        engine: &Engine<S>,
        session: &Session<S>,
        parts: Parts<'_>,
        route: Route,
        extension: Option<&Extension>,
    ) -> Self {
        let mut batch = Self { ready: VecDeque::new(), running: Vec::new(), turn: 0, accepted: false };
        for part in parts {
            let message = match part {
                Ok(message) => message,
                Err(malformed) => {
                    batch.ready.push_back(engine.refuse_malformed(&malformed));
                    continue;
                }
            };
            batch.accepted = true;
            if let Message::Request(request) = &message
                && let Err(error) = check_part(request)
            {
                batch.ready.push_back(Response::error(Some(request.id.clone()), error));
                continue;
            }
            match engine.dispatch_with(session, message, route, extension.cloned()) {
                Dispatched::Answer(answer) => batch.ready.push_back(answer),
                Dispatched::Nothing => {}
                Dispatched::Running(call) => batch.running.push(call),
            }
        }
        batch
    }

    /// Whether it has nothing more to say: one that is so from the start is answered by nothing.
    pub(crate) fn is_over(&self) -> bool {
        self.ready.is_empty() && self.running.is_empty()
    }

    pub(crate) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<BatchStep> {
        if let Some(answer) = self.ready.pop_front() {
            return Poll::Ready(BatchStep::Answer(answer));
        }
        let mut asked = 0;
        while asked < self.running.len() {
            let index = self.turn % self.running.len();
            match self.running[index].poll_next(cx) {
                Poll::Pending => (asked, self.turn) = (asked + 1, index + 1),
                Poll::Ready(Step::Frame(frame)) => {
                    self.turn = index + 1;
                    return Poll::Ready(BatchStep::Frame(frame));
                }
                Poll::Ready(Step::CloseStream) => return Poll::Ready(BatchStep::CloseStream),
                Poll::Ready(Step::End(answer)) => {
                    self.running.swap_remove(index);
                    if let Some(answer) = answer {
                        return Poll::Ready(BatchStep::Answer(answer));
                    }
                }
            }
        }
        if self.running.is_empty() { Poll::Ready(BatchStep::End) } else { Poll::Pending }
    }
}

/// Answers that are to go together.
#[derive(Default)]
pub(crate) struct Answers {
    encoded: Vec<Vec<u8>>,
    bytes: usize,
}

impl Answers {
    /// Adds one; together they may have no more bytes than one alone.
    pub(crate) fn add(&mut self, answer: &Response<'_>, limits: &Limits) {
        let mut encoded = encode(answer);
        if self.bytes + encoded.len() > limits.answer_bytes {
            let reason = format!(
                "the answers of the batch together exceed {} bytes: ask for less",
                limits.answer_bytes
            );
            let error = ErrorObject::new(ErrorCode::ANSWER_TOO_LARGE, reason);
            encoded = encode(&Response::error(answer.id.clone(), error));
        }
        self.bytes += encoded.len();
        self.encoded.push(encoded);
    }

    /// The array; nothing if there is no answer.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        freehold::message::encode_batch(&self.encoded)
    }

    pub(crate) fn take(&mut self) -> Vec<Vec<u8>> {
        self.bytes = 0;
        std::mem::take(&mut self.encoded)
    }
}

#[cfg(test)]
mod tests {
    use super::Answers;
    use freehold::{ErrorCode, ErrorObject, Limits, Response};

    #[test]
    fn answers_that_are_too_large_together_keep_their_ids() {
        let limits = Limits { answer_bytes: 150, ..Limits::default() };
        let answer = |id: i64| {
            Response::error(Some(id.into()), ErrorObject::new(ErrorCode::INVALID_PARAMS, "x".repeat(60)))
        };
        let mut answers = Answers::default();
        assert_eq!(answers.encode(), None);
        answers.add(&answer(1), &limits);
        answers.add(&answer(2), &limits);
        let array: serde_json::Value = serde_json::from_slice(&answers.encode().unwrap()).unwrap();
        assert_eq!((&array[0]["id"], &array[0]["error"]["code"]), (&1.into(), &(-32602).into()));
        assert_eq!(
            (&array[1]["id"], &array[1]["error"]["code"]),
            (&2.into(), &ErrorCode::ANSWER_TOO_LARGE.0.into())
        );
    }
}

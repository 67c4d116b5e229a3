//! Several messages in one request, in the revision that has them.

use super::{
    HttpService, Principal,
    answer::{self, First, HttpBody, Said, Source, of_first, poll_first},
    era::header_is_stateless,
    headers::{SESSION_ID, check_session_version},
};
use crate::{
    batch::{self, Answers, Batch, BatchStep, Parts},
    framing::encode,
};
use bytes::Bytes;
use freehold::{Extension, Limits, Response as Answer, Route, State};
use http::{HeaderMap, Response, StatusCode};
use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, ready},
};

const NO_BATCHES: &str = "batches are not part of this revision of the protocol; send one message at a time";

fn refuse(reason: &'static str) -> Response<HttpBody> {
    answer::refuse(StatusCode::BAD_REQUEST, None, reason)
}

impl<S: State> HttpService<S> {
    /// Answers a batch: all answers as one array if they come soon and nothing else is said, a stream of events otherwise.
    pub(super) async fn batch(
        &self,
        headers: &HeaderMap,
        parts: Parts<'_>,
        principal: Option<Arc<Principal>>,
    ) -> Response<HttpBody> {
        if header_is_stateless(headers) || !headers.contains_key(SESSION_ID) {
            return refuse(NO_BATCHES);
        }
        if let Err(error) = check_session_version(headers) {
            return answer::error(StatusCode::BAD_REQUEST, None, error);
        }
        let session = match self.session_of(headers, None, principal.as_ref()) {
            Ok(session) => session,
            Err(refusal) => return *refusal,
        };
        if !batch::is_spoken_by(&session) {
            return refuse(NO_BATCHES);
        }
        if let Err(reason) = batch::check(&parts) {
            return refuse(reason);
        }
        for message in parts.iter().flatten() {
            if let Err(refusal) = self.check_scopes(principal.as_ref(), message) {
                return *refusal;
            }
        }
        let engine = self.server.engine();
        let extension = principal.map(|principal| principal as Extension);
        let batch = Batch::begin(engine, &session, parts, Route::Call, extension.as_ref());
        if batch.is_over() {
            return answer::empty(StatusCode::ACCEPTED);
        }
        let accepted = batch.accepted;
        let limits = Arc::new(engine.limits().clone());
        let mut source: Box<dyn Source> = Box::new(BatchEvents::new(batch, limits));
        let mut response = match &self.options.resumption {
            Some(resumption) => self.answer_resumably(resumption, &session, source).await,
            None => match poll_first(&mut *source, self.options.keep_alive, false, engine.runtime()).await {
                First::Whole(answer) => answer,
                First::Said(said) => of_first(source, Some(said), &self.options, engine.runtime()),
                First::Quiet => of_first(source, None, &self.options, engine.runtime()),
            },
        };
        if !accepted {
            *response.status_mut() = StatusCode::BAD_REQUEST;
        }
        response
    }
}

/// What a batch says, as the events of a stream, or as one array if there is nothing but answers.
struct BatchEvents<S: State> {
    batch: Batch<S>,
    limits: Arc<Limits>,
    answers: Answers,
    streams: bool,
    said: VecDeque<Bytes>,
}

impl<S: State> BatchEvents<S> {
    fn new(batch: Batch<S>, limits: Arc<Limits>) -> Self {
        Self { batch, limits, answers: Answers::default(), streams: false, said: VecDeque::new() }
    }

    /// What is said one by one: the last answer ends it.
    fn next_said(&mut self) -> Option<Said> {
        let said = self.said.pop_front()?;
        Some(if self.said.is_empty() && self.batch.is_over() {
            Said::Answer(said)
        } else {
            Said::Message(said)
        })
    }

    fn take_answer(&mut self, answer: &Answer<'_>) {
        if self.streams {
            self.said.push_back(Bytes::from(encode(answer)));
        } else {
            self.answers.add(answer, &self.limits);
        }
    }
}

impl<S: State> Source for BatchEvents<S> {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Said> {
        loop {
            if let Some(said) = self.next_said() {
                return Poll::Ready(said);
            }
            match ready!(self.batch.poll_step(cx)) {
                BatchStep::Answer(answer) => self.take_answer(&answer),
                BatchStep::Frame(frame) => {
                    self.becomes_stream();
                    self.said.push_back(frame.into_bytes());
                }
                BatchStep::CloseStream => return Poll::Ready(Said::CloseStream),
                BatchStep::End => {
                    let array = self.answers.encode();
                    self.answers.take();
                    return Poll::Ready(array.map_or(Said::End, |array| Said::Answer(Bytes::from(array))));
                }
            }
        }
    }

    fn becomes_stream(&mut self) {
        self.streams = true;
        self.said.extend(self.answers.take().into_iter().map(Bytes::from));
    }
}

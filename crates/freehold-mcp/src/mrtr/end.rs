//! The end of a round: with the handler's own result, or with what it asks.

use super::round::{OpenQuestions, Round, Rounds};
use crate::ask::AskError;
use freehold::{HandlerResult, runtime::Runtime, write_result};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tracing::{Instrument, Span};

/// What drives the future of a handler that may ask.
#[must_use = "a handler that is not driven by it waits for ever when it asks"]
pub(crate) struct End {
    span: Span,
    of_round: Option<OfRound>,
    may_ask: Option<MayAsk>,
}

/// Whether a call that could become a task may still end with questions.
type MayAsk = Box<dyn FnOnce() -> bool + Send>;
type OfRound = (Arc<Round>, Arc<Rounds>, Arc<dyn Runtime>);

impl End {
    /// `span`: what the handler runs in.
    pub(super) fn new(span: Span, of_round: Option<OfRound>, may_ask: Option<MayAsk>) -> Self {
        Self { span, of_round, may_ask }
    }

    /// The outcome of the request: the handler's, or, as soon as it waits for an answer that is not there, an
    /// `input_required` result. The handler is dropped then, before this is ready. A task's client would never send the
    /// request again: its task fails.
    pub(crate) async fn of(self, handler: impl Future<Output = HandlerResult> + Send) -> HandlerResult {
        let handler = handler.instrument(self.span);
        let Some((round, rounds, runtime)) = self.of_round else { return handler.await };
        let driven = Driven { handler: Some(Box::pin(handler)), round: &round };
        match driven.await {
            Ended::Finished(result) => result,
            Ended::Asks(_) if self.may_ask.is_some_and(|may_ask| !may_ask()) => {
                Err(AskError::BeforeTask.into())
            }
            Ended::Asks(open) => {
                let request_state = rounds.seal(&*runtime, &round, &open)?;
                write_result(&InputRequired {
                    result_type: "input_required",
                    input_requests: InputRequests(&open),
                    request_state,
                    meta: &rounds.server_meta,
                })
            }
        }
    }
}

enum Ended {
    Finished(HandlerResult),
    Asks(OpenQuestions),
}

struct Driven<'a, H> {
    handler: Option<Pin<Box<H>>>,
    round: &'a Round,
}

impl<H: Future<Output = HandlerResult>> Future for Driven<'_, H> {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let Some(handler) = &mut self.handler else { return Poll::Pending };
        if let Poll::Ready(result) = handler.as_mut().poll(cx) {
            return Poll::Ready(Ended::Finished(result));
        }
        if !self.round.waits() {
            return Poll::Pending;
        }
        // Before the handler is dropped, with which its questions go.
        let open = self.round.open();
        self.handler = None;
        Poll::Ready(Ended::Asks(open))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InputRequired<'a> {
    result_type: &'static str,
    input_requests: InputRequests<'a>,
    request_state: String,
    #[serde(rename = "_meta")]
    meta: &'a crate::model::ServerMeta,
}

struct InputRequests<'a>(&'a OpenQuestions);

impl Serialize for InputRequests<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Request<'a> {
            method: &'a str,
            params: &'a Value,
        }
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, question) in self.0 {
            map.serialize_entry(key, &Request { method: question.method, params: &question.params })?;
        }
        map.end()
    }
}

//! Responses: empty, one JSON message, or a stream of events.

use super::{options::HttpOptions, resumption::ResumableEvents};
use crate::framing::{encode, one_line};
use bytes::Bytes;
use freehold::{
    CallHandle, ErrorCode, ErrorObject, Listener, RequestId, Response as Message, Session, State, Step,
    runtime::{Runtime, Timer},
};
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body::{Body, Frame as BodyFrame, SizeHint};
use std::{
    borrow::Cow,
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

/// The body of a response.
pub struct HttpBody(Kind);

enum Kind {
    Whole(Option<Bytes>),
    Events(Box<EventStream>),
}

impl HttpBody {
    /// Whether it is complete, and no stream of events.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.0, Kind::Whole(_))
    }
}

impl fmt::Debug for HttpBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Whole(bytes) => f.debug_tuple("HttpBody").field(bytes).finish(),
            Kind::Events(_) => f.write_str("HttpBody(events)"),
        }
    }
}

impl Body for HttpBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        let next = match &mut self.0 {
            Kind::Whole(bytes) => bytes.take(),
            Kind::Events(events) => ready!(events.poll_next(cx)),
        };
        Poll::Ready(next.map(|bytes| Ok(BodyFrame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Kind::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Events(_) => SizeHint::default(),
        }
    }
}

fn response(status: StatusCode, body: Kind) -> Response<HttpBody> {
    let mut response = Response::new(HttpBody(body));
    *response.status_mut() = status;
    response
}

/// A response without a body.
pub(super) fn empty(status: StatusCode) -> Response<HttpBody> {
    response(status, Kind::Whole(None))
}

/// One JSON message.
pub(super) fn json(status: StatusCode, message: &Message<'_>) -> Response<HttpBody> {
    json_bytes(status, Bytes::from(encode(message)))
}

/// JSON that is written already.
pub(super) fn json_bytes(status: StatusCode, json: Bytes) -> Response<HttpBody> {
    let mut response = response(status, Kind::Whole(Some(json)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An error.
pub(super) fn error(status: StatusCode, id: Option<RequestId>, error: ErrorObject) -> Response<HttpBody> {
    json(status, &Message::error(id, error))
}

/// A refusal of the transport's own.
pub(super) fn refuse(
    status: StatusCode,
    id: Option<RequestId>,
    message: impl Into<Cow<'static, str>>,
) -> Response<HttpBody> {
    error(status, id, ErrorObject::new(ErrorCode::INVALID_REQUEST, message))
}

/// A response that ends the handling of its request early; boxed, since it is large and rare.
pub(super) type Refusal = Box<Response<HttpBody>>;

/// The status of an answer.
pub(super) type StatusOf = fn(&Message<'_>) -> StatusCode;

/// The answer of a call: JSON if that is the first thing it says, a stream of events if it says something else first,
/// or nothing for as long as the stream's keep-alive.
pub(super) async fn of_call<S: State>(
    mut call: CallHandle<S>,
    options: &HttpOptions,
    runtime: &Arc<dyn Runtime>,
    status: StatusOf,
) -> Response<HttpBody> {
    let mut quiet: Option<Pin<Box<dyn Timer>>> = None;
    let first = std::future::poll_fn(|cx| {
        loop {
            match call.poll_next(cx) {
                // Its client could not come back.
                Poll::Ready(Step::CloseStream) => continue,
                Poll::Ready(step) => return Poll::Ready(Some(step)),
                Poll::Pending => break,
            }
        }
        let quiet = quiet.get_or_insert_with(|| runtime.timer(runtime.now() + options.keep_alive));
        quiet.as_mut().poll(cx).map(|()| None)
    });
    let pending = match first.await {
        Some(Step::End(Some(answer))) => return json(status(&answer), &answer),
        // Cancelled by its client, who does not wait: the protocol wants no answer, only an end.
        Some(Step::End(None)) => return of_first(Box::new(Ended), None, options, runtime),
        Some(Step::Frame(frame)) => Some(Said::Message(frame.into_bytes())),
        Some(Step::CloseStream) | None => None,
    };
    of_first(Box::new(CallEvents(Some(call))), pending, options, runtime)
}

/// What a source says first.
pub(super) enum First {
    /// It is all there is to say.
    Whole(Response<HttpBody>),
    /// There may be more.
    Said(Said),
    /// Nothing, for a while.
    Quiet,
}

/// What `source` says first, within `patience`; then it becomes a stream, unless that was all. `polls` says whether its client
/// comes back when its connection is let go.
pub(super) async fn poll_first(
    source: &mut dyn Source,
    patience: Duration,
    polls: bool,
    runtime: &Arc<dyn Runtime>,
) -> First {
    let mut quiet: Option<Pin<Box<dyn Timer>>> = None;
    let first = std::future::poll_fn(|cx| {
        loop {
            match source.poll_message(cx) {
                Poll::Ready(Said::CloseStream) if !polls => continue,
                Poll::Ready(said) => return Poll::Ready(Some(said)),
                Poll::Pending => break,
            }
        }
        let quiet = quiet.get_or_insert_with(|| runtime.timer(runtime.now() + patience));
        quiet.as_mut().poll(cx).map(|()| None)
    });
    match first.await {
        Some(Said::Answer(answer)) => First::Whole(json_bytes(StatusCode::OK, answer)),
        said => {
            source.becomes_stream();
            said.map_or(First::Quiet, First::Said)
        }
    }
}

/// The stream of a session's own messages.
pub(super) fn of_session<S: State>(
    listener: Listener<S>,
    options: &HttpOptions,
    runtime: &Arc<dyn Runtime>,
) -> Response<HttpBody> {
    of_first(Box::new(SessionEvents(listener)), None, options, runtime)
}

/// Listens to a session's own messages, in place of whoever did so before.
pub(super) fn listen<S: State>(session: &Session<S>) -> Box<dyn Source> {
    Box::new(SessionEvents(session.listen()))
}

/// The stream of `source`, which has said `pending` already.
pub(super) fn of_first(
    source: Box<dyn Source>,
    pending: Option<Said>,
    options: &HttpOptions,
    runtime: &Arc<dyn Runtime>,
) -> Response<HttpBody> {
    // Something at once, so that the client and what is between see that the stream is open.
    let first = pending.is_none().then(|| Bytes::from_static(KEEP_ALIVE));
    events(Events::Plain(source, pending), first, options, runtime)
}

/// A stream that its client can come back to, which begins with `priming`.
pub(super) fn resumable(
    resumable: ResumableEvents,
    priming: Option<Bytes>,
    options: &HttpOptions,
    runtime: &Arc<dyn Runtime>,
) -> Response<HttpBody> {
    let first = priming.unwrap_or(Bytes::from_static(KEEP_ALIVE));
    events(Events::Resumable(resumable), Some(first), options, runtime)
}

fn events(
    source: Events,
    first: Option<Bytes>,
    options: &HttpOptions,
    runtime: &Arc<dyn Runtime>,
) -> Response<HttpBody> {
    let stream =
        EventStream { source, first, quiet: None, keep_alive: options.keep_alive, runtime: runtime.clone() };
    let mut response = response(StatusCode::OK, Kind::Events(Box::new(stream)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// One event, in one piece, so that it leaves in one write.
fn event(message: Bytes) -> Bytes {
    const HEAD: &[u8] = b"event: message\ndata: ";
    let message = one_line(message);
    let mut out = Vec::with_capacity(HEAD.len() + message.len() + 2);
    out.extend_from_slice(HEAD);
    out.extend_from_slice(&message);
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

/// What a source says.
pub(super) enum Said {
    Message(Bytes),
    /// The last thing it says.
    Answer(Bytes),
    /// Let the connection go, if the client can come back.
    CloseStream,
    End,
}

/// Where the messages of a stream come from. Dropping it tells the other side that nobody reads any more.
pub(super) trait Source: Send {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Said>;

    /// What it says from now on is said one by one.
    fn becomes_stream(&mut self) {}
}

/// The messages of a call; its answer is the last one.
pub(super) struct CallEvents<S: State>(pub(super) Option<CallHandle<S>>);

impl<S: State> Source for CallEvents<S> {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Said> {
        let Some(call) = &mut self.0 else { return Poll::Ready(Said::End) };
        Poll::Ready(match ready!(call.poll_next(cx)) {
            Step::Frame(frame) => Said::Message(frame.into_bytes()),
            Step::CloseStream => Said::CloseStream,
            Step::End(answer) => {
                self.0 = None;
                answer.map_or(Said::End, |answer| Said::Answer(Bytes::from(encode(&answer))))
            }
        })
    }
}

struct SessionEvents<S: State>(Listener<S>);

impl<S: State> Source for SessionEvents<S> {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Said> {
        self.0.poll_next(cx).map(|frame| frame.map_or(Said::End, |frame| Said::Message(frame.into_bytes())))
    }
}

struct Ended;

impl Source for Ended {
    fn poll_message(&mut self, _cx: &mut Context<'_>) -> Poll<Said> {
        Poll::Ready(Said::End)
    }
}

enum Events {
    /// A source, and what it has said already.
    Plain(Box<dyn Source>, Option<Said>),
    Resumable(ResumableEvents),
}

impl Events {
    /// The next event as it is written; nothing at the end.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self {
            Self::Resumable(events) => events.poll_event(cx),
            Self::Plain(source, pending) => loop {
                let said = match pending.take() {
                    Some(said) => said,
                    None => ready!(source.poll_message(cx)),
                };
                return Poll::Ready(match said {
                    Said::Message(message) => Some(event(message)),
                    Said::Answer(answer) => {
                        *pending = Some(Said::End);
                        Some(event(answer))
                    }
                    Said::CloseStream => continue,
                    Said::End => None,
                });
            },
        }
    }
}

struct EventStream {
    source: Events,
    first: Option<Bytes>,
    quiet: Option<Pin<Box<dyn Timer>>>,
    keep_alive: Duration,
    runtime: Arc<dyn Runtime>,
}

impl EventStream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        if let Poll::Ready(event) = self.source.poll_event(cx) {
            // A message says as much as a comment: the quiet begins anew when the source has nothing more.
            self.quiet = None;
            return Poll::Ready(event);
        }
        let next = self.runtime.now() + self.keep_alive;
        let quiet = self.quiet.get_or_insert_with(|| self.runtime.timer(next));
        ready!(quiet.as_mut().poll(cx));
        quiet.as_mut().reset(next);
        Poll::Ready(Some(Bytes::from_static(KEEP_ALIVE)))
    }
}

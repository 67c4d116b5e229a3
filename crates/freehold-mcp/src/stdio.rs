//! The stdio transport: one session, one message a line.
//!
//! The reader never waits for a handler, a slot or the writer: every call runs in a task of its own, and what is to be
//! written waits in the session's bounded stream. One writer writes whole lines.

use crate::{
    batch::{self, Answers, Batch, BatchStep, Parts},
    framing::{encode, one_line},
    model::Meta,
    operators::OverStdio,
    peer::Peer,
    protocol::{check_params, method},
    server::McpServer,
};
use bytes::{Bytes, BytesMut};
use freehold::{
    CloseReason, Engine, ErrorCode, ErrorObject, Extension, Frame, Listener, Message, OpenError, Request,
    Response, Route, Session, State,
    message::{Decoded, Malformed, decode},
    runtime::until,
};
use futures_util::future::maybe_done;
use memchr::memchr;
use std::{convert::Infallible, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

/// How long calls may go on after the input has ended: clients kill a server that does not end within two seconds.
const AFTER_INPUT: Duration = Duration::from_millis(1_500);
/// How long the last lines may take to be written to a client that does not read.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// Bytes asked of the input at a time.
const READ_BYTES: usize = 64 << 10;

/// The stdio transport failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StdioError {
    /// The input could not be read.
    #[error("standard input failed: {0}")]
    Read(io::Error),
    /// No session could be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl<S: State> McpServer<S> {
    /// Serves one client on standard input and output until its input ends or the engine has drained.
    ///
    /// When the input ends, calls have 1.5 s to finish; their answers are still written.
    ///
    /// # Errors
    ///
    /// [`StdioError`].
    pub async fn serve_stdio(&self) -> Result<(), StdioError> {
        let whoever_started_it: Extension = Arc::new(OverStdio);
        self.serve_streams(tokio::io::stdin(), tokio::io::stdout(), Some(whoever_started_it)).await
    }

    /// [`serve_stdio`](Self::serve_stdio) on any pair of streams.
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the session at once; what was not written is lost.
    ///
    /// # Errors
    ///
    /// [`StdioError`].
    pub async fn serve_io(
        &self,
        input: impl AsyncRead + Unpin + Send,
        output: impl AsyncWrite + Unpin + Send,
    ) -> Result<(), StdioError> {
        self.serve_streams(input, output, None).await
    }

    async fn serve_streams(
        &self,
        input: impl AsyncRead + Unpin + Send,
        output: impl AsyncWrite + Unpin + Send,
        client: Option<Extension>,
    ) -> Result<(), StdioError> {
        let engine = self.engine();
        let session = CloseOnDrop(engine.open()?);
        // It may have ended before it is asked again: the client closed its end, or a drain closed the session.
        let mut writer = std::pin::pin!(maybe_done(write_lines(session.0.listen(), output)));
        let (open, mut batches) = mpsc::channel(1);
        let read = {
            let mut reader = std::pin::pin!(read_lines(engine, &session.0, input, &open, client.as_ref()));
            tokio::select! {
                read = reader.as_mut() => {
                    end_listening(engine, &session.0);
                    read
                }
                // The client closed its end, or the session was closed.
                () = writer.as_mut() => Ok(()),
                // Closed while the client does not read, so that the writer cannot end.
                () = session.0.ended() => Ok(()),
                // Until then cancels, answers and pings are read, and new calls told that the server is stopping.
                () = engine.drain_ended() => Ok(()),
            }
        };
        let runtime = engine.runtime();
        let calls_ended = async {
            session.0.calls_ended().await;
            // Their answers are pushed by tasks of their own.
            drop(open);
            batches.recv().await;
            session.0.close(CloseReason::Disconnected);
        };
        // After a drain no call is left that could still have something to say.
        let patience =
            if session.0.closed() == Some(CloseReason::Shutdown) { LAST_WORDS } else { AFTER_INPUT };
        let grace = runtime.now() + patience;
        let finished = async { tokio::join!(until(&**runtime, grace, calls_ended), writer.as_mut()) };
        if until(&**runtime, grace, finished).await.is_none() {
            session.0.close(CloseReason::Disconnected);
            until(&**runtime, runtime.now() + LAST_WORDS, writer).await;
        }
        read.map_err(StdioError::Read)
    }
}

/// A client whose input has ended listens to nothing any more; its other calls may finish.
fn end_listening<S: State>(engine: &Engine<S>, session: &Session<S>) {
    let calls = engine.calls().into_iter();
    let listening = calls.filter(|call| call.session == session.id() && call.method == method::LISTEN);
    for id in listening.filter_map(|call| call.id) {
        session.cancel(&id, None);
    }
}

struct CloseOnDrop<S: State>(Session<S>);

impl<S: State> Drop for CloseOnDrop<S> {
    fn drop(&mut self) {
        self.0.close(CloseReason::Disconnected);
    }
}

async fn write_lines<S: State>(mut frames: Listener<S>, mut output: impl AsyncWrite + Unpin) {
    while let Some(frame) = frames.next().await {
        let mut line = BytesMut::from(&one_line(frame.into_bytes())[..]);
        line.extend_from_slice(b"\n");
        let written = async {
            output.write_all(&line).await?;
            output.flush().await
        };
        if let Err(error) = written.await {
            tracing::debug!(%error, "the client no longer reads");
            return;
        }
    }
}

/// Takes lines out of what was read. What is left of a line stays, so that reading can be given up at any point.
struct Lines {
    buffer: BytesMut,
    /// Up to here there is no line end in the buffer.
    searched: usize,
    /// The rest of a line that was too long is being skipped.
    skipping: bool,
    most: usize,
}

enum Line {
    Whole(Bytes),
    TooLong,
}

impl Lines {
    fn new(most: usize) -> Self {
        Self { buffer: BytesMut::new(), searched: 0, skipping: false, most }
    }

    fn next(&mut self) -> Option<Line> {
        loop {
            match memchr(b'\n', &self.buffer[self.searched..]) {
                Some(at) => {
                    let mut line = self.buffer.split_to(self.searched + at + 1);
                    // The line end is no part of the message, and does not count as one of its bytes.
                    line.truncate(self.searched + at);
                    self.searched = 0;
                    if std::mem::take(&mut self.skipping) {
                        continue;
                    }
                    return Some(if line.len() > self.most {
                        Line::TooLong
                    } else {
                        Line::Whole(line.freeze())
                    });
                }
                None if self.buffer.len() > self.most => {
                    self.buffer.clear();
                    self.searched = 0;
                    let first = !std::mem::replace(&mut self.skipping, true);
                    return first.then_some(Line::TooLong);
                }
                None => {
                    self.searched = self.buffer.len();
                    return None;
                }
            }
        }
    }

    /// The seeded fault: what was read of a line is lost when something waits to be written.
    #[cfg(feature = "seeded-faults")]
    fn lose_partial_line<S: State>(&mut self, session: &Session<S>) {
        use freehold::fault::{Fault, active};
        if active(Fault::ClearPartialLine) && session.gauges().outgoing > 0 {
            self.buffer.clear();
            self.searched = 0;
        }
    }

    /// What stands after the last line end.
    fn rest(&mut self) -> Option<Bytes> {
        (!self.skipping && !self.buffer.is_empty()).then(|| self.buffer.split().freeze())
    }
}

async fn read_lines<S: State>(
    engine: &Engine<S>,
    session: &Session<S>,
    mut input: impl AsyncRead + Unpin,
    open: &OpenBatches,
    client: Option<&Extension>,
) -> io::Result<()> {
    let mut lines = Lines::new(engine.limits().message_bytes);
    loop {
        #[cfg(feature = "seeded-faults")]
        lines.lose_partial_line(session);
        lines.buffer.reserve(READ_BYTES);
        if input.read_buf(&mut lines.buffer).await? == 0 {
            if let Some(rest) = lines.rest() {
                take_line(engine, session, &rest, open, client);
            }
            return Ok(());
        }
        while let Some(line) = lines.next() {
            match line {
                Line::Whole(line) => take_line(engine, session, &line, open, client),
                Line::TooLong => {
                    let most = engine.limits().message_bytes;
                    refuse(engine, session, &Malformed::too_large(most));
                }
            }
        }
    }
}

fn take_line<S: State>(
    engine: &Engine<S>,
    session: &Session<S>,
    line: &[u8],
    open: &OpenBatches,
    client: Option<&Extension>,
) {
    if line.iter().all(u8::is_ascii_whitespace) {
        return;
    }
    match decode(line, engine.limits()) {
        Decoded::Single(Ok(message)) => take_message(engine, session, message, client),
        Decoded::Single(Err(malformed)) => refuse(engine, session, &malformed),
        Decoded::Batch(parts) if batch::is_spoken_by(session) && batch::check(&parts).is_ok() => {
            take_batch(engine, session, parts, open, client);
        }
        Decoded::Batch(parts) => {
            // Each message of a batch gets its error, so that no sender waits for an answer that never comes.
            for part in parts {
                refuse(engine, session, &Malformed::in_batch(part));
            }
        }
    }
}

/// Counts batches that are not answered yet: as long as somebody has a clone of the sender.
type OpenBatches = mpsc::Sender<Infallible>;

/// Starts a batch, whose answers are written together when the last of them has come.
fn take_batch<S: State>(
    engine: &Engine<S>,
    session: &Session<S>,
    parts: Parts<'_>,
    open: &OpenBatches,
    client: Option<&Extension>,
) {
    let mut batch = Batch::begin(engine, session, parts, Route::Caller, client);
    if batch.is_over() {
        return;
    }
    let (engine, session, open) = (engine.clone(), session.clone(), open.clone());
    let runtime = engine.runtime().clone();
    let answered = async move {
        let mut answers = Answers::default();
        loop {
            match std::future::poll_fn(|cx| batch.poll_step(cx)).await {
                BatchStep::Answer(answer) => answers.add(&answer, engine.limits()),
                // The calls of a batch say the rest on the session's stream.
                BatchStep::Frame(_) | BatchStep::CloseStream => {}
                BatchStep::End => break,
            }
        }
        if let Some(array) = answers.encode() {
            session.answer(Frame::Answer(Bytes::from(array)));
        }
        drop(open);
    };
    runtime.spawn("batch", Box::pin(answered));
}

fn take_message<S: State>(
    engine: &Engine<S>,
    session: &Session<S>,
    message: Message<'_>,
    client: Option<&Extension>,
) {
    if let Message::Request(request) = &message
        && let Err(error) = check_request(session, request)
    {
        let response = Response::error(Some(request.id.clone()), error);
        session.answer(Frame::Answer(Bytes::from(encode(&response))));
        return;
    }
    drop(engine.dispatch_with(session, message, Route::Session, client.cloned()));
}

/// A pipe has no headers and one client, who may speak both eras on it: a request with a stateless envelope stands
/// alone, every other one belongs to the session that `initialize` began.
fn check_request<S: State>(session: &Session<S>, request: &Request<'_>) -> Result<(), ErrorObject> {
    check_params(request)?;
    let meta = Meta::of(request.params.as_deref());
    match &*request.method {
        method::INITIALIZE if !meta.is_valid() => Ok(()),
        called if meta.claims_stateless() => {
            meta.read()?;
            if method::SESSION_ONLY.contains(&called) {
                return Err(ErrorObject::method_not_found(called));
            }
            Ok(())
        }
        method::DISCOVER => meta.check_shape(),
        called if !method::is_for_sessions(called) => Err(ErrorObject::method_not_found(called)),
        method::PING => Ok(()),
        _ if Peer::of(session).is_none() => {
            let reason = "initialize first, or say in params._meta which revision this request speaks";
            Err(ErrorObject::new(ErrorCode::INVALID_REQUEST, reason))
        }
        _ => Ok(()),
    }
}

fn refuse<S: State>(engine: &Engine<S>, session: &Session<S>, malformed: &Malformed) {
    let response: Response<'_> = engine.refuse_malformed(malformed);
    session.answer(Frame::Answer(Bytes::from(encode(&response))));
}

#[cfg(test)]
mod tests {
    use super::{Line, Lines};

    fn feed(lines: &mut Lines, bytes: &str) -> Vec<String> {
        lines.buffer.extend_from_slice(bytes.as_bytes());
        let mut out = Vec::new();
        while let Some(line) = lines.next() {
            out.push(match line {
                Line::Whole(line) => String::from_utf8_lossy(&line).into_owned(),
                Line::TooLong => "(too long)".to_owned(),
            });
        }
        out
    }

    #[test]
    fn lines_come_whole_however_they_arrive() {
        let mut lines = Lines::new(8);
        assert!(feed(&mut lines, "ab").is_empty());
        assert_eq!(feed(&mut lines, "c\r\nde\nf"), ["abc\r", "de"]);
        assert_eq!(lines.rest().as_deref(), Some(&b"f"[..]));
    }

    #[test]
    fn a_line_too_long_is_told_once_and_skipped() {
        let mut lines = Lines::new(4);
        assert_eq!(feed(&mut lines, "1234\n"), ["1234"], "as long as may be");
        assert_eq!(feed(&mut lines, "12345"), ["(too long)"]);
        assert!(feed(&mut lines, "6789012").is_empty());
        assert_eq!(feed(&mut lines, "3\nok\n"), ["ok"]);
        assert_eq!(feed(&mut lines, "12345\nok\n"), ["(too long)", "ok"]);
    }
}

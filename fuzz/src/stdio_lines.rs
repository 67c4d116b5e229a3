use crate::server::{calls_end, check_message, runtime, server, within};
use freehold_mcp::{
    McpServer,
    freehold::{
        Limits, Message, Request, RequestId,
        message::{Decoded, Malformed, decode},
    },
};
use serde_json::Value;
use std::{cell::OnceCell, collections::HashMap};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    runtime::Runtime,
    task::yield_now,
};

thread_local! {
    // Leaked: what it is made of must not outlive the thread's other variables.
    static WORLD: OnceCell<&'static (Runtime, McpServer<()>)> = const { OnceCell::new() };
}

/// Any lines, in any pieces: every one whose id can be read gets one answer, what is malformed an error, and when the
/// input ends so does the service.
///
/// The first line of the input says how the rest is sent: its first character chooses the size of the pipe, each
/// further one the size of a piece (0 is one byte), over and over.
///
/// # Panics
///
/// When that does not hold.
pub fn stdio_lines(data: &[u8]) {
    WORLD.with(|world| {
        let (runtime, server) = world.get_or_init(|| {
            let runtime = runtime();
            let server = runtime.block_on(async { server() });
            Box::leak(Box::new((runtime, server)))
        });
        runtime.block_on(serve(server, data));
    });
}

async fn serve(server: &McpServer<()>, data: &[u8]) {
    const PIPES: [usize; 4] = [64 << 10, 1, 7, 100];
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (how, sent) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let pipe = PIPES[usize::from(how.first().map_or(0, |first| first.wrapping_sub(b'0'))) % PIPES.len()];
    let (to_server, input) = duplex(pipe);
    let (output, from_server) = duplex(pipe);
    let budget = 256 + 64 * data.len();
    let session = async {
        tokio::join!(
            server.serve_io(input, output),
            send(to_server, how.get(1..).unwrap_or_default(), sent),
            receive(from_server),
        )
    };
    let (served, (), received) = within(server, budget, session).await;
    served.expect("a pipe in memory does not fail");
    Expected::of(sent, server.engine().limits()).check(&received);
    calls_end(server).await;
    assert_eq!(server.engine().session_count(), 0);
}

async fn send(mut pipe: DuplexStream, sizes: &[u8], mut bytes: &[u8]) {
    let mut sizes = sizes.iter().cycle();
    while !bytes.is_empty() {
        let size = sizes.next().map_or(bytes.len(), |size| usize::from(size.wrapping_sub(b'0')) + 1);
        let (piece, rest) = bytes.split_at(size.min(bytes.len()));
        pipe.write_all(piece).await.expect("the server reads to the end");
        yield_now().await;
        bytes = rest;
    }
}

async fn receive(mut pipe: DuplexStream) -> Vec<u8> {
    let mut received = Vec::new();
    pipe.read_to_end(&mut received).await.expect("a pipe in memory does not fail");
    received
}

/// Answers by their id, as JSON; those without one under the empty text.
#[derive(Default)]
struct Expected {
    answers: HashMap<String, Count>,
    /// Somebody cancels: a call may stay without an answer.
    cancels: bool,
}

#[derive(Default)]
struct Count {
    least: usize,
    most: usize,
}

impl Expected {
    fn of(sent: &[u8], limits: &Limits) -> Self {
        let mut expected = Self::default();
        for line in sent.split(|byte| *byte == b'\n') {
            if line.len() > limits.message_bytes {
                expected.one(None, true);
            } else if !line.iter().all(u8::is_ascii_whitespace) {
                match decode(line, limits) {
                    Decoded::Single(Ok(message)) => expected.message(&message),
                    Decoded::Single(Err(malformed)) => expected.one(malformed.id.as_ref(), true),
                    Decoded::Batch(parts) => {
                        for part in parts {
                            expected.one(Malformed::in_batch(part).id.as_ref(), true);
                        }
                    }
                }
            }
        }
        expected
    }

    fn one(&mut self, id: Option<&RequestId>, surely: bool) {
        let id = id.map(|id| serde_json::to_string(id).expect("an id is JSON")).unwrap_or_default();
        let count = self.answers.entry(id).or_default();
        count.most += 1;
        count.least += usize::from(surely);
    }

    fn message(&mut self, message: &Message<'_>) {
        match message {
            Message::Request(request) => self.one(Some(&request.id), !may_stay_open(request)),
            Message::Notification(notification) => {
                self.cancels |= notification.method == "notifications/cancelled";
            }
            Message::Response(_) => {}
        }
    }

    fn check(mut self, received: &[u8]) {
        assert!(received.is_empty() || received.ends_with(b"\n"), "whole lines");
        for line in received.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let (id, is_answer) = check_message(line);
            if is_answer {
                let id = id.as_ref().map(Value::to_string).unwrap_or_default();
                let count = self.answers.entry(id.clone()).or_default();
                assert!(count.most > 0, "one answer too many for {id:?}");
                count.most -= 1;
                count.least = count.least.saturating_sub(1);
            }
        }
        for (id, count) in self.answers {
            assert!(count.least == 0 || (self.cancels && !id.is_empty()), "no answer for {id:?}");
        }
    }
}

/// Whether it may still run when the input has ended and the time for last words is over.
fn may_stay_open(request: &Request<'_>) -> bool {
    let params = request.params.as_ref().map_or("", |params| params.get());
    match &*request.method {
        "subscriptions/listen" => true,
        "tools/call" => params.contains("ask") || params.contains("slow") || params.contains('\\'),
        _ => false,
    }
}

use crate::{
    Cut, Inbox, Outcome, Pace, Seen, TestServer,
    http_driver::{Head, HttpLink},
    limits::prompt,
    stdio_driver::StdioLink,
};
use freehold_mcp::freehold::SessionId;
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Streamable HTTP over TCP.
    Http,
    /// A pair of pipes.
    Stdio,
}

/// A client that can answer every question.
pub const ALL_CAPABILITIES: &str = r#"{"sampling":{},"elicitation":{},"roots":{}}"#;

/// A raw JSON-RPC client with one session. What it receives waits in its inbox.
#[derive(Debug)]
pub struct Client {
    /// What it received.
    pub inbox: Arc<Inbox>,
    /// Its session.
    pub session: SessionId,
    link: Link,
    next_id: AtomicI64,
}

#[derive(Debug)]
enum Link {
    Http(HttpLink),
    Stdio(StdioLink),
}

impl Client {
    /// Connects and shakes hands.
    pub async fn connect(server: &TestServer, transport: Transport) -> Self {
        Self::connect_as(server, transport, ALL_CAPABILITIES, Pace::Whole).await
    }

    /// Connects as a client with these capabilities that writes at this pace.
    pub async fn connect_as(
        server: &TestServer,
        transport: Transport,
        capabilities: &str,
        pace: Pace,
    ) -> Self {
        let client = Self::greet(server, transport, capabilities, pace).await;
        client.notify("notifications/initialized", json!({})).await;
        client
    }

    /// Connects and initializes, but does not yet say that it is initialized.
    ///
    /// # Panics
    ///
    /// If it is refused, or there is no answer soon.
    pub async fn greet(server: &TestServer, transport: Transport, capabilities: &str, pace: Pace) -> Self {
        let inbox = Arc::new(Inbox::default());
        let id = json!(0);
        let capabilities: Value = serde_json::from_str(capabilities).expect("capabilities are JSON");
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": capabilities,
            "clientInfo": { "name": "raw", "version": "1" },
        });
        let text = message(Some(&id), "initialize", params);
        inbox.sends(&id);
        let (session, link) = match transport {
            Transport::Http => {
                let mut link = HttpLink::new(server.address, pace, inbox.clone());
                let head = prompt("initialize", link.exchange("POST", &text)).await.expect("a response");
                link.session = head.header("mcp-session-id").map(str::to_owned);
                let session = link.session.as_ref().and_then(|id| id.parse().ok());
                (session.unwrap_or_else(|| panic!("no session: {head:?}")), Link::Http(link))
            }
            Transport::Stdio => {
                let (session, link) = open_pipe(server, pace, inbox.clone()).await;
                link.write(text + "\n");
                (session, Link::Stdio(link))
            }
        };
        let answer = prompt("the answer to initialize", inbox.outcome(&id)).await;
        assert!(matches!(&answer, Outcome::Answer(answer) if answer["result"].is_object()), "{answer:?}");
        Self { inbox, session, link, next_id: AtomicI64::new(1) }
    }

    fn http(&self) -> &HttpLink {
        match &self.link {
            Link::Http(link) => link,
            Link::Stdio(_) => panic!("only over HTTP"),
        }
    }

    /// Sends a request under an id of one's own.
    pub fn send_as(&self, id: Value, method: &str, params: Value) {
        let text = message(Some(&id), method, params);
        self.inbox.sends(&id);
        match &self.link {
            Link::Http(link) => link.start("POST", id, &text),
            Link::Stdio(link) => link.write(text + "\n"),
        }
    }

    /// Sends a request and returns its id.
    pub fn send(&self, method: &str, params: Value) -> Value {
        let id = json!(self.next_id.fetch_add(1, Ordering::Relaxed));
        self.send_as(id.clone(), method, params);
        id
    }

    /// A request that is noted as sent, and its text for whoever sends it in another way.
    pub fn prepare(&self, method: &str, params: Value) -> (Value, String) {
        let id = json!(self.next_id.fetch_add(1, Ordering::Relaxed));
        self.inbox.sends(&id);
        let text = message(Some(&id), method, params);
        (id, text)
    }

    /// Sends a call of a tool and returns its id.
    pub fn call(&self, tool: &str, arguments: Value) -> Value {
        self.send("tools/call", json!({ "name": tool, "arguments": arguments }))
    }

    /// Sends `count` calls of one of the standard tools.
    pub fn calls(&self, count: usize, tool: &str) -> Vec<Value> {
        let arguments = |n| match tool {
            "echo" => json!({ "text": format!("text {n}") }),
            "ask" => json!({ "n": n }),
            _ => json!({}),
        };
        (0..count).map(|n| self.call(tool, arguments(n))).collect()
    }

    /// Sends text as it is: a line, or the body of a POST, whose head is then returned.
    ///
    /// # Panics
    ///
    /// If HTTP has no response soon.
    pub async fn raw(&self, text: &str) -> Option<Head> {
        match &self.link {
            Link::Http(link) => {
                let head = prompt("a response", link.exchange("POST", text)).await;
                Some(head.expect("a response"))
            }
            Link::Stdio(link) => {
                link.write(format!("{text}\n"));
                None
            }
        }
    }

    /// Writes bytes into the pipe, without a line end.
    ///
    /// # Panics
    ///
    /// Over HTTP.
    pub fn write(&self, text: &str) {
        match &self.link {
            Link::Http(_) => panic!("only over stdio"),
            Link::Stdio(link) => link.write(text.to_owned()),
        }
    }

    /// Waits for the outcome of a request.
    ///
    /// # Panics
    ///
    /// If there is none soon.
    pub async fn outcome(&self, id: &Value) -> Outcome {
        prompt(&format!("the outcome of request {id}"), self.inbox.outcome(id)).await
    }

    /// Waits for the answer to a request.
    ///
    /// # Panics
    ///
    /// If it ends without one, or there is none soon.
    pub async fn answer(&self, id: &Value) -> Value {
        match self.outcome(id).await {
            Outcome::Answer(answer) => answer,
            other => panic!("request {id} ended without an answer: {other:?}"),
        }
    }

    /// Sends a request and waits for its answer.
    pub async fn request(&self, method: &str, params: Value) -> Value {
        self.answer(&self.send(method, params)).await
    }

    /// Calls a tool and waits for its answer.
    pub async fn tool(&self, tool: &str, arguments: Value) -> Value {
        self.answer(&self.call(tool, arguments)).await
    }

    /// Checks that `echo` works.
    ///
    /// # Panics
    ///
    /// If not.
    pub async fn echo(&self, text: &str) {
        let answer = self.tool("echo", json!({ "text": text })).await;
        assert_eq!(answer["result"]["content"][0]["text"], text, "{answer}");
    }

    /// Checks that `ping` works.
    ///
    /// # Panics
    ///
    /// If not.
    pub async fn ping(&self) {
        let answer = self.request("ping", json!({})).await;
        assert_eq!(answer["result"], json!({}), "{answer}");
    }

    /// Sends a notification; over HTTP, until it was accepted.
    pub async fn notify(&self, method: &str, params: Value) {
        let head = self.raw(&message(None, method, params)).await;
        assert!(head.is_none_or(|head| head.status == 202), "{method} was not accepted");
    }

    /// Cancels a request.
    pub async fn cancel(&self, id: &Value, reason: &str) {
        self.inbox.excuses(id);
        self.notify("notifications/cancelled", json!({ "requestId": id, "reason": reason })).await;
    }

    /// Waits for the next question of the server's.
    pub async fn question(&self) -> Value {
        prompt("a question", self.inbox.question()).await
    }

    /// Answers a question.
    pub async fn reply(&self, question: &Value, result: Value) {
        let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": result });
        let head = self.raw(&answer.to_string()).await;
        assert!(head.is_none_or(|head| head.status == 202), "the answer was not accepted");
    }

    /// Opens the session's own stream (a pipe is one already); its messages go to the inbox. Known by the id given.
    ///
    /// # Panics
    ///
    /// If it is not open soon.
    pub async fn listen(&self, known_by: &str) {
        if let Link::Http(link) = &self.link {
            let id = json!(known_by);
            self.inbox.sends(&id);
            self.inbox.excuses(&id);
            link.start("GET", id.clone(), "");
            prompt("the stream is open", self.inbox.opened(&id)).await;
        }
    }

    /// Cuts the connection of a request.
    ///
    /// # Panics
    ///
    /// Over stdio, or if the request has ended.
    pub fn cut(&self, id: &Value, how: Cut) {
        assert!(self.http().cut(id, how), "request {id} is over");
    }

    /// Ends the session by DELETE.
    ///
    /// # Panics
    ///
    /// Over stdio, or if there is no response soon.
    pub async fn delete(&self) -> Head {
        let deleted = self.http().exchange("DELETE", "");
        prompt("DELETE is answered", deleted).await.expect("a response")
    }

    /// Ends the server's input; what it still writes is read.
    ///
    /// # Panics
    ///
    /// Over HTTP.
    pub fn end_input(&mut self) {
        match &mut self.link {
            Link::Http(_) => panic!("only over stdio"),
            Link::Stdio(link) => link.end_input(),
        }
    }

    /// Stops reading, but closes nothing.
    ///
    /// # Panics
    ///
    /// Over HTTP.
    pub fn pause_reading(&self) {
        match &self.link {
            Link::Http(_) => panic!("only over stdio"),
            Link::Stdio(link) => link.pause_reading(),
        }
    }

    /// Goes on to read.
    ///
    /// # Panics
    ///
    /// Over HTTP.
    pub fn resume_reading(&self) {
        match &self.link {
            Link::Http(_) => panic!("only over stdio"),
            Link::Stdio(link) => link.resume_reading(),
        }
    }

    /// Is gone from one moment to the next: all its connections close, or its pipes.
    pub async fn kill(self, how: Cut) {
        self.inbox.close("the client was killed");
        match self.link {
            Link::Http(link) => link.cut_all(how),
            Link::Stdio(link) => link.kill().await,
        }
    }

    /// Leaves as a client should.
    pub async fn leave(self) {
        match self.link {
            Link::Http(ref link) => {
                let _ = prompt("DELETE is answered", link.exchange("DELETE", "")).await;
                link.cut_all(Cut::Close);
            }
            Link::Stdio(mut link) => {
                link.end_input();
                prompt("the server ends", self.inbox.until_closed()).await;
            }
        }
    }
}

/// Opens a pipe, one after the other, so that it is known which session is whose.
async fn open_pipe(server: &TestServer, pace: Pace, inbox: Arc<Inbox>) -> (SessionId, StdioLink) {
    let _one_at_a_time = server.connecting.lock().await;
    let opened = |event: &Seen| matches!(event, Seen::Opened(_));
    let before = server.record.count(opened);
    let link = StdioLink::new(server, pace, inbox);
    server.record.until("the session is opened", before + 1, opened).await;
    let events = server.record.events();
    let Some(Seen::Opened(session)) = events.iter().filter(|event| opened(event)).nth(before) else {
        panic!("it was just seen")
    };
    (*session, link)
}

/// A request, or without an id a notification.
fn message(id: Option<&Value>, method: &str, params: Value) -> String {
    let mut message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
    if let Some(id) = id {
        message["id"] = id.clone();
    }
    message.to_string()
}

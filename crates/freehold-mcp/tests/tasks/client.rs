//! A client of either era, over HTTP or a pipe, that sends what the test wants and shows what comes.

use crate::{
    stage::within,
    wire::{Connection, Request, serve},
};
use bytes::BytesMut;
use freehold_mcp::{
    HttpOptions, McpServer,
    freehold::runtime::{Runtime, TokioRuntime, pause},
};
use serde_json::{Value, json};
use std::{collections::VecDeque, net::SocketAddr, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// Between two looks. On a paused clock it lets time pass, so that a limit is reached there, too.
pub(crate) async fn a_moment() {
    pause(&TokioRuntime, Duration::from_millis(1)).await;
}

pub(crate) const TASKS: &str = "io.modelcontextprotocol/tasks";

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Era {
    Session,
    Stateless,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Line {
    Http,
    Pipe,
}

pub(crate) const LINES: [Line; 2] = [Line::Http, Line::Pipe];

enum Way {
    Http { address: SocketAddr, session: Option<String> },
    Pipe { input: DuplexStream, output: DuplexStream, read: BytesMut, heard: VecDeque<Value> },
}

pub(crate) struct Client {
    way: Way,
    era: Era,
    next_id: u32,
    /// What stateless requests declare.
    pub(crate) capabilities: Value,
    /// What the server said of itself when the session began.
    pub(crate) initialized: Value,
    /// Who it is, where that is asked.
    token: Option<&'static str>,
}

/// A request whose answer is still to come.
pub(crate) enum Pending {
    /// On a connection of its own; whether its answer is a stream of events, once that is known.
    Http(Box<Connection>, Option<bool>),
    Pipe(u32),
}

impl Client {
    /// A client that can do everything.
    pub(crate) async fn of(server: &McpServer, line: Line, era: Era) -> Self {
        let way = match line {
            Line::Http => Way::Http { address: serve(server, HttpOptions::default()).await, session: None },
            Line::Pipe => {
                let (input, server_input) = duplex(4096);
                let (output, server_output) = duplex(4096);
                let server = server.clone();
                let serving = async move {
                    server.serve_io(server_input, server_output).await.expect("it ends in order");
                };
                TokioRuntime.spawn("server", Box::pin(serving));
                Way::Pipe { input, output, read: BytesMut::new(), heard: VecDeque::new() }
            }
        };
        let capabilities = json!({ "elicitation": {}, "sampling": {}, "extensions": { TASKS: {} } });
        let mut client = Self { way, era, next_id: 0, capabilities, initialized: Value::Null, token: None };
        if era == Era::Session {
            client.initialize("2025-11-25").await;
        }
        client
    }

    /// A client of an HTTP server that asks who it is.
    pub(crate) async fn who_is(token: &'static str, address: SocketAddr, era: Era) -> Self {
        let way = Way::Http { address, session: None };
        let capabilities = json!({ "elicitation": {}, "extensions": { TASKS: {} } });
        let initialized = Value::Null;
        let mut client = Self { way, era, next_id: 0, capabilities, initialized, token: Some(token) };
        if era == Era::Session {
            client.initialize("2025-11-25").await;
        }
        client
    }

    /// Another client of the same HTTP server.
    pub(crate) async fn beside(&self, version: &str) -> Self {
        let Way::Http { address, .. } = self.way else { panic!("a pipe has one client") };
        let way = Way::Http { address, session: None };
        let mut client = Self {
            way,
            era: self.era,
            next_id: 0,
            capabilities: self.capabilities.clone(),
            initialized: Value::Null,
            token: None,
        };
        if self.era == Era::Session {
            client.initialize(version).await;
        }
        client
    }

    /// Opens a session.
    async fn initialize(&mut self, version: &str) {
        let params = json!({
            "protocolVersion": version,
            "capabilities": { "elicitation": {}, "sampling": {} },
            "clientInfo": { "name": "test", "version": "1" },
        });
        let message = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        self.next_id = 1;
        let request = self.post(&message);
        let result = match &mut self.way {
            Way::Http { address, session } => {
                let response = request.exchange(*address).await;
                let id = response.headers["mcp-session-id"].to_str().expect("it is visible ASCII");
                *session = Some(id.to_owned());
                response.json()["result"].clone()
            }
            Way::Pipe { .. } => {
                self.write(&message).await;
                self.answer_of(&mut Pending::Pipe(0)).await["result"].clone()
            }
        };
        assert_eq!(result["protocolVersion"], version);
        self.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        self.initialized = result;
    }

    async fn write(&mut self, message: &Value) {
        let Way::Pipe { input, .. } = &mut self.way else { panic!("it is no pipe") };
        within(input.write_all(format!("{message}\n").as_bytes())).await.expect("the server reads");
    }

    /// Sends a message that gets no answer.
    pub(crate) async fn say(&mut self, message: &Value) {
        let request = self.post(message);
        match &self.way {
            Way::Http { address, .. } => {
                let response = request.exchange(*address).await;
                assert_eq!(response.status, 202);
            }
            Way::Pipe { .. } => self.write(message).await,
        }
    }

    fn post(&self, message: &Value) -> Request {
        let mut request = Request::post(message);
        if let Some(token) = self.token {
            request = request.with("Authorization", format!("Bearer {token}"));
        }
        match &self.way {
            Way::Http { session: Some(session), .. } => request.in_session(session),
            _ => request,
        }
    }

    fn message(&mut self, method: &str, mut params: Value) -> (u32, Value) {
        let id = self.next_id;
        self.next_id += 1;
        if self.era == Era::Stateless {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
        }
        (id, json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
    }

    /// The headers that a stateless request repeats of its body.
    pub(crate) fn repeated(request: Request, method: &str, params: &Value) -> Request {
        let name = params["name"].as_str().or(params["taskId"].as_str()).map(str::to_owned);
        let request = request.with("MCP-Protocol-Version", "2026-07-28").with("Mcp-Method", method);
        match name {
            Some(name) => request.with("Mcp-Name", name),
            None => request,
        }
    }

    /// Sends a request.
    pub(crate) async fn start(&mut self, method: &str, params: Value) -> Pending {
        let (id, message) = self.message(method, params);
        let mut request = self.post(&message);
        if self.era == Era::Stateless {
            request = Self::repeated(request, method, &message["params"]);
        }
        match &self.way {
            Way::Http { address, .. } => Pending::Http(Box::new(request.send(*address).await), None),
            Way::Pipe { .. } => {
                self.write(&message).await;
                Pending::Pipe(id)
            }
        }
    }

    /// The next message on the stream of a request: on a pipe whatever comes.
    pub(crate) async fn next(&mut self, pending: &mut Pending) -> Value {
        match pending {
            Pending::Http(connection, events) => {
                if events.is_none() {
                    let (_, headers) = within(connection.head()).await;
                    if headers["content-type"] == "application/json" {
                        let body = within(connection.body(&headers)).await;
                        return serde_json::from_slice(&body).expect("the body is JSON");
                    }
                    *events = Some(true);
                }
                connection.message().await.expect("the stream goes on")
            }
            Pending::Pipe(_) => self.line().await,
        }
    }

    /// The next line of a pipe that nobody has read.
    pub(crate) async fn line(&mut self) -> Value {
        let Way::Pipe { heard, .. } = &mut self.way else { panic!("it is no pipe") };
        match heard.pop_front() {
            Some(line) => line,
            None => self.read_line().await,
        }
    }

    async fn read_line(&mut self) -> Value {
        let Way::Pipe { output, read, .. } = &mut self.way else { panic!("it is no pipe") };
        loop {
            if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                return serde_json::from_slice(&read.split_to(end + 1)).expect("a line is JSON");
            }
            let count = within(output.read_buf(read)).await.expect("the server writes");
            assert_ne!(count, 0, "the server ended");
        }
    }

    /// The answer to a request; what comes before it on a pipe is kept.
    pub(crate) async fn answer_of(&mut self, pending: &mut Pending) -> Value {
        let Pending::Pipe(id) = pending else {
            // A server that says ever more must not keep the test, either.
            return within(self.answer_on_its_stream(pending)).await;
        };
        let id = json!(*id);
        let is_answer = |message: &Value| message["id"] == id && message.get("method").is_none();
        if let Way::Pipe { heard, .. } = &mut self.way
            && let Some(at) = heard.iter().position(is_answer)
        {
            return heard.remove(at).expect("it is there");
        }
        let read = async {
            loop {
                let message = self.read_line().await;
                if is_answer(&message) {
                    return message;
                }
                if let Way::Pipe { heard, .. } = &mut self.way {
                    heard.push_back(message);
                }
            }
        };
        within(read).await
    }

    async fn answer_on_its_stream(&mut self, pending: &mut Pending) -> Value {
        loop {
            let message = self.next(pending).await;
            if message.get("method").is_none() {
                return message;
            }
        }
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Value {
        let mut pending = self.start(method, params).await;
        self.answer_of(&mut pending).await
    }

    /// The result of a request.
    pub(crate) async fn result(&mut self, method: &str, params: Value) -> Value {
        let answer = self.ask(method, params).await;
        answer.get("result").unwrap_or_else(|| panic!("{method} has a result: {answer}")).clone()
    }

    /// The code of the error that a request gets.
    pub(crate) async fn error(&mut self, method: &str, params: Value) -> i64 {
        let answer = self.ask(method, params).await;
        answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("{method} fails: {answer}"))
    }

    /// Calls a tool as a task; its id.
    pub(crate) async fn create(&mut self, tool: &str, arguments: Value) -> String {
        let mut params = json!({ "name": tool, "arguments": arguments });
        if self.era == Era::Session {
            params["task"] = json!({ "ttl": 60_000 });
        }
        let result = self.result("tools/call", params).await;
        let task = if self.era == Era::Session { &result["task"] } else { &result };
        assert_eq!(task["status"], "working", "{result}");
        task["taskId"].as_str().expect("it has an id").to_owned()
    }

    /// The task as it is.
    pub(crate) async fn get(&mut self, task: &str) -> Value {
        self.result("tasks/get", json!({ "taskId": task })).await
    }

    /// Polls until the task has this status.
    pub(crate) async fn until(&mut self, task: &str, status: &str) -> Value {
        let polled = async {
            loop {
                let got = self.get(task).await;
                if got["status"] == status {
                    return got;
                }
                a_moment().await;
            }
        };
        within(polled).await
    }

    /// Ends the session over HTTP.
    pub(crate) async fn close(&mut self) {
        let Way::Http { address, session: Some(session) } = &self.way else { panic!("it has no session") };
        let mut request = Request::new("DELETE", "").in_session(session);
        if let Some(token) = self.token {
            request = request.with("Authorization", format!("Bearer {token}"));
        }
        let response = request.exchange(*address).await;
        assert!(response.status < 300, "{}", response.status);
    }
}

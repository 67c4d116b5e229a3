//! A client that takes whatever a server does as an observation, and panics at none.

use super::events::Events;
use crate::{Connection, Cut, Pace, Random};
use serde_json::{Value, json};
use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    net::TcpSocket,
    sync::{oneshot, watch},
};

/// The revision that is spoken.
pub const REVISION: &str = "2025-11-25";
/// What a client that reads slowly asks its system to buffer.
const SMALL_BUFFER: u32 = 4 << 10;

/// Where the server's endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its address.
    pub address: SocketAddr,
    authority: String,
    path: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("http://").ok_or("a target begins with http://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut addresses = authority.to_socket_addrs().map_err(|error| format!("{authority}: {error}"))?;
        let address = addresses.next().ok_or_else(|| format!("{authority} has no address"))?;
        Ok(Self { address, authority: authority.to_owned(), path: format!("/{path}") })
    }
}

impl Target {
    /// The endpoint `/mcp` at an address.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self { address, authority: address.to_string(), path: "/mcp".to_owned() }
    }

    /// The bytes of a request.
    #[must_use]
    pub fn request(&self, method: &str, session: Option<&str>, body: &str) -> Vec<u8> {
        let mut text = format!("{method} {} HTTP/1.1\r\nhost: {}\r\n", self.path, self.authority);
        if method == "POST" {
            text += "content-type: application/json\r\naccept: application/json, text/event-stream\r\n";
            text += &format!("content-length: {}\r\n", body.len());
        } else {
            text += "accept: text/event-stream\r\n";
        }
        if let Some(session) = session {
            text += &format!("mcp-session-id: {session}\r\nmcp-protocol-version: {REVISION}\r\n");
        }
        (text + "connection: close\r\n\r\n" + body).into_bytes()
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// By a result.
    Result(Value),
    /// By an error with its id.
    Error(Value),
    /// By a status of HTTP, and no answer with its id.
    Status(u16),
    /// The connection ended before.
    Closed(String),
}

/// What came for one request so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// When the head of the response came, and its status.
    pub head: Option<(Duration, u16)>,
    /// The session that it names.
    pub session: Option<String>,
    /// When the first byte of its body came.
    pub first_byte: Option<Duration>,
    /// How many notifications came.
    pub notifications: usize,
    /// The last of them.
    pub notification: Value,
    /// Answers to the request.
    pub answers: Vec<(Duration, Value)>,
    /// Answers with another id, or none.
    pub strays: Vec<Value>,
    /// When the response was over, and how if not properly.
    pub over: Option<(Duration, Option<String>)>,
}

/// How a request is sent and its response read.
#[derive(Debug)]
pub enum Manner {
    /// At once, and as it comes.
    Plain,
    /// In pieces of a few bytes.
    Torn(u64),
    /// Nothing but the head of the response is read before this is told.
    Unread(oneshot::Receiver<()>),
}

/// One request, under way or over.
#[derive(Debug)]
pub struct Call {
    /// Its id.
    pub id: Value,
    seen: watch::Receiver<Seen>,
    cut: Mutex<Option<oneshot::Sender<Cut>>>,
}

impl Call {
    /// Waits until what was seen is as wanted, and gives what is picked from it.
    pub async fn until<R>(&self, pick: impl Fn(&Seen) -> Option<R>) -> R {
        let mut seen = self.seen.clone();
        loop {
            if let Some(found) = pick(&seen.borrow_and_update()) {
                return found;
            }
            if seen.changed().await.is_err() {
                // Who sends has told the end before it went.
                std::future::pending::<()>().await;
            }
        }
    }

    /// What is picked from what was seen so far.
    pub fn look<R>(&self, pick: impl FnOnce(&Seen) -> R) -> R {
        pick(&self.seen.borrow())
    }

    /// Waits for its end: after how long, and which.
    pub async fn end(&self) -> (Duration, End) {
        self.until(|seen| seen.answers.first().map(answer).or_else(|| self.without_answer(seen))).await
    }

    /// What has no id expects no answer, and its status is its end.
    fn without_answer(&self, seen: &Seen) -> Option<(Duration, End)> {
        let (after, how) = seen.over.as_ref()?;
        let end = match (how, seen.head) {
            (None, Some((_, status))) if self.id.is_null() || !(200..300).contains(&status) => {
                End::Status(status)
            }
            (None, Some((_, 202))) => End::Status(202),
            (how, _) => End::Closed(how.clone().unwrap_or_else(|| "the stream ended".to_owned())),
        };
        Some((*after, end))
    }

    /// Waits until its response is over.
    pub async fn over(&self) -> Duration {
        self.until(|seen| seen.over.as_ref().map(|(after, _)| *after)).await
    }

    /// Cuts its connection, if it is still open.
    pub fn cut(&self, how: Cut) {
        if let Some(cut) = self.cut.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = cut.send(how);
        }
    }
}

fn answer((after, answer): &(Duration, Value)) -> (Duration, End) {
    let end = match answer.get("error") {
        Some(error) => End::Error(error.clone()),
        None => End::Result(answer["result"].clone()),
    };
    (*after, end)
}

/// One session.
#[derive(Clone, Debug)]
pub struct Session {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    target: Target,
    id: Option<String>,
    next_id: AtomicI64,
    questions: Questions,
    calls: Mutex<Vec<Arc<Call>>>,
}

/// The server's requests, from whichever stream.
type Questions = Arc<watch::Sender<Vec<Value>>>;

impl Session {
    /// Initializes one, without saying that it is initialized.
    ///
    /// # Errors
    ///
    /// How `initialize` ended instead.
    pub async fn greet(target: &Target) -> Result<(Self, Duration), End> {
        let params = json!({
            "protocolVersion": REVISION,
            "capabilities": { "elicitation": { "form": {} } },
            "clientInfo": { "name": "compare", "version": env!("CARGO_PKG_VERSION") },
        });
        let questions: Questions = Arc::new(watch::channel(Vec::new()).0);
        let text = message(Some(&json!(0)), "initialize", &params);
        let call =
            send(target, target.request("POST", None, &text), json!(0), Manner::Plain, questions.clone());
        match call.end().await {
            (after, End::Result(_)) => {
                let id = call.look(|seen| seen.session.clone());
                Ok((Self::of(target, id, questions), after))
            }
            (_, end) => Err(end),
        }
    }

    /// Who talks to the server without having initialized.
    #[must_use]
    pub fn stranger(target: &Target) -> Self {
        Self::of(target, None, Arc::new(watch::channel(Vec::new()).0))
    }

    fn of(target: &Target, id: Option<String>, questions: Questions) -> Self {
        let (next_id, calls) = (AtomicI64::new(1), Mutex::default());
        let inner = Inner { target: target.clone(), id, next_id, questions, calls };
        Self { inner: Arc::new(inner) }
    }

    /// Its id, if the server gave one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.inner.id.as_deref()
    }

    fn keep(&self, call: Call) -> Arc<Call> {
        let call = Arc::new(call);
        self.inner.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call.clone());
        call
    }

    fn http(&self, method: &str, id: Value, body: &str, manner: Manner) -> Arc<Call> {
        let bytes = self.inner.target.request(method, self.id(), body);
        self.keep(send(&self.inner.target, bytes, id, manner, self.inner.questions.clone()))
    }

    /// Sends a request under an id of one's own.
    pub fn request_as(&self, id: Value, method: &str, params: &Value, manner: Manner) -> Arc<Call> {
        let text = message(Some(&id), method, params);
        self.http("POST", id, &text, manner)
    }

    /// Sends a request.
    pub fn request(&self, method: &str, params: &Value) -> Arc<Call> {
        self.request_as(self.fresh_id(), method, params, Manner::Plain)
    }

    fn fresh_id(&self) -> Value {
        json!(self.inner.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Calls a tool.
    pub fn call(&self, tool: &str, arguments: Value) -> Arc<Call> {
        self.call_in(Manner::Plain, tool, arguments)
    }

    /// Calls a tool in another manner. Its progress is asked for.
    pub fn call_in(&self, manner: Manner, tool: &str, arguments: Value) -> Arc<Call> {
        let id = self.fresh_id();
        let params = json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": id } });
        self.request_as(id, "tools/call", &params, manner)
    }

    /// Posts a text as it is; an answer to `id` counts as its answer.
    pub fn post(&self, id: Value, text: &str) -> Arc<Call> {
        self.http("POST", id, text, Manner::Plain)
    }

    /// Sends a notification.
    pub fn notify(&self, method: &str, params: &Value) -> Arc<Call> {
        self.post(Value::Null, &message(None, method, params))
    }

    /// Says that it is initialized.
    pub fn initialized(&self) -> Arc<Call> {
        self.notify("notifications/initialized", &json!({}))
    }

    /// Cancels a call.
    pub fn cancel(&self, id: &Value) -> Arc<Call> {
        self.notify("notifications/cancelled", &json!({ "requestId": id, "reason": "no longer wanted" }))
    }

    /// Opens its own stream.
    pub fn listen(&self, manner: Manner) -> Arc<Call> {
        self.http("GET", Value::Null, "", manner)
    }

    /// Ends it.
    pub fn delete(&self) -> Arc<Call> {
        self.http("DELETE", Value::Null, "", Manner::Plain)
    }

    /// Waits for a question with this message.
    pub async fn question(&self, message: &str) -> Value {
        let mut questions = self.inner.questions.subscribe();
        let is_it = |question: &&Value| question["params"]["message"] == message;
        let found = questions.wait_for(|all| all.iter().any(|question| is_it(&question))).await;
        found.ok().and_then(|all| all.iter().find(is_it).cloned()).unwrap_or_default()
    }

    /// Accepts a question.
    pub fn accept(&self, question: &Value) -> Arc<Call> {
        let result = json!({ "action": "accept", "content": {} });
        let text = json!({ "jsonrpc": "2.0", "id": question["id"], "result": result }).to_string();
        self.post(Value::Null, &text)
    }

    /// Cuts all its connections.
    pub fn cut(&self, how: Cut) {
        for call in self.calls() {
            call.cut(how);
        }
    }

    /// All its requests.
    #[must_use]
    pub fn calls(&self) -> Vec<Arc<Call>> {
        self.inner.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn message(id: Option<&Value>, method: &str, params: &Value) -> String {
    let mut message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
    if let Some(id) = id {
        message["id"] = id.clone();
    }
    message.to_string()
}

/// Sends bytes over a connection of their own, and reads what comes.
pub fn send(target: &Target, bytes: Vec<u8>, id: Value, manner: Manner, questions: Questions) -> Call {
    let (sender, seen) = watch::channel(Seen::default());
    let (cut, cuts) = oneshot::channel();
    let reader = Reader { id: id.clone(), begun: Instant::now(), seen: sender, questions };
    tokio::spawn(reader.run(target.address, bytes, manner, cuts));
    Call { id, seen, cut: Mutex::new(Some(cut)) }
}

struct Reader {
    id: Value,
    begun: Instant,
    seen: watch::Sender<Seen>,
    questions: Questions,
}

impl Reader {
    async fn run(self, address: SocketAddr, bytes: Vec<u8>, manner: Manner, cuts: oneshot::Receiver<Cut>) {
        let mut connection = match connect(address, &manner).await {
            Ok(connection) => connection,
            Err(error) => return self.over(Some(error.to_string())),
        };
        let how = tokio::select! {
            read = self.exchange(&mut connection, &bytes, manner) => read.err().map(|error| error.to_string()),
            // A sender that is dropped cuts nothing.
            Ok(cut) = cuts => {
                if cut == Cut::Reset {
                    connection.reset();
                }
                Some("cut by the client".to_owned())
            }
        };
        self.over(how);
    }

    fn over(&self, how: Option<String>) {
        let after = self.begun.elapsed();
        self.seen.send_modify(|seen| seen.over = Some((after, how)));
    }

    async fn exchange(&self, connection: &mut Connection, bytes: &[u8], manner: Manner) -> io::Result<()> {
        let mut pace = match manner {
            Manner::Torn(seed) => Pace::Torn(Random::new(seed)),
            _ => Pace::Whole,
        };
        connection.send(bytes, &mut pace).await?;
        let head = connection.head().await?;
        let session = head.header("mcp-session-id").map(str::to_owned);
        self.seen.send_modify(|seen| {
            seen.head = Some((self.begun.elapsed(), head.status));
            seen.session = session;
        });
        if let Manner::Unread(until) = manner {
            // Who drops the sender never reads.
            if until.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        let events = head.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        self.body(connection, events).await
    }

    async fn body(&self, connection: &mut Connection, events: bool) -> io::Result<()> {
        let (mut stream, mut whole) = (Events::default(), Vec::new());
        while let Some(piece) = connection.chunk().await? {
            self.seen.send_if_modified(|seen| {
                let first = seen.first_byte.is_none();
                seen.first_byte.get_or_insert_with(|| self.begun.elapsed());
                first
            });
            if events {
                stream.take(&piece).iter().for_each(|data| self.take(data));
            } else {
                whole.extend_from_slice(&piece);
            }
        }
        self.take(&whole);
        Ok(())
    }

    /// Takes a message or a batch; what is no JSON is none.
    fn take(&self, data: &[u8]) {
        match serde_json::from_slice(data) {
            Ok(Value::Array(messages)) => messages.into_iter().for_each(|message| self.message(message)),
            Ok(message) => self.message(message),
            Err(_) => {}
        }
    }

    fn message(&self, message: Value) {
        let after = self.begun.elapsed();
        match (message.get("method").is_some(), message.get("id")) {
            (true, Some(_)) => self.questions.send_modify(|questions| questions.push(message)),
            (true, None) => self.seen.send_modify(|seen| {
                seen.notifications += 1;
                seen.notification = message;
            }),
            (false, Some(id)) if *id == self.id && !id.is_null() => {
                self.seen.send_modify(|seen| seen.answers.push((after, message)));
            }
            (false, _) => self.seen.send_modify(|seen| seen.strays.push(message)),
        }
    }
}

async fn connect(address: SocketAddr, manner: &Manner) -> io::Result<Connection> {
    let Manner::Unread(_) = manner else { return Connection::open(address).await };
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_recv_buffer_size(SMALL_BUFFER)?;
    Ok(Connection::on(socket.connect(address).await?))
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn targets() {
        let target: Target = "http://127.0.0.1:8808/mcp".parse().unwrap();
        assert_eq!(target, Target::at("127.0.0.1:8808".parse().unwrap()));
        let bytes = target.request("DELETE", Some("7"), "");
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("DELETE /mcp HTTP/1.1\r\nhost: 127.0.0.1:8808\r\n"), "{text}");
        assert!(text.contains("mcp-session-id: 7\r\n") && text.ends_with("\r\n\r\n"), "{text}");
        for wrong in ["127.0.0.1:1/mcp", "https://127.0.0.1/mcp", "http://127.0.0.1/mcp"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}

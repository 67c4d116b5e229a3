//! HTTP/1.1 by hand: what a test must do to a connection, an HTTP library would not let it do.

use crate::{Inbox, Outcome, Pace, stdio_driver::write_at};
use serde_json::Value;
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};

/// How a client cuts a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Closes it, as a process does that ends.
    Close,
    /// Resets it, as a machine does that knows nothing of it any more.
    Reset,
}

/// The head of a response.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status code.
    pub status: u16,
    headers: HashMap<String, String>,
}

impl Head {
    /// A header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// The bytes of a request.
#[must_use]
pub fn http_request(method: &str, address: SocketAddr, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{method} /mcp HTTP/1.1\r\nhost: {address}\r\n");
    if method == "POST" {
        text += "content-type: application/json\r\naccept: application/json, text/event-stream\r\n";
        text += &format!("content-length: {}\r\n", body.len());
    } else {
        text += "accept: text/event-stream\r\n";
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    (text + "connection: close\r\n\r\n" + body).into_bytes()
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    chunked: bool,
    left: usize,
}

impl Connection {
    /// Opens one.
    ///
    /// # Errors
    ///
    /// As TCP.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::on(stream))
    }

    /// Takes one that was opened elsewhere.
    #[must_use]
    pub fn on(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new(), chunked: false, left: 0 }
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// As TCP.
    pub async fn send(&mut self, bytes: &[u8], pace: &mut Pace) -> io::Result<()> {
        write_at(pace, &mut self.stream, bytes).await
    }

    /// Drops it the hard way: the other side sees a reset.
    ///
    /// # Panics
    ///
    /// If the system does not know how.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("SO_LINGER");
    }

    /// Sends no more, but goes on to read.
    ///
    /// # Errors
    ///
    /// As TCP.
    pub async fn half_close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Waits until the other side has closed it, properly or not.
    pub async fn until_closed(&mut self) {
        while self.fill().await.is_ok() {
            self.buffer.clear();
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended early"));
        }
        Ok(())
    }

    async fn until(&mut self, mark: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|window| window == mark) {
                let found = self.buffer[..at].to_vec();
                self.buffer.drain(..at + mark.len());
                return Ok(found);
            }
            self.fill().await?;
        }
    }

    async fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            self.fill().await?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Reads the head of the response.
    ///
    /// # Errors
    ///
    /// If the connection ends before, or it is not HTTP.
    pub async fn head(&mut self) -> io::Result<Head> {
        let head = self.until(b"\r\n\r\n").await?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, head.clone()))?;
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers: HashMap<_, _> =
            headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        self.chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
        self.left = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
        Ok(Head { status, headers })
    }

    /// The next part of the body; nothing at its proper end.
    ///
    /// # Errors
    ///
    /// If the connection ends before.
    pub async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        if !self.chunked {
            let left = std::mem::take(&mut self.left);
            return Ok(if left == 0 { None } else { Some(self.exactly(left).await?) });
        }
        let size = self.until(b"\r\n").await?;
        let size = std::str::from_utf8(&size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size =
            size.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not the size of a chunk"))?;
        let chunk = self.exactly(size + 2).await?;
        Ok(if size == 0 { None } else { Some(chunk[..size].to_vec()) })
    }

    /// Reads a whole response; its messages go to the inbox as they come.
    ///
    /// # Errors
    ///
    /// If the connection ends early.
    ///
    /// # Panics
    ///
    /// If the body is not what its head says.
    pub async fn response(&mut self, inbox: &Inbox) -> io::Result<Head> {
        let head = self.head().await?;
        self.body(&head, inbox).await?;
        Ok(head)
    }

    /// Reads the body; how many answers to requests were in it.
    async fn body(&mut self, head: &Head, inbox: &Inbox) -> io::Result<usize> {
        let events = head.header("content-type") == Some("text/event-stream");
        let (mut text, mut answers) = (Vec::new(), 0);
        while let Some(chunk) = self.chunk().await? {
            // The end of an event may be torn, too.
            let mut from = text.len().saturating_sub(1);
            text.extend_from_slice(&chunk);
            while events && let Some(at) = text[from..].windows(2).position(|end| end == b"\n\n") {
                answers += usize::from(take_event(inbox, &text[..from + at]));
                text.drain(..from + at + 2);
                from = 0;
            }
        }
        if !events && !text.is_empty() {
            answers += usize::from(inbox.take(serde_json::from_slice(&text).expect("a body is JSON")));
        }
        Ok(answers)
    }
}

fn take_event(inbox: &Inbox, event: &[u8]) -> bool {
    let data = event.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"data: "));
    data.is_some_and(|data| inbox.take(serde_json::from_slice(data).expect("an event is JSON")))
}

/// One session over HTTP; each message goes over a connection of its own.
#[derive(Debug)]
pub(crate) struct HttpLink {
    address: SocketAddr,
    pub(crate) session: Option<String>,
    pace: Pace,
    inbox: Arc<Inbox>,
    /// How to cut the connection of a request under way.
    open: Mutex<HashMap<String, oneshot::Sender<Cut>>>,
}

impl HttpLink {
    pub(crate) fn new(address: SocketAddr, pace: Pace, inbox: Arc<Inbox>) -> Self {
        Self { address, session: None, pace, inbox, open: Mutex::default() }
    }

    fn request(&self, method: &str, body: &str) -> Vec<u8> {
        match &self.session {
            Some(id) => {
                let headers = [("mcp-session-id", id.as_str()), ("mcp-protocol-version", "2025-11-25")];
                http_request(method, self.address, &headers, body)
            }
            None => http_request(method, self.address, &[], body),
        }
    }

    /// Sends a message and reads the response to its end.
    pub(crate) async fn exchange(&self, method: &str, body: &str) -> io::Result<Head> {
        let mut connection = Connection::open(self.address).await?;
        connection.send(&self.request(method, body), &mut self.pace.clone()).await?;
        connection.response(&self.inbox).await
    }

    /// Sends something whose response may take its time.
    pub(crate) fn start(&self, method: &str, id: Value, body: &str) {
        let (cut, cuts) = oneshot::channel();
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_string(), cut);
        let (address, bytes) = (self.address, self.request(method, body));
        let (inbox, mut pace) = (self.inbox.clone(), self.pace.clone());
        tokio::spawn(async move {
            let mut connection = match Connection::open(address).await {
                Ok(connection) => connection,
                Err(error) => return inbox.ended(&id, Outcome::Ended(error.to_string())),
            };
            let exchange = async {
                connection.send(&bytes, &mut pace).await?;
                let head = connection.head().await?;
                inbox.opens(&id);
                io::Result::Ok((connection.body(&head, &inbox).await?, head.status))
            };
            let outcome = tokio::select! {
                response = exchange => match response {
                    Ok((0, status)) => Outcome::Ended(format!("status {status} and the end")),
                    Ok(_) => return,
                    Err(error) => Outcome::Ended(error.to_string()),
                },
                // A sender that is dropped cuts nothing.
                Ok(cut) = cuts => {
                    if cut == Cut::Reset {
                        connection.reset();
                    }
                    Outcome::Cut
                }
            };
            inbox.ended(&id, outcome);
        });
    }

    pub(crate) fn cut(&self, id: &Value, how: Cut) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id.to_string());
        open.is_some_and(|cut| cut.send(how).is_ok())
    }

    pub(crate) fn cut_all(&self, how: Cut) {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        for cut in open.into_values() {
            let _ = cut.send(how);
        }
    }
}

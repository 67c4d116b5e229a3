//! An HTTP/1.1 client that costs little: one connection that is kept as long as the server keeps it, one request at a time,
//! bodies with a length or in chunks.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A head must end within this many bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// No answer of a benchmark is larger; a server that sends more than this is in error.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;
const MAX_HEADERS: usize = 48;
const READ_BYTES: usize = 4096;

/// How a body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentKind {
    /// `application/json`.
    Json,
    /// `text/event-stream`.
    EventStream,
    /// Neither.
    Other,
}

/// An answer, borrowed from the connection's buffers.
#[derive(Debug)]
pub struct Response<'a> {
    /// The status code.
    pub status: u16,
    /// From the content type.
    pub content: ContentKind,
    /// The `Mcp-Session-Id` header.
    pub session: Option<String>,
    /// The body, chunks joined.
    pub body: &'a [u8],
}

/// What a connection has to read between two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Nothing, as it should be.
    Quiet,
    /// Its end: the server has closed it.
    Closed,
    /// Something that nobody asked for.
    Unasked,
}

/// A keep-alive connection to a server on loopback.
#[derive(Debug)]
pub struct HttpConnection {
    port: u16,
    stream: TcpStream,
    /// The server said that it closes after its last answer.
    closes: bool,
    input: Vec<u8>,
    /// How much of `input` belongs to answers already handed out.
    consumed: usize,
    joined: Vec<u8>,
}

impl HttpConnection {
    /// Connects to 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When nothing listens there.
    pub async fn connect(port: u16) -> Result<Self> {
        let stream = connect_to(port).await?;
        Ok(Self { port, stream, closes: false, input: Vec::new(), consumed: 0, joined: Vec::new() })
    }

    /// Sends a whole request, head and body; on a new connection if the server said that it closes the last one.
    ///
    /// # Errors
    ///
    /// When the server has closed the connection without a word.
    pub async fn send(&mut self, request: &[u8]) -> Result<()> {
        if self.closes {
            self.stream = connect_to(self.port).await?;
            self.closes = false;
            self.input.clear();
            self.consumed = 0;
        }
        self.stream.write_all(request).await.context("cannot send a request")
    }

    /// Reads one whole answer. Cancel safe: what had arrived is read again by the next call.
    ///
    /// # Errors
    ///
    /// When the connection ends early, or what arrives is not HTTP/1.1 within bounds.
    pub async fn receive(&mut self) -> Result<Response<'_>> {
        self.input.drain(..self.consumed);
        self.consumed = 0;
        let head = self.receive_head().await?;
        self.closes = head.closes;
        let body = match head.framing {
            Framing::Length(length) => self.receive_length(head.bytes, length).await?,
            Framing::Chunked => {
                self.consumed = self.receive_chunks(head.bytes).await?;
                &self.joined
            }
        };
        Ok(Response { status: head.status, content: head.content, session: head.session, body })
    }

    /// Reads whatever is there next, as raw bytes; 0 stands for the end of the connection.
    ///
    /// # Errors
    ///
    /// When the connection was reset.
    pub async fn receive_raw(&mut self, into: &mut [u8]) -> Result<usize> {
        Ok(self.stream.read(into).await?)
    }

    /// Looks what there is to read although no answer is due; waits for nothing.
    pub fn idle(&mut self) -> Idle {
        if self.input.len() > self.consumed {
            return Idle::Unasked;
        }
        match self.stream.try_read(&mut [0]) {
            Ok(0) => Idle::Closed,
            Ok(_) => Idle::Unasked,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Idle::Quiet,
            Err(_) => Idle::Closed,
        }
    }

    async fn receive_head(&mut self) -> Result<Head> {
        loop {
            if let Some(head) = parse_head(&self.input)? {
                return Ok(head);
            }
            ensure!(self.input.len() < MAX_HEAD_BYTES, "the answer's head does not end");
            self.receive_more().await?;
        }
    }

    async fn receive_length(&mut self, start: usize, length: usize) -> Result<&[u8]> {
        ensure!(length <= MAX_BODY_BYTES, "an answer of {length} bytes");
        let end = start + length;
        while self.input.len() < end {
            self.receive_more().await?;
        }
        self.consumed = end;
        Ok(&self.input[start..end])
    }

    /// Joins the chunks and returns where they end.
    async fn receive_chunks(&mut self, mut at: usize) -> Result<usize> {
        self.joined.clear();
        loop {
            match parse_chunk(&self.input, at)? {
                None => self.receive_more().await?,
                Some(Chunk { data, end }) if data.is_empty() => return Ok(end),
                Some(Chunk { data, end }) => {
                    self.joined.extend_from_slice(&self.input[data]);
                    ensure!(self.joined.len() <= MAX_BODY_BYTES, "an answer over {MAX_BODY_BYTES} bytes");
                    at = end;
                }
            }
        }
    }

    async fn receive_more(&mut self) -> Result<()> {
        self.input.reserve(READ_BYTES);
        let count = self.stream.read_buf(&mut self.input).await.context("cannot read an answer")?;
        ensure!(count > 0, "the server closed the connection before the answer was complete");
        Ok(())
    }
}

async fn connect_to(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("cannot connect to port {port}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

#[derive(Debug)]
struct Head {
    bytes: usize,
    status: u16,
    framing: Framing,
    content: ContentKind,
    session: Option<String>,
    closes: bool,
}

/// `None` while the head is incomplete.
fn parse_head(input: &[u8]) -> Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(bytes) = response.parse(input).context("the answer is not HTTP")? else {
        return Ok(None);
    };
    let status = response.code.context("the answer has no status")?;
    let mut head = Head {
        bytes,
        status,
        framing: Framing::Length(0),
        content: ContentKind::Other,
        session: None,
        closes: false,
    };
    for header in response.headers.iter() {
        head.take(header.name, header.value)?;
    }
    Ok(Some(head))
}

impl Head {
    fn take(&mut self, name: &str, value: &[u8]) -> Result<()> {
        if name.eq_ignore_ascii_case("content-length") {
            self.framing = Framing::Length(str::from_utf8(value)?.trim().parse()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            ensure!(value.eq_ignore_ascii_case(b"chunked"), "unknown transfer encoding");
            self.framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("content-type") {
            self.content = content_kind(value);
        } else if name.eq_ignore_ascii_case("connection") {
            self.closes = value.eq_ignore_ascii_case(b"close");
        } else if name.eq_ignore_ascii_case("mcp-session-id") {
            self.session = Some(str::from_utf8(value)?.to_owned());
        }
        Ok(())
    }
}

fn content_kind(value: &[u8]) -> ContentKind {
    let essence = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/json") {
        ContentKind::Json
    } else if essence.eq_ignore_ascii_case(b"text/event-stream") {
        ContentKind::EventStream
    } else {
        ContentKind::Other
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Chunk {
    data: Range<usize>,
    end: usize,
}

/// `None` while the chunk is incomplete; the last chunk is the empty one. Trailers are not known here.
fn parse_chunk(input: &[u8], at: usize) -> Result<Option<Chunk>> {
    let rest = &input[at..];
    let (line, size) = match httparse::parse_chunk_size(rest) {
        Ok(httparse::Status::Complete((line, size))) => (line, usize::try_from(size)?),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => bail!("a chunk has no size"),
    };
    ensure!(size <= MAX_BODY_BYTES, "a chunk of {size} bytes");
    let data = at + line..at + line + size;
    let end = data.end + 2;
    if input.len() < end {
        return Ok(None);
    }
    ensure!(&input[data.end..end] == b"\r\n", "a chunk does not end where it says");
    Ok(Some(Chunk { data, end }))
}

#[cfg(test)]
mod tests {
    use super::{Chunk, ContentKind, Framing, parse_chunk, parse_head};

    #[test]
    fn heads() {
        let rows = [
            (
                "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
                202,
                Framing::Length(0),
                ContentKind::Other,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 12\r\n\r\n{",
                200,
                Framing::Length(12),
                ContentKind::Json,
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
                200,
                Framing::Chunked,
                ContentKind::EventStream,
            ),
        ];
        for (text, status, framing, content) in rows {
            let head = parse_head(text.as_bytes()).unwrap().unwrap();
            assert_eq!((head.status, head.framing, head.content), (status, framing, content), "{text:?}");
        }
        let closes = |text: &str| parse_head(text.as_bytes()).unwrap().unwrap().closes;
        assert!(closes("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"));
        assert!(!closes("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n"));
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap().is_none());
        assert!(parse_head(b"SSH-2.0\r\n\r\n").is_err());
    }

    #[test]
    fn chunks() {
        let whole = b"5\r\nhello\r\n0\r\n\r\n";
        assert_eq!(parse_chunk(whole, 0).unwrap(), Some(Chunk { data: 3..8, end: 10 }));
        assert_eq!(parse_chunk(whole, 10).unwrap(), Some(Chunk { data: 13..13, end: 15 }));
        assert_eq!(parse_chunk(b"5\r\nhel", 0).unwrap(), None);
        assert_eq!(parse_chunk(b"", 0).unwrap(), None);
        assert!(parse_chunk(b"2\r\nhello", 0).is_err());
        assert!(parse_chunk(b"zz\r\n", 0).is_err());
    }
}

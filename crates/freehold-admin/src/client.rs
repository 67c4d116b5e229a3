//! A small HTTP client that blocks its thread, for webhooks and for whoever asks an admin server.

use crate::limits;
use freehold::runtime::{Runtime, TokioRuntime};
use std::{
    fmt,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    str::FromStr,
    time::{Duration, Instant},
};

/// An address that begins with `http://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    /// With the port.
    authority: String,
    path: String,
}

/// The text is no address of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an address as http://HOST:PORT/PATH")]
#[non_exhaustive]
pub struct InvalidUrl;

impl FromStr for HttpUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let rest = text.strip_prefix("http://").ok_or(InvalidUrl)?;
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let visible = |part: &str| part.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || host.contains('@') || !visible(rest) {
            return Err(InvalidUrl);
        }
        let has_port = host
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.ends_with(']') && port.parse::<u16>().is_ok());
        let authority = if has_port { host.to_owned() } else { format!("{host}:80") };
        Ok(Self { authority, path: path.to_owned() })
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// A stream that gives up at an instant, however slowly its peer writes.
struct Patient {
    stream: TcpStream,
    end: Instant,
}

impl Patient {
    fn left(&self) -> io::Result<Duration> {
        let left = self.end.saturating_duration_since(TokioRuntime.now());
        if left.is_zero() {
            Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))
        } else {
            Ok(left)
        }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// An answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The status: 200 is success.
    pub status: u16,
    /// What came.
    pub body: Vec<u8>,
}

/// The answer to what was posted.
#[cfg(feature = "otlp")]
pub(crate) struct Posted {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

impl HttpUrl {
    /// The same with this path and query.
    #[must_use]
    pub fn with_path(&self, path: &str) -> Self {
        Self { authority: self.authority.clone(), path: path.to_owned() }
    }

    /// Asks for what is there. Blocks the thread for up to `patience`.
    ///
    /// # Errors
    ///
    /// If nobody is there, or does not answer in time, or not by HTTP, or with more than 64 MiB.
    pub fn get(&self, token: Option<&str>, patience: Duration) -> io::Result<Answer> {
        let token = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        let Self { authority, path } = self;
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nAccept: application/json, text/plain\r\n{token}Connection: close\r\n\r\n"
        );
        let mut reader = self.exchange(head.as_bytes(), patience)?;
        let status = status(&mut reader)?;
        let Head { extent, .. } = rest_of_head(&mut reader)?;
        Ok(Answer { status, body: extent.read(&mut reader, limits::ANSWER)? })
    }

    /// Posts JSON; returns the status. Blocks the thread for up to `patience`.
    pub(crate) fn post_json(&self, body: &[u8], patience: Duration) -> io::Result<u16> {
        status(&mut self.post("application/json", "", body, patience)?)
    }

    /// Posts a message of protobuf with these lines more in the head; returns the head of the answer, and of a success the body,
    /// which must not have more than `most` bytes. Blocks the thread for up to `patience`.
    #[cfg(feature = "otlp")]
    pub(crate) fn post_protobuf(
        &self,
        headers: &str,
        body: &[u8],
        patience: Duration,
        most: u64,
    ) -> io::Result<Posted> {
        let mut reader = self.post("application/x-protobuf", headers, body, patience)?;
        let status = status(&mut reader)?;
        let Head { extent, retry_after } = rest_of_head(&mut reader)?;
        let body = if (200..=299).contains(&status) && status != NO_CONTENT {
            extent.read(&mut reader, most)?
        } else {
            Vec::new()
        };
        Ok(Posted { status, retry_after, body })
    }

    fn post(
        &self,
        media_type: &str,
        headers: &str,
        body: &[u8],
        patience: Duration,
    ) -> io::Result<BufReader<Patient>> {
        let Self { authority, path } = self;
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\
             {headers}Connection: close\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.exchange(&request, patience)
    }

    fn exchange(&self, request: &[u8], patience: Duration) -> io::Result<BufReader<Patient>> {
        let end = TokioRuntime.now() + patience;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in self.authority.to_socket_addrs()? {
            // All of them together, not each.
            let left = end.saturating_duration_since(TokioRuntime.now());
            if left.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => {
                    let mut stream = Patient { stream, end };
                    stream.write_all(request)?;
                    return Ok(BufReader::new(stream));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Longer lines are none of a server that means well.
const LINE: u64 = 8 << 10;

/// Nor are more of them.
const LINES: usize = 1_000;

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.take(LINE).read_line(&mut line)?;
    Ok(line)
}

fn status(reader: &mut impl BufRead) -> io::Result<u16> {
    let line = line(reader)?;
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

/// The status of a success without a body.
#[cfg(feature = "otlp")]
const NO_CONTENT: u16 = 204;

/// What we heed of the lines after the first.
struct Head {
    extent: Extent,
    /// When to come back, if that is said in seconds.
    retry_after: Option<Duration>,
}

/// Where the body ends.
#[derive(Clone, Copy)]
enum Extent {
    /// After so many bytes.
    Bytes(u64),
    /// With a chunk of nothing.
    Chunks,
    /// With the connection.
    Connection,
}

impl Extent {
    /// Reads a body, which must not have more than `most` bytes.
    fn read(self, reader: &mut impl BufRead, most: u64) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        match self {
            Self::Bytes(length) => read_part(reader, length, most, &mut body)?,
            Self::Chunks => {
                while let Some(length) = chunk_length(&line(reader)?)? {
                    read_part(reader, length, most, &mut body)?;
                    line(reader)?;
                }
            }
            Self::Connection => {
                reader.take(most.saturating_add(1)).read_to_end(&mut body)?;
                within(body.len() as u64, most)?;
            }
        }
        Ok(body)
    }
}

fn read_part(reader: &mut impl BufRead, length: u64, most: u64, body: &mut Vec<u8>) -> io::Result<()> {
    within((body.len() as u64).saturating_add(length), most)?;
    if (reader.take(length).read_to_end(body)? as u64) < length {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ended too early"));
    }
    Ok(())
}

fn within(length: u64, most: u64) -> io::Result<()> {
    if length > most {
        let message = format!("the answer has more than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(())
}

/// The length that stands before a chunk; nothing before the last one, which is empty.
fn chunk_length(line: &str) -> io::Result<Option<u64>> {
    let digits = line.split(';').next().unwrap_or_default().trim();
    let length = u64::from_str_radix(digits, 16)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a part of the answer has no length"))?;
    Ok((length > 0).then_some(length))
}

/// Reads the rest of the head.
fn rest_of_head(reader: &mut impl BufRead) -> io::Result<Head> {
    let mut head = Head { extent: Extent::Connection, retry_after: None };
    for _ in 0..LINES {
        let line = line(reader)?;
        let line = line.trim_end();
        let Some((name, value)) = line.split_once(':') else {
            if line.is_empty() {
                return Ok(head);
            }
            continue;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            head.extent = Extent::Chunks;
        } else if name.eq_ignore_ascii_case("content-length")
            && let Ok(length) = value.parse()
            && !matches!(head.extent, Extent::Chunks)
        {
            head.extent = Extent::Bytes(length);
        } else if name.eq_ignore_ascii_case("retry-after") {
            head.retry_after = value.parse().ok().map(Duration::from_secs);
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the head of the answer has no end"))
}

#[cfg(test)]
mod tests {
    use super::{HttpUrl, rest_of_head};

    #[test]
    fn addresses_are_read_with_and_without_port_and_path() {
        for (text, shown) in [
            ("http://127.0.0.1:9000/alerts?to=me", "http://127.0.0.1:9000/alerts?to=me"),
            ("http://alerts.test", "http://alerts.test:80/"),
            ("http://[::1]/x", "http://[::1]:80/x"),
            ("http://[::1]:81", "http://[::1]:81/"),
        ] {
            assert_eq!(text.parse::<HttpUrl>().unwrap().to_string(), shown, "{text}");
        }
        for bad in
            ["", "https://a.test/", "http://", "http:///x", "http://a b/", "http://me@a.test/", "a.test"]
        {
            assert!(bad.parse::<HttpUrl>().is_err(), "{bad}");
        }
    }

    fn body(answer: &str, most: u64) -> Result<String, String> {
        let mut reader = answer.as_bytes();
        let head = rest_of_head(&mut reader).unwrap();
        let body = head.extent.read(&mut reader, most).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(body).unwrap())
    }

    #[test]
    fn bodies_end_where_their_heads_say_and_have_a_bound() {
        const LONG: Result<&str, &str> = Err("the answer has more than 5 bytes");
        const SHORT: Result<&str, &str> = Err("the answer ended too early");
        for (answer, expected) in [
            ("Content-Length: 5\r\n\r\nabcdefg", Ok("abcde")),
            ("Content-Length: 6\r\n\r\nabcdef", LONG),
            ("Content-Length: 5\r\n\r\nabcd", SHORT),
            ("\r\nabcde", Ok("abcde")),
            ("\r\nabcdef", LONG),
            ("Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n3\r\ncde\r\n0\r\n\r\n", Ok("abcde")),
            ("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\na\r\n0\r\n\r\n", Ok("a")),
            ("Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n4\r\ncdef\r\n0\r\n\r\n", LONG),
            ("Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nab", LONG),
            ("Transfer-Encoding: chunked\r\n\r\n3\r\nab", SHORT),
            ("Transfer-Encoding: chunked\r\n\r\nxyz", Err("a part of the answer has no length")),
        ] {
            let told = body(answer, 5);
            assert_eq!(told.as_deref().map_err(String::as_str), expected, "{answer:?}");
        }
    }
}

//! The accept loop: one task a connection, TCP_NODELAY, and an orderly end with the engine's drain.

use super::{HttpOptions, HttpService, write_stall::WriteStall};
use crate::server::McpServer;
use freehold::{State, runtime::pause};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    fmt, io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs, lookup_host},
};

/// What a connection beyond the bound gets before it is closed.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
/// Connections that the system keeps until they are accepted; it may have a lower bound of its own. Beyond it clients are not
/// refused but try again after a second, so it is far above the 128 of the standard library.
const LISTEN_BACKLOG: u32 = 4_096;
/// After a failed accept (no file descriptor left, most often) the loop waits this long, lest it spins.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long connections may go on to write what they have once the engine has drained.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The HTTP face could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen: {0}; is another server running there?")]
pub struct ServeError(#[from] io::Error);

/// An HTTP endpoint that accepts connections, once [`serve`](Self::serve) runs.
pub struct HttpListener<S: State = ()> {
    service: HttpService<S>,
    listener: TcpListener,
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl<S: State> fmt::Debug for HttpListener<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpListener").field("address", &self.address).finish_non_exhaustive()
    }
}

impl<S: State> McpServer<S> {
    /// Opens an HTTP endpoint. Port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// [`ServeError`] if the address cannot be bound.
    pub async fn bind_http(
        &self,
        address: impl ToSocketAddrs,
        options: HttpOptions,
    ) -> Result<HttpListener<S>, ServeError> {
        let listener = listen(address).await?;
        let address = listener.local_addr()?;
        let service = HttpService::new(self.clone(), options);
        Ok(HttpListener { service, listener, address, connections: Arc::default() })
    }

    /// [`bind_http`](Self::bind_http) with the defaults, then [`HttpListener::serve`].
    ///
    /// # Errors
    ///
    /// [`ServeError`] if the address cannot be bound.
    pub async fn serve_http(&self, address: impl ToSocketAddrs) -> Result<(), ServeError> {
        self.bind_http(address, HttpOptions::default()).await?.serve().await;
        Ok(())
    }
}

/// As [`TcpListener::bind`], with room for a rush.
async fn listen(addresses: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let mut failure = None;
    for address in lookup_host(addresses).await? {
        match listen_at(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the name has no address")))
}

fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // So that a restart need not wait for the last connections of the server before. On Windows it would share the port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)
}

impl<S: State> HttpListener<S> {
    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint's address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.service.options.path)
    }

    /// Connections open at this moment; lives on while [`serve`](Self::serve) runs.
    #[must_use]
    pub fn connection_gauge(&self) -> Arc<AtomicUsize> {
        self.connections.clone()
    }

    /// Accepts connections until the engine has drained, then waits (up to a second after the last call) for them to write
    /// what they have.
    ///
    /// # Cancel safety
    ///
    /// Dropping it stops accepting; open connections go on by themselves.
    pub async fn serve(self) {
        let engine = self.service.server.engine().clone();
        // Until the drain is over: a client may still have to cancel or to answer, and others are told to go elsewhere.
        let mut drained = pin!(engine.drain_ended());
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut drained => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                #[cfg(feature = "seeded-faults")]
                Ok((stream, _)) if freehold::fault::active(freehold::fault::Fault::AcceptWaits) => {
                    connection(self.service.clone(), stream, OpenConnection::new(&self.connections)).await;
                }
                Ok((stream, _)) => self.connect(stream),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    pause(&**engine.runtime(), ACCEPT_PAUSE).await;
                }
            }
        }
        self.last_words().await;
    }

    fn connect(&self, stream: TcpStream) {
        #[cfg(feature = "seeded-faults")]
        if freehold::fault::strikes(freehold::fault::Fault::LeakFile) {
            std::mem::forget(std::fs::File::open("/"));
        }
        let open = OpenConnection::new(&self.connections);
        let runtime = self.service.server.engine().runtime().clone();
        if open.count > self.service.options.connections {
            runtime.spawn("refuse a connection", Box::pin(refuse(stream, open)));
        } else {
            let connection = connection(self.service.clone(), stream, open);
            runtime.spawn("connection", Box::pin(connection));
        }
    }

    /// Waits for the calls to end and the connections to close, the latter only so long.
    async fn last_words(&self) {
        let engine = self.service.server.engine();
        let runtime = engine.runtime();
        let mut left = LAST_WORDS;
        while self.connections.load(Ordering::Acquire) > 0 && !left.is_zero() {
            pause(&**runtime, LAST_WORDS / 100).await;
            if engine.call_count() == 0 {
                left = left.saturating_sub(LAST_WORDS / 100);
            }
        }
    }
}

/// Counts a connection for as long as it lives.
struct OpenConnection {
    gauge: Arc<AtomicUsize>,
    count: usize,
}

impl OpenConnection {
    fn new(gauge: &Arc<AtomicUsize>) -> Self {
        let count = gauge.fetch_add(1, Ordering::AcqRel) + 1;
        Self { gauge: gauge.clone(), count }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.gauge.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn refuse(mut stream: TcpStream, _open: OpenConnection) {
    let _ = stream.write_all(TOO_MANY).await;
    let _ = stream.shutdown().await;
}

/// Sets what a connection needs of its socket.
fn prepare(stream: &TcpStream, write_timeout: Duration) -> io::Result<()> {
    // Without it an event waits up to 40 ms for the client's delayed acknowledgement.
    stream.set_nodelay(true)?;
    // A client that vanished without a word acknowledges nothing: not even the comments of a quiet stream. The system's
    // own patience is a quarter of an hour.
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(write_timeout))?;
    #[cfg(not(target_os = "linux"))]
    let _ = write_timeout;
    Ok(())
}

async fn connection<S: State>(service: HttpService<S>, stream: TcpStream, _open: OpenConnection) {
    let options = service.options.clone();
    if let Err(error) = prepare(&stream, options.write_timeout) {
        tracing::debug!(%error, "connection ended before it began");
        return;
    }
    let engine = service.server.engine().clone();
    let io = TokioIo::new(WriteStall::new(stream, options.write_timeout, engine.runtime().clone()));
    let asked = AtomicBool::new(false);
    let handle = service_fn(|request| {
        asked.store(true, Ordering::Relaxed);
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.handle(request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(options.header_timeout)
            .serve_connection(io, handle)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = engine.drain_ended() => {
            // Nothing is to be finished here; hyper would wait for the head of a first request.
            if !asked.load(Ordering::Relaxed) {
                return;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::{listen, prepare};
    use std::time::Duration;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn a_connection_sends_at_once_and_gives_a_silent_peer_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        prepare(&stream, Duration::from_secs(60)).unwrap();
        assert!(stream.nodelay().unwrap());
        #[cfg(target_os = "linux")]
        {
            let timeout = socket2::SockRef::from(&stream).tcp_user_timeout().unwrap();
            assert_eq!(timeout, Some(Duration::from_secs(60)));
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_rush_of_clients_is_kept_until_it_is_accepted() {
        let bound = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let rush = bound.trim().parse::<usize>().unwrap().min(400);
        let listener = listen("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        for client in 0..rush {
            // Without room it is tried again and again, and nobody accepts.
            let connected = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(20));
            clients.push(connected.unwrap_or_else(|error| panic!("client {client} is not kept: {error}")));
        }
    }

    #[tokio::test]
    async fn an_address_in_use_is_an_error_and_the_next_one_is_tried() {
        let taken = listen("127.0.0.1:0").await.unwrap().into_std().unwrap();
        let used = taken.local_addr().unwrap();
        assert_eq!(listen(used).await.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
        let free = "127.0.0.1:0".parse().unwrap();
        let listener = listen(&[used, free][..]).await.unwrap();
        assert_ne!(listener.local_addr().unwrap(), used);
    }
}

//! An HTTP/1.1 server on loopback with TCP_NODELAY: one hyper connection task per socket.

use std::convert::Infallible;
use std::error::Error;
use std::net::Ipv4Addr;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::arguments::Arguments;

type Failure = Box<dyn Error + Send + Sync>;

const LISTEN_BACKLOG: u32 = 4096;
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(5);

/// Serves every connection with a clone of `service`, until the process is ended.
///
/// # Errors
///
/// When the runtime cannot be built or the port cannot be bound.
pub fn serve<S, B>(arguments: Arguments, service: S) -> Result<(), Failure>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Failure>,
{
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.workers).enable_all().build()?;
    runtime.block_on(async move {
        let listener = listen(arguments.port)?;
        tokio::spawn(accept_for_ever(listener, service)).await?;
        Ok(())
    })
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    socket.listen(LISTEN_BACKLOG)
}

async fn accept_for_ever<S, B>(listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Failure>,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve_connection(stream, service.clone()));
            }
            Err(failure) => {
                eprintln!("accept: {failure}");
                tokio::time::sleep(PAUSE_AFTER_FAILED_ACCEPT).await;
            }
        }
    }
}

async fn serve_connection<S, B>(stream: TcpStream, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body + 'static,
    B::Error: Into<Failure>,
{
    if stream.set_nodelay(true).is_err() {
        return;
    }
    // A client that hangs up in mid-answer is no error of the server's.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

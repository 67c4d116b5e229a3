//! The admin server: a thread of its own, so that it answers also when every thread of the engine is blocked.

use crate::{
    history::History,
    http as routes,
    inspection::{Inspection, Query},
    limits,
    look::{LastLook, Look},
    metrics,
    page::{self, Fragment, Moment},
    source::Source,
    telemetry::{Gathered, Telemetry},
};
use freehold::{
    Engine, State,
    runtime::{Runtime, TokioRuntime, pause},
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    fmt, io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How the admin server behaves.
#[derive(Clone, Default)]
pub struct AdminOptions {
    /// Requests must carry this token, but those for `/livez` and `/readyz`. Needed on any address but loopback.
    pub token: Option<String>,
    /// Hosts that requests may be addressed to, besides this machine's loopback names (or `*` for all): a defence
    /// against DNS rebinding.
    pub allowed_hosts: Vec<String>,
}

impl fmt::Debug for AdminOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminOptions")
            .field("token", &self.token.as_ref().map(|_| "(set)"))
            .field("allowed_hosts", &self.allowed_hosts)
            .finish()
    }
}

/// The admin server could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// Others could reach it, and there is no token.
    #[error(
        "{0} can be reached from other machines, and no token is set for the admin server: set one, or listen on \
         loopback"
    )]
    TokenNeeded(SocketAddr),
    /// The address cannot be listened on.
    #[error("the admin server cannot listen: {0}")]
    Listen(#[source] io::Error),
    /// The system has no thread for it.
    #[error("the admin server cannot start: {0}")]
    Start(#[source] io::Error),
}

/// An address that is listened on; nothing is answered before [`start`](Self::start).
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
    options: AdminOptions,
}

impl AdminServer {
    /// Listens on `address`. Port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// [`AdminError::Listen`]; [`AdminError::TokenNeeded`] off loopback without a token.
    pub fn bind(address: impl ToSocketAddrs, options: AdminOptions) -> Result<Self, AdminError> {
        let addresses: Vec<_> = address.to_socket_addrs().map_err(AdminError::Listen)?.collect();
        let open = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback());
        if let (Some(open), None) = (open, &options.token) {
            return Err(AdminError::TokenNeeded(*open));
        }
        let listener = TcpListener::bind(&*addresses).map_err(AdminError::Listen)?;
        listener.set_nonblocking(true).map_err(AdminError::Listen)?;
        let address = listener.local_addr().map_err(AdminError::Listen)?;
        Ok(Self { listener, address, options })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from now on, on a thread of its own, until what is returned is dropped. Keeps the engine alive until then.
    ///
    /// It goes on while the engine drains and after, for whoever wants to see that.
    ///
    /// # Errors
    ///
    /// [`AdminError::Start`].
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold::Engine;
    /// use freehold_admin::{AdminOptions, AdminServer, HttpUrl, Telemetry};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let telemetry = Telemetry::new();
    /// let engine = Engine::builder(()).observer(telemetry.clone()).build()?;
    /// let admin = AdminServer::bind("127.0.0.1:0", AdminOptions::default())?.start(&engine, &telemetry)?;
    /// let readiness: HttpUrl = format!("http://{}/readyz", admin.address()).parse()?;
    /// assert_eq!(readiness.get(None, Duration::from_secs(5))?.status, 200);
    /// # Ok(()) }
    /// ```
    pub fn start<S: State>(
        self,
        engine: &Engine<S>,
        telemetry: &Telemetry,
    ) -> Result<RunningAdmin, AdminError> {
        let Self { listener, address, options } = self;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(AdminError::Start)?;
        let (stop, _) = watch::channel(false);
        let site = Arc::new(Site {
            source: Box::new(engine.clone()),
            telemetry: telemetry.clone(),
            options,
            look: LastLook::default(),
            history: History::default(),
            viewers: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            stop: stop.clone(),
        });
        let serve = move || runtime.block_on(site.serve(listener));
        let thread = thread::Builder::new().name("freehold-admin".to_owned()).spawn(serve);
        let thread = thread.map_err(AdminError::Start)?;
        Ok(RunningAdmin { address, stop, thread: Some(thread) })
    }
}

/// An admin server that answers. Dropped, it stops: open connections are closed.
#[derive(Debug)]
#[must_use = "the admin server stops when this is dropped"]
pub struct RunningAdmin {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl RunningAdmin {
    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the page.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for RunningAdmin {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        // It waits for nothing but a look, which is short; so the port is free afterwards.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What is served, and from what.
pub(crate) struct Site {
    pub(crate) source: Box<dyn Source>,
    telemetry: Telemetry,
    pub(crate) options: AdminOptions,
    look: LastLook,
    history: History,
    pub(crate) viewers: AtomicUsize,
    connections: AtomicUsize,
    stop: watch::Sender<bool>,
}

/// After a failed accept (no file descriptor left, most often) the loop waits this long, lest it spins.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Site {
    pub(crate) fn gathered(&self) -> &Gathered {
        self.telemetry.gathered()
    }

    pub(crate) fn stopped(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    fn look(&self) -> Arc<Look> {
        self.look.fresh(&*self.source)
    }

    /// When there is another look, if the last one may not show `news`.
    pub(crate) fn looks_again(&self, news: Instant) -> Option<Instant> {
        self.look.serves_without(news)
    }

    pub(crate) fn metrics(&self) -> String {
        metrics::exposition(&*self.source, self.gathered(), &self.look())
    }

    pub(crate) fn inspection(&self, query: &Query) -> Inspection {
        Inspection::of(&self.look(), &*self.source, self.gathered(), query)
    }

    /// All parts of the page.
    pub(crate) fn fragments(&self, query: &Query) -> Vec<Fragment> {
        self.moment(query, |moment| moment.fragments())
    }

    /// The whole page.
    pub(crate) fn page(&self, search: &str, nonce: &str) -> String {
        let query = Query { search: search.trim().to_lowercase(), ..Query::default() };
        self.moment(&query, |moment| page::whole(moment, search, nonce))
    }

    fn moment<R>(&self, query: &Query, show: impl FnOnce(&Moment<'_>) -> R) -> R {
        // What a page does not show need not be written.
        let query = Query { most: limits::PAGE_LISTED, ..query.clone() };
        let look = self.look();
        let inspection = Inspection::of(&look, &*self.source, self.gathered(), &query);
        let samples = self.history.samples();
        show(&Moment { look: &look, inspection: &inspection, samples: &samples, gathered: self.gathered() })
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the admin server cannot listen");
                return;
            }
        };
        TokioRuntime.spawn("take samples", Box::pin(self.clone().take_samples()));
        let mut stop = self.stopped();
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    if self.connections.fetch_add(1, Ordering::Relaxed) < limits::CONNECTIONS {
                        TokioRuntime.spawn("admin connection", Box::pin(self.clone().connection(stream)));
                    } else {
                        self.connections.fetch_sub(1, Ordering::Relaxed);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin server cannot accept a connection");
                    pause(&TokioRuntime, ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn take_samples(self: Arc<Self>) {
        loop {
            self.history.sample(&*self.source, self.gathered());
            pause(&TokioRuntime, Duration::from_secs(1)).await;
        }
    }

    async fn connection(self: Arc<Self>, stream: tokio::net::TcpStream) {
        let _ = stream.set_nodelay(true);
        let site = &self;
        let handle = service_fn(|request| async move { Ok::<_, Infallible>(routes::handle(site, &request)) });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HEADER)
            .serve_connection(TokioIo::new(stream), handle)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "admin connection ended");
        }
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

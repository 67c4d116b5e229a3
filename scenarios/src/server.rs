use crate::{
    Probe, Record,
    checks::{BaseLine, eventually},
    limits, standard_tools,
    stdio_driver::Pipes,
};
use freehold_mcp::{
    HttpOptions, McpServer, McpServerBuilder, ToolContext,
    freehold::{CloseReason, Engine, Limits, Session, SessionId},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{sync::Mutex, task::JoinHandle};

/// The context of the scenarios' tools: the sessions' state is a number.
pub type Ctx = ToolContext<u64>;
/// Builds the server of a scenario.
pub type Builder = McpServerBuilder<u64>;

/// Bytes in each direction of a pipe, as on Linux.
const PIPE_BYTES: usize = 64 << 10;

/// A server under test, on a free port and on as many pipes as clients want.
#[derive(Debug)]
pub struct TestServer {
    /// The server.
    pub server: McpServer<u64>,
    /// All its events.
    pub record: Record,
    /// What its tools tell.
    pub probe: Arc<Probe>,
    /// Where it listens.
    pub address: SocketAddr,
    /// One pipe is opened after the other, so that each client knows which session is its own.
    pub(crate) connecting: Mutex<()>,
    pub(crate) base_line: BaseLine,
    connections: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl TestServer {
    /// Starts one with the standard tools and patient limits.
    pub async fn start() -> Self {
        Self::with(limits::patient(), |builder| builder).await
    }

    /// Starts one with limits and more tools.
    pub async fn with(limits: Limits, configure: impl FnOnce(Builder) -> Builder) -> Self {
        Self::with_options(limits, limits::lively(), configure).await
    }

    /// Starts one with limits, options of its HTTP face, and more tools.
    ///
    /// # Panics
    ///
    /// If it cannot be built, or there is no port.
    pub async fn with_options(
        limits: Limits,
        options: HttpOptions,
        configure: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let (record, probe) = (Record::default(), Arc::new(Probe::default()));
        let mut builder = McpServer::builder_with_state("scenario", "1.0.0", 0_u64)
            .limits(limits)
            .app(probe.clone())
            .engine(|engine| engine.observer(record.clone()));
        for tool in standard_tools() {
            builder = builder.tool(tool);
        }
        let server = configure(builder).build().expect("a server");
        let listener = server.bind_http("127.0.0.1:0", options).await.expect("a port");
        let (address, connections) = (listener.address(), listener.connection_gauge());
        let serving = tokio::spawn(listener.serve());
        // With the first session the sweep begins, which stays.
        server.engine().open().expect("a session").close(CloseReason::Server);
        eventually("it is closed", || server.engine().session_count() == 0).await;
        let base_line = BaseLine::now(connections.clone());
        let connecting = Mutex::default();
        Self { server, record, probe, address, connecting, base_line, connections, serving }
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine<u64> {
        self.server.engine()
    }

    /// A session.
    ///
    /// # Panics
    ///
    /// If there is none with this id.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Session<u64> {
        self.engine().session(id).expect("the session lives")
    }

    /// The endpoint of its HTTP face.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Connections open at this moment.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// Serves one more client on pipes, and gives the client's ends.
    #[must_use]
    pub fn pipes(&self) -> Pipes {
        let (client, server) = tokio::io::duplex(PIPE_BYTES);
        let (input, output) = tokio::io::split(server);
        let serving = self.server.clone();
        tokio::spawn(async move { serving.serve_io(input, output).await });
        tokio::io::split(client)
    }

    /// Waits until the accept loop has ended, as it does with a drain.
    ///
    /// # Panics
    ///
    /// If it panicked or does not end soon.
    pub async fn stopped(&mut self) {
        limits::prompt("the accept loop ends", &mut self.serving).await.expect("it does not panic");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

//! `freehold serve`.

use crate::{
    admin::{self, AdminTarget},
    cli::ServeArguments,
    config::{Config, Reach},
    connect_hints::connect_hints,
    failure::Failure,
    ledger::Ledger,
    logging::{self, LogFlush},
    otlp::OtlpTarget,
    shutdown::{StopSignals, drain_on_signal, finish_drain},
    tools,
};
use freehold_admin::{RunningAdmin, Telemetry};
use freehold_mcp::{HttpListener, McpServer, ServeError};
use std::{
    error::Error,
    io::{self, Write},
    net::SocketAddr,
};
use tokio::runtime::{Builder, Handle, Runtime};

/// Runs the command to its end.
pub(crate) fn command(arguments: ServeArguments) -> Result<(), Failure> {
    let config = Config::load(arguments.config.as_deref(), &arguments.settings)?;
    if arguments.print_config {
        let text = config.to_toml()?;
        return Ok(io::stdout().write_all(text.as_bytes())?);
    }
    // Before anything starts: a mistake in the address is one of usage.
    let target = Target::of(&config)?;
    let observed = Observed { admin: AdminTarget::of(&config)?, otlp: OtlpTarget::of(&config)? };
    let log = logging::start(&config)?;
    let tools = match config.tool_threads {
        0 => None,
        threads => Some(UnattendedRuntime::new(
            Builder::new_multi_thread().worker_threads(threads).thread_name("freehold-tools"),
        )?),
    };
    let runtime = UnattendedRuntime::new(&mut Builder::new_multi_thread())?;
    let tools = tools.as_ref().map(UnattendedRuntime::handle);
    let served = runtime.block_on(serve(&config, target, observed, &log, tools));
    log.flush();
    served
}

/// A runtime whose drop, also by a panic, waits for nothing: a read of standard input may never end, nor a tool that blocks.
struct UnattendedRuntime(Option<Runtime>);

impl UnattendedRuntime {
    fn new(builder: &mut Builder) -> io::Result<Self> {
        Ok(Self(Some(builder.enable_all().build()?)))
    }

    fn handle(&self) -> &Handle {
        self.0.as_ref().expect("it is there until the drop").handle()
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.as_ref().expect("it is there until the drop").block_on(future)
    }
}

impl Drop for UnattendedRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What to serve on.
enum Target {
    Stdio,
    Http(Vec<SocketAddr>, Reach),
}

impl Target {
    fn of(config: &Config) -> Result<Self, Failure> {
        if config.stdio {
            return Ok(Self::Stdio);
        }
        let (addresses, reach) = config.addresses()?;
        Ok(Self::Http(addresses, reach))
    }
}

/// From where it is watched.
struct Observed {
    admin: AdminTarget,
    otlp: OtlpTarget,
}

async fn serve(
    config: &Config,
    target: Target,
    observed: Observed,
    log: &LogFlush,
    tools: Option<&Handle>,
) -> Result<(), Failure> {
    let signals = StopSignals::receive()?;
    let telemetry = admin::telemetry(config)?;
    let server = server(config, tools, &telemetry)?;
    let engine = server.engine().clone();
    let grace = config.drain_grace.duration();
    let drain = drain_on_signal(engine.clone(), grace, signals, log.clone());
    engine.runtime().spawn("drain on a signal", Box::pin(drain));
    let Observed { admin, otlp } = observed;
    // Both go on until the drain is over.
    let show = || admin::show(admin, config, &engine, &telemetry);
    let export = || otlp.start(&engine, &telemetry);
    let (served, _admin, exports) = match target {
        Target::Stdio => {
            let (admin, exports) = (show()?, export()?);
            (serve_stdio(&server).await, admin, exports)
        }
        Target::Http(addresses, reach) => {
            let listener = listen(&server, config, &addresses, reach).await?;
            let (admin, exports) = (show()?, export()?);
            if config.log_format.is_for_people() {
                greet(&listener, config, admin.as_ref());
            }
            listener.serve().await;
            (Ok(()), admin, exports)
        }
    };
    finish_drain(&engine, grace).await;
    // With what the drain did; nothing else is left that it could block.
    drop(exports);
    served
}

fn server(config: &Config, threads: Option<&Handle>, telemetry: &Telemetry) -> Result<McpServer, Failure> {
    let ledger = Ledger::new(config.max_accounts.get());
    let mut builder = McpServer::builder("freehold", env!("CARGO_PKG_VERSION"))
        .title("Freehold")
        .instructions(tools::INSTRUCTIONS)
        .limits(config.limits())
        .engine(|engine| engine.observer(telemetry.clone()))
        .app(std::sync::Arc::new(ledger));
    if config.mcp_inspection {
        builder = builder.operators(telemetry.operators(|asker| asker.is_on_stdio()));
    }
    if let Some(threads) = threads {
        builder = builder.engine(|engine| engine.handlers_on(threads));
    }
    Ok(tools::add(builder).build()?)
}

async fn serve_stdio(server: &McpServer) -> Result<(), Failure> {
    tracing::info!("serving one client on standard input and output");
    Ok(server.serve_stdio().await?)
}

async fn listen(
    server: &McpServer,
    config: &Config,
    addresses: &[SocketAddr],
    reach: Reach,
) -> Result<HttpListener, Failure> {
    let bound = server.bind_http(addresses, config.http_options(reach)).await;
    let listener = bound.map_err(|error| cannot_listen(config.http.clone(), &error))?;
    tracing::info!(url = listener.url(), "serving");
    if reach == Reach::Network {
        tracing::warn!("other machines can connect, and without TLS; put a proxy with TLS in front");
    }
    Ok(listener)
}

/// Tells how to connect, and where the page is.
fn greet(listener: &HttpListener, config: &Config, admin: Option<&RunningAdmin>) {
    let page = admin.map(|admin| url_for_people(admin.address(), "/"));
    let url = url_for_people(listener.address(), &config.path);
    let hints = connect_hints(&url, config.token.is_some(), page.as_deref());
    // Nobody needs the hints if nobody reads them.
    let _ = io::stdout().write_all(hints.as_bytes());
}

/// The address for a client on this machine; "any address" is none to connect to.
fn url_for_people(mut address: SocketAddr, path: &str) -> String {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}{path}")
}

fn cannot_listen(address: String, error: &ServeError) -> Failure {
    match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(source) if source.kind() == io::ErrorKind::AddrInUse => Failure::AddressInUse { address },
        Some(source) => Failure::Listen { address, reason: source.to_string() },
        None => Failure::Listen { address, reason: error.to_string() },
    }
}

//! A server under test, pinned to its core.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

use crate::child_server::{ChildServer, free_port};
use crate::cpu_time::CpuClock;
use crate::memory;
use crate::pinning::start_pinned;
use crate::server_binaries::{Server, ServerOptions};

const QUIET_WITHIN: Duration = Duration::from_secs(20);
const QUIET_WINDOW: Duration = Duration::from_millis(50);
/// A server that uses less than this in a `QUIET_WINDOW` (2%) has nothing to do.
const QUIET_CPU: Duration = Duration::from_millis(1);

/// A running server.
#[derive(Debug)]
pub struct ServerProcess {
    server: Server,
    child: ChildServer,
    cpu: CpuClock,
}

impl ServerProcess {
    /// Starts a server on a free port and waits until it accepts connections.
    ///
    /// # Errors
    ///
    /// When its program is missing, ends at once or does not listen in time.
    pub async fn start(server: Server, options: &ServerOptions) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(options.program(server)?);
        command.arg(port.to_string()).args(["--workers", &options.workers.to_string()]);
        command.args(server.arguments());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = start_pinned(options.server_core, || {
            command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))
        })?;
        let child = ChildServer::ready(server.to_string(), child, port).await?;
        let cpu = CpuClock::of(child.id())?;
        Ok(Self { server, child, cpu })
    }

    /// Which server this is.
    #[must_use]
    pub fn server(&self) -> Server {
        self.server
    }

    /// Where it listens, on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.child.port()
    }

    /// Its CPU clock.
    #[must_use]
    pub fn cpu(&self) -> CpuClock {
        self.cpu
    }

    /// Its resident memory.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn resident_bytes(&self) -> Result<u64> {
        memory::resident_bytes(self.child.id())
    }

    /// Waits until it has nothing to do.
    ///
    /// # Errors
    ///
    /// When it is still busy after a long while, or has ended.
    pub async fn wait_until_quiet(&self) -> Result<()> {
        let deadline = Instant::now() + QUIET_WITHIN;
        let mut before = self.cpu.read()?;
        while Instant::now() < deadline {
            sleep(QUIET_WINDOW).await;
            let now = self.cpu.read()?;
            if now.saturating_sub(before) < QUIET_CPU {
                return Ok(());
            }
            before = now;
        }
        bail!("{} is still busy after {QUIET_WITHIN:?}", self.server)
    }
}

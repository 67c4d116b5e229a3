//! A server under test as a child process, pinned to its core, ended when dropped.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::cpu_time::CpuClock;
use crate::memory;
use crate::pinning::start_pinned;
use crate::server_binaries::{Server, ServerOptions};

const READY_WITHIN: Duration = Duration::from_secs(10);
const READY_POLL: Duration = Duration::from_millis(10);
const QUIET_WITHIN: Duration = Duration::from_secs(20);
const QUIET_WINDOW: Duration = Duration::from_millis(50);
/// A server that uses less than this in a `QUIET_WINDOW` (2%) has nothing to do.
const QUIET_CPU: Duration = Duration::from_millis(1);

/// A running server.
#[derive(Debug)]
pub struct ServerProcess {
    server: Server,
    child: Child,
    port: u16,
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
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = start_pinned(options.server_core, || {
            command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))
        })?;
        let cpu = CpuClock::of(child.id())?;
        let mut process = Self { server, child, port, cpu };
        process.wait_until_ready().await?;
        Ok(process)
    }

    /// Which server this is.
    #[must_use]
    pub fn server(&self) -> Server {
        self.server
    }

    /// Where it listens, on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
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

    async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at once with {status}", self.server);
            }
            ensure!(Instant::now() < deadline, "{} does not listen within {READY_WITHIN:?}", self.server);
            sleep(READY_POLL).await;
        }
        Ok(())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself and was reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

//! A program that listens on a port of loopback: a child process, ended when dropped.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

const READY_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// A running server.
#[derive(Debug)]
pub struct ChildServer {
    name: String,
    child: Child,
    port: u16,
}

impl ChildServer {
    /// The server that was just started to listen on `port`, once it accepts connections.
    ///
    /// # Errors
    ///
    /// When it ends at once or does not listen in time.
    pub async fn ready(name: String, child: Child, port: u16) -> Result<Self> {
        let mut server = Self { name, child, port };
        let deadline = Instant::now() + READY_WITHIN;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{} ended at once with {status}", server.name);
            }
            ensure!(Instant::now() < deadline, "{} does not listen within {READY_WITHIN:?}", server.name);
            sleep(POLL).await;
        }
        Ok(server)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens, on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Asks it to end (SIGTERM); how it did, or nothing if it has not within `patience`.
    ///
    /// # Errors
    ///
    /// When it has ended already.
    pub async fn terminate(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} has ended by itself, with {status}", self.name);
        }
        kill(Pid::from_raw(i32::try_from(self.id())?), Signal::SIGTERM).context("cannot ask it to end")?;
        let deadline = Instant::now() + patience;
        loop {
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() >= deadline {
                return Ok(ended);
            }
            sleep(POLL).await;
        }
    }
}

impl Drop for ChildServer {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself and was reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
///
/// # Errors
///
/// When there is none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

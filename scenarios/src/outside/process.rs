//! The server's process, as the system shows it.

use super::client::Target;
use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::{net::TcpStream, time::Instant};

/// A server that does not listen after this will not.
const LISTENS_WITHIN: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
/// What Linux counts CPU time in, for programs: a second has so many.
const TICKS: f64 = 100.0;

/// A process that is looked at from outside, through `/proc`.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    pid: u32,
}

impl Observed {
    /// The process with this id, if it can be looked at here.
    #[must_use]
    pub fn process(pid: u32) -> Option<Self> {
        let process = Self { pid };
        process.runs().then_some(process)
    }

    fn file(self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.pid).into()
    }

    /// The fields of its status line that come after its name.
    fn stat(self) -> Option<Vec<String>> {
        let stat = fs::read_to_string(self.file("stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        Some(fields.split_whitespace().map(str::to_owned).collect())
    }

    /// Whether it runs: one that ended, but was not yet waited for, does not.
    #[must_use]
    pub fn runs(self) -> bool {
        self.stat().is_some_and(|fields| fields.first().is_some_and(|state| state != "Z" && state != "X"))
    }

    /// Its resident memory in KiB.
    #[must_use]
    pub fn memory(self) -> Option<u64> {
        let status = fs::read_to_string(self.file("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// How many files it has open.
    #[must_use]
    pub fn files(self) -> Option<usize> {
        Some(fs::read_dir(self.file("fd")).ok()?.count())
    }

    /// The CPU time it took, in seconds.
    #[must_use]
    pub fn cpu(self) -> Option<f64> {
        let fields = self.stat()?;
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        Some((ticks(11)? + ticks(12)?) / TICKS)
    }
}

/// A server that was started here, and is ended when this is dropped.
#[derive(Debug)]
pub struct Started {
    child: Child,
    /// Its endpoint.
    pub target: Target,
}

impl Started {
    /// Starts `command PORT` on a free port of the loopback interface, and waits until it listens there.
    ///
    /// # Errors
    ///
    /// If it cannot be started, ends, or does not listen.
    pub async fn run(command: &str) -> Result<Self, String> {
        let port = free_port().map_err(|error| error.to_string())?;
        let mut words = command.split_whitespace();
        let program = words.next().ok_or("a server needs a command")?;
        let child = Command::new(program)
            .args(words)
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        let mut started = Self { child, target: Target::at((Ipv4Addr::LOCALHOST, port).into()) };
        started.listens().await?;
        Ok(started)
    }

    async fn listens(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        while TcpStream::connect(self.target.address).await.is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the server ended before it listened: {status}"));
            }
            if begun.elapsed() > LISTENS_WITHIN {
                return Err(format!("the server does not listen after {LISTENS_WITHIN:?}"));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> Option<Observed> {
        Observed::process(self.child.id())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

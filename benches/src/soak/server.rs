//! `freehold serve` as it is shipped, with the bounds of [`limits`] and its admin server, by which all its
//! tables can be watched from outside.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use freehold_admin::HttpUrl;
use tokio::time::sleep;

use super::limits;
use super::metrics::Metrics;
use crate::child_server::{ChildServer, free_port};
use crate::{memory, open_files};

/// The admin server has a thread of its own: it answers also while all others are busy.
const SCRAPED_WITHIN: Duration = Duration::from_secs(5);
const SETTLED_POLL: Duration = Duration::from_millis(50);
/// So many looks in a row must be alike.
const SETTLED_LOOKS: usize = 5;
const SETTLED_WITHIN: usize = 200;

/// What a process has of the system's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handles {
    /// Open files.
    pub files: usize,
    /// Threads.
    pub threads: usize,
}

/// The server under test.
#[derive(Debug)]
pub struct Served {
    child: ChildServer,
    metrics: HttpUrl,
}

impl Served {
    /// Starts it on free ports.
    ///
    /// # Errors
    ///
    /// When its program is missing or does not serve.
    pub async fn start(program: Option<&Path>) -> Result<Self> {
        let (port, admin) = (free_port()?, free_port()?);
        let program = find(program)?;
        let child = command(&program, port, admin).spawn();
        let child = child.with_context(|| format!("cannot start {}", program.display()))?;
        let child = ChildServer::ready("freehold serve".to_owned(), child, port).await?;
        Ok(Self { child, metrics: format!("http://127.0.0.1:{admin}/metrics").parse()? })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.child.port()
    }

    /// What it says of itself.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn scrape(&self) -> Result<Metrics> {
        let url = self.metrics.clone();
        let answer = tokio::task::spawn_blocking(move || url.get(None, SCRAPED_WITHIN)).await?;
        let answer = answer.context("cannot read the metrics")?;
        ensure!(answer.status == 200, "the metrics were answered with status {}", answer.status);
        Metrics::parse(str::from_utf8(&answer.body)?)
    }

    /// Its resident memory, in bytes.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn resident_bytes(&self) -> Result<u64> {
        memory::resident_bytes(self.child.id())
    }

    /// Its open files and threads.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn handles(&self) -> Result<Handles> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id()))?.count();
        Ok(Handles { files: open_files::count(self.child.id())?, threads })
    }

    /// The same once they no longer change.
    ///
    /// # Errors
    ///
    /// When they go on changing.
    pub async fn settled_handles(&self) -> Result<Handles> {
        let (mut last, mut alike) = (self.handles()?, 0);
        for _ in 0..SETTLED_WITHIN {
            sleep(SETTLED_POLL).await;
            let now = self.handles()?;
            alike = if now == last { alike + 1 } else { 0 };
            if alike == SETTLED_LOOKS {
                return Ok(now);
            }
            last = now;
        }
        bail!("open files and threads of an idle server keep changing");
    }

    /// Asks it to end; how it did, or nothing if it did not in time.
    ///
    /// # Errors
    ///
    /// When it has ended already.
    pub async fn end(&mut self) -> Result<Option<ExitStatus>> {
        self.child.terminate(limits::END_WITHIN).await
    }
}

fn command(program: &Path, port: u16, admin: u16) -> Command {
    let mut command = Command::new(program);
    command.arg("serve");
    let settings = [
        ("http", format!("127.0.0.1:{port}")),
        ("admin", format!("127.0.0.1:{admin}")),
        ("timeout", period(limits::DEADLINE)),
        ("timeout-cap", period(limits::DEADLINE)),
        ("session-ttl", period(limits::SESSION_TTL)),
        ("max-calls", limits::CALLS.to_string()),
        ("max-calls-per-session", limits::RUNNING.to_string()),
        ("max-queued-per-session", limits::QUEUED.to_string()),
        ("max-connections", (2 * limits::CONNECTIONS).to_string()),
        ("log", "error".to_owned()),
    ];
    for (name, value) in settings {
        command.arg(format!("--{name}")).arg(value);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn period(period: Duration) -> String {
    format!("{}ms", period.as_millis())
}

fn find(chosen: Option<&Path>) -> Result<PathBuf> {
    let candidates = match chosen {
        Some(program) => vec![program.to_owned()],
        None => {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target/release");
            vec![env::current_exe()?.with_file_name("freehold"), folder.join("freehold")]
        }
    };
    let Some(program) = candidates.iter().find(|path| path.is_file()) else {
        let places: Vec<_> = candidates.iter().map(|path| path.display().to_string()).collect();
        bail!(
            "the server is not at {}\nbuild it with: cargo build --release -p freehold-cli",
            places.join(" nor at ")
        );
    };
    Ok(program.clone())
}

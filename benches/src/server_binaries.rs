//! The servers under test, and where their programs are.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// A server under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Server {
    /// A bare hyper server: same JSON in, same JSON out, nothing else.
    Floor,
    /// Freehold's own: the program `peer`.
    Freehold,
    /// The same, with telemetry and an admin server.
    FreeholdWatched,
    /// A handler of the official SDK on Freehold's transports.
    FreeholdRmcp,
    /// The official SDK with sessions and event streams.
    RmcpStateful,
    /// The official SDK without sessions, answering JSON.
    RmcpStateless,
    /// jsonrpsee: JSON-RPC over HTTP, without MCP.
    Jsonrpsee,
    /// solidmcp: MCP 2025-06-18, without session ids.
    Solidmcp,
}

impl Server {
    fn program(self) -> &'static str {
        match self {
            Self::Floor => "hyper-floor",
            Self::Freehold | Self::FreeholdWatched => "peer",
            Self::FreeholdRmcp => "examples/peer_rmcp",
            Self::RmcpStateful => "rmcp-stateful",
            Self::RmcpStateless => "rmcp-stateless",
            Self::Jsonrpsee => "jsonrpsee",
            Self::Solidmcp => "solidmcp",
        }
    }

    /// What its program is told beside the port and the number of workers.
    #[must_use]
    pub fn arguments(self) -> &'static [&'static str] {
        if self == Self::FreeholdWatched { &["--watched"] } else { &[] }
    }

    fn build_command(self) -> &'static str {
        match self {
            Self::Freehold | Self::FreeholdWatched => "cargo build --release -p freehold-bench-server",
            Self::FreeholdRmcp => "cargo build --release -p freehold-rmcp --example peer_rmcp",
            Self::Floor | Self::RmcpStateful | Self::RmcpStateless => {
                "cargo build --release --manifest-path benches/peers/Cargo.toml"
            }
            Self::Jsonrpsee => {
                "cargo build --release --manifest-path benches/peers/Cargo.toml -p freehold-bench-jsonrpsee"
            }
            Self::Solidmcp => {
                "cargo build --release --manifest-path benches/peers/Cargo.toml -p freehold-bench-solidmcp"
            }
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Floor => "floor",
            Self::Freehold => "freehold",
            Self::FreeholdWatched => "freehold-watched",
            Self::FreeholdRmcp => "freehold-rmcp",
            Self::RmcpStateful => "rmcp-stateful",
            Self::RmcpStateless => "rmcp-stateless",
            Self::Jsonrpsee => "jsonrpsee",
            Self::Solidmcp => "solidmcp",
        })
    }
}

/// Where programs are and how they are started.
#[derive(Debug, Clone, Args)]
pub struct ServerOptions {
    /// Freehold's server program [default: peer beside this program]
    #[arg(long, value_name = "PATH")]
    freehold: Option<PathBuf>,
    /// Folder of the other servers' programs [default: beside this program, or benches/peers/target/release]
    #[arg(long, value_name = "DIR")]
    peers: Option<PathBuf>,
    /// Worker threads of each server
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// Core that servers run on
    #[arg(long, default_value_t = 0)]
    pub server_core: usize,
    /// Core that this program, the load generator, runs on
    #[arg(long, default_value_t = 1)]
    pub generator_core: usize,
}

impl ServerOptions {
    /// The server's program.
    ///
    /// # Errors
    ///
    /// When it is not there; the message tells how to build it.
    pub fn program(&self, server: Server) -> Result<PathBuf> {
        let candidates = self.candidates(server)?;
        match candidates.iter().find(|path| path.is_file()) {
            Some(path) => Ok(path.clone()),
            None => bail!("{}", missing(server, &candidates)),
        }
    }

    fn candidates(&self, server: Server) -> Result<Vec<PathBuf>> {
        let chosen = match server {
            Server::Freehold | Server::FreeholdWatched => self.freehold.clone(),
            Server::FreeholdRmcp => None,
            _ => self.peers.as_ref().map(|folder| folder.join(server.program())),
        };
        if let Some(path) = chosen {
            return Ok(vec![path]);
        }
        let beside = env::current_exe()?.with_file_name(server.program());
        let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = match server {
            Server::Freehold | Server::FreeholdWatched | Server::FreeholdRmcp => {
                benches.with_file_name("target/release")
            }
            _ => benches.join("peers/target/release"),
        };
        Ok(vec![beside, folder.join(server.program())])
    }
}

fn missing(server: Server, candidates: &[PathBuf]) -> String {
    let places: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
    format!(
        "the program of {server} is not at {}\nbuild it with: {}",
        places.join(" nor at "),
        server.build_command()
    )
}

//! Why the command failed, and with which exit code.

use crate::config::ConfigError;
use freehold_mcp::{BuildServerError, StdioError};
use std::{
    io::{self, Write},
    process::ExitCode,
};

const RUNTIME: u8 = 1;
const USAGE: u8 = 2;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "cannot listen on {address}: another program listens there already, perhaps another freehold; \
         stop it, or choose another address with --http (for example --http 127.0.0.1:8809)"
    )]
    AddressInUse { address: String },
    #[error("cannot listen on {address}: {reason}; choose another address with --http")]
    Listen { address: String, reason: String },
    #[error(transparent)]
    Stdio(#[from] StdioError),
    #[error(transparent)]
    Build(#[from] BuildServerError),
    #[error("the process lacks what it needs from the operating system: {0}")]
    System(#[from] io::Error),
}

impl Failure {
    /// Tells the person at the terminal; the code that the process should exit with.
    pub(crate) fn report(&self) -> ExitCode {
        // Nobody reads a closed standard error.
        let _ = writeln!(io::stderr(), "error: {self}");
        ExitCode::from(if matches!(self, Self::Config(_)) { USAGE } else { RUNTIME })
    }
}

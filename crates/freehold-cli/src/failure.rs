//! Why the command failed, and with which exit code.

use crate::{check::ReportError, config::ConfigError, generate::NoSuchCommand};
use freehold_admin::HttpUrl;
use freehold_mcp::{BuildServerError, StdioError};
use std::{
    io::{self, Write},
    path::PathBuf,
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
         stop it, or choose another address with --http (for example --http 127.0.0.1:8810)"
    )]
    AddressInUse { address: String },
    #[error("cannot listen on {address}: {reason}; choose another address with --http")]
    Listen { address: String, reason: String },
    #[error(
        "cannot show the admin page on {address}: another program listens there already; choose another address with \
         --admin, or use --admin off"
    )]
    AdminAddressInUse { address: String },
    #[error(
        "cannot show the admin page on {address}: {reason}; choose another address with --admin, or use --admin off"
    )]
    Admin { address: String, reason: String },
    #[error("cannot export metrics to {endpoint}: {reason}; --otlp off goes on without")]
    Otlp { endpoint: String, reason: String },
    #[error("{url} does not answer: {reason}; is a server running there, with --admin?")]
    Unreachable { url: HttpUrl, reason: String },
    #[error("{url} wants another token: set FREEHOLD_ADMIN_TOKEN, or --token, to that of the server")]
    WrongToken { url: HttpUrl },
    #[error("{url} is no admin address of freehold: {reason}")]
    NoInspection { url: HttpUrl, reason: String },
    #[error("{url} is not well: it answered with status {status}: {said}")]
    NotWell { url: HttpUrl, status: u16, said: String },
    #[error(transparent)]
    NoSuchCommand(#[from] NoSuchCommand),
    #[error("cannot write the manual pages into {}: {reason}", dir.display())]
    Pages { dir: PathBuf, reason: io::Error },
    #[error(transparent)]
    Report(#[from] ReportError),
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
        ExitCode::from(if matches!(self, Self::Config(_) | Self::Report(_) | Self::NoSuchCommand(_)) {
            USAGE
        } else {
            RUNTIME
        })
    }
}

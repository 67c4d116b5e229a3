//! `freehold health`: whether a running server is alive, for containers and scripts.

use crate::{cli::HealthArguments, failure::Failure};
use std::{
    io::{self, Write},
    time::Duration,
};

/// Its admin server has a thread of its own, so one that is well answers at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the command to its end.
pub(crate) fn command(arguments: &HealthArguments) -> Result<(), Failure> {
    let url = arguments.url.with_path(if arguments.ready { "/readyz" } else { "/livez" });
    let answer = url
        .get(arguments.token.as_deref(), PATIENCE)
        .map_err(|error| Failure::Unreachable { url: url.clone(), reason: error.to_string() })?;
    match answer.status {
        200 => Ok(io::stdout().write_all(&answer.body)?),
        401 => Err(Failure::WrongToken { url }),
        status => {
            let said = String::from_utf8_lossy(&answer.body).trim().replace('\n', "; ");
            Err(Failure::NotWell { url, status, said })
        }
    }
}

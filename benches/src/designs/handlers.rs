//! What the servers do for their clients: the same functions behind each of them.

use std::future::Future;
use std::time::Duration;

use freehold::{ErrorObject, HandlerResult, read_params, write_result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::ledger::{self, TokioAccounts};
use super::times::Times;

/// What the handlers of one server share.
#[derive(Debug, Default)]
pub struct App {
    /// Told when a slow handler begins.
    pub slow_begun: Notify,
    /// How long calls wait and hold.
    pub times: Times,
    /// Accounts behind tokio's mutexes, for the designs that use those.
    pub accounts: TokioAccounts,
}

/// The part of a session that handlers change.
pub trait Tally: Send {
    /// Counts one more call; returns how many there were.
    fn add_one(&mut self) -> impl Future<Output = Result<u64, ErrorObject>> + Send;
}

/// A session of a server that gives its handlers exclusive access to it.
#[derive(Debug, Default)]
pub struct SessionState {
    /// How many calls it had.
    pub calls: u64,
}

impl Tally for SessionState {
    async fn add_one(&mut self) -> Result<u64, ErrorObject> {
        self.calls += 1;
        Ok(self.calls)
    }
}

/// Parameters and result of `echo`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Echo {
    /// Anything.
    pub text: String,
}

/// Parameters of `slow`.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct Slow {
    /// How long it takes.
    pub ms: u64,
}

/// Returns its text.
///
/// # Errors
///
/// When the session cannot count it.
pub async fn echo(session: &mut impl Tally, params: Echo) -> Result<Echo, ErrorObject> {
    session.add_one().await?;
    Ok(params)
}

/// Takes its time without using the processor, as a handler that waits for a database does.
///
/// # Errors
///
/// When the session cannot count it.
pub async fn slow(session: &mut impl Tally, app: &App, params: Slow) -> Result<Slow, ErrorObject> {
    session.add_one().await?;
    app.slow_begun.notify_one();
    tokio::time::sleep(Duration::from_millis(params.ms)).await;
    Ok(params)
}

/// Finds the handler and runs it, for the designs that have the session to themselves meanwhile.
///
/// # Errors
///
/// Those of the handler; and that there is none.
pub async fn run(
    session: &mut SessionState,
    app: &App,
    method: &str,
    params: Option<&RawValue>,
) -> HandlerResult {
    match method {
        "echo" => write_result(&echo(session, read_params(params)?).await?),
        "slow" => write_result(&slow(session, app, read_params(params)?).await?),
        "transfer" => {
            session.add_one().await?;
            write_result(&ledger::transfer_by_tokio(&app.accounts, read_params(params)?).await)
        }
        _ => Err(ErrorObject::method_not_found(method)),
    }
}

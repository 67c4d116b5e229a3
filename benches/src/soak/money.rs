//! The ledger's accounts: money that calls take out and put back, and that must all be there afterwards, whoever cancelled,
//! left or was refused.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::Clients;
use super::limits;
use crate::http_client::ContentKind;
use crate::mcp_requests::{Era, ToolCall};

#[derive(Deserialize)]
struct Message<T> {
    result: ToolResult<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolResult<T> {
    structured_content: T,
}

#[derive(Deserialize)]
struct Opened {
    account: String,
}

/// What the ledger counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Audit {
    /// Accounts.
    pub accounts: u64,
    /// Cents on their way.
    pub in_transit: u64,
    /// All cents.
    pub total: u64,
    /// Whether that is what was paid in.
    pub balanced: bool,
}

impl Audit {
    /// Whether it is what was there at first, all of it at rest.
    #[must_use]
    pub fn is_as_at_first(&self) -> bool {
        let accounts = u64::from(limits::ACCOUNTS);
        let at_first = Self { accounts, in_transit: 0, total: accounts * limits::BALANCE, balanced: true };
        *self == at_first
    }
}

/// Opens the accounts; their ids.
///
/// # Errors
///
/// When the server does not open one.
pub async fn open_accounts(clients: &Clients) -> Result<Arc<[Arc<str>]>> {
    let mut accounts = Vec::new();
    for number in 0..limits::ACCOUNTS {
        let owner = format!("account {number}");
        let open = ToolCall::OpenAccount { owner: &owner, balance: limits::BALANCE };
        let Opened { account } = structured(clients, open).await.context("open an account")?;
        accounts.push(account.into());
    }
    Ok(accounts.into())
}

/// Counts the money.
///
/// # Errors
///
/// When the server does not.
pub async fn audit(clients: &Clients) -> Result<Audit> {
    structured(clients, ToolCall::Audit).await.context("audit")
}

/// The structured result of a call that is no part of the load.
async fn structured<T: DeserializeOwned>(clients: &Clients, call: ToolCall<'_>) -> Result<T> {
    let mut connection = clients.connections.open().await?;
    let (http, writer) = connection.parts(Era::Stateless);
    http.send(writer.tool_call(1, call)).await?;
    let response = http.receive().await?;
    let text = || String::from_utf8_lossy(response.body);
    ensure!(response.status == 200 && response.content == ContentKind::Json, "answered: {}", text());
    let message: Message<T> =
        serde_json::from_slice(response.body).with_context(|| format!("answered: {}", text()))?;
    Ok(message.result.structured_content)
}

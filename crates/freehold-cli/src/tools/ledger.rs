//! The ledger's tools: what its functions take and return, for clients.

use crate::ledger::{Audit, Ledger, LedgerError, amount};
use freehold::runtime::pause;
use freehold_mcp::{Json, Tool, ToolContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Deserialize, JsonSchema)]
struct OpenAccount {
    /// Whose account it is.
    owner: String,
    /// What is paid in at once, in cents.
    #[serde(default)]
    #[schemars(schema_with = "amount::schema")]
    balance: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Deposit {
    /// The account's id.
    account: String,
    /// What is paid in, in cents.
    #[schemars(schema_with = "amount::schema")]
    amount: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Transfer {
    /// The id of the account that pays.
    from: String,
    /// The id of the account that receives.
    to: String,
    /// How much, in cents.
    #[schemars(schema_with = "amount::schema")]
    amount: u64,
    /// How long the money is in transit, in milliseconds.
    #[serde(default)]
    pause_ms: u64,
}

#[derive(Deserialize, JsonSchema)]
struct AccountOnly {
    /// The account's id.
    account: String,
}

#[derive(Serialize, JsonSchema)]
struct Balance {
    /// The account's id.
    account: String,
    /// Whose account it is.
    owner: String,
    /// What it holds, in cents, without what is in transit.
    #[schemars(schema_with = "amount::schema")]
    balance: u64,
    /// What is on its way from it to others, in cents.
    #[schemars(schema_with = "amount::schema")]
    in_transit: u64,
}

#[derive(Serialize, JsonSchema)]
struct Transferred {
    /// The id of the account that paid.
    from: String,
    /// The id of the account that received.
    to: String,
    /// How much, in cents.
    #[schemars(schema_with = "amount::schema")]
    amount: u64,
}

type Context = ToolContext<()>;

fn shown(ledger: &Ledger, account: String) -> Result<Json<Balance>, LedgerError> {
    let state = ledger.account(&account)?;
    let (owner, balance, in_transit) = (state.owner().to_owned(), state.balance(), state.in_transit());
    Ok(Json(Balance { account, owner, balance, in_transit }))
}

async fn open_account(ctx: &Context, args: OpenAccount) -> Result<Json<Balance>, LedgerError> {
    let ledger = ctx.app::<Ledger>();
    let account = ledger.open_account(args.owner, args.balance).await?;
    shown(ledger, account)
}

async fn deposit(ctx: &Context, args: Deposit) -> Result<Json<Balance>, LedgerError> {
    let ledger = ctx.app::<Ledger>();
    ledger.deposit(&args.account, args.amount).await?;
    shown(ledger, args.account)
}

async fn transfer(ctx: &Context, args: Transfer) -> Result<Json<Transferred>, LedgerError> {
    let engine = ctx.engine();
    let in_transit = async {
        if args.pause_ms == 0 {
            return Ok(());
        }
        tokio::select! {
            _ = ctx.cancelled() => Err(LedgerError::GivenUp),
            () = pause(&**engine.runtime(), Duration::from_millis(args.pause_ms)) => Ok(()),
        }
    };
    ctx.app::<Ledger>().transfer(&args.from, &args.to, args.amount, in_transit).await?;
    Ok(Json(Transferred { from: args.from, to: args.to, amount: args.amount }))
}

async fn balance(ctx: &Context, args: AccountOnly) -> Result<Json<Balance>, LedgerError> {
    shown(ctx.app::<Ledger>(), args.account)
}

async fn audit(ctx: &Context, (): ()) -> Result<Json<Audit>, LedgerError> {
    Ok(Json(ctx.app::<Ledger>().audit().await))
}

pub(super) fn tools() -> [Tool<()>; 5] {
    [
        Tool::new(
            "open_account",
            "Opens an account with what is paid in at once, and returns its id.",
            open_account,
        ),
        Tool::new("deposit", "Pays money into an account.", deposit),
        Tool::new(
            "transfer",
            "Moves money between two accounts. It is reserved at the source, is in transit for as long as asked, and \
             then arrives; if the call is cancelled before that, it is given back.",
            transfer,
        ),
        Tool::new("balance", "Reads an account.", balance).read_only(),
        Tool::new(
            "audit",
            "Counts the money of all accounts at one moment: their balances and what is in transit, against what was \
             ever paid in.",
            audit,
        )
        .read_only(),
    ]
}

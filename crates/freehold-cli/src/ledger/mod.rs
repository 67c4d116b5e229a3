//! A ledger whose accounts are sessions of an engine of their own.
//!
//! # Invariants
//!
//! 1. Each change of one account is one commit of its state.
//! 2. Money that left its source and has not arrived is counted at the source, as in transit. So reserving it and
//!    giving it back are one commit each, and change no total.
//! 3. A reservation ends in exactly one way, arrival or return, whatever becomes of the call: it is a guard whose drop
//!    gives the money back, and a step that has begun is run to its end even if its caller is dropped.
//! 4. What changes more than one figure of an [`Audit`] (paying in, arriving) happens with `books` read, and the audit
//!    counts with `books` written. Neither suspends in there: the states are in memory, and nobody pauses a transfer
//!    with the books in hand.
//! 5. The sum of all money is at most [`MOST_MONEY`], which is checked where money comes in and nowhere else.

mod account;
pub(crate) mod amount;
mod audit;
mod error;
mod reservation;
mod steps;

pub(crate) use audit::Audit;
pub(crate) use error::LedgerError;

use account::Account;
use amount::{MOST_MONEY, add_within_bounds, check_amount};
use freehold::{Engine, EngineBuilder, Limits, OpenError, Session};
use reservation::Reservation;
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use steps::Steps;
use tokio::sync::RwLock;

/// Bytes of an owner's name; it is kept for as long as the account.
const OWNER_BYTES: usize = 256;

/// Accounts, and the transfers between them. A cheap handle.
#[derive(Clone)]
pub(crate) struct Ledger {
    accounts: Engine<Account>,
    books: Arc<RwLock<()>>,
    paid_in: Arc<AtomicU64>,
}

impl Ledger {
    /// A ledger of at most so many accounts.
    pub(crate) fn new(most_accounts: usize) -> Self {
        Self::built(most_accounts, |builder| {
            builder.build().expect("an engine without methods has no two of one name")
        })
    }

    /// The same with an engine that `build` builds.
    pub(crate) fn built(
        most_accounts: usize,
        build: impl FnOnce(EngineBuilder<Account>) -> Engine<Account>,
    ) -> Self {
        // Accounts are for ever.
        let limits = Limits {
            sessions: most_accounts,
            session_ttl: Duration::MAX,
            initialize_window: Duration::MAX,
            ..Limits::default()
        };
        let accounts = build(Engine::builder(Account::blank()).limits(limits));
        Self { accounts, books: Arc::default(), paid_in: Arc::default() }
    }

    fn find(&self, account: &str) -> Result<Session<Account>, LedgerError> {
        let id = account.parse().ok();
        let found = id.and_then(|id| self.accounts.session(id).ok());
        found.ok_or_else(|| LedgerError::UnknownAccount(account.to_owned()))
    }

    fn steps(&self) -> Steps {
        Steps::new(self.accounts.runtime().clone())
    }

    /// An account as it is now.
    pub(crate) fn account(&self, account: &str) -> Result<Arc<Account>, LedgerError> {
        Ok(self.find(account)?.state())
    }

    /// Opens an account and returns its id.
    pub(crate) async fn open_account(&self, owner: String, balance: u64) -> Result<String, LedgerError> {
        if owner.is_empty() || owner.len() > OWNER_BYTES {
            return Err(LedgerError::OwnerLength { most: OWNER_BYTES });
        }
        let (ledger, owner) = (self.clone(), Arc::<str>::from(owner));
        let open = async move {
            let _books = ledger.books.read().await;
            ledger.count_in(balance)?;
            let opened = ledger.open_blank();
            let opened = match opened {
                Ok(session) => fill(&session, &owner, balance).await.map(|()| session),
                Err(error) => Err(error),
            };
            ledger.count_out_unless(opened, balance)
        };
        Ok(self.steps().run(open).await??.id().to_string())
    }

    fn open_blank(&self) -> Result<Session<Account>, LedgerError> {
        self.accounts.open().map_err(|error| match error {
            OpenError::Full => LedgerError::TooManyAccounts { most: self.accounts.limits().sessions },
            _ => LedgerError::Stopping,
        })
    }

    /// Pays money into an account.
    pub(crate) async fn deposit(&self, account: &str, amount: u64) -> Result<(), LedgerError> {
        check_amount(amount)?;
        let (ledger, session) = (self.clone(), self.find(account)?);
        let deposit = async move {
            let _books = ledger.books.read().await;
            ledger.count_in(amount)?;
            let paid = session.update(|account| account.pay_in(amount)).await.map_err(LedgerError::from);
            ledger.count_out_unless(paid, amount)
        };
        self.steps().run(deposit).await?
    }

    /// Adds to what was paid in, within what can be counted.
    fn count_in(&self, amount: u64) -> Result<(), LedgerError> {
        // Relaxed: who reads it for an audit has the books, which order it.
        let within = |sum| add_within_bounds(sum, amount);
        let counted = self.paid_in.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within);
        counted.map(drop).map_err(|_| LedgerError::TooMuchMoney { most: MOST_MONEY })
    }

    /// Takes back what was counted in if it did not come.
    fn count_out_unless<T>(&self, came: Result<T, LedgerError>, amount: u64) -> Result<T, LedgerError> {
        if came.is_err() {
            self.paid_in.fetch_sub(amount, Ordering::Relaxed);
        }
        came
    }

    /// Moves money: reserves it at the source, waits for `in_transit`, credits the target.
    ///
    /// # Cancel safety
    ///
    /// Dropped, or at an error of `in_transit`, the money goes back to the source. Once it begins to arrive it does
    /// arrive.
    pub(crate) async fn transfer(
        &self,
        from: &str,
        to: &str,
        amount: u64,
        in_transit: impl Future<Output = Result<(), LedgerError>>,
    ) -> Result<(), LedgerError> {
        check_amount(amount)?;
        let (source, target) = (self.find(from)?, self.find(to)?);
        if source.id() == target.id() {
            return Err(LedgerError::SameAccount);
        }
        let reservation = self.steps().run(Reservation::make(source, amount, self.steps())).await??;
        in_transit.await?;
        let books = self.books.clone();
        let arrive = async move {
            let _books = books.read().await;
            reservation.arrive(&target).await
        };
        self.steps().run(arrive).await?
    }

    /// Counts all money at one moment. Transfers may be in transit meanwhile; only commits wait for the count.
    pub(crate) async fn audit(&self) -> Audit {
        let _books = self.books.write().await;
        let sessions = self.accounts.sessions();
        Audit::count(sessions.iter().map(Session::state), self.paid_in.load(Ordering::Relaxed))
    }
}

/// Makes a blank account somebody's; it goes again if that fails.
async fn fill(session: &Session<Account>, owner: &Arc<str>, balance: u64) -> Result<(), LedgerError> {
    let filled = session
        .update(|account| {
            account.belong_to(owner);
            account.pay_in(balance);
        })
        .await;
    if filled.is_err() {
        session.close(freehold::CloseReason::Server);
    }
    filled.map_err(LedgerError::from)
}

#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;

use freehold::StateError;

/// The ledger refused something; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LedgerError {
    // The text comes from the client: no more of it than an id has.
    #[error("there is no account {0:.32}; use the id that open_account returned")]
    UnknownAccount(String),
    #[error("source and target are the same account")]
    SameAccount,
    #[error("the amount must be more than zero")]
    ZeroAmount,
    #[error("the account holds {available} cents, fewer than {amount}")]
    Overdraft { available: u64, amount: u64 },
    #[error("the ledger would hold more than {most} cents, which is what it can count")]
    TooMuchMoney { most: u64 },
    #[error("the ledger has {most} accounts, as many as it takes")]
    TooManyAccounts { most: usize },
    #[error("the owner's name must have between 1 and {most} bytes")]
    OwnerLength { most: usize },
    #[error("the transfer was cancelled while the money was in transit; it is back at the source")]
    GivenUp,
    #[error("the server is stopping")]
    Stopping,
    #[error(transparent)]
    State(#[from] StateError),
}

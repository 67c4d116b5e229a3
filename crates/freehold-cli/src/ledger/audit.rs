use super::{account::Account, amount};
use schemars::JsonSchema;
use serde::Serialize;

/// What the ledger holds, counted at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Audit {
    /// How many accounts there are.
    #[schemars(schema_with = "amount::schema")]
    pub(crate) accounts: u64,
    /// The sum of their balances, in cents.
    #[schemars(schema_with = "amount::schema")]
    pub(crate) balances: u64,
    /// What is on its way between accounts, in cents.
    #[schemars(schema_with = "amount::schema")]
    pub(crate) in_transit: u64,
    /// The two together: all money there is, in cents.
    #[schemars(schema_with = "amount::schema")]
    pub(crate) total: u64,
    /// What was ever paid in, in cents.
    #[schemars(schema_with = "amount::schema")]
    pub(crate) paid_in: u64,
    /// Whether the total is what was paid in.
    pub(crate) balanced: bool,
}

impl Audit {
    /// Counts accounts that nobody changes meanwhile.
    pub(super) fn count(accounts: impl Iterator<Item = impl AsRef<Account>>, paid_in: u64) -> Self {
        let mut audit = Self { paid_in, ..Self::default() };
        for account in accounts {
            let account = account.as_ref();
            audit.accounts += 1;
            audit.balances += account.balance();
            audit.in_transit += account.in_transit();
        }
        audit.total = audit.balances + audit.in_transit;
        audit.balanced = audit.total == paid_in;
        audit
    }
}

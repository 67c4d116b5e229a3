use super::error::LedgerError;
use std::sync::Arc;

/// The state of an account. Every change of it is one commit; amounts are cents.
///
/// No sum overflows: the ledger takes in no more than it can count, and an account holds a part of that.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    owner: Arc<str>,
    balance: u64,
    in_transit: u64,
}

impl Account {
    /// An account of nobody, as each begins.
    pub(super) fn blank() -> Self {
        Self { owner: Arc::from(""), balance: 0, in_transit: 0 }
    }

    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// What can be spent.
    pub(crate) fn balance(&self) -> u64 {
        self.balance
    }

    /// What is reserved here and on its way to others.
    pub(crate) fn in_transit(&self) -> u64 {
        self.in_transit
    }

    pub(super) fn belong_to(&mut self, owner: &Arc<str>) {
        self.owner = owner.clone();
    }

    pub(super) fn pay_in(&mut self, amount: u64) {
        self.balance += amount;
    }

    /// Takes what can be spent out of reach of others.
    pub(super) fn reserve(&mut self, amount: u64) -> Result<(), LedgerError> {
        let overdraft = LedgerError::Overdraft { available: self.balance, amount };
        self.balance = self.balance.checked_sub(amount).ok_or(overdraft)?;
        self.in_transit += amount;
        Ok(())
    }

    /// What was reserved has arrived elsewhere.
    pub(super) fn release(&mut self, amount: u64) {
        self.in_transit -= amount;
    }

    /// What was reserved goes nowhere.
    pub(super) fn give_back(&mut self, amount: u64) {
        self.in_transit -= amount;
        self.balance += amount;
    }
}

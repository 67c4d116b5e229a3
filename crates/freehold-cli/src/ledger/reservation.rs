use super::{
    account::Account,
    error::LedgerError,
    steps::{Steps, persist},
};
use freehold::Session;

/// Money that left what its source can spend. Dropped before it arrived, it goes back.
pub(super) struct Reservation {
    source: Session<Account>,
    amount: u64,
    steps: Steps,
    /// Nothing is to be given back any more.
    ended: bool,
}

impl Reservation {
    pub(super) async fn make(
        source: Session<Account>,
        amount: u64,
        steps: Steps,
    ) -> Result<Self, LedgerError> {
        source.update(|account| account.reserve(amount)).await??;
        Ok(Self { source, amount, steps, ended: false })
    }

    /// Credits `target`. If that fails the money goes back.
    pub(super) async fn arrive(mut self, target: &Session<Account>) -> Result<(), LedgerError> {
        let amount = self.amount;
        target.update(|account| account.pay_in(amount)).await?;
        self.ended = true;
        persist(&self.source, |account| account.release(amount)).await;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let (source, amount) = (self.source.clone(), self.amount);
        self.steps.detach(async move {
            persist(&source, |account| account.give_back(amount)).await;
        });
    }
}

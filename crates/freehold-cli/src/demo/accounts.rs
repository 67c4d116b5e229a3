//! Accounts with a lock each, and who pays whom.

use freehold::sync::LockClass;
use serde::{Deserialize, Serialize};

/// How many there are.
pub(super) const ACCOUNTS: usize = 4;

/// What each holds at the beginning, in cents.
pub(super) const OPENING: i64 = 100_000;

/// A class each, so that a report calls them by their names.
pub(super) static CLASSES: [LockClass; ACCOUNTS] = [
    LockClass::new("Anna's account"),
    LockClass::new("Ben's account"),
    LockClass::new("Cleo's account"),
    LockClass::new("Dan's account"),
];

/// Whose it is.
pub(super) fn owner(account: usize) -> &'static str {
    ["Anna", "Ben", "Cleo", "Dan"][account]
}

/// Moves an amount from one account to another.
#[derive(Clone, Copy, Deserialize, Serialize)]
pub(super) struct Transfer {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) cents: i64,
}

impl Transfer {
    /// One of all there can be, by a number that is anything.
    pub(super) fn of(number: u32) -> Self {
        let (number, accounts) = (number as usize, ACCOUNTS);
        let from = number % accounts;
        let to = (from + 1 + number / accounts % (accounts - 1)) % accounts;
        Self { from, to, cents: 1 + (number / 100 % 500) as i64 }
    }

    /// Who pays whom.
    pub(super) fn parties(self) -> String {
        format!("{} -> {}", owner(self.from), owner(self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::{ACCOUNTS, Transfer};
    use std::collections::BTreeSet;

    #[test]
    fn everybody_pays_everybody_else() {
        let pairs: BTreeSet<_> = (0..1000).map(Transfer::of).map(|t| (t.from, t.to)).collect();
        assert_eq!(pairs.len(), ACCOUNTS * (ACCOUNTS - 1));
        assert!(pairs.iter().all(|(from, to)| from != to));
    }
}

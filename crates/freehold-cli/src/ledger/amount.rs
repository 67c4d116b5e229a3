//! Amounts of money: whole cents.

use super::error::LedgerError;
use schemars::{Schema, SchemaGenerator, json_schema};

/// The largest whole number that every JSON reader takes exactly, 2^53 - 1.
pub(crate) const MOST_MONEY: u64 = (1 << 53) - 1;

/// Whether something can be moved or paid in at all.
pub(super) fn check_amount(amount: u64) -> Result<(), LedgerError> {
    if amount == 0 { Err(LedgerError::ZeroAmount) } else { Ok(()) }
}

/// The sum, if it can be counted.
pub(super) fn add_within_bounds(sum: u64, amount: u64) -> Option<u64> {
    sum.checked_add(amount).filter(|sum| *sum <= MOST_MONEY)
}

/// The schema of an amount or a count, in terms that every JSON Schema validator knows.
pub(crate) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 0, "maximum": MOST_MONEY })
}

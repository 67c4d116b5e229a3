//! What freehold-sync costs, beside what it is compared with; `bench-sync` runs the rows.

pub mod activities;
pub mod comparison;
pub mod contended;
pub mod uncontended;

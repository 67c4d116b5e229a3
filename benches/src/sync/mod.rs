//! What freehold-sync costs, beside what it is compared with; `bench-sync` runs the rows.

pub mod activities;
pub mod blocking;
pub mod chain;
pub mod comparison;
pub mod contended;
pub mod latency;
pub mod lock_child;
pub mod sizes;
pub mod uncontended;

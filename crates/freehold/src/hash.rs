//! How the tables of the engine hash.

/// By chance, which is another one in each table: clients choose ids, and must not choose which ones collide.
#[cfg(not(any(feature = "simulation", loom, shuttle)))]
pub(crate) type Hashing = foldhash::fast::RandomState;

/// In a simulation or a model tables are walked in the same order in each run.
#[cfg(any(feature = "simulation", loom, shuttle))]
pub(crate) type Hashing = foldhash::fast::FixedState;

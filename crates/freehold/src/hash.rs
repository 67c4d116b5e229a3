//! How the tables of the engine hash.

/// By chance, which is another one in each table: clients choose ids, and must not choose which ones collide.
#[cfg(not(feature = "simulation"))]
pub(crate) type Hashing = foldhash::fast::RandomState;

/// In a simulation tables are walked in the same order in each run.
#[cfg(feature = "simulation")]
pub(crate) type Hashing = foldhash::fast::FixedState;

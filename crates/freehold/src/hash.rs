//! How the tables of the engine hash. Nobody outside chooses their keys so that they collide, and yet: by chance.

/// By chance, which is another one in each table.
#[cfg(not(feature = "simulation"))]
pub(crate) type Hashing = foldhash::fast::RandomState;

/// In a simulation tables are walked in the same order in each run.
#[cfg(feature = "simulation")]
pub(crate) type Hashing = foldhash::fast::FixedState;

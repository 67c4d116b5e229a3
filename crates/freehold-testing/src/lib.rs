#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod executor;
mod explore;
mod finding;
mod limits;
mod order;
mod random;
mod simulation;
mod trace;
mod world;

pub use explore::{Explore, Explored, Failure};
pub use finding::Finding;
pub use random::Random;
pub use simulation::{Joined, Simulation};
pub use trace::Trace;

//! Models of this crate's interleavings: random programs on the whole engine for shuttle, small exhaustive ones for loom.
//!
//! A model fails by an assertion, and by a wait that nobody ends. What is a single step to them is in [`shim`](crate::shim).

#[cfg(loom)]
mod exhaustive;
#[cfg(shuttle)]
mod programs;
#[cfg(shuttle)]
mod runtime;

//! Models of this crate's interleavings: exhaustive ones for loom, random programs for shuttle.
//!
//! A model fails by an assertion, by a wait that nobody ends (both checkers find that no thread can run), and under loom
//! by an access to a cell that is not ordered after the one before it.

#[cfg(loom)]
mod activity;
#[cfg(loom)]
mod blocking;
#[cfg(loom)]
mod cancel;
#[cfg(loom)]
mod exhaustive;
#[cfg(loom)]
mod expiry;
#[cfg(loom)]
mod forget;
#[cfg(loom)]
mod freeze;
#[cfg(loom)]
mod mutex;
#[cfg(loom)]
mod ring;
#[cfg(loom)]
mod rwlock;
#[cfg(loom)]
mod validation;

#[cfg(shuttle)]
mod programs;
#[cfg(shuttle)]
pub(crate) use programs::pronounced;

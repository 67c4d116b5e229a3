//! The synchronous building blocks of the Freehold engine.
//!
//! * [`ScopedMutex`]: a lock whose content is reachable only inside a closure, so that no guard exists which could be
//!   held across an `.await` or handed to a handler.
//! * [`Signal`]: a one-shot, reason-carrying broadcast (a cancel, a shutdown, a close) that cannot be missed.
//! * [`held`]: how many of these locks the current thread holds, and the assertion that it holds none.
//!
//! Nothing here does I/O or needs a runtime.

#![forbid(unsafe_code)]

pub mod held;
mod loom_shim;
mod scoped_mutex;
mod signal;

pub use scoped_mutex::ScopedMutex;
pub use signal::{HasSignal, Signal, SignalWait};

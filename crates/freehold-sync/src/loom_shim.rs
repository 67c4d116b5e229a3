//! The one place that chooses between the standard library's primitives and loom's.

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU8, Ordering},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex,
    atomic::{AtomicU8, Ordering},
};
#[cfg(loom)]
pub(crate) use std::sync::PoisonError;

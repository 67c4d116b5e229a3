//! From tokio's `Mutex` to [`Context::lock`](crate::Context::lock), in two steps.
//!
//! # Step 1: another import
//!
//! Replace `tokio::sync::Mutex` by [`freehold_sync::Mutex`](crate::Mutex). What changes in the code is that locking can
//! fail, so there is a `?`.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), freehold_sync::LockError> {
//! use freehold_sync::Mutex;
//!
//! let total = Mutex::new(0);
//! *total.lock().await? += 1;
//! # assert_eq!(*total.lock().await?, 1);
//! # Ok(()) }
//! ```
//!
//! You now have: a deadline for every wait for a lock (5 s), errors that name whom the lock was waited for with, metrics by class,
//! and the cure of [futurelock](super::futurelock). You do not have: proven deadlocks. Nobody knows *who* holds a lock
//! that was taken this way.
//!
//! # Step 2: activities
//!
//! Wrap the task or the handler in an activity, and lock through the context it gets. Functions that lock take
//! `&Context` as a parameter.
//!
//! ```
//! # #[cfg(not(feature = "tokio"))] fn main() {}
//! # #[cfg(feature = "tokio")]
//! # #[tokio::main] async fn main() -> Result<(), freehold_sync::LockError> {
//! use freehold_sync::{Context, LockError, Mutex, spawn};
//! use std::sync::Arc;
//!
//! async fn deposit(ctx: &Context, account: &Mutex<u64>, amount: u64) -> Result<u64, LockError> {
//!     let mut balance = ctx.lock(account).await?;
//!     *balance += amount;
//!     Ok(*balance)
//! }
//!
//! let account = Arc::new(Mutex::new(5));
//! // Instead of `tokio::spawn(async move { ... })`:
//! let task = spawn!("deposit", async move |ctx| deposit(ctx, &account, 10).await);
//! assert_eq!(task.await??, 15);
//! # Ok(()) }
//! ```
//!
//! A ring of such waits is found when it closes, and exactly one of its waits fails with
//! [`LockError::Deadlock`](crate::LockError::Deadlock). Let the error drop your guards (`?` does), then try again or give
//! up: see [`recovery`](super::recovery).
//!
//! Other ways to make an activity: [`activity`](crate::activity) returns a future to await, to spawn or to poll;
//! [`Context::join`](crate::Context::join), [`join_all`](crate::Context::join_all) and
//! [`select`](crate::Context::select) run bodies as its children; [`joinable`](crate::joinable) is `spawn!` without the
//! spawning, for other executors.
//!
//! Mixing is fine: an activity may hold locks of both kinds, and a lock may be taken both ways. What was taken without a
//! context is held by "a holder outside of activities", and a ring through it is SUSPECTED at most.

//! Deadlines and cancels.
//!
//! Every wait for a lock, for permits or for a [`reply`](crate::reply) has a deadline, 5 s unless you say otherwise; "none"
//! has a name of its own. A wait for the end of an activity has none unless you ask for one: work takes the time it takes,
//! and a ring through it is proven all the same.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use freehold_sync::{LockError, Mutex, activity};
//! use std::time::{Duration, Instant};
//!
//! # fn now() -> Instant { #[expect(clippy::disallowed_methods)] Instant::now() }
//! let m = Mutex::new(0);
//! activity(async |ctx| {
//!     drop(ctx.lock(&m).await?); // 5 s, or what `set_wait_limit` says
//!     drop(ctx.lock(&m).within(Duration::from_millis(300)).await?);
//!     drop(ctx.lock_within(&m, Duration::from_millis(300)).await?); // the same
//!     drop(ctx.lock(&m).until(now() + Duration::from_secs(1)).await?);
//!     drop(ctx.lock(&m).without_deadline().await?);
//!     Ok::<_, LockError>(())
//! })
//! .await
//! .unwrap()
//! .unwrap();
//! # }
//! ```
//!
//! The futures of `read`, `write`, `permit` and `join` have the same three methods. A limit counts from the moment the
//! wait begins. A lock that is free is had even if the deadline has passed.
//!
//! [`Activity::deadline`](crate::Activity::deadline) is a deadline for all waits of an activity and of its children; no
//! limit of a single wait exceeds it.
//!
//! # They are signals, not signs of life
//!
//! Something that may end a wait from outside does not make it less of a deadlock. So that the graph can know, it has to
//! come from this crate:
//!
//! | You want | Write | Not | Because then |
//! |---|---|---|---|
//! | a limit on one wait | `ctx.lock(&m).within(d)` | `timeout(d, ctx.lock(&m))` | the timer keeps a waker, and a ring is suspected only |
//! | a limit on a whole future | [`ctx.within(d, future)`](crate::Context::within) | `timeout(d, future)` | the same |
//! | to be told of a cancel | [`ctx.cancelled()`](crate::Context::cancelled), with [`Activity::handle`](crate::Activity::handle) outside | a token's `cancelled()` | the same |
//! | to heed a token or a watch of somebody else's | [`ctx.aside(token.cancelled())`](crate::Context::aside) | `token.cancelled()` alone | the same |
//!
//! With the right column nothing breaks: the timer ends the wait as always. What is lost is that a ring is *proven when
//! it closes*; it lasts until the timer fires.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use freehold_sync::{LockError, Mutex, activity};
//! use std::time::Duration;
//!
//! // Taken twice in one activity, with a deadline of a minute: proven at once all the same.
//! let m = Mutex::new(0);
//! let result = activity(async |ctx| {
//!     let _held = ctx.lock(&m).await?;
//!     ctx.within(Duration::from_secs(60), async { ctx.lock(&m).await.map(drop) }).await.unwrap()
//! });
//! assert!(matches!(result.await, Ok(Err(LockError::Deadlock(_)))));
//! # }
//! ```
//!
//! # Cancelling
//!
//! ```
//! # #[cfg(not(feature = "tokio"))] fn main() {}
//! # #[cfg(feature = "tokio")]
//! # #[tokio::main] async fn main() -> Result<(), freehold_sync::LockError> {
//! use freehold_sync::{Mutex, spawn};
//! use std::sync::Arc;
//!
//! let busy = Arc::new(Mutex::new(()));
//! let held = busy.clone().lock_owned().await?;
//! let task = spawn!(async move |ctx| {
//!     tokio::select! {
//!         () = ctx.cancelled() => "cancelled",
//!         locked = ctx.lock(&busy) => if locked.is_ok() { "locked" } else { "failed" },
//!     }
//! });
//! task.cancel();
//! assert_eq!(task.await?, "cancelled");
//! # drop(held);
//! # Ok(()) }
//! ```
//!
//! A cancel only tells: the body decides what to do. To end an activity by force, abort it
//! ([`JoinHandle::abort`](crate::JoinHandle::abort), [`ActivityHandle::abort`](crate::ActivityHandle::abort)) or drop it: it
//! leaves all queues, gives back what it holds, and a turn it had goes to the next one. An abort needs one more poll, and
//! drops the body there; whoever waits for it gets [`Ended::Aborted`](crate::Ended::Aborted).
//!
//! `ctx.aside` is a promise that the future does *not* make progress of itself: use it for "stop" signals only. An
//! activity that waits for such signals alone is never stuck: it may be waiting for a person.
//!
//! # When an error comes late
//!
//! Deadlines are watched by one thread of this crate, which also works while every worker of the runtime is blocked. They
//! pass on time to about a millisecond. The task still has to be polled to see the error.

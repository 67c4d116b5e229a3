//! Futurelock and its cure.
//!
//! A future that waits for a lock gets its turn; but nobody polls it any more, and nobody has dropped it. The lock then
//! belongs to somebody who will never take it, and everybody behind waits for ever. It takes a `select!` over
//! `&mut future`, or a `Stream` that is not polled while its item is handled. Oxide found it in production and named it
//! (RFD 609). With tokio's lock:
//!
//! ```
//! # #![allow(clippy::disallowed_methods)]
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use futures_util::poll;
//! use std::{pin::pin, time::Duration};
//!
//! let m = tokio::sync::Mutex::new(());
//! let held = m.lock().await;
//! let mut first = pin!(m.lock());
//! assert!(poll!(first.as_mut()).is_pending()); // queued, say in an arm of a select! that lost
//! drop(held); // its turn, but nobody polls it
//! let second = tokio::time::timeout(Duration::from_millis(50), m.lock()).await;
//! assert!(second.is_err(), "without the timeout: for ever");
//! # }
//! ```
//!
//! # Inside an activity
//!
//! An activity knows which of its waits it polled. At the end of each poll, a wait that had its turn before that poll
//! began and was not polled in it loses the turn, and the next one gets it. The future itself stays good: polled again, it
//! queues at the front.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use freehold_sync::{LockError, RwLock, activity};
//! use futures_util::poll;
//! use std::pin::pin;
//!
//! let lock = RwLock::new(0);
//! let cured = activity(async |ctx| {
//!     let held = ctx.write(&lock).await?;
//!     let mut first = pin!(ctx.write(&lock));
//!     assert!(poll!(first.as_mut()).is_pending());
//!     drop(held); // granted to `first`, which nobody polls
//!     drop(ctx.write(&lock).await?); // gets it all the same
//!     *first.await? += 1; // and `first` is still good
//!     Ok::<_, LockError>(())
//! });
//! cured.await.unwrap().unwrap();
//! assert_eq!(lock.into_inner(), 1);
//! # }
//! ```
//!
//! Turns that were passed on are counted: `passed_on` in [`metrics::global`](crate::metrics::global) and in the class.
//!
//! # Outside
//!
//! For waits without a context a watchdog does the same after about 200 ms, in the fourth sweep that sees the turn
//! unused. It cannot know whether the future is about to be polled, so it waits that long.
//!
//! # What it does not cure
//!
//! A *guard* (not a turn) owned by a future that nobody polls: it was acquired, and the value behind it may be half
//! changed, so it cannot be taken away. If nothing can wake the activity, that is a ring of one, and proven; if it still
//! has a timer, it is suspected until then.

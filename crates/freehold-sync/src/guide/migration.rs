//! Which call replaces which.
//!
//! # From tokio
//!
//! | `tokio` | `freehold_sync`, in an activity | elsewhere |
//! |---|---|---|
//! | `tokio::spawn(async move { .. })` | `spawn!("name", async move \|ctx\| { .. })` | the same |
//! | `handle.await?` (`JoinError`) | `handle.join(ctx).await?` ([`LockError`](crate::LockError)) | `handle.await?` |
//! | `handle.abort()` | `handle.abort()`; or `handle.cancel()`, which only tells the body | the same |
//! | `JoinSet`, `join_all` | `ctx.join_all(bodies).await` | |
//! | `join!(a, b)` | works; `ctx.join(a, b).await` gives each its own place | |
//! | `select! { .. }` | works; `ctx.select(a, b).await` for two bodies | |
//! | `timeout(d, future)` | `ctx.within(d, future)` | [`within(d, future)`](crate::within) |
//! | `CancellationToken` | `ctx.cancelled()`; `ctx.aside(token.cancelled())` | |
//! | `Mutex::new(v)`, `const_new` | `Mutex::new(v)`, which is `const` | the same |
//! | `m.lock().await` | `ctx.lock(&m).await?` | `m.lock().await?` |
//! | `m.try_lock()` (`Result<_, TryLockError>`) | `ctx.try_lock(&m)?` (`Option`) | `m.try_lock()` (`Option`) |
//! | `m.clone().lock_owned().await` | `m.clone().lock_owned().await?` | the same |
//! | `m.blocking_lock()` | [`blocking::Mutex`](crate::blocking::Mutex) | the same |
//! | `MutexGuard::map(guard, f)` | `MutexGuard::map(guard, f)`, same type | the same |
//! | `rw.read().await`, `rw.write().await` | `ctx.read(&rw).await?`, `ctx.write(&rw).await?` | `rw.read().await?`, `rw.write().await?` |
//! | `guard.downgrade()` | `RwLockWriteGuard::downgrade(guard)` | the same |
//! | `Semaphore::new(n)` | `PermitPool::new(n)` | the same |
//! | `sem.acquire().await` | `ctx.permit(&pool).await?` | `pool.acquire().await?` |
//! | `sem.acquire_many(n).await` | `ctx.permits(&pool, n).await?` | `pool.acquire_many(n).await?` |
//! | `sem.close()` | `pool.close()` | the same |
//! | `add_permits`, `forget_permits` | none: the size is fixed, or "who could give one back" would have no answer | |
//! | `oneshot` for a reply | [`reply()`](crate::reply), [`Reply::bind`](crate::Reply::bind) in the callee; 5 s unless you say otherwise | |
//! | `Notify`, `watch`, `mpsc`, `broadcast`, `Barrier` | keep tokio's; they are [not in the graph](super::not_detected) | |
//! | `OnceCell` | keep tokio's | |
//!
//! What behaves otherwise: every wait can fail, and all but a join fail after 5 s; a lock is not poisoned by a panic unless
//! [`poisoning`](crate::Mutex::poisoning) was asked for (as with tokio); a task that runs may overtake the first waiter
//! once; guards of a context stay in their activity.
//!
//! ```
//! # #[cfg(not(feature = "tokio"))] fn main() {}
//! # #[cfg(feature = "tokio")]
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Before.
//! let m = std::sync::Arc::new(tokio::sync::Mutex::new(0));
//! let task = {
//!     let m = m.clone();
//!     # #[allow(clippy::disallowed_methods)]
//!     tokio::spawn(async move { *m.lock().await += 1 })
//! };
//! task.await?;
//!
//! // After.
//! let m = std::sync::Arc::new(freehold_sync::Mutex::new(0));
//! let task = {
//!     let m = m.clone();
//!     freehold_sync::spawn!(async move |ctx| ctx.lock(&m).await.map(|mut n| *n += 1))
//! };
//! task.await??;
//! # Ok(()) }
//! ```
//!
//! # From parking_lot
//!
//! | `parking_lot` | [`freehold_sync::blocking`](crate::blocking) |
//! |---|---|
//! | `m.lock()` | `m.lock()?` |
//! | `m.try_lock()` | `m.try_lock()` |
//! | `m.try_lock_for(d)` (`Option`) | `m.lock_within(d)` (`Result`, which says behind whom) |
//! | `m.lock()` for as long as it takes | `m.lock_without_deadline()?` |
//! | `rw.read()`, `rw.write()` | `rw.read()?`, `rw.write()?` |
//! | `rw.try_read_for(d)`, `rw.try_write_for(d)` | `rw.read_within(d)`, `rw.write_within(d)` |
//! | `rw.read_recursive()` | none: `rw.read()`, in order of arrival; a second read behind a writer is proven to be a deadlock when it waits, and goes past the writer |
//! | `upgradable_read`, `ReentrantMutex`, `Condvar`, `FairMutex`, mapped guards | none |
//! | `deadlock::check_deadlock()` in a thread of yours | nothing to call; the wait that closes the ring, or another of it, fails |
//! | feature `deadlock_detection` | always on; [`set_detection(false)`](crate::set_detection) |
//!
//! ```
//! use freehold_sync::{LockError, blocking::Mutex};
//!
//! let m = Mutex::new(0);
//! *m.lock()? += 1;
//! // parking_lot's would hang here.
//! let once = m.lock()?;
//! assert!(matches!(m.lock(), Err(LockError::Deadlock(_))));
//! # drop(once);
//! # Ok::<_, LockError>(())
//! ```

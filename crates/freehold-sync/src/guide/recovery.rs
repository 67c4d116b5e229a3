//! What to do with an error.
//!
//! | [`LockError`](crate::LockError) | It means | Do |
//! |---|---|---|
//! | `Deadlock(report)` | this wait was chosen to break a ring | drop every guard, then run again, or answer with `report.headline()` |
//! | `Timeout(timeout)` | the deadline passed; `holder` and `chain` say behind whom | answer "busy"; run again only if the caller's own deadline leaves time |
//! | `Order(violation)` | refused before it could block | a bug: fix the order; running again gives the same |
//! | `Poisoned(lock)` | somebody panicked while they held it | check the value, then `clear_poison()` |
//! | `Closed(lock)` | the pool was closed | stop |
//! | `Twice(lock)` | one lock was in the set of a `lock_all` twice, say because both came from a request | answer, or name it once |
//! | `Ended(ended)` | the activity waited for has no result: it panicked, was aborted or dropped, or was an orphan | see below |
//!
//!
//! In all cases the wait is over when the error is there: nothing is queued, and nothing is held *by that wait*. What you
//! held before, you still hold.
//!
//! # An activity without a result
//!
//! | [`Ended`](crate::Ended) | It means | Who is told |
//! |---|---|---|
//! | `Panicked(panic)` | its body panicked; `panic.message()`, and `panic.take_payload()` to go on with the panic | who waits for its [`JoinHandle`](crate::JoinHandle) |
//! | `Aborted` | somebody called [`abort`](crate::JoinHandle::abort) | the same, and who polls it |
//! | `Dropped` | its executor, or whoever else had it, dropped it; or a [`reply`](crate::reply) was dropped unsent | who waits for its handle |
//! | `Orphan(report)` | others waited for what it held, and nothing was left to wake it ([below](#orphans)) | who waits for its handle, and who polls it |
//!
//! ```
//! # #[cfg(not(feature = "tokio"))] fn main() {}
//! # #[cfg(feature = "tokio")]
//! # #[tokio::main] async fn main() {
//! use freehold_sync::{Ended, LockError, spawn};
//!
//! let parent = spawn!(async |ctx| {
//!     let child = spawn!(async |_ctx| -> u32 { panic!("division by zero") });
//!     match child.join(ctx).await {
//!         Ok(n) => n.to_string(),
//!         Err(LockError::Ended(Ended::Panicked(panic))) => panic.message().unwrap_or("?").to_owned(),
//!         Err(other) => other.to_string(),
//!     }
//! });
//! assert_eq!(parent.await.unwrap(), "division by zero");
//! # }
//! ```
//!
//! The panic of an activity from [`spawn!`](crate::spawn) or [`joinable`](crate::joinable) goes to its handle, as with
//! `tokio::spawn`. That of a plain [`activity`](crate::activity), and of a child from `ctx.join` and its sisters, passes
//! through the poll to whoever polls it.
//!
//! # Running again
//!
//! The victim of a ring gets its error so that others get on; they do when it drops its guards. So put everything that is
//! locked into a function, let `?` drop it, and run that function again, with [`ctx.retry`](crate::Context::retry). All
//! attempts are those of one activity and have its age; there are [three](crate::limits::RETRY_ATTEMPTS) unless you say
//! otherwise, with random pauses in between whose bound doubles each time.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use freehold_sync::{Context, LockError, Mutex, Retry, activity};
//!
//! async fn attempt(ctx: &Context, a: &Mutex<u32>, b: &Mutex<u32>) -> Result<u32, LockError> {
//!     let a = ctx.lock(a).await?;
//!     tokio::task::yield_now().await;
//!     let b = ctx.lock(b).await?;
//!     Ok(*a + *b)
//! }
//!
//! async fn retried(ctx: &Context, a: &Mutex<u32>, b: &Mutex<u32>) -> Result<u32, LockError> {
//!     ctx.retry(Retry::default(), LockError::is_deadlock, || attempt(ctx, a, b)).await
//! }
//!
//! let (a, b) = (Mutex::new(1), Mutex::new(2));
//! let one = activity(async |ctx| retried(ctx, &a, &b).await);
//! let two = activity(async |ctx| retried(ctx, &b, &a).await);
//! let (one, two) = tokio::join!(one, two);
//! assert_eq!((one.unwrap().unwrap(), two.unwrap().unwrap()), (3, 3));
//! # }
//! ```
//!
//! The second argument says which errors are worth another attempt, of any error type of yours; with
//! `|e| e.is_deadlock() || e.is_timeout()` suspected deadlocks are tried again, too.
//!
//! If each attempt is an activity of its own, hand its birth stamp on with [`Activity::born`](crate::Activity::born).
//! The default policy takes the youngest as the victim; an attempt that keeps its stamp gets older than everybody new, so
//! the oldest always finishes, however much conflict there is.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use freehold_sync::{LockError, Mutex, activity};
//!
//! let m = Mutex::new(1);
//! let body = async |ctx: &freehold_sync::Context| ctx.lock(&m).await.map(|n| *n);
//! let first = activity(body);
//! let birth = first.birth();
//! let mut result = first.await;
//! if let Ok(Err(LockError::Deadlock(_))) = &result {
//!     result = activity(body).born(birth).await;
//! }
//! assert_eq!(result.unwrap().unwrap(), 1);
//! # }
//! ```
//!
//! Rules of thumb:
//!
//! * Run again only what has had no effect outside: nothing sent, nothing committed.
//! * Few attempts, then give the error to the caller: it names the ring.
//! * Hold nothing in between: what `retry` runs again has to be all that the activity holds.
//! * A ring that comes back is a bug: its [`fingerprint`](crate::Deadlock::fingerprint) is the same each time. Fix the
//!   [order](super::order).
//!
//! # Doomed
//!
//! A victim is *doomed* until it holds nothing that it held then: a lock that is free it still gets, but wherever it would
//! have to wait it gets the same `Deadlock` error at once. So a loop that swallows the error and keeps its guards cannot
//! close the same ring for ever. To be free of it, drop the guards.
//!
//! # Orphans
//!
//! An activity that others wait for, that waits for nobody who lives, and that nothing can wake (the task that should have
//! sent is gone, and its sender with it forgotten) would hold its locks for ever. To end those who wait would not help, so
//! the *holder* is ended: its body is dropped, which gives its locks back, and its output is
//! [`Ended::Orphan`](crate::Ended::Orphan), which whoever waits for it through a [`JoinHandle`](crate::JoinHandle) gets,
//! too.
//!
//! # Without a victim
//!
//! Read-write locks and pools serve in order of arrival. So a wait may stand behind another that asks for more, although
//! there is enough for it: a reader behind a writer, one permit behind three. If in a proven ring some wait is kept by its place
//! alone, nobody has to fail: it is moved up, before all for whom there is not enough, and the ring is broken. That costs the
//! overtaken one turn at most: none of them could have been served before somebody in the ring gives back. The report is
//! as always, with [`Action::Reordered`](crate::Action::Reordered), and goes to subscribers; it is still a mistake of the program,
//! which relies on there being a detector. One wait is gone past 16 times at most; then the ring has a victim.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use freehold_sync::{Action, Grade, RwLock, activity, recent_reports};
//!
//! let index = RwLock::new(1);
//! let reader = activity(async |ctx| {
//!     let once = ctx.read(&index).await?;
//!     tokio::task::yield_now().await;
//!     // Behind the writer, which waits for `once`.
//!     let again = ctx.read(&index).await?;
//!     Ok::<_, freehold_sync::LockError>(*once + *again)
//! });
//! let writer = activity(async |ctx| ctx.write(&index).await.map(|mut n| *n = 2));
//! let (read, written) = tokio::join!(reader, writer);
//! assert_eq!(read.unwrap().unwrap(), 2);
//! written.unwrap().unwrap();
//!
//! let report = recent_reports().pop().unwrap();
//! assert_eq!(report.grade, Grade::Proven);
//! assert!(matches!(report.action, Action::Reordered(_)));
//! # }
//! ```
//!
//! # Choosing the victim
//!
//! [`set_victim_policy`](crate::set_victim_policy): the youngest (default), who holds the fewest locks, who has the lowest
//! [`priority`](crate::Activity::priority), or a [hook](crate::VictimPolicy::Hook) of yours. Before the policy is asked:
//! those who wait for a lock go first, then those who wait for permits, then those who wait for a result. Where the
//! victim waits for a result, the activity that owes it is cancelled.
//!
//! # Nested work
//!
//! A victim deep in a chain of calls fails the call it is in, and its caller gets your error. Who should run again is the
//! outermost whose restart gives back a lock of the ring; only you know which that is.

//! Which lock, when.
//!
//! | You have | Use | Rings through it |
//! |---|---|---|
//! | Code inside an activity that awaits while it holds something | [`ctx.lock(&mutex)`](crate::Context::lock) | proven |
//! | Many readers, few writers, and reads that last | [`ctx.read`](crate::Context::read), [`ctx.write`](crate::Context::write) on an [`RwLock`](crate::RwLock) | proven |
//! | A limited number of something: connections, slots | [`ctx.permit(&pool)`](crate::Context::permit) on a [`PermitPool`](crate::PermitPool) | proven |
//! | Several locks at a time, of one kind or of several | [`ctx.lock_all`](crate::Context::lock_all) | cannot arise among its callers |
//! | To wait for another activity's result | [`JoinHandle::join`](crate::JoinHandle::join), or [`reply`](crate::reply) for channels of your own | proven |
//! | Code outside of any activity | [`mutex.lock()`](crate::Mutex::lock) | suspected |
//! | A guard that has to go to another task | [`mutex.lock_owned()`](crate::Mutex::lock_owned) | suspected |
//! | A short section without an await, in synchronous code | [`blocking::Mutex`](crate::blocking::Mutex) | proven |
//! | The same lock, taken by an activity that awaits while it has it | [`ctx.lock_blocking`](crate::Context::lock_blocking); the guard is not `Send`, so not in a spawned one | proven |
//! | A very short section that runs no foreign code | [`ScopedMutex`](crate::ScopedMutex) | not seen; the closure cannot await, so keep it free of other locks |
//! | To tell many waiters one thing, once | [`Signal`](crate::Signal) | no lock |
//!
//! # What to know of each
//!
//! * **Mutex.** In order of arrival, but a task that runs may overtake the first waiter once. Not re-entrant: locking
//!   twice in one activity is a ring of one, and proven.
//! * **RwLock.** In order of arrival. A reader behind a waiting writer waits, unless it is proven that the writer waits for
//!   that reader (say because its activity reads already): then it [goes past](super::recovery#without-a-victim). Who writes
//!   what it reads already waits for itself, which is proven and fails. In both cases tokio's hangs.
//! * **PermitPool.** In order of arrival, with the same exception; the size is fixed. Waiting while every permit is held by somebody who may give
//!   it back is no deadlock. Who needs several permits takes them together, with
//!   [`ctx.permits`](crate::Context::permits).
//! * **Blocking locks.** They block the thread, and with it every activity whose poll is on its stack; while it is
//!   parked, only that wait counts for all of them.
//! * **Owned guards** may be dropped anywhere, so nobody can say who holds them.
//! * **ScopedMutex** gives no guard out. It neither fails nor times out and is not in the graph: it is for sections that
//!   cannot wait for anything.
//!
//! # To try
//!
//! `ctx.try_lock`, `try_read`, `try_write` and `try_permits` give `Result<Option<_>, LockError>`: have it, not now, or never
//! like this (a wrong order, a poisoned lock, a closed pool). Without a context, `mutex.try_lock()` and its sisters give an
//! `Option`: no order is checked there, so all that is left to ask is whether it can be had. Neither waits, so neither is
//! an edge of the graph.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use freehold_sync::{Mutex, activity};
//!
//! let m = Mutex::new(1);
//! let tried = activity(async |ctx| match ctx.try_lock(&m) {
//!     Ok(Some(guard)) => format!("had it: {}", *guard),
//!     Ok(None) => "somebody has it".to_owned(),
//!     Err(never) => never.to_string(),
//! });
//! assert_eq!(tried.await.unwrap(), "had it: 1");
//! assert!(m.try_lock().is_some());
//! # }
//! ```
//!
//! # Guards stay where they are
//!
//! A guard from a context borrows from it, so it cannot leave its activity. That is what makes "who holds this" exact.
//!
//! ```compile_fail
//! use freehold_sync::{Mutex, activity};
//!
//! static M: Mutex<i32> = Mutex::new(0);
//! let leaving = activity(async |ctx| ctx.lock(&M).await);
//! ```
//!
//! To hand a lock on, take it with `lock_owned`, or hand the *work* to the activity that has it.

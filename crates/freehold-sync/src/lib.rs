//! Async locks that know who holds them and who waits, and the exact, online detection of deadlocks.
//!
//! A task runs as an *activity*, takes locks through the context it gets, and so everybody's waits form one graph. A ring
//! in it is found when it closes and *proven* (no member can run again by its own wakes); then exactly one of its waits
//! fails with a report that names everybody, and the others go on. It works with `join!`, `select!`, timeouts and nested
//! calls on any runtime, and a lock held across a sleep is not mistaken for a deadlock.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use freehold_sync::{Context, LockError, Mutex, activity};
//!
//! async fn sum(ctx: &Context, first: &Mutex<i32>, second: &Mutex<i32>) -> Result<i32, LockError> {
//!     let first = ctx.lock(first).await?;
//!     tokio::task::yield_now().await; // meanwhile the other one takes its first lock
//!     let second = ctx.lock(second).await?;
//!     Ok(*first + *second)
//! }
//!
//! let (a, b) = (Mutex::new(1), Mutex::new(2));
//! let one = activity(async |ctx| sum(ctx, &a, &b).await).named("one");
//! let two = activity(async |ctx| sum(ctx, &b, &a).await).named("two");
//! let (one, two) = tokio::join!(one, two);
//! let (one, two) = (one.unwrap(), two.unwrap());
//! assert_eq!(one.unwrap(), 3); // the older one goes on
//! println!("{}", two.unwrap_err().deadlock().unwrap());
//! # }
//! ```
//!
//! It prints this (paths shortened; [`guide::reports`] explains every part):
//!
//! ```text
//! deadlock FH-1 [fa902886b0908b46]: PROVEN ring of 2 over main.rs:13:34 -> main.rs:13:19; 0 more behind it
//!   1. one (#1) made at main.rs:14:15
//!        waits 42.083µs for lock main.rs:13:34 (0x7ffc4d086ab0) (lock) at main.rs:7:22
//!        held by two (#2) made at main.rs:15:15, acquired at main.rs:5:21
//!   2. two (#2) made at main.rs:15:15
//!        waits 123.844µs for lock main.rs:13:19 (0x7ffc4d086a78) (lock) at main.rs:7:22
//!        held by one (#1) made at main.rs:14:15, acquired at main.rs:5:21
//!   broken: the wait of 2 (two (#2) made at main.rs:15:15) failed
//!   advice: take these in one order everywhere, for example main.rs:13:19, then main.rs:13:34
//! ```
//!
//! # Where to find what
//!
//! | | |
//! |---|---|
//! | How to use it, what PROVEN means, what is *not* detected | [`guide`] |
//! | Activities and what their bodies get | [`activity`], [`spawn!`], [`Activity`], [`Context`] |
//! | Locks | [`Mutex`], [`RwLock`], [`PermitPool`]; for threads: [`blocking`]; without a guard: [`ScopedMutex`] |
//! | Several locks at a time; running again | [`Context::lock_all`], [`LockSet`]; [`Context::retry`], [`Retry`] |
//! | Waiting for each other | [`joinable`], [`JoinHandle`], [`reply`]; one-shot broadcast: [`Signal`] |
//! | Errors and reports | [`LockError`], [`Ended`], [`Panic`], [`Timeout`], [`Deadlock`], [`OrderViolation`] |
//! | Order | [`LockClass`], [`LockLevel`], [`lock_levels!`], [`OrderMode`]; of sections: [`Section`], [`sections!`] |
//! | Watching | [`subscribe`], [`metrics`], [`observe`], [`recent_reports`] |
//! | Settings and bounds | the `set_*` functions, [`limits`] |
//!
//! # Features
//!
//! * `tokio` (default): [`spawn!`], and waits that spend tokio's coop budget as tokio's own locks do. Without it the crate
//!   needs no runtime; deadlines work all the same.
//! * `json` (default): [`Deadlock::to_json`].
//! * `held-check`: the count of [`held`] locks and the order of sections in release builds, too.
//! * `section-times`: how long sections of [`ScopedMutex`] are waited for and last, in `metrics::sections`.

#![cfg_attr(
    not(all(feature = "tokio", feature = "json")),
    expect(rustdoc::broken_intra_doc_links, reason = "the pages speak of what these features bring")
)]

mod acquire;
mod activity;
pub mod blocking;
mod booking;
mod class;
mod clock;
mod context;
mod deadline;
mod driver;
mod error;
mod events;
mod free;
mod graph;
mod guard;
pub mod guide;
pub mod held;
mod join;
mod level;
pub mod limits;
mod lock_set;
mod measure;
pub mod metrics;
#[cfg(any(loom, shuttle))]
#[doc(hidden)]
pub mod model;
#[cfg(all(test, any(loom, shuttle)))]
mod models;
mod mutex;
mod name;
mod observe;
mod order;
mod permit_pool;
mod polls;
mod raw;
mod report;
mod retry;
mod rwlock;
mod scoped_mutex;
mod section;
#[cfg(feature = "section-times")]
mod section_times;
mod settings;
mod shim;
mod signal;
mod signal_cell;
#[cfg(all(feature = "simulation", not(any(loom, shuttle))))]
pub mod simulation;
mod slot;
mod victim;
mod wait;
mod wait_times;

pub use activity::{Activity, ActivityHandle, activity, activity_owning};
pub use class::{LockClass, all as lock_classes};
pub use context::{Aside, Cancelled, Context, OwnedContext, Selected, Within, within};
pub use error::{Ended, LockError, Panic, Timeout};
pub use events::{Event, Subscription, recent_reports, subscribe};
pub use join::{BoundReply, Join, JoinHandle, OwedReply, Reply, joinable, reply};
pub use level::LockLevel;
pub use lock_set::{LockAll, LockSet, Lockable};
pub use mutex::{Lock, Mutex, MutexGuard, OwnedMutexGuard};
pub use name::ActivityName;
pub use observe::{Holding, Observation, Observed, Waiting, observe};
pub use permit_pool::{AcquirePermits, Permit, PermitPool};
pub use polls::{Poll, PollingThread, polling_threads};
pub use report::{Action, Actor, Deadlock, Edge, Grade, LockName, Mode, OrderViolation, Rule, Site};
pub use retry::Retry;
pub use rwlock::{
    MappedRwLockWriteGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, Read, RwLock, RwLockReadGuard,
    RwLockWriteGuard, Write,
};
pub use scoped_mutex::ScopedMutex;
pub use section::{Section, Unlisted};
pub use settings::{
    OrderMode, set_detection, set_order_learning, set_order_mode, set_probing, set_suspect_after,
    set_victim_policy, set_wait_limit,
};
pub use signal::{HasSignal, Signal, SignalWait};
pub use victim::{Candidate, VictimHook, VictimPolicy};
pub use wait_times::{WaitTimes, WaitWatch, wait_times};

#[cfg(feature = "tokio")]
#[doc(hidden)]
pub use join::__spawn;

/// The examples of the README, as tests.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
mod readme {}

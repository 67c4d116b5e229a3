//! Settings, limits, costs.
//!
//! # Settings
//!
//! For the process, at any time:
//!
//! | Call | Sets | At first |
//! |---|---|---|
//! | [`set_wait_limit`](crate::set_wait_limit) | how long a wait lasts whose caller says nothing | 5 s |
//! | [`set_suspect_after`](crate::set_suspect_after) | the age from which a wait is SUSPECTED | 1 s |
//! | [`set_detection`](crate::set_detection) | whether deadlocks are looked for; deadlines and the futurelock cure stay | on |
//! | [`set_probing`](crate::set_probing) | whether wakers left behind are told from live ones by a probe | on |
//! | [`set_order_mode`](crate::set_order_mode) | what a wrong order of levels does | `Report` |
//! | [`set_order_learning`](crate::set_order_learning) | whether the order of classes is learned | on in debug builds |
//! | [`set_victim_policy`](crate::set_victim_policy) | who of a ring gives up | the youngest |
//!
//! For one activity: [`named`](crate::Activity::named), [`priority`](crate::Activity::priority),
//! [`born`](crate::Activity::born), [`deadline`](crate::Activity::deadline),
//! [`order_mode`](crate::Activity::order_mode). Children from `ctx.join` and its sisters inherit all but the name and the
//! birth.
//!
//! For one lock: its [`LockClass`](crate::LockClass) (name, level), and [`poisoning`](crate::Mutex::poisoning).
//!
//! For a test suite:
//!
//! ```
//! use freehold_sync::{OrderMode, set_order_learning, set_order_mode, set_wait_limit};
//! use std::time::Duration;
//!
//! set_order_mode(OrderMode::Panic); // a wrong order fails the test that took it
//! set_order_learning(true); // also in release builds
//! set_wait_limit(Duration::from_secs(1));
//! ```
//!
//! # Limits
//!
//! Everything is bounded; the public bounds, with reasons, are in [`limits`](crate::limits). In short: 64 levels, 65,543
//! readers of one lock, `u32` permits in a pool, 64 reports kept, 65,536 learned pairs of classes, 256 bytes of an
//! activity's name, 64 activities looked at by the walk that follows a poll (longer rings:
//! by a [sweep](super::grades#when-it-is-found)), 16 members named in a chain.
//!
//! Memory that lasts: the bookkeeping of an activity goes back to a pool when it ends, and is never freed, so a process
//! keeps what its busiest moment needed. One class for each place in the source where locks are made.
//!
//! One thread, `freehold-sync`, looks at deadlines and sweeps while somebody waits, and sleeps otherwise. It starts with
//! the first wait that lasts.
//!
//! # Costs
//!
//! An uncontended lock and unlock is a few atomic operations; detection costs nothing until somebody waits. A mutex is 48
//! bytes beside its value. Timing is sampled: every 64th hold or fewer, and those that began with a wait. The
//! repository's `bench-sync` gives the figures for your machine, as ratios to tokio's and parking_lot's locks in one run.
//!
//! # Features of the crate
//!
//! | Feature | | Without it |
//! |---|---|---|
//! | `tokio` (default) | [`spawn!`](crate::spawn); waits spend tokio's coop budget as tokio's own do | no runtime is needed; deadlines work all the same, they have their own thread |
//! | `json` (default) | [`Deadlock::to_json`](crate::Deadlock::to_json) | no `serde_json` |
//! | `held-check` | the count of [`ScopedMutex`](crate::ScopedMutex)es this thread is in, in release builds too ([`held`](crate::held)) | in debug builds only |
//! | `section-times` | how long sections of [`ScopedMutex`](crate::ScopedMutex) are waited for and last, in `metrics::sections`; for measurements | sections cost less than a look at the clock |

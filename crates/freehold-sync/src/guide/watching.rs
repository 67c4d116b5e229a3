//! Watching a running program: events, metrics, and everybody who holds or waits.
//!
//! # Events
//!
//! [`subscribe`](crate::subscribe) calls a function with each [`Event`](crate::Event): deadlocks (proven and suspected),
//! orders (potential), timeouts, forgotten guards. Without a subscriber an event costs one load.
//!
//! ```
//! use freehold_sync::{Event, Grade, subscribe};
//!
//! let subscription = subscribe(|event| match event {
//!     Event::Deadlock(report) if report.grade == Grade::Proven => eprintln!("{report}"),
//!     Event::Deadlock(report) => eprintln!("{}", report.headline()),
//!     Event::Order(violation) => eprintln!("{violation}"),
//!     Event::Timeout(timeout) => eprintln!("{timeout}"),
//!     _ => {}
//! });
//! // For as long as it is kept; `std::mem::forget` keeps it for ever.
//! drop(subscription);
//! ```
//!
//! The function runs on the thread that found the event, often in the middle of somebody's poll: push to a channel, and do
//! slow things elsewhere.
//!
//! # Metrics
//!
//! [`metrics::global`](crate::metrics::global) counts for the process, [`LockClass::metrics`](crate::LockClass::metrics)
//! for a class, and [`lock_classes`](crate::lock_classes) lists the classes.
//!
//! ```
//! use freehold_sync::{lock_classes, metrics};
//!
//! let global = metrics::global();
//! println!("proven {}, suspected {}, potential {}", global.proven, global.suspected, global.potential);
//! for class in lock_classes() {
//!     let seen = class.metrics();
//!     println!("{}: {} of {} waited, p99 {:?}", class.name(), seen.contended, seen.acquisitions, seen.wait.quantile(0.99));
//! }
//! ```
//!
//! | To alert on | Look at |
//! |---|---|
//! | deadlocks | `proven` (a bug, though broken; `reordered` of them without a victim); `suspected` (a bug, or a slow holder) |
//! | a bug before it happens | `potential`, `order_violations` |
//! | waits that fail | `timeouts` |
//! | contention | `contended / acquisitions`, the quantiles of `wait` and `hold_contended` |
//! | leaks | `guards_forgotten`, `orphans_ended` |
//! | the cost of detection | `detector_nanos`, `walks`, `sweeps`, `probes`; `phantoms` are looks that came too late |
//!
//! Uncontended acquisitions are added to their class every 64th time for each lock, so a class lags a little. Quantiles
//! are upper ends of powers of two. Two snapshots subtract to a rate; nothing is ever reset.
//!
//! # Everybody, now
//!
//! [`observe`](crate::observe) lists all who hold or wait, with places and times. It stops nobody, so what it says of two
//! members may be of two moments.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use freehold_sync::{LockError, Mutex, activity, observe};
//!
//! let m = Mutex::new(());
//! activity(async |ctx| {
//!     let _held = ctx.lock(&m).await?;
//!     let seen = observe();
//!     let me = seen.members.iter().find(|member| member.actor.name == "me").unwrap();
//!     assert_eq!(me.holds.len(), 1);
//!     for (lock, holders, waiters) in seen.locks() {
//!         println!("{lock}: {holders} hold it, {waiters} wait");
//!     }
//!     Ok::<_, LockError>(())
//! })
//! .named("me")
//! .await
//! .unwrap()
//! .unwrap();
//! # }
//! ```
//!
//! # Threads that are blocked
//!
//! [`polling_threads`](crate::polling_threads) lists the threads that poll activities, and which: a poll that is still there
//! a while later (they can be compared) blocks its thread. [`ActivityName::about`](crate::ActivityName::about) leads from
//! there to a value of your own, such as the request.
//!
//! Name activities ([`Activity::named`](crate::Activity::named), the first argument of
//! [`spawn!`](crate::spawn)) and classes ([`LockClass::new`](crate::LockClass::new)): the names are what you will look for.

//! Reading a report.
//!
//! This is what [`examples/abba.rs`](https://github.com/freehold-rs/freehold/blob/main/crates/freehold-sync/examples/abba.rs)
//! prints (paths shortened):
//!
//! ```text
//! deadlock FH-1 [b6306f41a6080743]: PROVEN ring of 2 over savings -> checking; 0 more behind it
//!   1. deposit (#1) made at examples/abba.rs:60:19
//!        waits 53.209µs for lock savings (0x55db75ac1e40) (lock) at examples/abba.rs:25:22
//!        held by withdrawal (#2) made at examples/abba.rs:63:9, acquired at examples/abba.rs:21:24
//!   2. withdrawal (#2) made at examples/abba.rs:63:9
//!        waits 77.966µs for lock checking (0x55db75ac1df0) (lock) at examples/abba.rs:25:22
//!        held by deposit (#1) made at examples/abba.rs:60:19, acquired at examples/abba.rs:21:24
//!   broken: the wait of 2 (withdrawal (#2) made at examples/abba.rs:63:9) failed
//!   advice: take these in one order everywhere, for example checking, then savings
//! ```
//!
//! | Part | Meaning | In [`Deadlock`](crate::Deadlock) |
//! |---|---|---|
//! | `FH-1` | the first finding of this process | `id` |
//! | `[b630...]` | the same for every ring of this shape: same classes, same places, whatever the addresses and times | `fingerprint` |
//! | `PROVEN` | see [`grades`](super::grades) | `grade` |
//! | `ring of 2` | a ring; `chain` if the last holder waits for nobody | `is_ring()` |
//! | `savings -> checking` | the classes waited for, in ring order; a place in the source for classes without a name | `edges[_].lock.class` |
//! | `0 more behind it` | others queued for locks of the ring | `behind` |
//! | `deposit (#1) made at ...` | name, birth stamp, and where it was spawned | `edges[_].waiter` |
//! | `waits ... at ...` | since when, for which lock (its address tells locks of one class apart), how, and where | `waited`, `lock`, `mode`, `waits_at` |
//! | `held by ..., acquired at ...` | who, and where they took it; without "acquired" they only stand before it in the queue | `holder`, `held_at` |
//! | `which 1 waker(s) outside of the graph could still wake` | why it is not proven: somebody has a clone of the holder's waker | `holder.foreign_wakers` |
//! | `broken: ...` | who failed, who was ended, or who [went past](super::recovery#without-a-victim) whom | `action` |
//! | `advice` | what to change, by the shape of the report (below) | `advice()`, `suggested_order()` |
//!
//! Read it like this: the holder of each block is the waiter of the next, and the last one's holder is the first waiter.
//! The two `acquired at` and the two `waits ... at` are the four lines of source to look at.
//!
//! # What is advised
//!
//! | Shape | Advice |
//! |---|---|
//! | a ring over several classes | one order for everybody; any one order will do |
//! | a ring over locks of one class | take them together, with [`lock_all`](crate::Context::lock_all) |
//! | a ring of one: a lock taken twice, a read that wants to become a write | hand the guard on, or drop it; `write` from the start |
//! | a read behind a writer who waits for an earlier read of the same activity | read once |
//! | permits of one pool | take all at once, with [`permits`](crate::Context::permits) |
//! | through a call, a join or a reply | hold nothing that the other one takes while waiting for it |
//! | an orphan at the end of a chain | give what it waited for an end, or hold nothing meanwhile |
//! | a guard that was forgotten | drop it |
//! | SUSPECTED | make the holder known, or hold it for shorter |
//!
//! Where time was not measured it is left out: hold times are taken for holds that began with a wait, and for a sample of the others.
//!
//! # Where reports come from
//!
//! From the victim's error, from [`subscribe`](crate::subscribe) (all grades) and from
//! [`recent_reports`](crate::recent_reports) (the last 64). `Display` is the text above; `to_json()` (feature `json`) and
//! `to_dot()` say the same for programs and for Graphviz.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use freehold_sync::{Action, Grade, Mutex, activity};
//!
//! let m = Mutex::new(());
//! let twice = activity(async |ctx| {
//!     let _once = ctx.lock(&m).await?;
//!     ctx.lock(&m).await.map(drop)
//! });
//! let error = twice.named("twice").await.unwrap().unwrap_err();
//! let report = error.deadlock().unwrap();
//! assert_eq!(report.grade, Grade::Proven);
//! assert_eq!(report.action, Action::Victim(0));
//! assert_eq!(report.edges[0].waiter.name, "twice");
//! assert!(report.to_string().contains("PROVEN ring of 1"));
//! # #[cfg(feature = "json")]
//! assert!(report.to_json().contains("\"grade\":\"PROVEN\""));
//! assert!(report.to_dot().starts_with("digraph"));
//! # }
//! ```

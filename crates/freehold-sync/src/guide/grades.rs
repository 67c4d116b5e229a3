//! What PROVEN, SUSPECTED and POTENTIAL mean, and why PROVEN is true.
//!
//! | Grade | It says | What is done |
//! |---|---|---|
//! | **PROVEN** | No member can run again by its own wakes; only dropping a member from outside ends it. | Exactly one wait fails; or the orphan at the end of the chain is ended; or, where the order of a queue alone is at fault, one wait is [moved up](super::recovery#without-a-victim) in it and nobody fails. |
//! | **SUSPECTED** | A wait has lasted for 1 s ([`set_suspect_after`](crate::set_suspect_after)), and its holder cannot be proven stuck. Not one for the end of an activity, which may last; but one for what the waiter holds meanwhile. | It is reported, once, with its chain. It ends at its deadline. |
//! | **POTENTIAL** | Locks were taken in an order that could deadlock with another order. Nothing waited. | It is reported; refused if you [ask for that](super::order). |
//!
//! Grades are never mixed: recovery follows from PROVEN only, and each has a counter of its own in
//! [`metrics::global`](crate::metrics::global).
//!
//! # Why PROVEN is true
//!
//! A task runs only if somebody wakes it, and somebody can wake it only if they have a clone of its waker. An activity
//! polls its body with a waker of its own, and counts the clones.
//!
//! So take an activity that is neither running nor woken, and of whose waker no clone exists anywhere: not in a timer, a
//! socket, a channel, or another task. It is parked in waits of this crate and nowhere else (those need no clone: the
//! lock knows the activity itself). It will run again only if one of these waits is granted. Each wait says what it
//! needs, how much is free, who holds the rest, and who stands before it in the queue. A wait is *blocked by a set* of
//! such activities if it could not be granted even if everybody else gave back everything they hold.
//!
//! Take the largest set of activities whose every wait is blocked by the set. Nothing the rest of the program does can
//! grant any of these waits, and nothing else can wake the members. That is a deadlock, and it is the same rule for a
//! mutex taken twice, two locks in opposite order, a reader behind a writer, a pool whose permits are held by those who
//! want more, a reply that waits for its caller's lock, `join!` (it runs again as soon as *one* of its waits is granted)
//! and `select!`.
//!
//! What remains is that all this must be true at one moment, and not piece by piece:
//!
//! 1. All members are *frozen* together: none begins a poll, and none gives anything back, because guards of an activity
//!    are dropped in its polls or in its own drop, and both wait for the freeze.
//! 2. Frozen, every wait is read again, and the set is computed again, over the members alone. If it is not the same, the
//!    verdict is dropped (counted as a phantom), and one looks again later.
//! 3. Then each member is seen unwoken and without clones. A clone is made of a clone or during a poll, and a wake is
//!    visible before its clone is gone. So from that moment on nothing wakes it but its own waits, and 2 rules those out.
//!
//! # What is not in the definition
//!
//! "By its own wakes" leaves out what somebody may do to a member from outside: drop it, abort its task, cancel it, or let
//! a deadline of this crate pass. These [count as signals](super::deadlines), not as life. So a ring whose every wait
//! has a deadline is proven when it closes, and not only after 5 s.
//!
//! It also means that a lock held across a sleep, while others wait for it, is *not* a deadlock and is never called one:
//!
//! ```
//! # #![allow(clippy::disallowed_methods)]
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use freehold_sync::{LockError, Mutex, activity};
//! use std::time::Duration;
//!
//! let m = Mutex::new(0);
//! let ended = activity(async |ctx| {
//!     let sleeps = async {
//!         let _held = ctx.lock(&m).await?;
//!         tokio::time::sleep(Duration::from_millis(20)).await;
//!         Ok::<_, LockError>(())
//!     };
//!     let waits = async { ctx.lock(&m).await.map(drop) };
//!     tokio::join!(sleeps, waits)
//! });
//! assert!(matches!(ended.await, Ok((Ok(()), Ok(())))));
//! # }
//! ```
//!
//! # When it is found
//!
//! At the end of the poll that closes the ring, for rings of up to 64 activities. By a sweep for longer ones, and where no
//! poll closed it: the last clone of a waker was dropped without waking. While somebody waits a sweep begins 50 to 60 ms
//! after the last one ended, and starts from the waits that are older than 10 ms. So such a ring is proven some 70 ms
//! after it closed at the latest, and the time a sweep takes later where many thousands wait.
//!
//! A clone that is left behind looks like life: `select!` in a loop leaves one in the receiver that lost, until its next
//! send. So an activity that has waited for 10 ms, and would be stuck but for such clones, is *probed* by a sweep: polled
//! once under a second waker. A ring with such a member is proven at the end of that poll, not when it closes. Every future that is still polled replaces its clone then; clones of the old waker are left over and
//! no longer count. It rests on the contract of [`Future::poll`]: only the waker of the most recent poll must be woken.

//! What is not detected, or detected less surely, and what to do about it.
//!
//! A ring of which the graph sees only a part still has edges that it does see. Their waits are reported as SUSPECTED
//! after 1 s, and end at their deadline after 5 s. What is entirely outside of this crate's locks is not seen at all.
//!
//! | What | Grade at most | Why | What to do |
//! |---|---|---|---|
//! | A ring only of tokio's (or anybody's) own locks, semaphores, channels | none | not in the graph | [`migration`](super::migration) |
//! | A ring partly of such | SUSPECTED, for the waits that are ours | their queue keeps a waker, so the waiter looks alive | the same; [`reply`](crate::reply) for request and response |
//! | A receiver whose sender will never send but lives | SUSPECTED | nobody can know that it will not send | drop senders, or a deadline |
//! | Owned guards, guards from `mutex.lock()` | SUSPECTED | anybody may drop them; the holder is unknown | `ctx.lock` |
//! | Plain tasks (`tokio::spawn`) that wait for, or hold, a lock | SUSPECTED | not an activity: nobody counts its wakers | `spawn!` |
//! | A timer of yours around a wait, such as `tokio::time::timeout` | SUSPECTED | the timer will wake it, so the program goes on by itself | [`ctx.within`](super::deadlines) |
//! | Plain futures in `FuturesUnordered`, `FuturesOrdered`, `JoinAll` beyond 30 | SUSPECTED | they are polled with wakers of the collection, which keep a clone of the activity's | `ctx.join_all`, or children that are activities |
//! | The parent that waits for a `FuturesUnordered` of activities and holds what they want | SUSPECTED | as above; rings *among* the children are proven | `ctx.join_all` |
//! | A waker left behind by a future that lost in a `select!` | PROVEN, 10 to 70 ms later | it looks like life until the [probe](super::grades#when-it-is-found) | nothing |
//! | The same waker, still left behind at a later wait that is probed again | SUSPECTED | there are two wakers, used in turn, so what is left over of the first counts again | drop what keeps it |
//! | A thread that is blocked in something else (`std::sync::Mutex`, a file, `block_on`) | SUSPECTED | its activity is "running" for all we know | [`blocking`](crate::blocking), `spawn_blocking` |
//! | A join of an activity that never ends, but has a timer or a socket | none by itself | it works, for all we know; who waits for what the joiner holds is reported | [`within`](crate::Join::within) |
//! | A body that never awaits, or computes for ever | none | it runs | not a deadlock |
//! | Livelock: everybody runs, nobody gets on | none | no one waits | back-off, see [`recovery`](super::recovery) |
//! | An orphan for whom nobody waits | none | it harms nobody | its owner may drop it |
//!
//! # Where a verdict could be wrong
//!
//! In four cases, and each takes code that breaks a promise or does what hardly any does:
//!
//! * **A future that breaks the contract of [`Future::poll`]**: it was polled with a new waker, keeps the old one only,
//!   and later wakes that. After a probe the old one counts as left over. Such a future also hangs when it is moved
//!   between tasks, or inside `FuturesUnordered`. [`set_probing(false)`](crate::set_probing) avoids it at the price of the
//!   line about wakers left behind.
//! * **A future without any waker, which relies on being polled along with its siblings** in the same `join!`. It breaks the
//!   same contract, and works as long as they run. If it holds what others wait for it is ended, since nobody will wake it.
//! * **A guard that a thread of `std::thread::scope` gives back, inside of a poll that is blocked in a lock of
//!   [`blocking`](crate::blocking) meanwhile**: the guard counts as held by the poll, which cannot go on. The same with a
//!   [`BoundReply`](crate::BoundReply) that such a thread sends.
//! * **[`ctx.aside`](crate::Context::aside) around a future that would have made progress**: you said that it would not.
//!
//! A victim hook that takes locks of this crate, or blocks, breaks its own contract and may hang the detector. A waker of your own
//! (no runtime's does) that blocks holds up whoever calls it: who gives a lock back, who closed a ring, or the thread that sees to
//! deadlines, and with it every deadline.
//!
//! # With `mem::forget`
//!
//! A guard that is forgotten is never given back. If its activity ends,
//! [`Event::GuardForgotten`](crate::Event::GuardForgotten) says so, and whoever waits for the lock is told that nobody
//! will give it back. If the activity lives on, the lock counts as held by it.

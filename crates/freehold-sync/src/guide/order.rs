//! Levels and orders: deadlocks that cannot arise.
//!
//! Detection breaks a ring when it closes. An order keeps it from ever closing, and a wrong order shows the first time it
//! is taken, also in a test where nothing ever waits.
//!
//! # Levels
//!
//! Who holds a lock of one level may only take locks of *higher* levels. Declare levels once, lowest first, and give them
//! to classes:
//!
//! ```
//! use freehold_sync::{LockClass, LockLevel, Mutex, lock_levels};
//!
//! lock_levels! {
//!     /// The map of accounts.
//!     pub ACCOUNTS;
//!     /// One account.
//!     pub ACCOUNT;
//! }
//! static MAP: LockClass = LockClass::new("accounts").at(ACCOUNTS);
//! static ONE: LockClass = LockClass::new("account").at(ACCOUNT);
//!
//! let map = Mutex::with_class(&MAP, ());
//! let account = Mutex::with_class(&ONE, 100);
//! assert!(LockLevel::GLOBAL < LockLevel::SESSION_REGISTRY && LockLevel::SESSION < LockLevel::HANDLER);
//! assert!(LockLevel::HANDLER < ACCOUNTS && ACCOUNTS < ACCOUNT);
//! ```
//!
//! There are 64 ranks. Four are built in, in this order: `GLOBAL`, `SESSION_REGISTRY`, `SESSION`, `HANDLER`
//! (the last rank, `INNERMOST`, is that of [sections](crate::Section), which are ordered among themselves);
//! `lock_levels!` puts yours above them, from rank 33 on, so that two such declarations in one program share ranks. Use
//! [`LockLevel::new`](crate::LockLevel::new) to place one elsewhere. A class without a level is exempt.
//!
//! Several locks of one level are taken together, with [`ctx.lock_all`](crate::Context::lock_all), which sorts them. One
//! after the other is a wrong order: somebody else may take them the other way round. A set may be mixed, of mutexes,
//! read-write locks and pools and of several levels; it is taken lowest level first.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use freehold_sync::{LockError, Mutex, RwLock, activity};
//!
//! let accounts = [Mutex::new(5), Mutex::new(7), Mutex::new(9)];
//! let limits = RwLock::new(100);
//! let sum = activity(async |ctx| {
//!     let all: Vec<&Mutex<i32>> = accounts.iter().collect(); // from a request, say
//!     let sum: i32 = ctx.lock_all(all).await?.iter().map(|account| **account).sum();
//!     let (first, limit) = ctx.lock_all((&accounts[0], ctx.read(&limits))).await?;
//!     Ok::<_, LockError>(sum.min(*limit) + *first)
//! });
//! assert_eq!(sum.await.unwrap().unwrap(), 26);
//! # }
//! ```
//!
//! # What happens at a wrong order
//!
//! | [`OrderMode`](crate::OrderMode) | |
//! |---|---|
//! | `Report` (default) | an [`Event::Order`](crate::Event::Order), a count in the class, and the lock is taken |
//! | `Refuse` | [`LockError::Order`](crate::LockError::Order), before it can block, with both sites |
//! | `Panic` | for tests |
//! | `Off` | nothing is checked |
//!
//! [`set_order_mode`](crate::set_order_mode) sets it for the process, [`Activity::order_mode`](crate::Activity::order_mode)
//! for one activity and its children. Locks taken without a context are not checked: nobody knows what their taker holds.
//!
//! ## Why refusal is opt-in
//!
//! Under a plain `join!` several futures share one activity. What one arm holds counts for all of them, so an arm that
//! takes a lower lock looks wrong although each arm, by itself, is in order:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use freehold_sync::{LockClass, LockError, LockLevel, Mutex, OrderMode, activity};
//!
//! static LOW: LockClass = LockClass::new("low").at(LockLevel::SESSION);
//! static HIGH: LockClass = LockClass::new("high").at(LockLevel::HANDLER);
//!
//! let (low, high) = (Mutex::with_class(&LOW, 1), Mutex::with_class(&HIGH, 2));
//! let (low, high) = (&low, &high);
//!
//! // A plain join!: both arms in one activity. The second arm is refused because of what the first one holds.
//! let plain = activity(async |ctx| {
//!     let first = async {
//!         let _high = ctx.lock(high).await?;
//!         tokio::task::yield_now().await;
//!         Ok::<_, LockError>(())
//!     };
//!     tokio::join!(first, async { ctx.lock(low).await.map(drop) })
//! });
//! let (_, refused) = plain.order_mode(OrderMode::Refuse).await.unwrap();
//! assert!(matches!(refused, Err(LockError::Order(_))));
//!
//! // The context's join: each body is a child with a place of its own in the order.
//! let forked = activity(async |ctx| {
//!     let first = async |ctx: &freehold_sync::Context| {
//!         let _high = ctx.lock(high).await?;
//!         tokio::task::yield_now().await;
//!         Ok::<_, LockError>(())
//!     };
//!     ctx.join(first, async |ctx| ctx.lock(low).await.map(drop)).await
//! });
//! let (first, second) = forked.order_mode(OrderMode::Refuse).await.unwrap();
//! assert!(first.unwrap().is_ok() && second.unwrap().is_ok());
//! # }
//! ```
//!
//! [`ctx.join`](crate::Context::join), `join_all` and `select` fork the order: a child inherits the levels that its parent
//! holds at that moment, and does not see what its siblings take. If all your concurrency within an activity goes
//! through them, `Refuse` is right for you.
//!
//! # The learned order
//!
//! In debug builds, or with [`set_order_learning(true)`](crate::set_order_learning), the crate notes which class was taken
//! while which other was held. The first time two classes are taken against what was seen before, directly or by way of
//! others, it is reported as POTENTIAL, once for the pair, with the places of both. Nothing is ever refused for that.
//! Locks of one class among themselves, and those of `lock_all`, are left out. A plain `join!` can produce a report for
//! arms that never block each other, for the reason above.
//!
//! Classes that were not named are told apart by the place where their locks are made: `Mutex::new` in one function is
//! one class. (Through a function of the standard library, as in `iter.map(Mutex::new)`, the place is in there, and the
//! class is called `unnamed`.) Name classes that matter: their names are what reports show.
//!
//! # Why the compiler does not check the order
//!
//! It can, in sequential code: Fuchsia's netstack3 and the crates `lock_ordering` and `surelock` do it. The level held so
//! far is a type parameter of a token; locking takes the token *exclusively* and hands out a token of the new level, so
//! the old one cannot be used meanwhile. In outline:
//!
//! ```
//! use std::marker::PhantomData;
//!
//! struct Level1;
//! struct Level2;
//! trait After<L> {}
//! impl After<()> for Level1 {}
//! impl After<()> for Level2 {}
//! impl After<Level1> for Level2 {}
//!
//! struct Lock<L>(PhantomData<L>);
//! struct Held<'t, L>(PhantomData<(&'t mut (), L)>);
//!
//! impl<L> Held<'_, L> {
//!     /// The new token borrows the old one for as long as it lives, and with it the lock is held.
//!     async fn lock<M: After<L>>(&mut self, _lock: &Lock<M>) -> Held<'_, M> {
//!         Held(PhantomData)
//!     }
//! }
//!
//! async fn in_order(token: &mut Held<'_, ()>, a: &Lock<Level1>, b: &Lock<Level2>) {
//!     let mut token = token.lock(a).await;
//!     let _both = token.lock(b).await;
//! }
//! ```
//!
//! That compiles, with awaits. But the exclusive borrow is the proof, and a future keeps its borrows for as long as it
//! lives. So two arms of a `join!` cannot both have the token, even if each only wants one lock:
//!
//! ```compile_fail,E0499
//! # use std::marker::PhantomData;
//! # struct Level1;
//! # struct Level2;
//! # trait After<L> {}
//! # impl After<()> for Level1 {}
//! # impl After<()> for Level2 {}
//! # impl After<Level1> for Level2 {}
//! # struct Lock<L>(PhantomData<L>);
//! # struct Held<'t, L>(PhantomData<(&'t mut (), L)>);
//! # impl<L> Held<'_, L> {
//! #     async fn lock<M: After<L>>(&mut self, _lock: &Lock<M>) -> Held<'_, M> { Held(PhantomData) }
//! # }
//! async fn two_arms(token: &mut Held<'_, ()>, a: &Lock<Level1>, b: &Lock<Level2>) {
//!     // error[E0499]: cannot borrow `*token` as mutable more than once at a time
//!     tokio::join!(token.lock(a), token.lock(b));
//! }
//! ```
//!
//! Nor can an async closure over the token be called a second time while the first call is under way, because each call
//! lends it to its future:
//!
//! ```compile_fail,E0499
//! # use std::marker::PhantomData;
//! # struct Level1;
//! # trait After<L> {}
//! # impl After<()> for Level1 {}
//! # struct Lock<L>(PhantomData<L>);
//! # struct Held<'t, L>(PhantomData<(&'t mut (), L)>);
//! # impl<L> Held<'_, L> {
//! #     async fn lock<M: After<L>>(&mut self, _lock: &Lock<M>) -> Held<'_, M> { Held(PhantomData) }
//! # }
//! async fn called_twice(token: &mut Held<'_, ()>, a: &Lock<Level1>) {
//!     let mut step = async || { token.lock(a).await; };
//!     // error[E0499]: cannot borrow `step` as mutable more than once at a time
//!     tokio::join!(step(), step());
//! }
//! ```
//!
//! A token that *splits* for the arms of a join is sound: each arm starts at the parent's level. But only a join that
//! knows of it can split, so `join!`, `select!` and `FuturesUnordered` stay out; the token, and the level as a type
//! parameter, would be in the signature of every function on the way; a handler behind `dyn` cannot have that parameter;
//! and a lock whose class is chosen at run time has no level to name. What is left is what
//! [`ctx.join`](crate::Context::join) does: the level is a mask in the activity, split at run time, and
//! [`Context`](crate::Context) is *shared*, so that every combinator works.

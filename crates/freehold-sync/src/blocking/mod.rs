//! Locks that block the thread, in the same graph.
//!
//! For short sections in synchronous code. They share levels, classes, measurements and the graph with the async locks:
//! a thread that is parked in one counts as one wait for every activity whose poll is on its stack, and nothing else
//! those activities wait for counts meanwhile, because none of them can run before the thread goes on.
//!
//! A guard belongs to the thread that made it (it is not `Send`), or, made through
//! [`Context::lock_blocking`](crate::Context::lock_blocking), to the activity.

mod mutex;
mod park;
mod rwlock;
mod take;
mod thread;

pub use mutex::{Mutex, MutexGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) use take::lock_in;

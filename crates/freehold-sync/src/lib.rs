//! Async locks that know who holds them and who waits, and the exact, online detection of deadlocks.

mod acquire;
mod activity;
pub mod blocking;
mod class;
mod clock;
mod context;
mod driver;
mod error;
mod events;
mod graph;
mod guard;
pub mod held;
mod join;
mod level;
pub mod limits;
pub mod metrics;
#[cfg(all(test, any(loom, shuttle)))]
mod models;
mod mutex;
mod observe;
mod order;
mod permit_pool;
mod raw;
mod report;
mod rwlock;
mod scoped_mutex;
mod settings;
mod shim;
mod signal;
mod signal_wait;
mod slot;
mod victim;

pub use activity::{Activity, ActivityHandle, activity};
pub use class::{LockClass, all as lock_classes};
pub use context::{Aside, Cancelled, Context, Selected, Within, within};
pub use error::{Ended, LockError, Timeout};
pub use events::{Event, Subscription, recent_reports, subscribe};
pub use join::{BoundReply, Join, JoinHandle, Reply, joinable, reply};
pub use level::LockLevel;
pub use mutex::{Lock, Mutex, MutexGuard, OwnedMutexGuard};
pub use observe::{Holding, Observation, Observed, Waiting, observe};
pub use permit_pool::{AcquirePermits, Permit, PermitPool};
pub use report::{Action, Actor, Deadlock, Edge, Grade, LockName, Mode, OrderViolation, Rule, Site};
pub use rwlock::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, Read, RwLock, RwLockReadGuard, RwLockWriteGuard, Write,
};
pub use scoped_mutex::ScopedMutex;
pub use settings::{
    OrderMode, set_detection, set_order_learning, set_order_mode, set_probing, set_suspect_after,
    set_victim_policy, set_wait_limit,
};
pub use signal::{HasSignal, Signal, SignalWait};
pub use victim::{Candidate, VictimHook, VictimPolicy};

#[cfg(feature = "tokio")]
#[doc(hidden)]
pub use join::__spawn;

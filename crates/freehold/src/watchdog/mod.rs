//! The watchdog: looks from outside at what handlers do, where nothing inside can be trusted to run.
//!
//! A thread (of the [`Runtime`](crate::runtime::Runtime) seam, [`watch`](crate::runtime::Runtime::watch)) begins with the
//! first call, rests while there are none, and ends with the engine. It finds
//!
//! * handlers that block their thread: a poll that is the same one at looks that are
//!   [`Limits::blocked_after`](crate::Limits::blocked_after) apart. A poll leaves two stores for it (`freehold_sync`'s
//!   windows), no more;
//! * calls past their soft limit, and tells what they hold and wait for;
//! * calls past their deadline whose own task did not come to end them, because nothing runs that would poll it: the last
//!   resort of every deadline.
//!
//! # Invariants
//!
//! 1. It keeps no call and no engine alive between two looks.
//! 2. What it looks at is in atomics. For calls that nothing is due of, a look is one load.
//! 3. `state` is RESTING only if no call was counted after it was set so: a call is counted first, and looks at `state`
//!    then; the watchdog sets it first, and looks at the count then (all SeqCst).
//!
//! *Deadlock safety*: it takes the sections of calls and streams one at a time, as anybody who cancels a call does, and
//! no section waits for it.

mod call;
mod finding;
mod look;

pub(crate) use call::CallWatch;
pub(crate) use finding::{Awaited, Held};
pub use finding::{Finding, FindingKind};

use crate::{
    call::Call, engine::EngineState, limits::Limits, lock_order, methods::Methods, runtime::Rouse,
    state::State,
};
use finding::BlockedPoll;
use freehold_sync::ScopedMutex;
use look::Looker;
use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Not begun, or resting: whoever has a call for it must rouse it.
const RESTING: u8 = 0;
const AWAKE: u8 = 1;

pub(crate) struct Watchdog<S: State> {
    state: AtomicU8,
    rouse: OnceLock<Option<Rouse>>,
    /// The engine's time at the last look, in milliseconds: a clock that costs its readers a load.
    tick: AtomicU64,
    /// The shortest soft limit of any call, in milliseconds.
    shortest_limit: AtomicU64,
    /// How long after its arrival a call is looked at first, in milliseconds: nothing is due of any before.
    first_look: u64,
    standing: ScopedMutex<Standing<S>, lock_order::Standing>,
}

/// What stood at the last look.
struct Standing<S: State> {
    blocked: Vec<BlockedPoll>,
    slow: Vec<Weak<Call<S>>>,
}

impl<S: State> Standing<S> {
    fn is_empty(&self) -> bool {
        self.blocked.is_empty() && self.slow.is_empty()
    }
}

impl<S: State> Watchdog<S> {
    pub(crate) fn new(limits: &Limits, methods: &Methods<S>) -> Self {
        let soft_limits = methods.all_options().filter_map(|options| options.soft_limit);
        let shortest = soft_limits.fold(limits.soft_limit, Duration::min);
        let timeouts = methods.all_options().filter_map(|options| options.timeout);
        let first_look = timeouts.fold(limits.deadline.min(limits.deadline_cap), Duration::min).min(shortest);
        Self {
            state: AtomicU8::new(RESTING),
            rouse: OnceLock::new(),
            tick: AtomicU64::new(0),
            shortest_limit: AtomicU64::new(call::millis(shortest)),
            first_look: call::millis(first_look),
            standing: ScopedMutex::of(Standing { blocked: Vec::new(), slow: Vec::new() }),
        }
    }

    /// A call was counted, and wants to be watched.
    #[inline]
    pub(crate) fn call_arrived(&self, engine: &Arc<EngineState<S>>) -> CallWatch {
        if self.state.load(Ordering::SeqCst) != AWAKE {
            self.rouse(engine);
        }
        // Its age is counted from the last look, which is a little early: such a look finds that nothing is due.
        CallWatch::new(self.tick().saturating_add(self.first_look))
    }

    #[cold]
    fn rouse(&self, engine: &Arc<EngineState<S>>) {
        self.tick.store(engine.now_ms(), Ordering::Relaxed);
        self.state.store(AWAKE, Ordering::SeqCst);
        let begin = || engine.runtime.watch("freehold-watchdog", Looker::begin(engine));
        if let Some(rouse) = self.rouse.get_or_init(begin) {
            rouse();
        }
    }

    pub(crate) fn tick(&self) -> u64 {
        self.tick.load(Ordering::Relaxed)
    }

    pub(crate) fn has_soft_limit(&self, limit: Duration) {
        self.shortest_limit.fetch_min(call::millis(limit), Ordering::Relaxed);
    }
}

impl<S: State> Drop for Watchdog<S> {
    fn drop(&mut self) {
        // The engine is gone: the next look sees it and is the last.
        if let Some(Some(rouse)) = self.rouse.get() {
            rouse();
        }
    }
}

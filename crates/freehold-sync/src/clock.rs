//! Time as nanoseconds since the first look at it, so that it fits an atomic.
//!
//! Reports and deadlines use it; nothing else in this crate looks at a clock.

use std::{
    sync::{
        OnceLock,
        // Not the models': no decision between threads hangs on a time.
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Nanoseconds since the first call; never zero.
pub(crate) type Ticks = u64;

/// A deadline that never comes.
pub(crate) const NEVER: Ticks = u64::MAX;

static START: OnceLock<Instant> = OnceLock::new();

fn start() -> Instant {
    // One before, so that no tick is zero.
    *START.get_or_init(|| real_now() - BEFORE)
}

#[cfg(not(feature = "simulation"))]
const BEFORE: Duration = Duration::from_nanos(1);
/// A simulation's time may have begun before anybody looked at this clock.
#[cfg(feature = "simulation")]
const BEFORE: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "the seam for time of this crate")]
fn real_now() -> Instant {
    Instant::now()
}

/// The time now.
#[cfg(not(any(loom, shuttle)))]
#[inline]
pub(crate) fn now() -> Ticks {
    #[cfg(feature = "simulation")]
    if let Some(at) = crate::simulation::now() {
        return of(at);
    }
    // The start first: the other way round the first call of all would be before it, at tick zero.
    let start = start();
    real_now().saturating_duration_since(start).as_nanos() as u64
}

/// In a model time stands still, unless the model moves it.
#[cfg(any(loom, shuttle))]
pub(crate) fn now() -> Ticks {
    NOW.load(Ordering::Relaxed)
}

#[cfg(any(loom, shuttle))]
static NOW: AtomicU64 = AtomicU64::new(1);

/// Moves the time of a model.
#[cfg(shuttle)]
pub(crate) fn set(now: Ticks) {
    NOW.store(now, Ordering::Relaxed);
}

/// `ticks` from now, [`NEVER`] if that is too far away to be told.
pub(crate) fn after(now: Ticks, wait: Duration) -> Ticks {
    u64::try_from(wait.as_nanos()).ok().and_then(|wait| now.checked_add(wait)).unwrap_or(NEVER)
}

/// The tick of `at`.
pub(crate) fn of(at: Instant) -> Ticks {
    u64::try_from(at.saturating_duration_since(start()).as_nanos()).unwrap_or(NEVER)
}

/// The time between two ticks; zero if they are the wrong way round, as ticks of two threads can be.
pub(crate) fn between(from: Ticks, to: Ticks) -> Duration {
    Duration::from_nanos(to.saturating_sub(from))
}

/// A tick that another thread may read.
pub(crate) struct AtomicTicks(AtomicU64);

impl AtomicTicks {
    pub(crate) fn new(ticks: Ticks) -> Self {
        Self(AtomicU64::new(ticks))
    }

    #[inline]
    pub(crate) fn get(&self) -> Ticks {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it to `ticks` if that is earlier.
    pub(crate) fn lower(&self, ticks: Ticks) {
        if ticks < self.get() {
            self.0.fetch_min(ticks, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn set(&self, ticks: Ticks) {
        self.0.store(ticks, Ordering::Relaxed);
    }
}

//! How long calls wait for their handler, and how long they hold what others wait for.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use freehold::RequestId;
use serde::{Deserialize, Serialize};

use crate::stats::Latency;

/// Callers that can be told apart.
pub const CALLERS: usize = 256;

/// A request's id says in its upper bits whose it is.
const CALLER_SHIFT: u32 = 32;

/// The id of a caller's request.
///
/// # Panics
///
/// With more than [`CALLERS`].
#[must_use]
pub fn request_id(caller: usize, number: u32) -> i64 {
    assert!(caller < CALLERS, "too many callers");
    (caller as i64) << CALLER_SHIFT | i64::from(number)
}

/// Records times while it is switched on; it costs a branch while it is not.
#[derive(Debug)]
pub struct Times {
    on: AtomicBool,
    origin: Instant,
    /// When each caller's last request arrived, in nanoseconds since the origin.
    arrived: Box<[AtomicU64]>,
    waits: Mutex<Vec<Duration>>,
    holds: Mutex<Vec<Duration>>,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            on: AtomicBool::new(false),
            origin: Instant::now(),
            arrived: (0..CALLERS).map(|_| AtomicU64::new(0)).collect(),
            waits: Mutex::default(),
            holds: Mutex::default(),
        }
    }
}

/// What was recorded.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct WaitAndHold {
    /// From a request's arrival at the server to the begin of its handler.
    pub wait: Latency,
    /// For how long a call kept what others have to wait for; nothing if nobody ever has to.
    pub hold: Option<Latency>,
}

impl Times {
    /// Begins to record.
    pub fn start(&self) {
        self.on.store(true, Ordering::Relaxed);
    }

    /// Stops, and returns what was recorded.
    pub fn take(&self) -> WaitAndHold {
        self.on.store(false, Ordering::Relaxed);
        let take =
            |all: &Mutex<Vec<Duration>>| std::mem::take(&mut *all.lock().expect("nobody panics in it"));
        let holds = take(&self.holds);
        WaitAndHold {
            wait: Latency::of(take(&self.waits)),
            hold: (!holds.is_empty()).then(|| Latency::of(holds)),
        }
    }

    fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    fn slot(&self, id: &RequestId) -> Option<&AtomicU64> {
        match id {
            RequestId::Number(number) => self.arrived.get(usize::try_from(number >> CALLER_SHIFT).ok()?),
            _ => None,
        }
    }

    fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// A request has arrived.
    pub fn arrived(&self, id: &RequestId) {
        if let Some(slot) = self.is_on().then(|| self.slot(id)).flatten() {
            slot.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Its handler begins.
    pub fn begins(&self, id: &RequestId) {
        let Some(slot) = self.is_on().then(|| self.slot(id)).flatten() else { return };
        let arrived = slot.load(Ordering::Relaxed);
        // Zero: it arrived before this was switched on.
        if arrived > 0 {
            let waited = Duration::from_nanos(self.now().saturating_sub(arrived));
            self.waits.lock().expect("nobody panics in it").push(waited);
        }
    }

    /// What others have to wait for is taken now, and given back when the result is dropped.
    pub fn hold(&self) -> Hold<'_> {
        Hold { times: self, since: self.is_on().then(Instant::now) }
    }
}

/// Something is held.
#[derive(Debug)]
#[must_use = "it ends when this is dropped"]
pub struct Hold<'a> {
    times: &'a Times,
    since: Option<Instant>,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if let Some(since) = self.since {
            self.times.holds.lock().expect("nobody panics in it").push(since.elapsed());
        }
    }
}

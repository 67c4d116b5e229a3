//! What can be set for the whole process, at any time.

use crate::{clock, limits, victim::VictimPolicy};
use std::{
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

/// What happens when a lock is taken against the order of levels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
#[non_exhaustive]
pub enum OrderMode {
    /// It is reported and counted; the lock is taken. The default: code that runs several futures in one activity (a
    /// plain `join!`) may hold locks in one of them while another takes a lower one, which is no mistake.
    #[default]
    Report = 1,
    /// The acquisition is refused at once, before it can block, with both sites.
    Refuse = 2,
    /// The acquisition panics; for tests.
    Panic = 3,
    /// Nothing is checked.
    Off = 4,
}

impl OrderMode {
    pub(crate) fn from_u8(mode: u8) -> Option<Self> {
        match mode {
            1 => Some(Self::Report),
            2 => Some(Self::Refuse),
            3 => Some(Self::Panic),
            4 => Some(Self::Off),
            _ => None,
        }
    }
}

static WAIT_LIMIT: AtomicU64 = AtomicU64::new(limits::WAIT.as_nanos() as u64);
static SUSPECT_AFTER: AtomicU64 = AtomicU64::new(limits::SUSPECT_AFTER.as_nanos() as u64);
static DETECTION: AtomicBool = AtomicBool::new(true);
static PROBING: AtomicBool = AtomicBool::new(true);
static ORDER: AtomicU8 = AtomicU8::new(OrderMode::Report as u8);
static LEARNING: AtomicBool = AtomicBool::new(cfg!(debug_assertions));
static POLICY: RwLock<VictimPolicy> = RwLock::new(VictimPolicy::Youngest);

/// Sets how long a wait for a lock, for permits or for a reply lasts whose caller says nothing else; 5 s at first.
/// [`Duration::MAX`]: for ever. It holds for waits that begin from now on.
pub fn set_wait_limit(limit: Duration) {
    WAIT_LIMIT.store(clock::after(0, limit), Ordering::Relaxed);
}

pub(crate) fn wait_limit() -> Duration {
    Duration::from_nanos(WAIT_LIMIT.load(Ordering::Relaxed))
}

/// Sets the age from which a wait is reported as suspected; 1 s at first.
pub fn set_suspect_after(age: Duration) {
    SUSPECT_AFTER.store(clock::after(0, age), Ordering::Relaxed);
}

pub(crate) fn suspect_after() -> Duration {
    Duration::from_nanos(SUSPECT_AFTER.load(Ordering::Relaxed))
}

/// Switches the detection of deadlocks off or on again. Deadlines and the futurelock cure stay.
pub fn set_detection(on: bool) {
    DETECTION.store(on, Ordering::Relaxed);
}

pub(crate) fn detection() -> bool {
    DETECTION.load(Ordering::Relaxed)
}

/// Switches the probe for stale wakers off or on again. Without it a ring whose members left wakers behind in channels
/// is suspected only.
pub fn set_probing(on: bool) {
    PROBING.store(on, Ordering::Relaxed);
}

pub(crate) fn probing() -> bool {
    PROBING.load(Ordering::Relaxed)
}

/// Sets what happens when a lock is taken against the order of levels. Activities may have a mode of their own.
pub fn set_order_mode(mode: OrderMode) {
    ORDER.store(mode as u8, Ordering::Relaxed);
}

pub(crate) fn order_mode() -> OrderMode {
    OrderMode::from_u8(ORDER.load(Ordering::Relaxed)).unwrap_or_default()
}

/// Switches the learning of the order between classes on or off; at first it is on in debug builds. What was learned is
/// kept.
pub fn set_order_learning(on: bool) {
    LEARNING.store(on, Ordering::Relaxed);
}

#[inline]
pub(crate) fn order_learning() -> bool {
    LEARNING.load(Ordering::Relaxed)
}

/// Sets who of a proven ring is chosen to break it; the youngest at first.
pub fn set_victim_policy(policy: VictimPolicy) {
    let old = std::mem::replace(&mut *POLICY.write().unwrap_or_else(PoisonError::into_inner), policy);
    // After the section: it may be a hook with values of a user.
    drop(old);
}

pub(crate) fn victim_policy() -> VictimPolicy {
    POLICY.read().unwrap_or_else(PoisonError::into_inner).clone()
}

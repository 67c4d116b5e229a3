//! What happens, told to whoever subscribed, and the reports that are kept.

use crate::{
    error::Timeout,
    limits, metrics,
    report::{Actor, Deadlock, LockName, OrderViolation, Site},
    slot::{Slot, holds::HeldEntry},
};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Something worth telling.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A deadlock was proven and broken, or suspected; see its grade.
    Deadlock(Arc<Deadlock>),
    /// A lock was taken, or refused, against the order of levels, each time; or against the learned order, once for each
    /// pair of classes.
    Order(Arc<OrderViolation>),
    /// A wait ended at its deadline.
    Timeout(Timeout),
    /// A guard was still held, or forgotten, when its activity ended. What it holds is never given back.
    GuardForgotten {
        /// Whose.
        actor: Actor,
        /// What it holds.
        lock: LockName,
        /// Where it was acquired.
        site: Option<Site>,
    },
    /// The learned order is full; nothing new is learned.
    OrderFull,
}

type Subscriber = Arc<dyn Fn(&Event) + Send + Sync>;

static SUBSCRIBERS: RwLock<Vec<(u64, Subscriber)>> = RwLock::new(Vec::new());
static ANY: AtomicBool = AtomicBool::new(false);
static NEXT: AtomicU64 = AtomicU64::new(0);
static KEPT: Mutex<VecDeque<Arc<Deadlock>>> = Mutex::new(VecDeque::new());

/// Ends a subscription when dropped.
#[must_use = "the subscription ends when this is dropped"]
#[derive(Debug)]
pub struct Subscription(u64);

/// Calls `subscriber` with each event from now on, until the subscription is dropped.
///
/// It is called by whoever found the event, on that thread, often in the middle of somebody's poll: it must be quick, and
/// must neither block nor take locks of this crate. A panic in it is caught. An event that is under way while the
/// subscription is dropped may still be told.
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
///
/// let seen = Arc::new(AtomicUsize::new(0));
/// let counter = seen.clone();
/// let subscription = freehold_sync::subscribe(move |_event| { counter.fetch_add(1, Ordering::Relaxed); });
/// drop(subscription);
/// ```
pub fn subscribe(subscriber: impl Fn(&Event) + Send + Sync + 'static) -> Subscription {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut all = SUBSCRIBERS.write().unwrap_or_else(PoisonError::into_inner);
    all.push((id, Arc::new(subscriber)));
    ANY.store(true, Ordering::Release);
    Subscription(id)
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let gone = {
            let mut all = SUBSCRIBERS.write().unwrap_or_else(PoisonError::into_inner);
            let at = all.iter().position(|(id, _)| *id == self.0);
            let gone = at.map(|at| all.remove(at));
            ANY.store(!all.is_empty(), Ordering::Release);
            gone
        };
        drop(gone);
    }
}

pub(crate) fn emit(event: impl FnOnce() -> Event) {
    if !ANY.load(Ordering::Acquire) {
        return;
    }
    let event = event();
    let all = SUBSCRIBERS.read().unwrap_or_else(PoisonError::into_inner).clone();
    for (_, subscriber) in all {
        let _ = catch_unwind(AssertUnwindSafe(|| subscriber(&event)));
    }
}

/// The last deadlocks, proven and suspected, oldest first.
#[must_use]
pub fn recent_reports() -> Vec<Arc<Deadlock>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

pub(crate) fn keep(report: &Arc<Deadlock>) {
    let oldest = {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(report.clone());
        if kept.len() > limits::KEPT_REPORTS { kept.pop_front() } else { None }
    };
    drop(oldest);
}

pub(crate) fn deadlock(report: &Arc<Deadlock>) {
    emit(|| Event::Deadlock(report.clone()));
}

pub(crate) fn timeout(timeout: &Timeout) {
    emit(|| Event::Timeout(timeout.clone()));
}

pub(crate) fn guard_forgotten(slot: &'static Slot, hold: &'static HeldEntry) {
    metrics::add(&metrics::GLOBAL.guards_forgotten, 1);
    emit(|| Event::GuardForgotten {
        actor: Actor::of(slot),
        lock: LockName::of_hold(hold),
        site: hold.site(),
    });
}

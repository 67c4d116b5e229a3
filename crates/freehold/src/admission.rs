//! Admission: who may run now, who waits for a slot, who is told `overloaded` at once.
//!
//! Two bounds: calls of one session that run at the same time (others wait in order of arrival, in a bounded queue),
//! and calls of all sessions, running or waiting. Whoever admits never waits itself: it gets a [`Admitted`] back at
//! once, and a call that must wait does so in its own task.
//!
//! # Invariants
//!
//! 1. `running` is the number of live [`Slot`]s of the session; it never exceeds the limit.
//! 2. A waiter is in `queue` if and only if its state is WAITING. Whoever takes it out of WAITING, under the section,
//!    takes it out of the queue: a release grants it, its own drop withdraws it.
//! 3. A freed slot goes to the first waiter in the same section that frees it, so no call that arrives later overtakes.
//!
//! *Deadlock safety*: sections move slots only; wakers are woken after them.

use crate::{
    fault::{self, Fault},
    limits::Limits,
    lock_order,
    shim::{AtomicBool, AtomicUsize, AtomicWaker, Ordering},
};
use freehold_sync::ScopedMutex;
use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
};

/// The engine-wide bound.
#[derive(Default)]
pub(crate) struct TotalCalls {
    calls: AtomicUsize,
    /// Calls that other calls made. They run in the places of their chains, so they are bounded by depth and by number of
    /// callees, and not here.
    nested: AtomicUsize,
}

impl TotalCalls {
    pub(crate) fn count(&self) -> usize {
        // In this order: a nested call begins while its caller is counted, so that one whose caller was seen gone is seen.
        let calls = self.calls.load(Ordering::SeqCst);
        calls + self.nested.load(Ordering::SeqCst)
    }

    /// Places that are taken: as many as there are while some arrive who are about to be refused, and stand in the count till then.
    pub(crate) fn taken(&self, limits: &Limits) -> usize {
        self.calls.load(Ordering::SeqCst).min(limits.calls_total)
    }

    pub(crate) fn enter_nested(&self) {
        self.nested.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn leave_nested(&self) {
        self.nested.fetch_sub(1, Ordering::SeqCst);
    }

    /// Takes one place, which the caller gives back with [`leave`](Self::leave), also when it was one too many: whether
    /// it was not.
    pub(crate) fn enter(&self, limits: &Limits) -> bool {
        // SeqCst: pairs with a drain's store of `begun` (see `drain`). Adding first keeps the good path one instruction.
        self.calls.fetch_add(1, Ordering::SeqCst) < limits.calls_total
    }

    pub(crate) fn leave(&self) {
        self.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How many calls of one session run beside its slots.
#[derive(Default)]
pub(crate) struct Beside(AtomicUsize);

impl Beside {
    /// Counts one in, if there is room.
    pub(crate) fn enter(&self, limits: &Limits) -> Result<(), Overloaded> {
        // Relaxed: a bound; nothing is read under it.
        if self.0.fetch_add(1, Ordering::Relaxed) <= limits.queued_per_session {
            return Ok(());
        }
        self.leave();
        Err(Overloaded)
    }

    pub(crate) fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The slots of one session.
#[derive(Default)]
pub(crate) struct SessionSlots {
    inner: ScopedMutex<Slots, lock_order::Slots>,
}

#[derive(Default)]
struct Slots {
    running: usize,
    queue: VecDeque<Arc<Waiter>>,
}

#[derive(Default)]
struct Waiter {
    granted: AtomicBool,
    waker: AtomicWaker,
}

/// What [`SessionSlots::admit`] gives; to be given back with [`SessionSlots::undo`], or by parts.
pub(crate) enum Admitted {
    /// Run now; the slot must be released.
    Now,
    /// Wait for a slot.
    Queued(QueuedSlot),
}

/// There is no room even to wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overloaded;

/// A place in the queue; must be polled until granted, or withdrawn.
pub(crate) struct QueuedSlot(Arc<Waiter>);

impl QueuedSlot {
    pub(crate) fn poll_granted(&self, cx: &mut Context<'_>) -> Poll<()> {
        if fault::active(Fault::WaiterAfterCheck) && !self.0.granted.load(Ordering::Acquire) {
            fault::hesitate();
            self.0.waker.register(cx.waker());
            return Poll::Pending;
        }
        // Register, then look: the granter stores `granted` before it wakes, so one of the two sees the other.
        self.0.waker.register(cx.waker());
        // Acquire pairs with the Release of the granter.
        if self.0.granted.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl SessionSlots {
    pub(crate) fn admit(&self, limits: &Limits) -> Result<Admitted, Overloaded> {
        self.inner.with(|slots| {
            if slots.running < limits.running_per_session && slots.queue.is_empty() {
                slots.running += 1;
                return Ok(Admitted::Now);
            }
            if slots.queue.len() >= limits.queued_per_session {
                return Err(Overloaded);
            }
            let waiter = Arc::new(Waiter::default());
            slots.queue.push_back(waiter.clone());
            Ok(Admitted::Queued(QueuedSlot(waiter)))
        })
    }

    /// Gives one slot back: to the first in the queue, if any.
    pub(crate) fn release(&self) {
        let next = self.inner.with(|slots| {
            let next = slots.queue.pop_front();
            match &next {
                Some(waiter) => waiter.granted.store(true, Ordering::Release),
                None => slots.running -= 1,
            }
            next
        });
        if let Some(waiter) = next {
            waiter.waker.wake();
        }
    }

    /// Gives back what [`admit`](Self::admit) gave.
    pub(crate) fn undo(&self, admitted: &Admitted) {
        match admitted {
            Admitted::Now => self.release(),
            Admitted::Queued(slot) => self.withdraw(slot),
        }
    }

    /// Leaves the queue, or gives the slot back if it was granted in the meantime.
    pub(crate) fn withdraw(&self, queued: &QueuedSlot) {
        let was_waiting = self.inner.with(|slots| {
            let place = slots.queue.iter().position(|waiter| Arc::ptr_eq(waiter, &queued.0));
            place.map(|place| slots.queue.remove(place)).is_some()
        });
        if !was_waiting {
            self.release();
        }
    }

    /// How many run, and how many wait.
    pub(crate) fn counts(&self) -> (usize, usize) {
        self.inner.with(|slots| (slots.running, slots.queue.len()))
    }

    pub(crate) fn shrink(&self) {
        self.inner.with(|slots| {
            if slots.queue.is_empty() {
                slots.queue = VecDeque::new();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Admitted, Overloaded, QueuedSlot, SessionSlots, TotalCalls};
    use crate::limits::Limits;
    use std::task::{Context, Waker};

    fn granted(queued: &QueuedSlot) -> bool {
        queued.poll_granted(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn queued(slots: &SessionSlots, limits: &Limits) -> QueuedSlot {
        match slots.admit(limits) {
            Ok(Admitted::Queued(queued)) => queued,
            _ => panic!("expected a place in the queue"),
        }
    }

    #[test]
    fn slots_pass_in_order_of_arrival_and_a_withdrawn_grant_passes_on() {
        let limits = Limits { running_per_session: 1, queued_per_session: 3, ..Limits::default() };
        let slots = SessionSlots::default();
        assert!(matches!(slots.admit(&limits), Ok(Admitted::Now)));
        let (first, second, third) =
            (queued(&slots, &limits), queued(&slots, &limits), queued(&slots, &limits));
        assert!(matches!(slots.admit(&limits), Err(Overloaded)));
        slots.withdraw(&second);
        slots.release();
        assert!(granted(&first) && !granted(&third));
        slots.withdraw(&first);
        assert!(granted(&third), "a granted slot whose owner left goes to the next");
        slots.release();
        assert_eq!(slots.counts(), (0, 0));
        assert!(matches!(slots.admit(&limits), Ok(Admitted::Now)));
    }

    #[test]
    fn one_that_is_about_to_be_refused_takes_no_place() {
        let (limits, total) = (Limits { calls_total: 1, ..Limits::default() }, TotalCalls::default());
        assert!(total.enter(&limits) && !total.enter(&limits));
        assert_eq!((total.taken(&limits), total.count()), (1, 2));
        total.leave();
        total.enter_nested();
        assert_eq!((total.taken(&limits), total.count()), (1, 2));
    }
}

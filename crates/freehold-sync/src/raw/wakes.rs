//! Wakes that are decided inside a section and carried out after it.

use crate::{
    shim::thread::Thread,
    slot::{Slot, cell::Parked},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    task::Waker,
};

enum Wake {
    /// `Slot::mark_woken` returned true.
    Slot(&'static Slot),
    Waker(Waker),
    Thread(Thread),
}

/// Wakes to carry out, or wakers to drop, after the section.
#[derive(Default)]
#[must_use = "nobody is woken until `wake` is called"]
pub(crate) struct Wakes {
    first: Option<Wake>,
    more: Vec<Wake>,
}

impl Wakes {
    pub(crate) fn new() -> Self {
        Self { first: None, more: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn push(&mut self, wake: Wake) {
        if self.first.is_none() {
            self.first = Some(wake);
        } else {
            self.more.push(wake);
        }
    }

    /// Notes to wake whoever is parked in a cell of `owner`.
    pub(crate) fn add(&mut self, owner: &'static Slot, parked: Parked) {
        match parked {
            Parked::Nobody => {}
            Parked::Owner => {
                if owner.mark_woken() {
                    self.push(Wake::Slot(owner));
                }
            }
            Parked::Foreign(waker) => self.push(Wake::Waker(waker)),
            Parked::Thread(thread) => self.push(Wake::Thread(thread)),
        }
    }

    /// Carries the wakes out, in the order in which they were decided.
    #[inline]
    pub(crate) fn wake(self) {
        if self.more.is_empty() {
            if let Some(first) = self.first {
                first.now();
            }
            return;
        }
        self.wake_all();
    }

    /// If the waker of one panics the others are woken all the same: nobody would come back for them.
    fn wake_all(self) {
        let mut panic = None;
        for wake in self.first.into_iter().chain(self.more) {
            if let Err(other) = catch_unwind(AssertUnwindSafe(|| wake.now())) {
                panic.get_or_insert(other);
            }
        }
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Wake {
    fn now(self) {
        match self {
            Self::Slot(slot) => slot.wake_parent(),
            Self::Waker(waker) => waker.wake(),
            Self::Thread(thread) => thread.unpark(),
        }
    }
}

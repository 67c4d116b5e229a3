//! The queue itself: a list of cells, linked both ways through the cells.
//!
//! Everything but [`Links::is_empty_unlocked`] is called in the section of the lock whose queue it is. Cells are never
//! freed, so every pointer in the list is null or good.

use crate::{
    shim::{AtomicPtr, Ordering, const_unless_modelled},
    slot::cell::WaitCell,
};
use std::{iter::successors, ptr};

#[repr(C)]
pub(super) struct Links {
    head: AtomicPtr<WaitCell>,
    tail: AtomicPtr<WaitCell>,
}

impl Links {
    const_unless_modelled! {
        pub(super) const fn new() -> Self {
            Self { head: AtomicPtr::new(ptr::null_mut()), tail: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Asked outside of the section.
    #[inline]
    pub(super) fn is_empty_unlocked(&self) -> bool {
        // Acquire pairs with the Release in `unlink`.
        self.head.load(Ordering::Acquire).is_null()
    }

    #[inline]
    pub(super) fn first(&self) -> Option<&'static WaitCell> {
        cell(&self.head)
    }

    /// The queued cells, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &'static WaitCell> {
        successors(self.first(), |wait| cell(&wait.next))
    }

    #[inline]
    pub(super) fn push_back(&self, wait: &'static WaitCell) {
        let new = ptr::from_ref(wait).cast_mut();
        let last = self.tail.load(Ordering::Relaxed);
        wait.prev.store(last, Ordering::Relaxed);
        wait.next.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: cells are never freed.
        match unsafe { last.as_ref() } {
            Some(last) => last.next.store(new, Ordering::Relaxed),
            None => self.head.store(new, Ordering::Relaxed),
        }
        self.tail.store(new, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn push_front(&self, wait: &'static WaitCell) {
        let new = ptr::from_ref(wait).cast_mut();
        let first = self.head.load(Ordering::Relaxed);
        wait.next.store(first, Ordering::Relaxed);
        wait.prev.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: cells are never freed.
        match unsafe { first.as_ref() } {
            Some(first) => first.prev.store(new, Ordering::Relaxed),
            None => self.tail.store(new, Ordering::Relaxed),
        }
        self.head.store(new, Ordering::Relaxed);
    }

    /// Puts `wait` before `next`, which is queued.
    pub(super) fn insert_before(&self, wait: &'static WaitCell, next: &'static WaitCell) {
        let new = ptr::from_ref(wait).cast_mut();
        let prev = next.prev.load(Ordering::Relaxed);
        wait.prev.store(prev, Ordering::Relaxed);
        wait.next.store(ptr::from_ref(next).cast_mut(), Ordering::Relaxed);
        next.prev.store(new, Ordering::Relaxed);
        // SAFETY: cells are never freed.
        match unsafe { prev.as_ref() } {
            Some(prev) => prev.next.store(new, Ordering::Relaxed),
            None => self.head.store(new, Ordering::Relaxed),
        }
    }

    #[inline]
    pub(super) fn unlink(&self, wait: &'static WaitCell) {
        let prev = wait.prev.load(Ordering::Relaxed);
        let next = wait.next.load(Ordering::Relaxed);
        // SAFETY: cells are never freed.
        match unsafe { prev.as_ref() } {
            Some(prev) => prev.next.store(next, Ordering::Relaxed),
            // Release pairs with the drop: who sees the queue empty sees the STRAY of before.
            None => self.head.store(next, Ordering::Release),
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(next) => next.prev.store(prev, Ordering::Relaxed),
            None => self.tail.store(prev, Ordering::Relaxed),
        }
    }
}

/// The cells queued ahead of `wait`, the nearest first.
pub(super) fn before(wait: &'static WaitCell) -> impl Iterator<Item = &'static WaitCell> {
    successors(cell(&wait.prev), |wait| cell(&wait.prev))
}

#[inline]
fn cell(link: &AtomicPtr<WaitCell>) -> Option<&'static WaitCell> {
    // SAFETY: cells are never freed.
    unsafe { link.load(Ordering::Relaxed).as_ref() }
}

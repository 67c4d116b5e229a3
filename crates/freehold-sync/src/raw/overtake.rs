//! A wait that goes past others in its queue.

use super::{RawLock, links, wakes::Wakes};
use crate::{
    shim::Ordering,
    slot::cell::{self, WaitCell},
};
use std::ptr;

impl RawLock {
    /// Moves `wait` before the foremost of those ahead of it that need more than `free`, and lets in whoever may come in
    /// then. Who is ahead of that one stays ahead. False if it does not wait any more, or nobody ahead needs so much.
    pub(crate) fn overtake(&self, wait: &'static WaitCell, free: u64, wakes: &mut Wakes) -> bool {
        let _section = self.queue.enter();
        if wait.phase() != cell::WAITING {
            return false;
        }
        let needs_more = |other: &&WaitCell| u64::from(other.need.load(Ordering::Relaxed)) > free;
        let Some(foremost) = links::before(wait).filter(needs_more).last() else { return false };
        let passed = links::before(wait).take_while(|other| !ptr::eq(*other, foremost)).chain([foremost]);
        passed.for_each(WaitCell::count_passing);
        // Not through `self.unlink`, which would clear QUEUED in between: the queue is not empty, before and after.
        self.links.unlink(wait);
        self.links.insert_before(wait, foremost);
        self.hand_over(wakes);
        true
    }
}

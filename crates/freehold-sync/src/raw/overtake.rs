//! A wait that goes past others in its queue.

use super::{RawLock, links, wakes::Wakes};
use crate::{
    shim::Ordering,
    slot::cell::{self, WaitCell},
};

/// Whom `wait` goes past if it is moved before the foremost of those ahead of it that need more than `free`, the nearest
/// first. In the section.
fn passed(wait: &'static WaitCell, free: u64) -> impl Iterator<Item = &'static WaitCell> {
    let needs_more = |other: &WaitCell| u64::from(other.need.load(Ordering::Relaxed)) > free;
    let foremost = links::before(wait).enumerate().filter(|(_, other)| needs_more(other)).last();
    links::before(wait).take(foremost.map_or(0, |(index, _)| index + 1))
}

impl RawLock {
    /// Whether all whom [`overtake`](Self::overtake) would go past may be gone past once more, however far ahead they are. True
    /// if there is nobody any more: then nobody needs to give up either.
    pub(crate) fn may_overtake(&self, wait: &'static WaitCell, free: u64) -> bool {
        let _section = self.queue.enter();
        wait.phase() != cell::WAITING || passed(wait, free).all(WaitCell::may_be_passed)
    }

    /// Moves `wait` before the foremost of those ahead of it that need more than `free`, and lets in whoever may come in
    /// then. Who is ahead of that one stays ahead. False if it does not wait any more, or nobody ahead needs so much.
    pub(crate) fn overtake(&self, wait: &'static WaitCell, free: u64, wakes: &mut Wakes) -> bool {
        let _section = self.queue.enter();
        if wait.phase() != cell::WAITING {
            return false;
        }
        let Some(foremost) = passed(wait, free).last() else { return false };
        passed(wait, free).for_each(WaitCell::count_passing);
        // Not through `self.unlink`, which would clear QUEUED in between: the queue is not empty, before and after.
        self.links.unlink(wait);
        self.links.insert_before(wait, foremost);
        self.hand_over(wakes);
        true
    }
}

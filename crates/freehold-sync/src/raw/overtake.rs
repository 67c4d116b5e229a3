//! A wait that goes past others in its queue.

use super::{RawLock, links, wakes::Wakes};
use crate::{
    limits,
    slot::cell::{self, WaitCell},
};

impl RawLock {
    /// Moves `wait` before the foremost of those ahead of it that are `in_the_way`, and lets in whoever may come in then.
    /// Who is ahead of those stays ahead. Nothing happens if it does not wait any more.
    pub(crate) fn overtake(
        &self,
        wait: &'static WaitCell,
        in_the_way: impl Fn(&WaitCell) -> bool,
        wakes: &mut Wakes,
    ) {
        let _section = self.queue.enter();
        if wait.phase() != cell::WAITING {
            return;
        }
        let ahead = links::before(wait).take(limits::AHEAD);
        let Some(foremost) = ahead.filter(|other| in_the_way(other)).last() else { return };
        // Not through `self.unlink`, which would clear QUEUED in between: the queue is not empty, before and after.
        self.links.unlink(wait);
        self.links.insert_before(wait, foremost);
        self.hand_over(wakes);
    }
}

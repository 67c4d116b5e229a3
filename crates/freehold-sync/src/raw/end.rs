//! The drop of a lock, and how cells are followed to it meanwhile: the two halves of one rule.

use super::{Kind, RawLock, STRAY, rwlock};
use crate::{
    shim::Ordering,
    slot::{
        self,
        cell::{self, Parked, Source, WaitCell},
    },
};
use std::ptr;

/// The source of a cell whose lock is being dropped: the drop has the cell in hand, and leaves it
/// [`ABANDONED`](cell::ABANDONED).
pub(crate) const GOING: *mut () = ptr::without_provenance_mut(1);

impl Drop for RawLock {
    #[inline]
    fn drop(&mut self) {
        // Not `get_mut`: a detector that follows the cell of a forgotten future may read us until `forget_cells` is done.
        let word = self.word.load(Ordering::Relaxed);
        let taken = match self.kind {
            Kind::RwLock => !rwlock::is_free(word),
            // `RawPool` leaves zero here if nobody holds a permit.
            Kind::Mutex | Kind::Event | Kind::Pool => word != 0,
        };
        // The queue first: who sees it empty sees the flag.
        if taken || !self.links.is_empty_unlocked() || self.flag(STRAY) {
            self.forget_cells();
        }
        self.alive.writes();
    }
}

impl RawLock {
    /// The lock a cell waits for; nothing if it waits for something without a queue, or its lock is gone.
    ///
    /// # Safety
    ///
    /// The caller has frozen the cell's owner, and gives the lock up before it unfreezes it.
    pub(crate) unsafe fn of_cell<'a>(wait: &WaitCell) -> Option<&'a RawLock> {
        if wait.kind() != Source::Lock {
            return None;
        }
        let source = wait.source.load(Ordering::SeqCst);
        if source == GOING {
            return None;
        }
        // SAFETY: a source that is not null is alive as long as the owner is frozen: the drop of a lock marks the source
        // first, and then waits for the freeze to end.
        let lock = unsafe { source.cast::<RawLock>().as_ref() };
        if let Some(lock) = lock {
            lock.alive.reads();
        }
        lock
    }

    /// Cells of forgotten futures still point here: tells them that there is nothing here any more, and waits until
    /// nobody follows such a pointer. Only those: who is done with a cell takes its source away first.
    #[cold]
    fn forget_cells(&mut self) {
        let mut old = Vec::new();
        let me = ptr::from_mut(self).cast();
        slot::pool::for_each(|slot| {
            slot.every_cell(|wait| {
                // SeqCst, and then the look at FROZEN: either who freezes sees the source gone, or we wait for them.
                // From here on the cell is ours: the end of its owner waits for us. Acquire where it is gone already pairs with
                // who took it away: what they did with the lock is over before it is freed.
                if wait.source.compare_exchange(me, GOING, Ordering::SeqCst, Ordering::Acquire).is_err() {
                    return;
                }
                slot.wait_thawed();
                let section = self.queue.enter();
                // SAFETY: in the section; nobody else reaches the cell through this lock any more.
                old.push(unsafe { std::mem::replace(wait.parked_mut(), Parked::Nobody) });
                drop(section);
                // Last: whoever sees it may use the cell again.
                wait.set_phase(cell::ABANDONED);
            });
        });
        drop(old);
    }
}

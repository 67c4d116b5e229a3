//! An activity that is polled inside another one: an edge of the graph, from the one that polls to the child.

use super::Activity;
use crate::{
    acquire::give_cell_back,
    clock, order,
    shim::Ordering,
    slot::{
        SPECIAL, Slot,
        cell::{self, Source, WaitCell},
        poll, state, waker,
    },
};
use std::{ptr, task::Waker};

impl<F> Activity<F> {
    /// Lets it take over what its parent's branch holds, for the order of levels.
    pub(crate) fn child_of(self, parent: &'static Slot) -> Self {
        self.take_over(parent);
        self.slot.deadline.set(parent.deadline.get());
        self
    }

    pub(super) fn take_over(&self, parent: &'static Slot) {
        let levels = order::levels_held(parent);
        self.slot.inherited.store(levels, Ordering::Relaxed);
        self.slot.busy.store(if levels == 0 { 0 } else { SPECIAL }, Ordering::Relaxed);
        self.slot.order_mode.store(parent.order_mode.load(Ordering::Relaxed), Ordering::Relaxed);
        self.slot.priority.store(parent.priority.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Whether a poll with `waker` would do anything: it was woken, or its wakes go elsewhere.
    pub(crate) fn needs_poll(&self, waker: &Waker) -> bool {
        self.slot.state.load(Ordering::Acquire) & (state::WOKEN | state::END) != 0
            || !self.slot.wakes_go_to(waker)
    }

    /// Makes the edge from the activity that polls us to us, and takes an old one away.
    pub(super) fn link(&mut self, parent: &Waker) {
        let above =
            poll::current().filter(|above| waker::slot_of(parent).is_some_and(|slot| slot.is(*above)));
        match (&self.link, above) {
            (Some(Link(link)), Some(above)) if link.owner().is(above) => {
                link.polled.store(state::epoch(above.state.load(Ordering::Relaxed)), Ordering::Relaxed);
            }
            (None, None) => {}
            (_, above) => {
                self.link = None;
                self.link = above.map(|above| {
                    let link = above.claim_cell();
                    link.kind.store(Source::Child as u8, Ordering::Relaxed);
                    link.source.store(ptr::from_ref(self.slot).cast_mut().cast(), Ordering::Relaxed);
                    link.deadline.set(clock::NEVER);
                    link.since.set(0);
                    link.set_phase(cell::WAITING);
                    Link(link)
                });
            }
        }
    }
}

/// Our cell in the activity that polls us, given back when dropped, be it by a panic. It may outlive that activity, whose
/// slot it keeps.
pub(super) struct Link(&'static WaitCell);

impl Drop for Link {
    fn drop(&mut self) {
        give_cell_back(self.0, poll::current());
    }
}

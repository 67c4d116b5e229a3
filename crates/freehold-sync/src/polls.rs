//! Which activities are being polled, by which threads: how a thread that somebody blocks is found from outside.

use crate::{
    report::Actor,
    shim::Ordering,
    slot::{
        Slot,
        state::{self, DONE, FREE, POLLING},
    },
};
use std::{any::Any, fmt, ptr, sync::Arc};

/// One poll of one activity. Two looks that see equal ones have seen the same poll, which lasted all the while.
#[derive(Clone, Copy)]
pub struct Poll {
    slot: &'static Slot,
    epoch: u32,
}

impl Slot {
    /// Whether the poll that was seen in this state still runs.
    pub(crate) fn is_in_poll(&self, seen: u64) -> bool {
        let now = self.state.load(Ordering::Acquire);
        now & POLLING != 0 && now & (FREE | DONE) == 0 && state::epoch(now) == state::epoch(seen)
    }
}

impl Poll {
    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.slot.is_in_poll(u64::from(self.epoch) << 32)
    }

    /// Whose poll it is; nothing if it is over.
    #[must_use]
    pub fn actor(&self) -> Option<Actor> {
        let actor = Actor::of(self.slot);
        // Looked at after it was read: the slot may have gone to another activity.
        self.is_running().then_some(actor)
    }

    /// What the activity is about ([`ActivityName::about`](crate::ActivityName::about)), if that is a `T` and lives; nothing
    /// if the poll is over.
    #[must_use]
    pub fn about<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let about = self.slot.about()?;
        if !self.is_running() {
            return None;
        }
        about.downcast().ok()
    }
}

impl PartialEq for Poll {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.slot, other.slot) && self.epoch == other.epoch
    }
}

impl Eq for Poll {}

impl fmt::Debug for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poll").field("of", &self.actor().map(|actor| actor.to_string())).finish()
    }
}

/// A thread that polls activities at this moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PollingThread {
    /// Its name; on Linux with its number, as the system's tools show it.
    pub thread: Arc<str>,
    /// The polls it is inside of, innermost first.
    pub polls: Vec<Poll>,
}

/// The threads that are inside a poll of an activity, at the moment each of them is looked at.
///
/// Costs a few loads a thread, and those who poll two stores a poll: look as often as you like. A poll that is still
/// there at the next look has blocked its thread in between; nothing else on that thread ran.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use freehold_sync::{activity, polling_threads};
///
/// let blocks = activity(async |_| {
///     // From any thread, while this one is in here:
///     let threads = polling_threads();
///     assert!(threads.iter().any(|thread| thread.polls[0].actor().is_some_and(|actor| actor.name == "blocks")));
/// });
/// blocks.named("blocks").await.unwrap();
/// # }
/// ```
#[must_use]
pub fn polling_threads() -> Vec<PollingThread> {
    #[cfg_attr(any(loom, shuttle), expect(unused_mut, reason = "models show nothing"))]
    let mut threads = Vec::new();
    #[cfg(not(any(loom, shuttle)))]
    crate::slot::window::for_each(|thread, polled| {
        let polls =
            polled.into_iter().map(|(slot, state)| Poll { slot, epoch: state::epoch(state) }).collect();
        threads.push(PollingThread { thread, polls });
    });
    threads
}

//! How long a wait may last, and how a future is told.

use crate::{
    clock::{self, NEVER, Ticks},
    settings,
    slot::Slot,
};
use std::time::Duration;

/// How long a wait may last.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    Default,
    Within(Duration),
    At(Ticks),
    Never,
    /// Not even that of the activity.
    Unbounded,
}

impl Limit {
    pub(crate) fn deadline(self, now: Ticks, slot: Option<&'static Slot>) -> Ticks {
        let own = match self {
            Self::Default => clock::after(now, settings::wait_limit()).min(half_way(now, slot)),
            Self::Within(wait) => clock::after(now, wait),
            Self::At(at) => at,
            Self::Never => NEVER,
            Self::Unbounded => return NEVER,
        };
        slot.map_or(own, |slot| own.min(slot.deadline.get()))
    }
}

/// Half of what remains of the activity's deadline: who waits in vain has the other half for something else.
fn half_way(now: Ticks, slot: Option<&'static Slot>) -> Ticks {
    match slot.map_or(NEVER, |slot| slot.deadline.get()) {
        NEVER => NEVER,
        deadline => now + deadline.saturating_sub(now) / 2,
    }
}

/// The methods by which a future around an `Acquire`, in its field `acquire`, is told its limit.
macro_rules! limits_of {
    () => {
        /// Sets how long to wait at most, from the moment the wait begins.
        pub fn within(mut self, limit: std::time::Duration) -> Self {
            self.acquire.limit = $crate::deadline::Limit::Within(limit);
            self
        }

        /// Sets until when to wait at most. What is free is had even later.
        pub fn until(mut self, deadline: std::time::Instant) -> Self {
            self.acquire.limit = $crate::deadline::Limit::At($crate::clock::of(deadline));
            self
        }

        /// Waits without a deadline of its own. That of the activity still holds, and deadlocks are still found.
        pub fn without_deadline(mut self) -> Self {
            self.acquire.limit = $crate::deadline::Limit::Never;
            self
        }

        /// Waits without any deadline, not even that of the activity: where something else is sure to end the wait. Deadlocks
        /// are still found.
        pub fn without_any_deadline(mut self) -> Self {
            self.acquire.limit = $crate::deadline::Limit::Unbounded;
            self
        }
    };
}
pub(crate) use limits_of;

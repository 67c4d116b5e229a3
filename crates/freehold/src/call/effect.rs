//! What an attempt did that cannot be undone by not telling anybody: an attempt with an effect is not run again.
//!
//! Effects are noted where they happen, for the thread; whoever polls a handler collects what its poll left. So a handler
//! needs no special handles: a commit through a clone of its session counts as well. What it does from other tasks does
//! not, except through its context, which marks its call.

use crate::shim;
use std::cell::Cell;

/// One kind of effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Effect {
    /// It changed, or tried to change, state that others see.
    Committed = 1,
    /// It sent a notification.
    Sent = 2,
    /// It asked the client.
    Asked = 4,
    /// It called a method, which may have had effects.
    Called = 8,
    /// It started work that goes on without it.
    Detached = 16,
}

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects(u8);

impl Effects {
    pub(crate) fn of(bits: u8) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn has(self, effect: Effect) -> bool {
        self.0 & effect as u8 != 0
    }
}

shim::thread_local! {
    static NOTED: Cell<u8> = const { Cell::new(0) };
}

/// The handler that is polled in this thread, if any, had this effect.
#[inline]
pub(crate) fn note(effect: Effect) {
    NOTED.with(|noted| noted.set(noted.get() | effect as u8));
}

/// Runs `poll`, and says which effects were noted in it; polls inside of it keep theirs to themselves.
#[inline]
pub(crate) fn collect<R>(poll: impl FnOnce() -> R) -> (R, Effects) {
    let before = NOTED.with(|noted| noted.replace(0));
    let output = poll();
    (output, Effects(NOTED.with(|noted| noted.replace(before))))
}

#[cfg(test)]
mod tests {
    use super::{Effect, Effects, collect, note};

    #[test]
    fn a_poll_inside_of_a_poll_keeps_its_effects_to_itself() {
        note(Effect::Detached);
        let ((), outer) = collect(|| {
            note(Effect::Sent);
            let ((), inner) = collect(|| note(Effect::Committed));
            assert!(inner.has(Effect::Committed) && !inner.has(Effect::Sent));
            note(Effect::Asked);
        });
        assert_eq!(outer, Effects::of(Effect::Sent as u8 | Effect::Asked as u8));
        assert!(collect(|| ()).1.is_empty());
    }
}

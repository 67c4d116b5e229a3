//! Whom something that was acquired is booked to.

use crate::slot::holds::{HeldEntry, Timing};
use std::ptr;

/// The entry of the holder; or, of a holder nobody knows, when it was acquired. In one word, so that a guard stays small
/// enough for registers.
#[derive(Clone, Copy)]
pub(crate) struct Booking(*const HeldEntry);

// SAFETY: entries are never freed, and `Sync`.
unsafe impl Send for Booking {}
// SAFETY: as above.
unsafe impl Sync for Booking {}

/// Tells a time from an entry, which is aligned.
const A_TIME: usize = 1;

impl Booking {
    #[inline(always)]
    pub(crate) fn to(hold: &'static HeldEntry) -> Self {
        Self(hold)
    }

    /// To nobody who is known.
    #[inline(always)]
    pub(crate) fn to_nobody(timing: Timing) -> Self {
        if timing == Timing::NONE {
            return Self(ptr::null());
        }
        // Where a word is too short for a time, holds of nobody are not timed.
        Self(timing.packed().map_or(ptr::null(), |packed| ptr::without_provenance(packed | A_TIME)))
    }

    #[inline(always)]
    pub(crate) fn hold(self) -> Option<&'static HeldEntry> {
        if self.0.addr() & A_TIME != 0 {
            return None;
        }
        // SAFETY: null, or made from an entry, which is never freed.
        unsafe { self.0.as_ref() }
    }

    #[inline(always)]
    pub(crate) fn timing(self) -> Timing {
        match self.hold() {
            Some(hold) => hold.timing(),
            None => Timing::unpacked(self.0.addr() & !A_TIME),
        }
    }
}

//! Whom something that was acquired is booked to.

use crate::{measure::Timing, slot::holds::HeldEntry};
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
        let packed = timing.bits().checked_mul(2).and_then(|bits| usize::try_from(bits).ok());
        Self(packed.map_or(ptr::null(), |bits| ptr::without_provenance(bits | A_TIME)))
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
            None => Timing::from_bits(self.0.addr() as u64 >> 1),
        }
    }
}

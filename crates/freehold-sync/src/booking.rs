//! Whom something that was acquired is booked to.

use crate::{measure::Timing, slot::holds::HeldEntry};
use std::{num::NonZero, ptr::NonNull};

/// The entry of the holder; or, of a holder nobody knows, when it was acquired. In one word, so that a guard stays small
/// enough for registers.
#[derive(Clone, Copy)]
pub(crate) struct Booking(NonNull<HeldEntry>);

// SAFETY: entries are never freed, and `Sync`.
unsafe impl Send for Booking {}
// SAFETY: as above.
unsafe impl Sync for Booking {}

/// Tells a time, or that there is none, from an entry, which is aligned.
const A_TIME: NonZero<usize> = NonZero::<usize>::MIN;

impl Booking {
    #[inline(always)]
    pub(crate) fn to(hold: &'static HeldEntry) -> Self {
        Self(NonNull::from(hold))
    }

    /// To nobody who is known.
    #[inline(always)]
    pub(crate) fn to_nobody(timing: Timing) -> Self {
        // Where a word is too short for a time, holds of nobody are not timed.
        let packed = timing.bits().checked_mul(2).and_then(|bits| usize::try_from(bits).ok());
        Self(NonNull::without_provenance(A_TIME | packed.unwrap_or(0)))
    }

    #[inline(always)]
    pub(crate) fn hold(self) -> Option<&'static HeldEntry> {
        if self.0.addr().get() & A_TIME.get() != 0 {
            return None;
        }
        // SAFETY: made from an entry, which is never freed.
        Some(unsafe { self.0.as_ref() })
    }

    #[inline(always)]
    pub(crate) fn timing(self) -> Timing {
        match self.hold() {
            Some(hold) => hold.timing(),
            None => Timing::from_bits(self.0.addr().get() as u64 >> 1),
        }
    }
}

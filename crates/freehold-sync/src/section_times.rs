//! How long sections of [`ScopedMutex`](crate::ScopedMutex) are waited for, and how long they last.

use crate::{
    clock::{self, Ticks},
    metrics::{Histogram, Times},
};

static WAIT: Times = Times::new();
static HOLD: Times = Times::new();

/// The times of all sections of this process; see [`sections`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SectionTimes {
    /// How long they were waited for.
    pub wait: Histogram,
    /// How long they lasted, from then on.
    pub hold: Histogram,
}

/// The times of all sections of [`ScopedMutex`](crate::ScopedMutex)es up to now.
///
/// For measurements: with the feature `section-times` each section looks at the clock three times, which takes longer than
/// most sections do.
#[must_use]
pub fn sections() -> SectionTimes {
    SectionTimes { wait: WAIT.snapshot(), hold: HOLD.snapshot() }
}

/// Somebody wants in.
pub(crate) struct Asked(Ticks);

impl Asked {
    pub(crate) fn now() -> Self {
        Self(clock::now())
    }

    /// And is in.
    pub(crate) fn entered(self) -> Inside {
        let now = clock::now();
        WAIT.record(clock::between(self.0, now), 1);
        Inside(now)
    }
}

/// A section, until it is dropped.
pub(crate) struct Inside(Ticks);

impl Drop for Inside {
    fn drop(&mut self) {
        HOLD.record(clock::between(self.0, clock::now()), 1);
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::sections;
    use crate::ScopedMutex;
    use std::time::Duration;

    #[test]
    fn each_section_is_timed() {
        let (lock, before) = (ScopedMutex::new(0), sections());
        lock.with(|_| std::thread::park_timeout(Duration::from_millis(1)));
        let after = sections();
        assert!(after.wait.count() > before.wait.count());
        assert!(after.hold.count() > before.hold.count() && after.hold.sum > before.hold.sum);
    }
}

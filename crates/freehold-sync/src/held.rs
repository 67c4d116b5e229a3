//! Counts the [`ScopedMutex`](crate::ScopedMutex)es that the current thread is inside of.
//!
//! The engine asserts [`assert_none`] each time it is about to poll a handler: a handler that runs while the thread is
//! inside a lock's closure would delay every other user of that lock. The count exists in debug builds and with the
//! feature `held-check`; elsewhere [`count`] is always zero and the assertion costs nothing.

#[cfg(any(debug_assertions, feature = "held-check"))]
mod counter {
    use std::cell::Cell;

    thread_local!(static HELD: Cell<u32> = const { Cell::new(0) });

    pub(crate) struct Entered(());

    impl Entered {
        pub(crate) fn enter() -> Self {
            HELD.with(|held| held.set(held.get() + 1));
            Self(())
        }
    }

    impl Drop for Entered {
        fn drop(&mut self) {
            HELD.with(|held| held.set(held.get() - 1));
        }
    }

    pub(crate) fn count() -> u32 {
        HELD.with(Cell::get)
    }
}

#[cfg(not(any(debug_assertions, feature = "held-check")))]
mod counter {
    pub(crate) struct Entered(());

    impl Entered {
        #[inline(always)]
        pub(crate) fn enter() -> Self {
            Self(())
        }
    }

    #[inline(always)]
    pub(crate) fn count() -> u32 {
        0
    }
}

pub(crate) use counter::Entered;

/// The number of engine locks whose closure the current thread is running.
#[inline]
#[must_use]
pub fn count() -> u32 {
    counter::count()
}

/// Panics if the current thread is inside the closure of an engine lock.
///
/// # Panics
///
/// If [`count`] is not zero; the message names `about_to`, what the caller was going to do.
#[inline]
pub fn assert_none(about_to: &str) {
    let held = count();
    assert!(held == 0, "{held} engine lock(s) held by this thread when it was about to {about_to}");
}

//! The [`ScopedMutex`](crate::ScopedMutex)es that the current thread is inside of, and those it was inside of.
//!
//! The engine asserts [`assert_none`] each time it is about to poll a handler: a handler that runs while the thread is
//! inside a lock's closure would delay every other user of that lock. Sections that are entered inside of others are
//! checked against the order of their levels. All of it exists in debug builds and with the feature `held-check`;
//! elsewhere [`count`] is always zero, [`take_entries`] is empty, and nothing costs anything.

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

/// The threads of a model are one thread of the system, so a model has no order.
#[cfg(all(any(debug_assertions, feature = "held-check"), not(any(loom, shuttle))))]
mod order {
    use crate::{LockLevel, Section};
    use std::cell::{Cell, RefCell};

    /// The listed section that the thread entered last and is in.
    type Innermost = Option<(&'static str, LockLevel)>;

    thread_local! {
        static INNERMOST: Cell<Innermost> = const { Cell::new(None) };
        static ENTRIES: RefCell<Vec<(&'static str, u64)>> = const { RefCell::new(Vec::new()) };
    }

    /// Asks for a section, and then is in it.
    pub(crate) struct InOrder {
        before: Innermost,
    }

    impl InOrder {
        pub(crate) fn enter<S: Section>() -> Self {
            let before = INNERMOST.get();
            check::<S>(before);
            if let Some(level) = S::LEVEL {
                INNERMOST.set(Some((S::NAME, level)));
            }
            count(S::NAME);
            Self { before }
        }
    }

    impl Drop for InOrder {
        fn drop(&mut self) {
            INNERMOST.set(self.before);
        }
    }

    fn check<S: Section>(inside: Innermost) {
        let Some((outer, outer_level)) = inside else { return };
        let in_order = S::LEVEL.is_some_and(|level| level.rank() > outer_level.rank());
        // A second panic would end the process and hide the first one.
        if !in_order && !std::thread::panicking() {
            let level = S::LEVEL.map_or("no level", LockLevel::name);
            let outer_level = outer_level.name();
            panic!("section `{}` ({level}) entered inside of section `{outer}` ({outer_level})", S::NAME);
        }
    }

    fn count(name: &'static str) {
        // Fails where the thread ends, and then nobody asks any more.
        let _ = ENTRIES.try_with(|entries| {
            let mut entries = entries.borrow_mut();
            match entries.iter_mut().find(|(other, _)| *other == name) {
                Some((_, count)) => *count += 1,
                None => entries.push((name, 1)),
            }
        });
    }

    pub(crate) fn take_entries() -> Vec<(&'static str, u64)> {
        ENTRIES.take()
    }
}

#[cfg(not(all(any(debug_assertions, feature = "held-check"), not(any(loom, shuttle)))))]
mod order {
    use crate::Section;

    pub(crate) struct InOrder(());

    impl InOrder {
        #[inline(always)]
        pub(crate) fn enter<S: Section>() -> Self {
            Self(())
        }
    }

    #[inline(always)]
    pub(crate) fn take_entries() -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

pub(crate) use counter::Entered;
pub(crate) use order::InOrder;

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

/// The sections that the current thread entered since it asked last: by name, how often, in the order in which they were
/// met first. Those without a name of their own are `unlisted`.
///
/// # Examples
///
/// ```
/// use freehold_sync::{ScopedMutex, held};
///
/// let lock = ScopedMutex::new(0);
/// let _ = held::take_entries();
/// lock.with(|value| *value += 1);
/// lock.with(|value| *value += 1);
/// if cfg!(debug_assertions) {
///     assert_eq!(held::take_entries(), [("unlisted", 2)]);
/// }
/// ```
#[must_use]
pub fn take_entries() -> Vec<(&'static str, u64)> {
    order::take_entries()
}

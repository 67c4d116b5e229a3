use crate::{
    held,
    section::{Section, Unlisted},
    shim::{Mutex, PoisonError},
};
use std::{fmt, marker::PhantomData};

/// A mutual-exclusion lock that gives no guard out: its content is reachable only inside the closure given to
/// [`with`](Self::with).
///
/// Meant for short, synchronous sections that run no foreign code: a table look-up, a push to a queue. What a section
/// decides to do to the outside (wake a waker, drop a value of a user) it returns, and its caller does it afterwards.
///
/// The closure cannot await, and nothing that borrows from the content can leave it:
///
/// ```compile_fail
/// let names = freehold_sync::ScopedMutex::new(vec![String::from("a")]);
/// let first: &String = names.with(|names| &names[0]);
/// ```
///
/// ```compile_fail,E0728
/// let turn = freehold_sync::ScopedMutex::new(0);
/// async fn handler() {}
/// async fn user(turn: &freehold_sync::ScopedMutex<u32>) {
///     turn.with(|_| handler().await);
/// }
/// ```
///
/// # Examples
///
/// ```
/// let names = freehold_sync::ScopedMutex::new(Vec::new());
/// names.with(|names| names.push("a"));
/// assert_eq!(names.with(|names| names.len()), 1);
/// ```
pub struct ScopedMutex<T, S = Unlisted> {
    inner: Mutex<T>,
    section: PhantomData<fn() -> S>,
}

impl<T> ScopedMutex<T> {
    /// A lock around `value`, whose sections have no name and no place in an order.
    pub fn new(value: T) -> Self {
        Self::of(value)
    }
}

impl<T, S: Section> ScopedMutex<T, S> {
    /// A lock around `value`, whose sections are those of `S`.
    pub fn of(value: T) -> Self {
        Self { inner: Mutex::new(value), section: PhantomData }
    }

    /// Runs `section` with exclusive access to the content and returns what it returns.
    ///
    /// Waits (blocking the thread) while another thread runs its section. A section that panicked leaves the content
    /// as it was at that moment; later sections run all the same.
    ///
    /// # Deadlocks
    ///
    /// Calling `with` on the same lock inside `section` never returns; if it has a level, see below.
    ///
    /// # Panics
    ///
    /// In debug builds and with the feature `held-check`, before it waits: inside a section that has a level, a section is
    /// refused whose level is not a higher one, or that has none. The message names both.
    ///
    /// ```
    /// use freehold_sync::{LockLevel, ScopedMutex, sections};
    /// use std::panic::{AssertUnwindSafe, catch_unwind};
    ///
    /// sections! {
    ///     at LockLevel::INNERMOST;
    ///     Guests = "guests";
    ///     Rooms = "rooms";
    /// }
    /// let guests = ScopedMutex::<u32, Guests>::of(0);
    /// let rooms = ScopedMutex::<u32, Rooms>::of(0);
    /// # if cfg!(debug_assertions) {
    /// let nested = catch_unwind(AssertUnwindSafe(|| guests.with(|_| rooms.with(|free| *free))));
    /// assert_eq!(
    ///     nested.unwrap_err().downcast_ref::<String>().unwrap(),
    ///     "section `rooms` (Innermost) entered inside of section `guests` (Innermost)",
    /// );
    /// # }
    /// ```
    #[inline]
    pub fn with<R>(&self, section: impl FnOnce(&mut T) -> R) -> R {
        #[cfg(feature = "section-times")]
        let asked = crate::section_times::Asked::now();
        let _in_order = held::InOrder::enter::<S>();
        let mut guard = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        #[cfg(feature = "section-times")]
        let _timed = asked.entered();
        let _entered = held::Entered::enter();
        section(&mut guard)
    }
}

impl<T: Default, S: Section> Default for ScopedMutex<T, S> {
    fn default() -> Self {
        Self::of(T::default())
    }
}

impl<T, S> fmt::Debug for ScopedMutex<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedMutex").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::ScopedMutex;
    use crate::{LockLevel, Section, held};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_panicking_section_neither_poisons_nor_stays_counted() {
        let lock = ScopedMutex::new(1);
        let result = catch_unwind(AssertUnwindSafe(|| {
            lock.with(|value| {
                *value = 2;
                panic!("in the section");
            })
        }));
        assert!(result.is_err());
        assert_eq!(lock.with(|value| *value), 2);
        assert_eq!(held::count(), 0);
    }

    #[test]
    #[cfg(debug_assertions)]
    fn the_assertion_fails_inside_a_section() {
        let lock = ScopedMutex::new(());
        let result = catch_unwind(AssertUnwindSafe(|| lock.with(|()| held::assert_none("poll a handler"))));
        assert!(result.is_err(), "a handler polled inside a section must be refused");
    }

    crate::sections! {
        at LockLevel::GLOBAL;
        Outer = "outer";
        Beside = "beside";
    }
    crate::sections! {
        at LockLevel::SESSION;
        Inner = "inner";
    }

    /// What entering a section of `I` inside one of `O` panics with.
    #[cfg(debug_assertions)]
    fn nested<O: Section, I: Section>() -> Option<String> {
        let (outer, inner) = (ScopedMutex::<(), O>::default(), ScopedMutex::<(), I>::default());
        let result = catch_unwind(AssertUnwindSafe(|| outer.with(|()| inner.with(|()| ()))));
        result.err().map(|panic| *panic.downcast::<String>().expect("a message with names"))
    }

    #[test]
    #[cfg(debug_assertions)]
    fn sections_are_entered_upwards_only() {
        use super::Unlisted;
        let refused =
            |inner: &str, outer: &str| Some(format!("section `{inner} entered inside of section `{outer}"));
        let rows = [
            (nested::<Outer, Inner>(), None),
            (nested::<Unlisted, Outer>(), None),
            (nested::<Unlisted, Unlisted>(), None),
            (nested::<Outer, Beside>(), refused("beside` (Global)", "outer` (Global)")),
            (nested::<Outer, Outer>(), refused("outer` (Global)", "outer` (Global)")),
            (nested::<Inner, Outer>(), refused("outer` (Global)", "inner` (Session)")),
            (nested::<Inner, Unlisted>(), refused("unlisted` (no level)", "inner` (Session)")),
        ];
        for (panicked, expected) in rows {
            assert_eq!(panicked, expected);
        }
        assert_eq!(held::count(), 0);
    }

    #[test]
    #[cfg(debug_assertions)]
    fn a_refused_section_leaves_no_trace() {
        let lock = ScopedMutex::<i32, Outer>::of(1);
        let result = catch_unwind(AssertUnwindSafe(|| lock.with(|_| lock.with(|value| *value))));
        assert!(result.is_err(), "it would wait for itself");
        assert_eq!(lock.with(|value| *value), 1);
    }

    #[test]
    fn a_section_takes_no_room() {
        assert_eq!(size_of::<ScopedMutex<u64, Inner>>(), size_of::<std::sync::Mutex<u64>>());
    }
}

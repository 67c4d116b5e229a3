use crate::{
    held,
    shim::{Mutex, PoisonError},
};
use std::fmt;

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
#[derive(Default)]
pub struct ScopedMutex<T> {
    inner: Mutex<T>,
}

impl<T> ScopedMutex<T> {
    /// A lock around `value`.
    pub fn new(value: T) -> Self {
        Self { inner: Mutex::new(value) }
    }

    /// Runs `section` with exclusive access to the content and returns what it returns.
    ///
    /// Waits (blocking the thread) while another thread runs its section. A section that panicked leaves the content
    /// as it was at that moment; later sections run all the same.
    ///
    /// # Deadlocks
    ///
    /// Calling `with` on the same lock inside `section` never returns.
    #[inline]
    pub fn with<R>(&self, section: impl FnOnce(&mut T) -> R) -> R {
        #[cfg(feature = "section-times")]
        let asked = crate::section_times::Asked::now();
        let mut guard = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        #[cfg(feature = "section-times")]
        let _timed = asked.entered();
        let _entered = held::Entered::enter();
        section(&mut guard)
    }
}

impl<T> fmt::Debug for ScopedMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedMutex").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::ScopedMutex;
    use crate::held;
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
}

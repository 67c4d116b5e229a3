//! Runs foreign code (handlers, hooks, observers, stores, and the drop of their values) so that its panic ends here.

use std::{
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// The foreign code panicked. What it panicked with is in the log of the panic hook and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Runs `foreign` and catches its panic.
///
/// Whatever `foreign` shares with the engine is either atomic or gone with it, hence the assertion of unwind safety.
pub(crate) fn contain<R>(foreign: impl FnOnce() -> R) -> Result<R, Panicked> {
    catch_unwind(AssertUnwindSafe(foreign)).map_err(|payload| {
        // The payload is a foreign value too, and may panic in its drop; that one's payload is leaked, which ends it.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(again);
        }
        Panicked
    })
}

/// A foreign value whose drop is contained, for places where it may be dropped by anybody and much later: a table
/// without locks frees what was removed in whichever thread comes by, and a panic there would abort the process.
#[derive(Debug)]
pub(crate) struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T> Deref for Contained<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => unreachable!("taken in the drop only"),
        }
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        let value = self.0.take();
        if contain(|| drop(value)).is_err() {
            tracing::error!("the drop of a value of the application panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Contained, Panicked, contain};

    struct PanicsInDrop;

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in the drop of a panic's payload");
        }
    }

    #[test]
    fn a_payload_that_panics_in_its_drop_is_contained_too() {
        assert_eq!(contain(|| std::panic::panic_any(PanicsInDrop)), Err::<(), _>(Panicked));
        assert_eq!(contain(|| 1), Ok(1));
        drop(Contained::new(PanicsInDrop));
    }
}

//! Contexts by value, which keep the slot they stand for.

use super::Context;
use crate::{shim::Ordering, slot::Slot};
use std::{fmt, ops::Deref};

/// A context by value; see [`activity_owning`](crate::activity_owning).
pub struct OwnedContext {
    context: Context,
}

impl OwnedContext {
    /// Keeps the slot from being used again, so that what goes through this context never counts as another activity's.
    pub(crate) fn new(slot: &'static Slot) -> Self {
        slot.contexts.fetch_add(1, Ordering::Relaxed);
        Self { context: Context::new(slot) }
    }
}

/// Another one for the same activity: to lend one, and to give the other to a value of one's own.
impl Clone for OwnedContext {
    fn clone(&self) -> Self {
        Self::new(self.context.slot())
    }
}

impl Deref for OwnedContext {
    type Target = Context;

    #[inline]
    fn deref(&self) -> &Context {
        &self.context
    }
}

impl Drop for OwnedContext {
    fn drop(&mut self) {
        self.context.slot.forget_context();
    }
}

impl fmt::Debug for OwnedContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.context.fmt(f)
    }
}

//! Waiting for the cancel of one's own activity.

use super::Context;
use crate::signal_cell::SignalCell;
use std::{
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

/// Ready once the activity was cancelled; see [`Context::cancelled`].
#[must_use = "futures do nothing unless polled"]
pub struct Cancelled<'a> {
    wait: SignalCell,
    _context: &'a Context,
}

impl<'a> Cancelled<'a> {
    pub(super) fn new(context: &'a Context, site: &'static Location<'static>) -> Self {
        Self { wait: SignalCell::cancelled(context.slot(), site), _context: context }
    }
}

impl Future for Cancelled<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.wait.poll(cx)
    }
}

impl fmt::Debug for Cancelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled").finish_non_exhaustive()
    }
}
